"""Code that comes with a model is named in no folder of a run, and neither converter nor llama.cpp's tools run it."""

import json
import sys

import pytest
from transformers import AutoTokenizer

from studio.errors import ModelError
from studio.preset.schema import ModelSection
from studio.worker import remote_code
from studio.worker.tokenizer import load_tokenizer
from tests.tiny_model import make_tiny_tokenizer

CODE = {"AutoTokenizer": ["code--tok.Own", None]}


@pytest.fixture
def folder(tmp_path):
    """A tokenizer whose settings name code of its own, and a config that does so in a part of it."""
    make_tiny_tokenizer(tmp_path)
    settings = tmp_path / "tokenizer_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {"auto_map": CODE}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "text_config": {"auto_map": CODE}}))
    (tmp_path / "vocab.json").write_text(json.dumps({"auto_map": 7}))
    return tmp_path


def test_a_tokenizer_is_saved_without_the_code_of_its_base_model(folder, tmp_path):
    load_tokenizer(folder, ModelSection()).save_pretrained(tmp_path / "adapter")
    assert "auto_map" not in (tmp_path / "adapter" / "tokenizer_config.json").read_text()


def test_a_folder_forgets_code_and_only_that(folder):
    with pytest.raises(ModelError, match=r"config\.json names code"):
        remote_code.require_none(folder)
    remote_code.forget(folder)
    remote_code.require_none(folder)
    assert json.loads((folder / "config.json").read_text()) == {"model_type": "llama", "text_config": {}}
    assert json.loads((folder / "vocab.json").read_text()) == {"auto_map": 7}, "a token"


def test_code_is_not_run_by_who_asks_to_trust_it(folder, tmp_path, monkeypatch):
    ran = tmp_path / "ran"
    (folder / "tok.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    settings = folder / "tokenizer_config.json"
    settings.write_text(settings.read_text().replace("code--tok.Own", "tok.Own"))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    (folder / "config.json").unlink()
    with remote_code.refused():
        AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
    assert not ran.exists()


def test_the_converter_refuses_a_model_that_names_code(folder):
    from studio.worker.gguf_convert import Conversion

    with pytest.raises(ModelError, match="names code"):
        Conversion(folder, folder / "out.gguf", "bf16", "m", AutoTokenizer.from_pretrained(folder), None)


def test_tools_of_others_see_no_token(tmp_path, monkeypatch, capfd):
    from studio.worker import gguf_export

    for name in ("HF_TOKEN", "OPENAI_API_KEY", "STUDIO_PASSWORD"):
        monkeypatch.setenv(name, "secret-1")
    gguf_export._run([sys.executable, "-c", "import os; print(dict(os.environ))"])
    said = capfd.readouterr().out
    assert "PATH" in said and "secret-1" not in said

"""GGUF files of a tiny model: read back, killed half-way, made again, and with llama.cpp's own tools."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import PROJECT_DIR, chats, events, results

from studio.preset import files
from studio.publishing import exports
from studio.publishing.exports import list_exports
from studio.publishing.gguf_request import GgufRequest, write_request
from studio.worker.parity_gguf import head_width
from studio.worker.tokenizer import load_tokenizer
from tests.tiny_model import CHATML, CORPUS


@pytest.fixture
def merged(runs, tiny_model):
    """A run with a merged model of the tiny one's weights, in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM

    run_dir = runs.create(chats(4), name="tiny")
    shutil.copytree(tiny_model, run_dir / "merged")
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16).save_pretrained(run_dir / "merged")
    return run_dir


def asked(run_dir, *kinds):
    write_request(run_dir, GgufRequest(list(kinds)))
    return run_dir


def names(run_dir):
    return sorted(path.name for path in (run_dir / "gguf").iterdir())


@pytest.mark.filterwarnings("ignore")
def test_what_is_read_back_is_the_merged_model(runs, merged):
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    kinds = {"f16": 1e-4, "bf16": 0.0, "q8_0": 1e-3, "q4_k_m": 5e-3}
    assert runs.work("gguf", asked(merged, *kinds)) == 0, (merged / "worker.log").read_text()
    assert [export.name for export in list_exports(merged) if export.fresh] == ["merged", *kinds]
    assert len(names(merged)) == 3 * len(kinds), "file, Modelfile and record of each, nothing else"

    own = AutoTokenizer.from_pretrained(merged / "merged")
    weights = AutoModelForCausalLM.from_pretrained(merged / "merged", dtype="float32").state_dict()
    for kind, most in kinds.items():
        file = exports.gguf_file(merged, kind)
        model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype="float32")
        for name, values in model.state_dict().items():
            assert (values - weights[name]).abs().mean() <= most, f"{kind}: {name}"
        fields = GGUFReader(file).fields
        assert fields["tokenizer.chat_template"].contents() == own.chat_template
        assert fields["tokenizer.ggml.eos_token_id"].contents() == own.eos_token_id
        assert fields["tokenizer.ggml.pre"].contents() == "gpt-2"
        assert fields["tokenizer.ggml.add_bos_token"].contents() is False
        assert fields["tokenizer.ggml.tokens"].contents() == own.convert_ids_to_tokens(range(len(own)))
    modelfile = exports.modelfile_of(file).read_text()
    assert "FROM ./tiny-Q4_K_M.gguf" in modelfile and "<|im_start|>user\n{{ .Content }}<|im_end|>" in modelfile
    done = events(merged, "progress")[-1].values
    assert done["unit"] == "bytes" and 0 < done["done"] <= done["total"]


def test_what_is_finished_is_kept_and_what_fails_says_so(runs, merged):
    assert runs.work("gguf", asked(merged, "q8_0")) == 0
    before = exports.gguf_file(merged, "q8_0").stat().st_mtime_ns
    tokenizer = merged / "merged" / "tokenizer.json"
    pipeline = json.loads(tokenizer.read_text())
    # a way to split text that llama.cpp does not know
    odd = {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated", "invert": False}
    tokenizer.write_text(json.dumps(pipeline | {
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [odd, pipeline["pre_tokenizer"]]}}))
    assert runs.work("gguf", asked(merged, "q8_0", "f16", "q4_k_m")) == 3
    assert "knows no tokenizer that splits text as this" in events(merged, "error")[-1].values["message"]
    tokenizer.write_text(json.dumps(pipeline))
    assert runs.work("gguf", merged) == 0
    assert [file["kind"] for file in results(merged)[-1]["files"]] == ["q8_0", "f16", "q4_k_m"]
    assert exports.gguf_file(merged, "q8_0").stat().st_mtime_ns == before, "of the same weights, so not made again"


def test_killed_half_way_nothing_half_is_left_under_a_name(runs, merged, tmp_path):
    """For an architecture that only a converter of llama.cpp on the PATH knows; this one writes half, then waits."""
    tools, begun = tmp_path / "tools", tmp_path / "begun"
    tools.mkdir()
    script = tools / "convert_hf_to_gguf.py"
    script.write_text(f"#!/bin/sh\nhead -c 5000 /dev/zero > \"$4\"\ntouch {begun}\nexec sleep 600\n")
    script.chmod(0o755)
    config = merged / "merged" / "config.json"
    known = config.read_text()
    config.write_text(known.replace("LlamaForCausalLM", "NewestForCausalLM"))
    worker = subprocess.Popen(
        [sys.executable, "-m", "studio.worker", "gguf", asked(merged, "f16", "q4_k_m")], cwd=PROJECT_DIR,
        env=os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
    while not begun.exists():
        assert worker.poll() is None
        time.sleep(0.05)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    assert names(merged) == [".tiny-F16.gguf.partial"]
    assert [export.name for export in list_exports(merged)] == ["merged"]

    assert runs.work("gguf", merged) == 3, "without that converter"
    assert "does not know NewestForCausalLM" in events(merged, "error")[-1].values["message"]
    assert "git clone https://github.com/ggml-org/llama.cpp" in events(merged, "error")[-1].values["hint"]
    config.write_text(known)
    assert runs.work("gguf", merged) == 0
    assert [export.name for export in list_exports(merged)] == ["merged", "f16", "q4_k_m"]
    assert not [name for name in names(merged) if "partial" in name]


@pytest.fixture
def gemma(tmp_path):
    """A tiny base model whose tokenizer was made by SentencePiece, as those of Gemma and Phi-3 are."""
    import sentencepiece
    from transformers import Gemma2Config, Gemma2ForCausalLM, GemmaTokenizer

    folder = tmp_path / "gemma"
    folder.mkdir()
    (tmp_path / "rows.txt").write_text("\n".join(CORPUS))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "rows.txt"), model_prefix=str(folder / "tokenizer"), vocab_size=400, model_type="bpe",
        byte_fallback=True, add_dummy_prefix=False, hard_vocab_limit=False, minloglevel=2, pad_id=0, eos_id=1, bos_id=2,
        unk_id=3, user_defined_symbols=["<start_of_turn>", "<end_of_turn>"])
    tokenizer = GemmaTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<beside>"], special_tokens=True)
    tokenizer.chat_template = CHATML.replace("<|im_start|>", "<start_of_turn>").replace("<|im_end|>", "<end_of_turn>")
    tokenizer.save_pretrained(folder)
    Gemma2ForCausalLM(Gemma2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, max_position_embeddings=512, bos_token_id=2, eos_token_id=1,
        pad_token_id=0)).save_pretrained(folder)
    return folder


def test_a_family_with_a_tokenizer_model_keeps_it_and_its_turn_marks_are_tokens_of_their_own(runs, gemma):
    """transformers saves tokenizer.json alone, and names no token of its own where the converter looks for them."""
    from gguf import GGUFReader, TokenType

    run_dir = runs.create(chats(4), name="gemma", model__model_name_or_path=str(gemma))
    shutil.copytree(gemma, run_dir / "merged")
    (run_dir / "merged" / "tokenizer.model").unlink()
    tokenizer = load_tokenizer(gemma, files.load(run_dir / "preset.yaml").model)
    tokenizer.save_pretrained(run_dir / "merged")
    assert str(gemma) not in (run_dir / "merged" / "tokenizer_config.json").read_text(), "a folder of this machine"

    assert runs.work("gguf", asked(run_dir, "f16")) == 0, (run_dir / "worker.log").read_text()
    fields = GGUFReader(exports.gguf_file(run_dir, "f16")).fields
    kinds, tokens = fields["tokenizer.ggml.token_type"].contents(), fields["tokenizer.ggml.tokens"].contents()
    assert fields["tokenizer.ggml.model"].contents() == "llama" and tokens[-1] == "<beside>"
    marks = ("<start_of_turn>", "<end_of_turn>", "<beside>")
    own = (TokenType.USER_DEFINED, TokenType.USER_DEFINED, TokenType.CONTROL)
    assert tuple(kinds[tokens.index(mark)] for mark in marks) == own
    assert head_width(exports.gguf_file(run_dir, "f16")) == 16
    assert (run_dir / "merged" / "tokenizer.model").read_bytes() == (gemma / "tokenizer.model").read_bytes()

    for folder in (gemma, run_dir / "merged"):
        (folder / "tokenizer.model").unlink()
    assert runs.work("gguf", asked(run_dir, "bf16")) == 3
    assert "reads tokenizer.model for this model" in events(run_dir, "error")[-1].values["message"]


def test_a_run_without_a_merged_model_is_refused(runs):
    assert runs.work("gguf", asked(runs.create(chats(4)), "f16")) == 3


def test_the_converter_knows_the_families_that_are_trained_most():
    """It names what its own gguf knows; with the one of requirements.txt over it Qwen and Gemma cannot be converted."""
    from conversion import get_model_class

    for family in ("Llama", "Mistral", "Qwen2", "Qwen3", "Gemma3", "Phi3", "SmolLM3", "Granite", "Olmo2"):
        assert get_model_class(f"{family}ForCausalLM").model_arch

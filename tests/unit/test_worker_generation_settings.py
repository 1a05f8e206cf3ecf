"""generation_config.json beside trained weights: the base's own file, with the end that the training taught."""

import json
from types import SimpleNamespace

import pytest
from transformers import GenerationConfig

from studio.worker.generation_settings import FILE, end_answers, write_generation_settings
from tests.tiny_model import make_tiny_tokenizer

# sampling values without do_sample: transformers refuses to save these
ODD = '{"temperature":0.6,\n "top_p": 0.9, "eos_token_id": %s}'


@pytest.fixture
def folders(tmp_path):
    base, folder = tmp_path / "base", tmp_path / "trained"
    base.mkdir()
    (base / "config.json").write_text(json.dumps({"model_type": "llama", "eos_token_id": 0}))
    make_tiny_tokenizer(folder)  # ends at <|im_end|>, 2
    return base, folder


@pytest.mark.parametrize("ends", ["2", "[0, 2]"])
def test_settings_that_know_the_end_are_taken_byte_for_byte(folders, ends):
    base, folder = folders
    (base / FILE).write_text(ODD % ends)
    write_generation_settings(base, folder, None)
    assert (folder / FILE).read_text() == ODD % ends


@pytest.mark.parametrize(("ends", "then"), [("0", [0, 2]), ("[0, 1]", [0, 1, 2]), ("null", [2])])
def test_an_end_that_the_base_does_not_know_is_added_and_all_else_kept(folders, ends, then):
    base, folder = folders
    (base / FILE).write_text(ODD % ends)
    write_generation_settings(base, folder, None)
    assert json.loads((folder / FILE).read_text()) == {"temperature": 0.6, "top_p": 0.9, "eos_token_id": then}


def test_a_base_without_the_file_gets_one_where_its_config_does_not_know_the_end(folders):
    base, folder = folders
    write_generation_settings(base, folder, None)
    assert json.loads((folder / FILE).read_text())["eos_token_id"] == [0, 2]


@pytest.mark.parametrize(("ends", "taught", "then"), [("2", 1, [2, 1]), ("[0, 2]", 1, [0, 2, 1]), ("0", 2, [0, 2])])
def test_the_end_that_the_rows_teach_is_added_where_the_tokenizer_ends_otherwise(folders, ends, taught, then):
    base, folder = folders
    (base / FILE).write_text(ODD % ends)
    for _ in range(2):  # done again it adds nothing
        write_generation_settings(base, folder, taught)
        assert json.loads((folder / FILE).read_text())["eos_token_id"] == then
    assert [file.name for file in folder.glob(".*")] == []


def test_the_adapter_ends_its_answers_in_the_studio_where_it_does_elsewhere(folders):
    base, folder = folders
    model = SimpleNamespace(generation_config=GenerationConfig(eos_token_id=0, temperature=0.6))
    end_answers(model, folder)
    assert model.generation_config.eos_token_id == 0, "without settings of its own"
    write_generation_settings(base, folder, 1)
    end_answers(model, folder)
    assert (model.generation_config.eos_token_id, model.generation_config.temperature) == ([0, 2, 1], 0.6)

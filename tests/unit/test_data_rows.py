"""Rows are found by words, problems and edits, paged through and drawn, and shown as the model reads them."""

import json
import subprocess
import sys

import pytest

from studio.data import overlay
from studio.data.rows import Query, find_rows
from studio.data.rows_client import find_rows as ask_for_rows
from studio.data.rows_client import propose_mapping
from studio.preset.files import override
from studio.preset.schema import DataSection, Preset
from studio.settings import PROJECT_DIR, Settings
from tests.tiny_model import make_tiny_tokenizer

ROWS = [{"prompt": f"question {i}", "completion": f"Answer {i} é"} for i in range(1, 31)]
TOKEN = "ghp_" + "a1" * 18


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def section(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps(row) for row in ROWS]
    lines[3:3] = ["{not JSON", json.dumps({"prompt": "no answer"}), json.dumps({"prompt": TOKEN, "completion": "Yes"})]
    path.write_text("\n".join(lines) + "\n")
    return DataSection(dataset_name=str(path), edits="mine")


def found(section, settings, *args, **values):
    rows = find_rows(section, settings, Query(*args, **values))
    return rows.total, [row.number for row in rows.rows]


@pytest.fixture(autouse=True)
def edits(section, settings):
    overlay.exclude(section, settings, 2)
    overlay.replace(section, settings, 7, json.dumps({"prompt": "mended by hand", "completion": "x"}))


def test_all_rows_can_be_paged_through(section, settings):
    assert found(section, settings) == (32, list(range(1, 11)))
    assert found(section, settings, offset=30) == (32, [31, 32])
    assert found(section, settings, offset=40) == (32, [])


def test_a_known_total_spares_the_reading_of_the_rest(tmp_path, section, settings):
    for offset in (0, 10, 30, 40):
        whole = find_rows(section, settings, Query(offset=offset))
        short = find_rows(section, settings, Query(offset=offset, known_total=32))
        assert (short.total, short.rows) == (whole.total, whole.rows)
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS * 20))
    many = find_rows(DataSection(dataset_name=str(path)), settings, Query(offset=200, known_total=600))
    assert (many.total, many.searched, many.rows[0].number) == (600, 210, 201)
    assert find_rows(section, settings, Query(only="problem", known_total=2)).rows[1].line == 4
    assert found(section, settings, order="random", seed=1, known_total=32) == found(
        section, settings, order="random", seed=1)


def test_words_are_found_in_any_case_and_letters(section, settings):
    assert found(section, settings, "ANSWER 3") == (2, [3, 32])
    assert found(section, settings, "é", offset=27) == (29, [31, 32])
    assert found(section, settings, "mended") == (1, [7])
    assert found(section, settings, "question 5") == (0, [])


@pytest.mark.parametrize(("only", "numbers"), [
    ("edited", [7]), ("excluded", [2]), ("masked", [5]), ("problem", [4, 0])])
def test_rows_of_one_kind_are_found(section, settings, only, numbers):
    assert found(section, settings, only=only) == (len(numbers), numbers)


def test_what_is_wrong_is_named(section, settings):
    bad, no_row = find_rows(section, settings, Query(only="problem")).rows
    assert (bad.problems, bad.line, bad.file, json.loads(bad.source)) == (
        ["missing_completion"], 5, "rows.jsonl", {"prompt": "no answer"})
    assert (no_row.problems, no_row.line, no_row.source) == (["not_json"], 4, "")


def test_a_row_shows_its_edit_and_what_it_was(section, settings):
    (row,) = find_rows(section, settings, Query(only="edited")).rows
    assert json.loads(row.source)["prompt"] == "mended by hand" and json.loads(row.original) == ROWS[4]
    assert row.edited and not row.excluded and row.normalised["completion"] == "x"


def test_the_same_seed_draws_the_same_rows_and_each_has_its_chance(section, settings):
    total, numbers = found(section, settings, order="random", seed=1)
    assert total == 32 and len(set(numbers)) == 10 and numbers == sorted(numbers)
    assert found(section, settings, order="random", seed=1) == (total, numbers)
    drawn = [number for seed in range(60) for number in found(section, settings, order="random", seed=seed)[1]]
    assert set(drawn) == set(range(1, 33))
    assert max(drawn.count(number) for number in range(1, 33)) < 40


def test_masked_parts_are_masked_where_the_preset_says_so(section, settings):
    (row,) = find_rows(section, settings, Query(only="masked")).rows
    assert row.masked == ["GitHub token"] and row.normalised["prompt"] == TOKEN
    (row,) = find_rows(section.model_copy(update={"mask": "all"}), settings, Query(only="masked")).rows
    assert row.normalised["prompt"] == "[SECRET]" and TOKEN in row.source


def test_answers_labelled_bad_are_a_problem_where_the_label_is_not_learned(tmp_path, settings):
    path = tmp_path / "labelled.jsonl"
    path.write_text('{"prompt": "a", "completion": "b", "label": false}\n')
    (row,) = find_rows(DataSection(dataset_name=str(path), format="prompt_completion"), settings, Query()).rows
    assert row.problems == ["bad_answers"]
    (row,) = find_rows(DataSection(dataset_name=str(path)), settings, Query()).rows
    assert row.problems == [] and row.normalised["label"] is False


def test_a_long_source_is_cut_and_says_so(tmp_path, settings):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"text": "x" * 200_000}) + "\n")
    (row,) = find_rows(DataSection(dataset_name=str(path)), settings, Query()).rows
    assert row.is_long and len(row.source) == 100_000


def test_a_process_of_its_own_answers_with_rows_as_the_model_reads_them(tmp_path, section, settings):
    tokenizer = tmp_path / "tokenizer"
    make_tiny_tokenizer(tokenizer)
    (tokenizer / "config.json").write_text('{"model_type": "llama"}')
    preset = override(Preset(), {"data.dataset_name": section.dataset_name, "training.max_length": 40,
                                 "model.model_name_or_path": str(tokenizer)})
    page = ask_for_rows(preset, settings, name="mine", offset=3, limit=3)
    bad, secret, good = page.rows
    assert (page.total, page.searched) == (32, 32)
    assert (bad["number"], bad["segments"], bad["problems"]) == (4, [], ["missing_completion"])
    assert secret["number"] == 5 and secret["problems"] == ["truncated", "all_labels_masked"] and secret["truncated"]
    assert [part["text"] for part in good["segments"]] == [
        "<|im_start|>user\nquestion 4<|im_end|>\n<|im_start|>assistant\n", "Answer 4 é<|im_end|>", "\n"]


def test_a_mapping_is_proposed_where_the_shape_cannot_be_told(tmp_path, settings):
    path = tmp_path / "odd.csv"
    path.write_text("title,story,mood\n" + "".join(f"Title {i},Once there were {i} cats.,{'glad' if i % 2 else 'sad'}\n"
                                                   for i in range(12)))
    preset = override(Preset(), {"data.dataset_name": str(path)})
    mapping = propose_mapping(preset, settings)
    assert mapping.columns == {"title": "Title 0", "story": "Once there were 0 cats.", "mood": "sad"}
    assert [(found.part, found.column) for found in mapping.proposals] == [
        ("label", "mood"), ("prompt", "title"), ("completion", "story")]


def test_of_a_file_with_very_many_columns_the_first_are_mapped(tmp_path, settings):
    path = tmp_path / "wide.jsonl"
    path.write_text(json.dumps({"n" * 5000: "x"} | {f"c{i}": "x" for i in range(3000)}) + "\n")
    columns = propose_mapping(override(Preset(), {"data.dataset_name": str(path)}), settings).columns
    assert list(columns) == [f"c{i}" for i in range(499)]


def test_asking_loads_no_tokenizer_library():
    code = ("import sys, studio.data.rows_client, studio.data.overlay\n"
            "print(sorted({'torch', 'transformers', 'tokenizers', 'datasets', 'pyarrow'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""The prompts of the compared rows: what the chat template refuses costs a row or a way, never the comparison."""

import json
from dataclasses import replace

import pytest

from studio.errors import DataError
from studio.evaluation.summary import way_name
from studio.evaluation.ways import Example, planned_ways
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.events import EventWriter, read_events
from studio.settings import Settings
from studio.worker.phase import Phase
from studio.worker.row_prompts import asked_rows, learned_rows, row_prompts, rows_to_compare
from tests.tiny_model import CHATML, make_tiny_tokenizer

NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('No system role') }}{% endif %}" + CHATML
ONE_TURN = "{% if messages | length > 1 %}{{ raise_exception('Only one turn') }}{% endif %}" + CHATML


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture
def phase(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("".join(
        json.dumps({"prompt": f"question {i}", "completion": "city"}) + "\n" for i in range(5)))
    return Phase("evaluate", tmp_path, Preset(), Settings(data_dir=tmp_path), EventWriter(tmp_path))


def planned(phase, tokenizer, template, rows, system_prompt=""):
    tokenizer.chat_template = template
    preset = files.override(phase.preset, {"evaluation.base_system_prompt": system_prompt})
    asked = Phase(phase.name, phase.run_dir, preset, phase.settings, phase.journal)
    return row_prompts(asked, tokenizer, rows, planned_ways(preset.evaluation), 2000)


ROWS = [Example([{"role": "user", "content": f"question {i}"}], "city") for i in range(3)]
WITH_SYSTEM = Example([{"role": "system", "content": "Be brief."}, *ROWS[0].question], "city")


def test_a_row_that_the_template_refuses_is_left_out_and_said(phase, tokenizer):
    found = planned(phase, tokenizer, NO_SYSTEM, [ROWS[0], WITH_SYSTEM, ROWS[1]])
    assert found.rows == ROWS[:2] and {len(ids) for ids in found.prompts.values()} == {2}
    assert len(found.notes) == 1 and found.notes[0].startswith("1 of 3 rows are left out")
    assert "No system role" in found.notes[0]


def test_a_way_that_the_template_refuses_is_left_out_and_said(phase, tokenizer):
    found = planned(phase, tokenizer, ONE_TURN, ROWS)
    assert list(found.prompts) == ["base", "tuned"] and found.rows == ROWS
    assert [note.split(": left out")[0] for note in found.notes] == [way_name("few_shot"), way_name("retrieval")]
    assert all("Only one turn" in note for note in found.notes)


def test_a_way_whose_examples_are_all_too_long_is_left_out_and_said(phase, tokenizer):
    short = files.override(phase.preset, {"evaluation.max_prompt_length": 16})
    found = planned(replace(phase, preset=short), tokenizer, CHATML, ROWS)
    assert list(found.prompts) == ["base", "tuned"] and len(found.notes) == 2
    assert "no prompt can hold an example" in found.notes[0] and "raise evaluation.max_prompt_length" in found.notes[0]


def test_examples_that_do_not_all_fit_are_counted(phase, tokenizer):
    lengths = [len(ids) for ids in planned(phase, tokenizer, CHATML, ROWS).prompts["few_shot"]]
    short = files.override(phase.preset, {"evaluation.max_prompt_length": min(lengths) - 1})
    found = planned(replace(phase, preset=short), tokenizer, CHATML, ROWS)
    assert found.examples["few_shot"] == [2, 2, 2]
    assert found.notes[0].startswith(f"{way_name('few_shot')}: a prompt holds 2 of 3 examples on average.")


def test_without_a_training_row_to_show_no_way_has_examples(phase, tokenizer):
    (phase.run_dir / "data" / "train.jsonl").write_text("")
    found = planned(phase, tokenizer, CHATML, ROWS)
    assert list(found.prompts) == ["base", "tuned"] and "No training row" in found.notes[0]


def test_a_system_prompt_that_the_template_refuses_is_dropped_and_said(phase, tokenizer):
    found = planned(phase, tokenizer, NO_SYSTEM, ROWS, "Be brief.")
    assert list(found.prompts) == ["base", "few_shot", "retrieval", "tuned"]
    assert found.prompts["base"] == found.prompts["tuned"] and found.examples["few_shot"] == [3, 3, 3]
    assert len(found.notes) == 1 and "base_system_prompt" in found.notes[0]


def test_where_every_row_is_refused_the_template_s_reason_is_given(phase, tokenizer):
    with pytest.raises(DataError, match=r"No row can be asked.*No system role"):
        planned(phase, tokenizer, NO_SYSTEM, [WITH_SYSTEM])


def test_rows_whose_answer_is_a_call_are_counted_aloud(phase):
    call = {"messages": [ROWS[0].question[0], {"role": "assistant", "content": "", "tool_calls": [{}]}]}
    assert [row.question for row in asked_rows(phase, [call, {"prompt": "a", "completion": "b"}])] == ["a"]
    warnings = [event.values["message"] for event in read_events(phase.run_dir)[0] if event.type == "warning"]
    assert len(warnings) == 1 and warnings[0].startswith("1 of 2 rows")
    assert phase.notes == warnings, "the report tells it too"


def test_of_another_data_set_all_rows_may_be_drawn_whatever_part_the_training_took(phase, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps({"prompt": f"land {i}", "completion": "city"}) + "\n" for i in range(60)))
    preset = files.override(phase.preset, {
        "data.train_share": 0.25, "data.max_rows": 20, "evaluation.compare_rows": 50})
    asked = Phase("evaluate", tmp_path, preset, phase.settings, phase.journal)
    assert len(rows_to_compare(asked, str(other))) == 50


def test_a_comparison_that_is_asked_for_has_rows_though_the_preset_wants_none(phase):
    (phase.run_dir / "data" / "heldout.jsonl").write_text("".join(
        json.dumps({"prompt": f"land {i}", "completion": "city"}) + "\n" for i in range(90)))
    none = files.override(phase.preset, {"evaluation.compare_rows": 0})
    assert len(rows_to_compare(replace(phase, preset=none), "")) == 80


def test_compared_rows_that_a_run_was_trained_on_are_found(phase):
    assert learned_rows(phase.run_dir, [*ROWS, WITH_SYSTEM, Example("question 9", "city")]) == 4

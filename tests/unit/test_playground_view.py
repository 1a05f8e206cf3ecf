"""The playground's choices, examples and words, without a page or a process."""

import json
from dataclasses import replace

import pytest

from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.playground import Delta, PlaygroundStage, PlaygroundStatus, Target
from studio.ui import playground_view as view
from studio.ui.held_out import Example, examples, next_question
from studio.ui.playground_tab import build_longest, stopped_chats
from studio.ui.playground_votes import empty_sides
from studio.ui.transcript import transcript
from tests.finished_run import finished_run


def checkpoint(store, run_id, step, weights="adapter_model.safetensors"):
    folder = store.run_dir(run_id) / "checkpoints" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / weights).write_bytes(b"0")


def test_runs_with_weights_come_first_then_each_base_model_once(settings, store):
    named = files.override(Preset(), {"model.model_name_or_path": "owner/other"})
    bare = store.create(named)
    run_id = finished_run(store)
    choices = view.model_choices(replace(settings, presets_dir=settings.data_dir / "none"), store.list())
    assert [value for _, value in choices] == [run_id, "HuggingFaceTB/SmolLM2-135M-Instruct", "owner/other"]
    assert bare not in dict(choices).values()
    assert choices[0][0].startswith("recipes (")


@pytest.mark.parametrize("tokens", [1, 8, 5000, 32_768])
def test_the_longest_answer_of_any_run_fits_its_box(tokens):
    """The box began at 16, so a run with a shorter limit could not be talked to at all."""
    assert files.override(Preset(), {"evaluation.max_new_tokens": tokens})
    assert build_longest().preprocess(tokens) == tokens


def test_a_broken_preset_of_the_person_hides_no_choice(settings, store):
    (settings.user_presets_dir / "broken.yaml").write_text("nonsense: [")
    assert view.model_choices(settings, store.list())


def test_weights_are_the_final_ones_and_checkpoints_by_number_newest_first(store):
    run_id = finished_run(store)
    for step in (50, 100, 9):
        checkpoint(store, run_id, step)
    (store.run_dir(run_id) / "checkpoints" / "checkpoint-120").mkdir()
    assert [name for _, name in view.weights_choices(store.get(run_id))] == [
        "", "checkpoint-100", "checkpoint-50", "checkpoint-9"]


def test_a_run_that_failed_offers_its_checkpoints_alone(store):
    run_id = store.create(Preset())
    checkpoint(store, run_id, 1500)
    assert view.weights_choices(store.get(run_id)) == [("Checkpoint at step 1,500", "checkpoint-1500")]


def test_what_is_no_run_id_is_a_base_model(store):
    run_id = finished_run(store)
    assert view.target_of(run_id, "checkpoint-5", "other") == Target(run_id, "checkpoint-5", rival="other")
    assert view.target_of(" owner/name ", "checkpoint-5", "other") == Target(model="owner/name")


@pytest.mark.parametrize(("row", "wanted"), [
    ({"prompt": "2 eggs", "completion": "{}"}, Example("2 eggs", "{}")),
    ({"prompt": [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
      "completion": [{"role": "assistant", "content": "A"}]}, Example("U", "A", "S")),
    ({"messages": [{"role": "user", "content": "U1"}, {"role": "assistant", "content": "A1"},
                   {"role": "user", "content": "U2"}, {"role": "assistant", "content": "A2"}]},
     Example("U1", "A1")),
    ({"text": " ".join(map(str, range(20)))}, Example("0 1 2 3 4 5 6 7 8 9 10 11", "12 13 14 15 16 17 18 19")),
])
def test_a_held_out_row_becomes_a_first_turn(store, row, wanted):
    run_id = finished_run(store)
    (store.run_dir(run_id) / "data").mkdir()
    (store.run_dir(run_id) / "data" / "heldout.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    assert examples(store.get(run_id), limit=1) == [wanted]


@pytest.mark.parametrize("line", [
    "{", "[" * 3000, "[]", "5", "", "\\xff", '{"prompt": "p"}', '{"text": 5}', '{"prompt": 5, "completion": "a"}',
    '{"messages": []}', '{"messages": [{"role": "user", "content": ["q"]}, {"role": "assistant", "content": "a"}]}',
    '{"messages": [{"role": "user", "content": {}}, {"role": "assistant", "content": {}}]}', '{"messages": ["x"]}',
    json.dumps({"prompt": "x" * 100_000, "completion": "y"}), json.dumps({"prompt": "x" * 300_000, "completion": "y"})])
def test_held_out_rows_that_are_long_or_not_in_form_are_passed_over(store, line):
    run_id = finished_run(store)
    (store.run_dir(run_id) / "data").mkdir()
    row = json.dumps({"prompt": "2 eggs", "completion": "{}"})
    (store.run_dir(run_id) / "data" / "heldout.jsonl").write_bytes(
        f"{row}\n{line}\n{row}".encode().replace(b"\\xff", b"\xff"))
    assert examples(store.get(run_id)) == [Example("2 eggs", "{}")] * 2
    assert [next_question(store.get(run_id), after).row for after in (-1, 0)] == [0, 2]


def test_a_call_of_a_tool_is_an_answer_without_text(store):
    run_id = finished_run(store)
    (store.run_dir(run_id) / "data").mkdir()
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": None, "tool_calls": []}]}
    (store.run_dir(run_id) / "data" / "heldout.jsonl").write_text(json.dumps(row))
    assert examples(store.get(run_id)) == [Example("q", "")]
    assert next_question(store.get(run_id)).wanted == ""


def test_a_run_without_held_out_rows_has_no_examples(store):
    assert examples(store.get(finished_run(store))) == []


@pytest.mark.parametrize("stage", PlaygroundStage)
def test_each_stage_has_a_word_and_an_icon(stage):
    facts = {"device": "cpu", "dtype": "bfloat16", "context": 2048}
    html = view.status_html(PlaygroundStatus(stage, Target(model="m"), 12, facts=facts), "m")
    assert f'data-stage="{stage.value.lower()}"' in html and view.ICONS[stage] in html
    assert "<strong></strong>" not in html


def test_the_state_says_seconds_while_loading_and_the_cause_after_a_failure():
    loading = view.status_html(PlaygroundStatus(PlaygroundStage.LOADING, Target(model="m"), 12.3, "Importing"), "m")
    assert "m, 12 s. Importing." in loading
    failed = PlaygroundStatus(PlaygroundStage.FAILED, Target(model="m"), 3, "It broke.", "Mend it.")
    assert "It broke. Mend it." in view.status_html(failed, "m")


def test_names_in_the_state_are_escaped():
    loading = PlaygroundStatus(PlaygroundStage.LOADING, Target(model="m"), 1)
    html = view.status_html(loading, "<img src=x onerror=alert(1)>")
    assert "<img" not in html and "&lt;img" in html


def test_a_run_is_compared_with_runs_on_the_same_base_that_have_an_adapter(store):
    run_id = finished_run(store)
    same, bare = finished_run(store, name="cookbook"), finished_run(store, name="whole", adapter=False)
    finished_run(store, preset=files.override(Preset(), {"model.model_name_or_path": "owner/other"}))
    choices = view.rival_choices(store.get(run_id), store.list())
    assert [value for _, value in choices] == ["", same] and choices[1][0].startswith("cookbook (")
    assert view.rival_choices(store.get(bare), store.list()) == [("Base model", "")]
    named = view.target_name(store, Target(run_id, rival=same))
    assert named == "recipes, final weights, against cookbook, final weights"


def test_a_deleted_run_is_named_by_its_id(store):
    run_id = finished_run(store)
    assert view.target_name(store, Target(run_id)) == "recipes, final weights"
    store.delete(run_id)
    assert view.target_name(store, Target(run_id, "checkpoint-5")) == f"{run_id}, checkpoint at step 5"


def test_counts_say_when_an_answer_was_cut():
    usage = {"prompt_tokens": 1200, "completion_tokens": 42, "total_tokens": 1242}
    last = Delta("", usage, {"first_token_s": 0.1, "total_s": 0.84, "tokens_per_s": 55.31}, "stop")
    assert view.answer_facts(last) == "42 tokens in 0.8 s · 55.3 tokens/s · prompt 1,200 tokens"
    assert view.answer_facts(replace(last, finish_reason="length")).endswith("cut at the longest answer")


def test_stopping_marks_only_the_side_that_was_not_done():
    done, pending = transcript([], "42 tokens"), transcript([], "Waiting for its turn")
    assert [side["facts"] for side in stopped_chats(done, pending)] == ["42 tokens", "Stopped"]


@pytest.mark.parametrize("blind", [False, True])
def test_with_a_base_model_an_empty_side_says_why(blind):
    names = ("A", "B")
    assert "base model was picked" in empty_sides(names, blind, base_only=True)[1]["note"]
    assert "base model was picked" not in empty_sides(names, blind, base_only=False)[1]["note"]

"""The journal: what is written is what is read, whatever a crash leaves behind."""

import json

from studio.runs.events import EventWriter, RunStage, RunState, read_events


def fold(run_dir):
    state = RunState()
    for event in read_events(run_dir)[0]:
        state.apply(event)
    return state


def test_a_journal_is_read_from_any_offset(tmp_path):
    writer = EventWriter(tmp_path)
    writer.log(1, {"loss": 2.0})
    events, offset = read_events(tmp_path)
    assert [event.seq for event in events] == [1]
    assert read_events(tmp_path, offset) == ([], offset)
    writer.log(2, {"loss": 1.0})
    events, _ = read_events(tmp_path, offset)
    assert [(event.seq, event.values["step"]) for event in events] == [(2, 2)]


def test_a_torn_last_line_is_skipped_and_the_next_writer_starts_on_a_line_of_its_own(tmp_path):
    writer = EventWriter(tmp_path)
    writer.log(1, {"loss": 2.0})
    writer.close()
    with open(tmp_path / "events.jsonl", "ab") as file:
        file.write(b'{"seq": 2, "time": "2026')
    assert len(read_events(tmp_path)[0]) == 1
    writer = EventWriter(tmp_path)
    writer.log(2, {"loss": 1.0})
    assert [event.seq for event in read_events(tmp_path)[0]] == [1, 2]


def test_unknown_types_and_broken_lines_are_passed_over(tmp_path):
    writer = EventWriter(tmp_path)
    writer.write("from_the_future", anything=[1])
    with open(tmp_path / "events.jsonl", "ab") as file:
        file.write(b"not json\n[1]\n")
    writer.log(3, {"loss": 1.0})
    assert fold(tmp_path).logs == [(3, {"loss": 1.0})]


def test_the_fold_follows_a_run(tmp_path):
    writer = EventWriter(tmp_path)
    writer.stage(RunStage.QUEUED, "train")
    writer.stage(RunStage.STARTING, "train")
    writer.stage(RunStage.RUNNING, "train")
    writer.progress("train", 5, 10, "steps")
    writer.eval(5, {"eval_loss": 1.5})
    writer.checkpoint(5, "checkpoints/checkpoint-5")
    writer.done("train", {"seconds": 3})
    writer.stage(RunStage.STARTING, "merge")
    writer.error("merge", "No disk.", "Free some.")
    writer.stage(RunStage.FAILED, "merge")
    state = fold(tmp_path)
    assert (state.stage, state.phase, state.step, state.error) == (RunStage.FAILED, "merge", 5, "No disk.")
    assert state.phases["train"].result == {"seconds": 3} and state.phases["merge"].error == "No disk."
    assert state.checkpoints == [(5, "checkpoints/checkpoint-5")] and state.ended_at


def test_queueing_again_clears_the_old_failure(tmp_path):
    writer = EventWriter(tmp_path)
    writer.error("train", "Out of memory.", "Less.")
    writer.stage(RunStage.FAILED, "train")
    writer.stage(RunStage.QUEUED, "train")
    state = fold(tmp_path)
    assert state.error == "" and state.ended_at == ""


def test_a_resumed_run_writes_over_the_steps_behind_its_checkpoint(tmp_path):
    writer = EventWriter(tmp_path)
    for step in (1, 2, 3, 4):
        writer.log(step, {"loss": float(step)})
    for step in (3, 4, 5):
        writer.log(step, {"loss": 10.0 + step})
    assert fold(tmp_path).logs == [(1, {"loss": 1.0}), (2, {"loss": 2.0}), (3, {"loss": 13.0}), (4, {"loss": 14.0}),
                                   (5, {"loss": 15.0})]


def test_a_line_is_json_and_keeps_text_on_one_line(tmp_path):
    EventWriter(tmp_path).warning("two\nlines")
    (line,) = (tmp_path / "events.jsonl").read_text().splitlines()
    assert json.loads(line)["message"] == "two\nlines"


def test_what_a_comparison_warned_of_is_gone_when_it_is_made_again(tmp_path):
    writer = EventWriter(tmp_path)
    for phase, warning in (("train", "few rows"), ("evaluate", "the service is down")):
        writer.stage(RunStage.STARTING, phase)
        writer.warning(warning)
    assert fold(tmp_path).warnings == ["few rows", "the service is down"]
    writer.stage(RunStage.QUEUED, "evaluate")
    assert fold(tmp_path).warnings == ["few rows"]
    writer.stage(RunStage.STARTING, "evaluate")
    writer.warning("the judge is down")
    writer.stage(RunStage.QUEUED, "train")
    assert fold(tmp_path).warnings == ["few rows", "the judge is down"], "a training goes on where it was"


def test_while_a_comparison_waits_again_the_progress_of_the_earlier_one_is_gone(tmp_path):
    writer = EventWriter(tmp_path)
    writer.queued(["evaluate"])
    writer.stage(RunStage.STARTING, "evaluate")
    writer.progress("evaluate", 80, 320, "rows", "The base model answers")
    writer.done("evaluate", {"rows": 80})
    writer.stage(RunStage.COMPLETED)
    writer.queued(["evaluate"])
    waiting = fold(tmp_path).phases["evaluate"]
    assert (waiting.done, waiting.total, waiting.message, waiting.paced_from) == (0, 0, "", None)
    assert waiting.good == {"rows": 80}, "what it found stays"


def test_a_training_that_ended_early_keeps_the_steps_it_took_and_other_phases_are_whole(tmp_path):
    writer = EventWriter(tmp_path)
    writer.progress("train", 4, 60, "steps")
    writer.done("train", {"stopped": True})
    writer.progress("evaluate", 70, 80, "rows")
    writer.done("evaluate", {})
    phases = fold(tmp_path).phases
    assert [(phases[name].done, phases[name].total) for name in ("train", "evaluate")] == [(4, 60), (80, 80)]

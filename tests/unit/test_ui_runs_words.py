"""What a run's state means to a person: stage, progress, what can be done next."""

import os
import time
from dataclasses import replace

import pytest

from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.events import PHASES, EventWriter, RunStage
from studio.runs.launcher import remaining_phases
from studio.runs.liveness import write_marks
from studio.runs.processes import ProcessMark
from studio.runs.store import RunStore, RunView
from studio.texts import text
from studio.ui import run_words
from tests.finished_run import finished_run


@pytest.fixture
def run(store):
    """Create a run whose journal is written by the function given; the test's own process watches over it."""

    def create(write=lambda journal: None, live=True, **fields) -> RunView:
        run_id = store.create(files.override(Preset(name="words"), fields))
        run_dir = store.run_dir(run_id)
        if live:
            write_marks(run_dir, supervisor=ProcessMark.of(os.getpid()))
        journal = EventWriter(run_dir)
        journal.stage(RunStage.QUEUED, "train")
        write(journal)
        journal.close()
        return store.get(run_id)

    return create


@pytest.fixture
def store(settings) -> RunStore:
    """Runs watched by this very process, which nobody must end."""
    return RunStore(settings)


def training(journal, done=120, total=400):
    journal.stage(RunStage.STARTING, "train")
    journal.stage(RunStage.RUNNING, "train")
    journal.progress("train", done, total, "steps")


def test_every_stage_has_word_icon_and_tone():
    assert set(run_words.ICONS) == set(run_words.TONES) == set(RunStage)
    assert len(set(run_words.ICONS.values())) == len(RunStage)


def test_a_working_run_is_named_by_what_it_does(run):
    view = run(training)
    assert run_words.stage_word(view) == "Training"
    assert run_words.progress_words(view) == "120 of 400 steps"
    step = run_words.next_step(view)
    assert "stop" in step.actions and "delete" not in step.actions and step.primary == ""


def test_uploads_are_counted_in_bytes(run):
    def write(journal):
        journal.stage(RunStage.STARTING, "publish")
        journal.progress("publish", 1.2e9, 4.8e9, "bytes")
    assert run_words.progress_words(run(write)) == "1.2 GB of 4.8 GB"


def test_nothing_to_count_says_nothing(run):
    assert run_words.progress_words(run()) == ""
    assert run_words.eta_words(run()) == ""


@pytest.mark.parametrize(("phase", "kept"), [
    ("train", "what was learned"), ("baselines", "answers given so far are kept"),
    ("evaluate", "answers given so far are kept"), ("merge", "trained model is kept"),
    ("publish", "trained model is kept")])
def test_a_stop_is_told_with_what_it_keeps(run, store, phase, kept):
    def write(journal):
        journal.stage(RunStage.STARTING, phase)
        journal.stage(RunStage.RUNNING, phase)
    view = run(write)
    live = run_words.next_step(view).sentence
    (view.run_dir / "stop_request").write_text("stop\n")
    stopping = run_words.next_step(store.get(view.run_id)).sentence
    assert live.startswith("Nothing to do.") and kept in live and kept in stopping
    assert ("step" in live, "step" in stopping) == (phase == "train", phase == "train")


def test_a_stopping_run_offers_only_to_stop_now(run, store):
    view = run(training)
    (view.run_dir / "stop_request").write_text("stop\n")
    view = store.get(view.run_id)
    assert view.state.stage is RunStage.STOPPING
    assert run_words.next_step(view).actions == ("stop_now",)


def test_a_finished_run_wants_to_be_talked_to(store):
    view = store.get(finished_run(store))
    step = run_words.next_step(view)
    assert step.primary == "talk"
    assert set(step.actions) == {"talk", "publish", "evaluate", "compare_with", "merge", "clone", "delete"}


def test_a_failed_training_can_be_started_again_or_resumed(run):
    def fail(journal, checkpoint):
        training(journal, 12)
        if checkpoint:
            journal.checkpoint(10, "checkpoints/checkpoint-10")
        journal.error("train", "The loss is no longer a number at step 12.", "Lower the learning rate.")
        journal.stage(RunStage.FAILED, "train")
    fresh = run(lambda journal: fail(journal, False), live=False)
    step = run_words.next_step(fresh)
    assert (step.primary, step.resume_label) == ("resume", "Start again")
    assert "talk" not in step.actions
    assert run_words.failed_where(fresh) == "Training failed at step 12"
    resumed = run(lambda journal: fail(journal, True), live=False)
    assert run_words.next_step(resumed).resume_label == "Resume training"


def test_a_failed_merge_keeps_the_model_and_offers_to_merge_again(run):
    def write(journal):
        training(journal)
        journal.done("train", {})
        journal.stage(RunStage.STARTING, "merge")
        journal.error("merge", "The disk is full.", "Free some.")
        journal.stage(RunStage.FAILED, "merge")
    view = run(write, live=False, **{"evaluation.compare_rows": 0})
    step = run_words.next_step(view)
    assert (step.primary, step.resume_label) == ("resume", "Merge again")
    assert run_words.failed_where(view) == "Merging failed"
    marks = [(mark.name, mark.status) for mark in run_words.phase_marks(view)]
    assert marks == [("train", "done"), ("merge", "failed")]


def test_a_repeated_comparison_that_was_stopped_is_all_that_is_left(run):
    def write(journal):
        training(journal)
        for phase in ("train", "evaluate", "merge", "publish"):
            journal.done(phase, {})
        journal.stage(RunStage.COMPLETED)
        journal.stage(RunStage.STARTING, "evaluate")
        journal.stage(RunStage.STOPPED, "evaluate")
    view = run(write, live=False, **{"publish.push_to_hub": True, "publish.hub_model_id": "ana/recipes"})
    (view.run_dir / "adapter").mkdir()
    (view.run_dir / "adapter" / "adapter_config.json").write_text("{}")
    assert remaining_phases(view) == ["evaluate"]
    step = run_words.next_step(view)
    assert (step.primary, step.resume_label) == ("resume", "Compare again")
    assert step.actions == ("resume", "talk", "publish", "compare_with", "merge", "clone", "delete")


def test_what_came_of_an_earlier_training_is_left_to_do_again(run):
    def write(journal):
        journal.done("evaluate", {})
        journal.done("merge", {})
        time.sleep(0.002)
        journal.done("train", {})
        journal.done("merge", {})
    assert remaining_phases(run(write)) == ["evaluate"]


def test_a_run_whose_process_died_is_marked_where_it_stood(run, store):
    view = run(training, live=False)
    write_marks(view.run_dir, supervisor=replace(ProcessMark.of(os.getpid()), pid=2**22 - 1))
    view = store.get(view.run_id)
    assert view.state.stage is RunStage.FAILED
    assert run_words.phase_marks(view)[0].status == "failed"
    assert run_words.next_step(view).primary == "resume"


def test_every_phase_has_its_words_wherever_it_is_named():
    for phase in PHASES:
        for key in ("runs.phase", "runs.phase_now", "runs.failure", "app.phases"):
            assert text(f"{key}.{phase}")


def test_what_was_never_done_is_not_offered_again(run):
    def write(journal):
        training(journal)
        journal.done("train", {})
        journal.done("merge", {})
        journal.stage(RunStage.STOPPED)
    view = run(write, live=False)
    labels = [run_words.action_label(view, action) for action in ("evaluate", "merge", "publish")]
    assert labels == ["Compare", "Merge again", "Publish"]

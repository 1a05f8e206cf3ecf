"""What becomes of a complete run when a step repeated on it fails, is stopped, or dies: it stays complete."""

import os
import signal
import time
from dataclasses import replace

import pytest

from studio import start
from studio.errors import RunError
from studio.preset.files import validate
from studio.preset.schema import PublishSection
from studio.publishing.deploy_model import model_on_hub
from studio.publishing.request import cancel_request, forget_request, write_request
from studio.runs.events import PHASES, EventWriter, RunStage
from studio.runs.launcher import remaining_phases
from studio.runs.liveness import write_marks
from studio.runs.processes import ProcessMark
from studio.runs.store import RunStore
from studio.runs.supervisor import Supervisor, _cause
from studio.settings import Settings
from studio.terminal.run import ended_well
from studio.ui.publish_view import files_html, standing, status_html
from studio.ui.run_html import head
from tests.finished_run import finished_run
from tests.pushed_run import pushed_run


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)})


@pytest.fixture
def store(settings):
    return RunStore(settings)


def begin(run_dir, phase: str, *later: str) -> None:
    """The journal of a run on which a phase was begun again, with others to come behind it."""
    journal = EventWriter(run_dir)
    journal.queued([phase, *later])
    journal.stage(RunStage.STARTING, phase)
    journal.close()


@pytest.mark.parametrize(("phase", "ended", "stage"), [
    ("publish", RunStage.FAILED, RunStage.COMPLETED), ("publish", RunStage.STOPPED, RunStage.COMPLETED),
    ("gguf", RunStage.FAILED, RunStage.COMPLETED), ("train", RunStage.FAILED, RunStage.FAILED),
    ("evaluate", RunStage.FAILED, RunStage.COMPLETED), ("merge", RunStage.STOPPED, RunStage.COMPLETED)])
def test_how_a_repeated_step_leaves_a_complete_run(store, settings, phase, ended, stage):
    run_dir = store.run_dir(finished_run(store))
    begin(run_dir, phase)
    assert Supervisor(run_dir, settings)._end(ended, phase) is stage
    (run_dir / "process.json").unlink()
    assert store.get(run_dir.name).state.stage is stage
    assert not ended_well(store.get(run_dir.name)), "the command line says so with its exit code"


@pytest.mark.parametrize("phase", PHASES)
def test_the_next_step_after_a_process_was_killed_is_that_of_its_phase(store, phase):
    run_dir = store.run_dir(finished_run(store))
    begin(run_dir, phase)
    killed, ended = (_cause(phase, -number, run_dir / "worker.log")[1] for number in (signal.SIGKILL, signal.SIGTERM))
    # a run whose supervisor has gone with it
    write_marks(run_dir, supervisor=replace(ProcessMark.of(os.getpid()), pid=2**22 - 1))
    gone = store.get(run_dir.name).state.hint
    for hint in (killed, ended, gone):
        assert (("resume" in hint.lower()) == (phase == "train")) and hint.endswith(".")
    step = {"publish": "Push again: files", "space": "demo", "parity": "Check", "gguf": "GGUF", "merge": "Merge",
            "evaluate": "Compare", "baselines": "untouched model"}.get(phase, "checkpoint")
    assert step in ended and step in gone and ("batch size" in killed) == (phase == "train")


def test_a_run_without_a_step_that_ended_early_ended_well(store):
    assert ended_well(store.get(finished_run(store)))


def test_a_push_that_fails_at_the_end_of_an_unfinished_plan_is_a_failure(store, settings, tmp_path):
    run_dir = store.run_dir(finished_run(store))
    lines = (run_dir / "events.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "events.jsonl").write_text("".join(lines[:-1]))  # all but COMPLETED
    begin(run_dir, "publish")
    assert Supervisor(run_dir, settings)._end(RunStage.FAILED, "publish") is RunStage.FAILED


def test_what_follows_a_training_on_a_complete_run_can_fail_it(store, settings):
    run_dir = store.run_dir(finished_run(store))
    begin(run_dir, "train")
    assert Supervisor(run_dir, settings)._end(RunStage.FAILED, "merge") is RunStage.FAILED


def test_why_a_repeated_merge_failed_is_said_on_the_page_of_the_complete_run(store, settings):
    run_dir = store.run_dir(finished_run(store))
    begin(run_dir, "merge")
    _write(run_dir, lambda journal: journal.error("merge", "The disk is full."))
    Supervisor(run_dir, settings)._end(RunStage.FAILED, "merge")
    (run_dir / "process.json").unlink()
    assert "The disk is full." in head(store, store.get(run_dir.name))


def test_a_push_whose_processes_died_is_told_with_the_push(store):
    run_dir = store.run_dir(finished_run(store))
    begin(run_dir, "publish")
    write_request(run_dir, PublishSection(hub_model_id="ana/x"))
    hour_ago = time.time() - 3600
    os.utime(run_dir / "events.jsonl", (hour_ago, hour_ago))
    view = store.get(run_dir.name)
    assert view.state.stage is RunStage.COMPLETED and not view.is_live
    assert view.state.phases["publish"].error == "The run's process never started."
    assert standing(view) == "failed"


def test_where_publishing_stands(store):
    run_dir = store.run_dir(finished_run(store))
    assert standing(store.get(run_dir.name)) == "new"
    write_request(run_dir, PublishSection(hub_model_id="ana/x"))
    for phases in (("parity", "publish"), ("publish",)):
        begin(run_dir, *phases)
        assert standing(store.get(run_dir.name)) == "pushing"
        _write(run_dir, lambda journal: journal.stage(RunStage.COMPLETED))
        assert standing(store.get(run_dir.name)) == "paused"
    _write(run_dir, lambda journal: journal.done("publish", {"repo_id": "ana/x"}))
    assert standing(store.get(run_dir.name)) == "done"
    begin(run_dir, "parity", "publish")
    _write(run_dir, lambda journal: journal.error("parity", "It answers otherwise."))
    _write(run_dir, lambda journal: journal.stage(RunStage.COMPLETED))
    assert standing(store.get(run_dir.name)) == "failed"
    begin(run_dir, "publish")
    _write(run_dir, lambda journal: journal.stage(RunStage.COMPLETED))
    forget_request(run_dir)
    assert standing(store.get(run_dir.name)) == "new", "cancelled"
    begin(run_dir, "evaluate")
    assert standing(store.get(run_dir.name)) == "busy"


def test_a_planned_push_is_followed_paused_and_cancelled_like_one_that_was_asked_for(store):
    planned = validate({"publish": {"push_to_hub": True, "hub_model_id": "ana/plan"}})
    run_dir = store.run_dir(finished_run(store, preset=planned))
    assert standing(store.get(run_dir.name)) == "new", "its push has not begun"
    for phases in (("parity", "publish"), ("publish",)):
        begin(run_dir, *phases)
        assert standing(store.get(run_dir.name)) == "pushing"
        _write(run_dir, lambda journal: journal.stage(RunStage.STOPPED))
        assert standing(store.get(run_dir.name)) == "paused"
    begin(run_dir, "publish")
    _write(run_dir, lambda journal: journal.progress("publish", 5e6, 10e6, "bytes", "Sending model.safetensors"))
    assert "Sending model.safetensors" in status_html(store.get(run_dir.name))
    cancel_request(run_dir)
    assert standing(store.get(run_dir.name)) == "pushing", "until it has ended"
    _write(run_dir, lambda journal: journal.stage(RunStage.STOPPED))
    assert standing(store.get(run_dir.name)) == "new"


def test_a_check_of_the_exports_by_itself_is_no_push_though_one_is_planned(store):
    planned = validate({"publish": {"push_to_hub": True, "hub_model_id": "ana/plan"}})
    run_dir = store.run_dir(finished_run(store, preset=planned))
    begin(run_dir, "parity")
    assert standing(store.get(run_dir.name)) == "busy"
    with pytest.raises(RunError, match="pushes nothing"):
        start.cancel_publish(store, run_dir.name)
    _write(run_dir, lambda journal: journal.stage(RunStage.COMPLETED))
    assert standing(store.get(run_dir.name)) == "new", "stopped, it leaves no push that waits"


def test_the_journal_of_an_earlier_studio_does_not_say_what_was_asked_for(store):
    run_dir = store.run_dir(finished_run(store))
    write_request(run_dir, PublishSection(hub_model_id="ana/x"))
    _write(run_dir, lambda journal: journal.stage(RunStage.QUEUED, "parity"))
    _write(run_dir, lambda journal: journal.stage(RunStage.STARTING, "parity"))
    assert standing(store.get(run_dir.name)) == "pushing"


def test_what_an_earlier_push_has_put_on_the_hub_is_there_while_the_next_one_fails(store):
    run_dir = pushed_run(store).run_dir
    begin(run_dir, "publish")
    _write(run_dir, lambda journal: journal.error("publish", "The Hub is down."))
    _write(run_dir, lambda journal: journal.stage(RunStage.COMPLETED))
    view = store.get(run_dir.name)
    assert standing(view) == "failed" and view.state.phases["publish"].result is None
    assert model_on_hub(view).merged == "ana/recipes"
    assert "publish" not in remaining_phases(view)


def test_the_page_says_of_each_repository_whether_it_was_loaded_and_shows_all_as_sent_meanwhile(store):
    run_dir = store.run_dir(finished_run(store))
    request = PublishSection(hub_model_id="ana/x", separate_repos=True)
    write_request(run_dir, request)
    begin(run_dir, "publish")
    _write(run_dir, lambda journal: journal.progress("publish", 1, 2, "repositories", "Loading ana/x-GGUF"))
    files = files_html(store.get(run_dir.name), request, "", "# card")
    assert "✓ sent" in files and "waiting" not in files
    loaded = [{"repo_id": "ana/x", "file": "", "same": True, "answer": "a", "seconds": 9.0, "reason": ""},
              {"repo_id": "ana/x-GGUF", "file": "x-F16.gguf", "same": None, "answer": "", "seconds": 0.0,
               "reason": "Nothing reads it."}]
    pushed = {"repo_id": "ana/x", "url": "https://hub/ana/x", "commit": "0" * 40, "commit_url": "https://hub/c",
              "private": True, "files": 1, "total_bytes": 1, "sent_bytes": 1, "seconds": 1.0, "what": ["merged"],
              "load_test": {"seconds": 9.0, "loaded": loaded}}
    _write(run_dir, lambda journal: journal.done("publish", pushed))
    _write(run_dir, lambda journal: journal.stage(RunStage.COMPLETED))
    said = status_html(store.get(run_dir.name))
    assert "Loaded from the Hub, ana/x answers as the model here does (checked in 9 s)." in said
    assert "ana/x-GGUF (x-F16.gguf) was not loaded: Nothing reads it." in said


def test_what_a_push_completed_before_it_failed_is_known_and_said(store):
    run_dir = store.run_dir(finished_run(store))
    begin(run_dir, "publish")
    adapter = {"repo_id": "ana/x-adapter", "url": "https://hub/ana/x-adapter", "private": True, "what": ["adapter"],
               "revision": "", "pull_request": ""}
    _write(run_dir, lambda journal: journal.pushed("publish", adapter))
    _write(run_dir, lambda journal: journal.error("publish", "The connection broke."))
    _write(run_dir, lambda journal: journal.stage(RunStage.COMPLETED))
    view = store.get(run_dir.name)
    assert model_on_hub(view).adapter == "ana/x-adapter" and not model_on_hub(view).merged
    said = status_html(view)
    assert "The connection broke." in said and "https://hub/ana/x-adapter" in said
    begin(run_dir, "publish")
    assert store.get(run_dir.name).state.phases["publish"].pushed == [], "of the attempt before"


def _write(run_dir, action) -> None:
    journal = EventWriter(run_dir)
    action(journal)
    journal.close()

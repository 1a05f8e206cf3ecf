"""Runs from start to end with the real launcher and supervisor, and a scripted worker in place of the trainer."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from studio.errors import RunError
from studio.evaluation.request import EvaluateRequest, read_request, write_request
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs import launcher
from studio.runs.device import DeviceSlot
from studio.runs.events import TERMINAL_STAGES, RunStage
from studio.runs.liveness import STALE_BEAT_S, read_marks
from studio.runs.store import BASELINES
from studio.ui import run_html, run_words
from tests.conftest import LONG_S


def preset(script="", **fields):
    fields = {name.replace("__", "."): value for name, value in fields.items()}
    return files.override(Preset(), {"description": script} | fields)


def wait(store, run_id, condition=lambda view: view.state.stage in TERMINAL_STAGES):
    deadline = time.monotonic() + LONG_S
    while time.monotonic() < deadline:
        view = store.get(run_id)
        if condition(view):
            return view
        time.sleep(0.05)
    raise AssertionError(f"still {view.state.stage} {view.state.phase} step {view.state.step}: {view.state.error}")


def worker_of(store, run_id):
    """The mark of the worker, which may be at work before its supervisor has noted it."""
    view = wait(store, run_id, lambda view: "worker" in read_marks(view.run_dir))
    return read_marks(view.run_dir)["worker"]


@contextlib.contextmanager
def device_in_use(store):
    """Runs that are started meanwhile wait for the device."""
    slot, deadline = DeviceSlot(store.settings), time.monotonic() + LONG_S
    while not slot.take("nobody"):  # a run that has just ended gives it back after it has said so
        assert time.monotonic() < deadline
        time.sleep(0.01)
    yield
    slot.give_back()


def test_a_run_goes_through_its_phases(store):
    run_id = launcher.start(store, preset(), name="Straight through")
    view = wait(store, run_id)
    assert view.state.stage is RunStage.COMPLETED
    assert list(view.state.phases) == ["train", "evaluate", "merge"]
    assert view.has_adapter and view.has_merged and view.report["n"] == 24
    assert len(view.state.logs) == 20 and view.state.step == 20 and view.eta_s is None
    assert view.info["name"] == "Straight through" and launcher.remaining_phases(view) == []
    with pytest.raises(RunError, match="is complete"):
        launcher.resume(store, run_id)


def test_a_run_without_training_only_tries_the_untouched_model(store):
    view = wait(store, launcher.start(store, preset("step_s=0.02"), kind=BASELINES))
    assert view.state.stage is RunStage.COMPLETED and list(view.state.phases) == ["baselines"]
    assert view.kind == BASELINES and launcher.remaining_phases(view) == [] and not view.has_adapter
    assert run_words.next_step(view).primary == "clone" and "evaluate" not in run_words.next_step(view).actions
    page = run_html.results(view)
    assert "25 % (10 % to 40 %)" in page and "&lt;b&gt;{}&lt;/b&gt;" in page
    assert "Trying without tuning" in run_html.results(view) or "without training" in page
    with pytest.raises(RunError, match="no trained model yet"):
        launcher.run_phases(store, view.run_id, ["evaluate"])
    failed = wait(store, launcher.start(store, preset("fail=baselines"), kind=BASELINES))
    step = run_words.next_step(failed)
    assert (step.primary, step.resume_label) == ("resume", "Continue") and "Answers that were given" in step.sentence
    assert launcher.resume(store, failed.run_id) == ["baselines"]
    wait(store, failed.run_id)


def test_a_failed_evaluation_does_not_keep_the_model_from_being_merged(store):
    view = wait(store, launcher.start(store, preset("fail=evaluate")))
    assert view.state.stage is RunStage.FAILED and view.state.error == "The scripted failure of evaluate."
    assert view.has_merged
    assert launcher.remaining_phases(view) == ["evaluate"]


def test_a_crash_is_told_by_the_last_line_of_its_traceback(store):
    view = wait(store, launcher.start(store, preset("crash=train")))
    assert view.state.stage is RunStage.FAILED
    assert view.state.error == "The worker failed: RuntimeError: the scripted crash."


def test_stop_saves_a_checkpoint_and_resume_goes_on_from_it(store):
    run_id = launcher.start(store, preset("waits_at=3", training__max_steps=40))
    wait(store, run_id, lambda view: view.state.step >= 3)
    worker = worker_of(store, run_id).pid
    os.kill(worker, signal.SIGSTOP)  # it saves no earlier than this has been looked at
    launcher.stop(store, run_id)
    assert store.get(run_id).state.stage is RunStage.STOPPING
    os.kill(worker, signal.SIGCONT)
    view = wait(store, run_id)
    assert view.state.stage is RunStage.STOPPED and view.has_adapter and not view.has_merged
    stopped_at = view.state.step
    assert view.state.checkpoints[-1][0] == stopped_at < 40
    assert launcher.resume(store, run_id) == ["train", "evaluate", "merge"]
    view = wait(store, run_id)
    assert view.state.stage is RunStage.COMPLETED
    assert [step for step, _ in view.state.logs] == list(range(1, 41))


def test_a_stop_does_not_wait_for_the_model_to_load(store):
    run_id = launcher.start(store, preset("load_s=600"))
    wait(store, run_id, lambda view: view.state.stage is RunStage.RUNNING)
    launcher.stop(store, run_id)
    view = wait(store, run_id)
    assert view.state.stage is RunStage.STOPPED and launcher.remaining_phases(view)[0] == "train"


def test_a_stopped_training_can_still_be_resumed_after_a_merge(store):
    run_id = launcher.start(store, preset("waits_at=3", training__max_steps=30))
    wait(store, run_id, lambda view: view.state.step >= 3)
    launcher.stop(store, run_id)
    view = wait(store, run_id)
    asked = EvaluateRequest("other.jsonl", "another-run")
    write_request(view.run_dir, asked)
    launcher.run_phases(store, run_id, ["merge"])
    view = wait(store, run_id)
    assert view.state.stage is RunStage.COMPLETED and view.has_merged
    assert read_request(view.run_dir) == asked
    assert launcher.resume(store, run_id) == ["train", "evaluate", "merge"]
    assert read_request(view.run_dir) == EvaluateRequest()  # it was asked of the earlier weights
    assert wait(store, run_id).state.step == 30


def test_a_training_that_fails_while_it_stops_is_failed(store):
    run_id = launcher.start(store, preset("step_s=0.2 fail_on_stop=1", training__max_steps=500))
    wait(store, run_id, lambda view: view.state.step >= 1)
    launcher.stop(store, run_id)
    view = wait(store, run_id)
    assert view.state.stage is RunStage.FAILED and "No space left" in view.state.error


def test_a_refused_start_prepares_nothing(store):
    run_id = launcher.start(store, preset("step_s=0.2", training__max_steps=500))
    wait(store, run_id, lambda view: view.state.step >= 1)
    with pytest.raises(RunError, match="still working"):
        launcher.run_phases(store, run_id, ["publish"], prepare=lambda run_dir: (run_dir / "publish.json").touch())
    assert not (store.run_dir(run_id) / "publish.json").exists()


def test_an_unreadable_run_does_not_hide_the_others(store):
    broken, whole = store.create(preset()), store.create(preset())
    (store.run_dir(broken) / "preset.yaml").write_text("lora: {rank: 8}")
    journal = store.run_dir(whole) / "events.jsonl"
    journal.write_text('{"seq": 1, "time": "2026-01-01T00:00:00+00:00", "type": "stage", "stage": "PAUSED"}\n')
    assert [view.run_id for view in store.list()] == [whole]
    with pytest.raises(RunError, match=r"cannot be read.*lora\.rank"):
        store.get(broken)
    assert store.unreadable() == [broken]
    os.utime(store.run_dir(broken) / "run.json", (0, 0))  # long ago, so that nobody waits for its start any more
    store.delete(broken)
    assert store.unreadable() == []


def test_a_second_stop_ends_a_stubborn_worker(store):
    run_id = launcher.start(store, preset("step_s=0.2 stubborn=1", training__max_steps=500))
    wait(store, run_id, lambda view: view.state.step >= 1)
    worker = worker_of(store, run_id)
    launcher.stop(store, run_id)
    time.sleep(0.5)
    assert worker.is_alive()
    launcher.stop(store, run_id)
    view = wait(store, run_id)
    assert view.state.stage is RunStage.STOPPED and not worker.is_alive()


def test_a_killed_worker_is_failed_with_its_cause(store):
    run_id = launcher.start(store, preset("step_s=0.2", training__max_steps=500))
    wait(store, run_id, lambda view: view.state.step >= 1)
    os.kill(worker_of(store, run_id).pid, signal.SIGKILL)
    killed = time.monotonic()
    view = wait(store, run_id)
    assert time.monotonic() - killed < STALE_BEAT_S - 10, "nobody waited for its heartbeat to grow old"
    assert view.state.stage is RunStage.FAILED and "killed by the system" in view.state.error


def test_a_run_whose_processes_all_vanished_is_failed_and_can_be_resumed(store):
    run_id = launcher.start(store, preset("waits_at=11", training__max_steps=60))
    wait(store, run_id, lambda view: view.state.step >= 11)
    for mark in (read_marks(store.run_dir(run_id))["supervisor"], worker_of(store, run_id)):
        os.kill(mark.pid, signal.SIGKILL)
    view = wait(store, run_id)
    assert view.state.stage is RunStage.FAILED and "killed" in view.state.error
    launcher.resume(store, run_id)
    assert wait(store, run_id, lambda view: view.state.stage is RunStage.COMPLETED).state.step == 60


def test_runs_outlive_the_process_that_started_them(store):
    code = """
import os, signal
from studio.preset.schema import Preset
from studio.runs import launcher
from studio.runs.store import RunStore
from studio.settings import Settings
print(launcher.start(RunStore(Settings.from_environment()), Preset(description="step_s=0.05")), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = os.environ | {
        "STUDIO_DATA_DIR": str(store.settings.data_dir), "STUDIO_WORKER_MODULE": "tests.fake_worker"}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL
    assert wait(store, child.stdout.strip()).state.stage is RunStage.COMPLETED


def test_one_run_at_a_time_in_the_order_of_their_start(store):
    first = launcher.start(store, preset("waits_at=20"))
    wait(store, first, lambda view: view.state.stage is RunStage.RUNNING)
    second = launcher.start(store, preset())
    wait(store, second, lambda view: read_marks(view.run_dir))
    third = launcher.start(store, preset())
    wait(store, third, lambda view: (view.run_dir / "heartbeat").exists())
    assert store.get(second).state.stage is store.get(third).state.stage is RunStage.QUEUED
    (store.run_dir(first) / "go_on").touch()
    ends = [wait(store, run_id) for run_id in (first, second, third)]
    assert all(view.state.stage is RunStage.COMPLETED for view in ends)
    assert ends[0].state.ended_at <= ends[1].state.started_at <= ends[1].state.ended_at <= ends[2].state.started_at


def test_a_waiting_run_can_be_stopped(store):
    first = launcher.start(store, preset("step_s=0.2", training__max_steps=500))
    wait(store, first, lambda view: view.state.stage is RunStage.RUNNING)
    second = launcher.start(store, preset())
    wait(store, second, lambda view: read_marks(view.run_dir))
    launcher.stop(store, second)
    view = wait(store, second)
    assert view.state.stage is RunStage.STOPPED and view.state.step == 0


def test_a_live_run_is_neither_deleted_nor_started_twice(store):
    run_id = launcher.start(store, preset("step_s=0.2", training__max_steps=500))
    wait(store, run_id, lambda view: view.state.step >= 1)
    with pytest.raises(RunError, match="Stop it first"):
        store.delete(run_id)
    with pytest.raises(RunError, match="still working"):
        launcher.run_phases(store, run_id, ["merge"])
    launcher.stop(store, run_id)
    wait(store, run_id)
    store.delete(run_id)
    with pytest.raises(RunError, match="There is no run"):
        store.get(run_id)


def test_a_phase_of_a_finished_run_can_be_done_again(store):
    run_id = launcher.start(store, preset("fail=merge"))
    view = wait(store, run_id)
    assert view.state.stage is RunStage.FAILED and view.has_adapter and not view.has_merged
    assert launcher.remaining_phases(view) == ["merge"]
    with device_in_use(store):
        launcher.run_phases(store, run_id, ["evaluate"])
        assert store.get(run_id).state.stage is RunStage.QUEUED
    assert wait(store, run_id).state.stage is RunStage.COMPLETED


def test_nothing_is_merged_before_it_is_trained(store):
    run_id = launcher.start(store, preset("crash=train"))
    wait(store, run_id)
    with pytest.raises(RunError, match="no trained model"):
        launcher.run_phases(store, run_id, ["merge"])


def test_a_secret_reaches_the_worker_only_by_its_environment(store):
    secret = "hf_verysecretvalue"
    run_id = launcher.start(store, preset("waits_at=1"), environment={"HF_TOKEN": secret})
    wait(store, run_id, lambda view: view.state.step >= 1)
    worker = psutil.Process(worker_of(store, run_id).pid)
    assert worker.environ()["HF_TOKEN"] == secret
    assert secret not in " ".join(worker.cmdline() + worker.parent().cmdline())
    (store.run_dir(run_id) / "go_on").touch()
    view = wait(store, run_id)
    for path in view.run_dir.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


def test_a_hostile_run_id_opens_nothing(store, tmp_path):
    (tmp_path / "secret.json").write_text(json.dumps({}))
    for run_id in ("..", "../..", "/etc", "x" * 500, "20260101-000000-a-zzzz", ""):
        with pytest.raises(RunError, match="There is no run"):
            store.get(run_id)


def test_the_log_is_read_in_whole_lines_from_any_offset(store):
    run_id = store.create(preset())
    log = store.run_dir(run_id) / "worker.log"
    log.write_text("first\nsecond\nthird without end")
    text, offset = store.log_chunk(run_id, 0, limit=9)
    assert (text, offset) == ("first\n", 6)
    assert store.log_chunk(run_id, 10_000) == ("", log.stat().st_size)
    assert store.log_chunk(run_id, -5)[0].startswith("first")
    log.write_text("žžž")
    assert store.log_chunk(run_id, 0, limit=3) == ("ž", 2)


def test_two_clicks_at_once_start_one_supervisor(store):
    run_id = launcher.start(store, preset("crash=train"))
    wait(store, run_id)
    refused = []

    def click():
        try:
            launcher.resume(store, run_id)
        except RunError as error:
            refused.append(error)

    clicks = [threading.Thread(target=click) for _ in range(5)]
    with device_in_use(store):  # what was started goes on until all have clicked
        for thread in clicks:
            thread.start()
        for thread in clicks:
            thread.join()
    assert len(refused) == 4

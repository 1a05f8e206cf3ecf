"""What a start does to the run folder before anything is started."""

import subprocess
import sys

import pytest

from studio import cli, start
from studio.preset.files import override, validate
from studio.preset.schema import PublishSection
from studio.publishing import push
from studio.publishing.request import is_cancelled, last_request, read_request, write_request
from studio.runs import launcher
from studio.runs.events import EventWriter, RunStage
from studio.runs.store import RunStore
from studio.settings import Settings
from tests.finished_run import finished_run

PRESET = override(validate({"name": "recipes"}), {"publish.push_to_hub": True, "publish.hub_model_id": "org/prod"})
ELSEWHERE = PublishSection(hub_model_id="me/test", hub_private_repo=False)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "_spawn", lambda *_: None)
    return RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)}))


def test_a_training_pushes_where_its_preset_says_and_not_where_the_last_push_went(store):
    run_dir = store.run_dir(finished_run(store, preset=PRESET))
    write_request(run_dir, ELSEWHERE)
    launcher.run_phases(store, run_dir.name, ["publish"])
    assert read_request(run_dir, PRESET) == ELSEWHERE
    launcher.run_phases(store, run_dir.name, ["train", "publish"])
    assert read_request(run_dir, PRESET) == PRESET.publish


def test_a_cancelled_push_does_not_become_the_presets(store):
    run_dir = store.run_dir(finished_run(store, preset=PRESET))
    write_request(run_dir, ELSEWHERE)
    assert "publish" in launcher.remaining_phases(store.get(run_dir.name))
    start.cancel_publish(store, run_dir.name)
    assert is_cancelled(run_dir) and last_request(run_dir) is None
    assert "publish" not in launcher.remaining_phases(store.get(run_dir.name))
    assert push.publish(run_dir, silence_s=60) == push.EXIT_STUDIO_ERROR
    assert store.get(run_dir.name).state.phases["publish"].error == "This push was cancelled."
    write_request(run_dir, ELSEWHERE)
    assert not is_cancelled(run_dir) and last_request(run_dir) == ELSEWHERE, "asked for again"


def test_a_push_is_cancelled_from_the_command_line_and_not_while_something_else_runs(store, capsys, monkeypatch):
    monkeypatch.setenv("STUDIO_DATA_DIR", str(store.settings.data_dir))
    run_dir = store.run_dir(finished_run(store, preset=PRESET))
    _begin(run_dir, "evaluate")
    assert cli.main(["publish", run_dir.name, "--cancel"]) == 2
    assert "cancel the push once it runs" in capsys.readouterr().err and not is_cancelled(run_dir)
    _begin(run_dir, "publish")
    assert cli.main(["publish", run_dir.name, "--cancel"]) == 0
    assert "is cancelled" in capsys.readouterr().out and is_cancelled(run_dir)
    assert (run_dir / "stop_request").is_file()
    with pytest.raises(SystemExit):
        cli.main(["publish", run_dir.name, "--cancel", "--repo", "ana/x"])


def test_two_processes_start_one_supervisor(store):
    """What the second process does while the first one is about to start."""
    run_id = finished_run(store)
    folder = store.run_dir(run_id)
    code = "import fcntl, sys; fcntl.flock(open(sys.argv[1], 'w'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    attempts = []

    def prepare(run_dir):
        attempts.append(subprocess.run([sys.executable, "-S", "-c", code, str(folder / launcher.LOCK)],
                                       capture_output=True, text=True))

    launcher.run_phases(store, run_id, ["merge"], prepare=prepare)
    assert "BlockingIOError" in attempts[0].stderr
    subprocess.run([sys.executable, "-S", "-c", code, str(folder / launcher.LOCK)], check=True)


def _begin(run_dir, phase: str) -> None:
    journal = EventWriter(run_dir)
    journal.stage(RunStage.STARTING, phase)
    journal.close()

"""The folders of runs: what an interrupted deletion leaves behind goes with the next start."""

import os

from studio.runs.store import RunStore
from studio.settings import Settings
from tests.finished_run import finished_run


def test_what_an_interrupted_deletion_left_is_removed_and_nothing_else(tmp_path, monkeypatch):
    store = RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)}))
    kept, doomed = finished_run(store), finished_run(store)
    monkeypatch.setattr("shutil.rmtree", lambda path, ignore_errors: None)
    store.delete(doomed)
    monkeypatch.undo()
    assert [name for name in os.listdir(store.settings.runs_dir) if doomed in name] == [f".deleted-{doomed}"]
    store.clear_deleted()
    assert os.listdir(store.settings.runs_dir) == [kept]

"""What the layers share: a data folder of its own for each test, a tiny base model, and the real server around both.

`studio` is the real app on a free port with the real launcher and supervisor; only the worker is scripted
(`tests.fake_worker`).
"""

import contextlib
import itertools
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from studio.errors import SettingsError
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.liveness import read_marks
from studio.runs.store import RunStore
from studio.settings import PROJECT_DIR, Settings
from tests.tiny_model import make_tiny_model

# when to give up, in seconds, where nothing is measured: a test that waits for a condition or an answer
LONG_S = 300
# pages of one's own server only: no proxy, no telemetry, no look-up of newer versions
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"


@dataclass(frozen=True)
class Studio:
    """A served studio."""

    url: str
    settings: Settings
    store: RunStore


@pytest.fixture(scope="session", autouse=True)
def uploads(tmp_path_factory) -> None:
    """Gradio keeps uploads by their content, and a server that ends deletes its own: those of other processes too."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("uploads"))


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """Folder of a random model with a chat template; made once."""
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def settings(tmp_path) -> Settings:
    """An empty data folder; runs are worked on by the scripted worker."""
    return Settings.from_environment({
        "STUDIO_DATA_DIR": str(tmp_path / "data"), "STUDIO_WORKER_MODULE": "tests.fake_worker"})


@pytest.fixture
def store(settings) -> Iterator[RunStore]:
    """The runs of `settings`; whatever still works on them is ended afterwards."""
    store = RunStore(settings)
    yield store
    end_runs(store)


@pytest.fixture
def studio(settings, store, tiny_model) -> Iterator[Studio]:
    """The studio on a free port, with two presets that need neither network nor GPU."""
    presets = settings.data_dir.parent / "gallery"
    presets.mkdir()
    (presets / "data").symlink_to(PROJECT_DIR / "presets" / "data")
    write_preset(presets / "first.yaml", tiny_model, "Turn text into JSON: a tiny model for trying out")
    write_preset(presets / "second.yaml", tiny_model, "Answer in my style: the same model, more patience",
                 {"training.num_train_epochs": 5, "name": "second"})
    with serve(replace(settings, presets_dir=presets)) as served:
        yield served


class serve:
    """Serve a studio while the block runs: `with serve(settings) as studio`."""

    def __init__(self, settings: Settings, open_run: str = ""):
        self._settings = settings
        self._open_run = open_run

    def __enter__(self) -> Studio:
        from studio import app

        for others_may_take_the_port in (True, True, True, False):
            settings = replace(self._settings, port=free_port())
            try:
                self._demo = app.launch(settings, self._open_run, prevent_thread_lock=True)
                break
            except SettingsError:
                if not others_may_take_the_port:
                    raise
        return Studio(f"http://127.0.0.1:{settings.port}", settings, RunStore(settings))

    def __exit__(self, *_) -> None:
        self._demo.close()


def write_preset(path: Path, model: Path, header: str, fields: dict | None = None) -> None:
    """A preset file that trains `model` on the bundled recipes; its first line is the card's title and sentence."""
    preset = files.override(Preset(), {
        "name": "first", "description": "step_s=0.02", "model.model_name_or_path": str(model),
        "training.max_steps": 20, "evaluation.compare_rows": 8} | (fields or {}))
    path.write_text(f"# {header}\n#\n# Needs: nothing but a CPU\n\n{files.dumps(preset)}")


# below those that the system hands out by itself; each process of the tests begins at another
_ports = itertools.islice(itertools.cycle(range(11_000, 32_000)), os.getpid() * 101 % 21_000, None)


def free_port() -> int:
    """A port that is free and, as seconds may pass until it is used, that nobody else is likely to be given."""
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


def end_runs(store: RunStore) -> None:
    """Kill what still works on the runs of a store, and wait until it is gone."""
    killed = [mark for view in store.list() for mark in read_marks(view.run_dir).values() if mark.is_alive()]
    for mark in killed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(mark.pid, signal.SIGKILL)
    while any(mark.is_alive() for mark in killed):
        time.sleep(0.01)

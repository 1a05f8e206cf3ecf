"""Start, stop, resume: the only place that starts a run's supervisor or asks it to end."""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from studio.errors import RunError
from studio.evaluation.request import forget_request as forget_evaluate_request
from studio.preset.schema import Preset
from studio.publishing.gguf_request import forget_request as forget_gguf_request
from studio.publishing.request import forget_request as forget_publish_request
from studio.publishing.request import is_cancelled
from studio.runs.events import EventWriter, PhaseState
from studio.runs.liveness import first_mark, read_marks
from studio.runs.processes import terminate_group
from studio.runs.store import BASELINES, TRAINING, RunStore, RunView
from studio.settings import PROJECT_DIR

KILL_GRACE_S = 2
LOCK = ".starting"
# these need no trained model
STARTING_PHASES = frozenset({"train", "baselines"})

_starting = threading.Lock()


def start(store: RunStore, preset: Preset, *, name: str = "", origin: Preset | None = None, parent: str = "",
          environment: dict[str, str] | None = None, kind: str = TRAINING,
          prepare: Callable[[Path], None] = lambda run_dir: None) -> str:
    """Create a run of a kind (see store.py) and start its supervisor; returns the run's id at once.

    `prepare` gets the run's folder before anything works in it. `environment` reaches the child only (a Hub token
    belongs there). Raises `RunError` if nothing can be written.
    """
    run_id = store.create(preset, name=name, origin=origin, parent=parent, kind=kind)
    prepare(store.run_dir(run_id))
    _spawn(store, run_id, planned_phases(preset, kind), environment)
    return run_id


def stop(store: RunStore, run_id: str) -> None:
    """Ask a run to stop: the first time after this step with a checkpoint, the second time at once.

    Raises `RunError` if it is not live.
    """
    view = store.get(run_id)
    if not view.is_live:
        raise RunError(f"{view.name} is not running; it is {view.state.stage.value.lower()}.",
                       "There is nothing to stop.")
    request = view.run_dir / "stop_request"
    if not request.exists():
        request.write_text("stop\n")
        return
    # in one step: the supervisor must never read an empty request
    harder = view.run_dir / ".stop_request"
    harder.write_text("kill\n")
    os.replace(harder, request)
    marks = read_marks(view.run_dir)
    orphaned = "supervisor" in marks and not marks["supervisor"].is_alive()
    if orphaned and "worker" in marks and marks["worker"].is_alive():
        terminate_group(marks["worker"].pid, KILL_GRACE_S)


def resume(store: RunStore, run_id: str, environment: dict[str, str] | None = None) -> list[str]:
    """Continue a run that ended early, from its last checkpoint or its first unfinished phase; returns the phases.

    Raises `RunError` if it is live or has nothing left to do.
    """
    view = store.get(run_id)
    phases = remaining_phases(view)
    if not phases:
        raise RunError(f"{view.name} is complete.", "Clone it to train again with other settings.")
    run_phases(store, run_id, phases, environment)
    return phases


def run_phases(store: RunStore, run_id: str, phases: list[str], environment: dict[str, str] | None = None,
               prepare: Callable[[Path], None] = lambda run_dir: None) -> None:
    """Run some phases of a finished run again (evaluate, merge, publish). Raises `RunError` if it is live.

    `prepare` gets the run's folder once nothing speaks against the start, and before anything starts.
    """
    with _starting, _alone(store.run_dir(run_id)):  # two clicks at once, here or elsewhere, start one supervisor
        view = store.get(run_id)
        if view.is_live:
            raise RunError(f"{view.name} is still working ({view.state.phase or 'queued'}).",
                           "Wait for it, or stop it first.")
        if not STARTING_PHASES & set(phases) and not (view.has_adapter or view.has_merged):
            raise RunError(f"{view.name} has no trained model yet.", "Resume its training first.")
        (view.run_dir / "stop_request").unlink(missing_ok=True)
        if "train" in phases:  # what was asked of the earlier weights is not asked of the new ones
            forget_evaluate_request(view.run_dir)
            forget_gguf_request(view.run_dir)
            forget_publish_request(view.run_dir)
        prepare(view.run_dir)
        _spawn(store, run_id, phases, environment)


@contextlib.contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """Keep other processes of this machine from starting the run meanwhile; the lock ends with the descriptor."""
    with open(run_dir / LOCK, "w") as file:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def planned_phases(preset: Preset, kind: str = TRAINING) -> list[str]:
    """The phases that a preset asks of a run of that kind, in order."""
    if kind == BASELINES:
        return ["baselines"]
    wanted = {
        "train": True,
        "evaluate": preset.evaluation.compare_rows > 0,
        "merge": not preset.method.full_finetuning
                 and (preset.export.save_merged or bool(preset.export.gguf) or _pushes_merged(preset)),
        "gguf": bool(preset.export.gguf),
        # nothing is published before the exported files have answered as the trained model does
        "parity": bool(preset.export.gguf) or preset.publish.push_to_hub,
        "publish": preset.publish.push_to_hub,
    }
    return [phase for phase, asked in wanted.items() if asked]


def remaining_phases(view: RunView) -> list[str]:
    """The planned phases that have not ended well since the training; all, where that is unfinished or was stopped.

    What ended well is not done again because another phase was repeated and stopped: nothing is pushed twice. A push
    that was cancelled is not done either.
    """
    phases, planned = view.state.phases, planned_phases(view.preset, view.kind)
    trained = phases["train"] if "train" in phases else PhaseState()
    if "train" in planned and (trained.result is None or trained.result.get("stopped")):
        return planned
    ended_well = {name: phase.ended_at for name, phase in phases.items() if phase.result is not None}
    if "publish" in phases and phases["publish"].good is not None:  # a later push that failed leaves it on the Hub
        ended_well["publish"] = phases["publish"].good_at
    left = [phase for phase in planned if phase not in ended_well or ended_well[phase] < trained.ended_at]
    if is_cancelled(view.run_dir):
        left = [phase for phase in left if phase != "publish"]
    published = "publish" in planned and "publish" not in left
    return [phase for phase in left if not (phase == "parity" and published)]  # runs of an earlier studio had none


def _pushes_merged(preset: Preset) -> bool:
    return preset.publish.push_to_hub and "merged" in preset.publish.what


def _spawn(store: RunStore, run_id: str, phases: list[str], environment: dict[str, str] | None) -> None:
    run_dir: Path = store.run_dir(run_id)
    settings = store.settings
    child_environment = os.environ | {
        "STUDIO_DATA_DIR": str(settings.data_dir), "STUDIO_WORKER_MODULE": settings.worker_module,
        "PYTHONUNBUFFERED": "1"} | (environment or {})
    # written here already, so that nobody who looks before the supervisor is up takes an ended run for the answer
    (run_dir / "process.json").unlink(missing_ok=True)
    journal = EventWriter(run_dir)
    journal.queued(phases)
    journal.close()
    # a file, never a pipe that somebody must drain: a closed page would freeze the training
    with open(run_dir / "worker.log", "ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "studio.runs.supervisor", str(run_dir), "--phases", ",".join(phases)],
            cwd=PROJECT_DIR, env=child_environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True)
    first_mark(run_dir, child.pid)

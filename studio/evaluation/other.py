"""Another trained model to compare a run with: that of another run, or a checkpoint of any run, this one included.

Written as `RUN_ID`, or `RUN_ID@STEP` for a checkpoint.
"""

from dataclasses import dataclass

from studio.errors import RunError
from studio.runs.playground import checkpoints, weights_folder
from studio.runs.store import BASELINES, RunStore, RunView
from studio.texts import text


@dataclass(frozen=True)
class Other:
    """The run and the step of its checkpoint; step 0 stands for what the run came to in the end."""

    run_id: str
    step: int = 0

    def __str__(self) -> str:
        return f"{self.run_id}@{self.step}" if self.step else self.run_id

    @property
    def checkpoint(self) -> str:
        """The checkpoint's folder name, "" for the final weights."""
        return f"checkpoint-{self.step}" if self.step else ""

    def title(self, name: str, own: bool) -> str:
        """What this model is called beside the other ways; `name` is its run's, `own` says that it is this run."""
        if not self.step:
            return f"Tuned model of {name}"
        return f"Checkpoint {self.step}" if own else f"Checkpoint {self.step} of {name}"


def read_other(written: str) -> Other:
    """The model that `RUN` or `RUN@STEP` names; RUN is left as it is."""
    run, sign, step = written.rpartition("@")
    return Other(run, int(step)) if sign and step.isdecimal() else Other(written)


def find_other(store: RunStore, written: str) -> Other:
    """The model that a person names by a run's id, its beginning, or its name, with `@STEP` or without.

    Raises `RunError` for an unknown run.
    """
    named = read_other(written)
    return Other(store.find(named.run_id).run_id, named.step)


def require_other(store: RunStore, run_id: str, other: Other) -> None:
    """Raise `RunError` unless the other model is there and is not the run's own final one."""
    view = store.get(other.run_id)
    if other.step and weights_folder(view, other.checkpoint) is None:
        kept = ", ".join(str(step) for step in checkpoint_steps(view))
        raise RunError(f"{view.name} has no checkpoint of step {other.step}.",
                       f"It keeps those of the steps {kept}." if kept else "It keeps no checkpoints.")
    if not other.step and (other.run_id == run_id or weights_folder(view) is None):
        raise RunError(f"{view.name} has no other trained model to compare with.",
                       "Name a run that was trained, or a checkpoint of this one.")


def checkpoint_steps(view: RunView) -> list[int]:
    """The steps whose checkpoints a run keeps, newest first."""
    return [int(name.rsplit("-", 1)[1]) for name in checkpoints(view)]


def other_choices(store: RunStore, view: RunView, max_age_s: float = 0) -> list[tuple[str, str]]:
    """(label, value) of what a run can be compared with: its checkpoints, then other trained runs, newest first."""
    own = [(text("evaluation.again.checkpoint", step=step), str(Other(view.run_id, step)))
           for step in checkpoint_steps(view)]
    runs = [(other.name, other.run_id) for other in store.list(max_age_s)
            if other.run_id != view.run_id and other.kind != BASELINES and weights_folder(other) is not None]
    names = [name for name, _ in runs]
    # two runs of one name are told apart by their ids
    return own + [(name if names.count(name) == 1 else f"{name} ({run_id})", run_id) for name, run_id in runs]

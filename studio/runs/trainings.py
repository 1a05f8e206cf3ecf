"""When a run was last trained and what that took: one that was stopped and resumed is trained in several stretches."""

from dataclasses import dataclass
from pathlib import Path

from studio.runs.events import Event, read_events


@dataclass(frozen=True)
class Effort:
    """Seconds and watt-hours of a training in all its stretches; `wh_of` names the measured parts, as energy.py does.

    `wh` is None where a stretch was not measured, or not the same parts of it.
    """

    seconds: float = 0.0
    wh: float | None = None
    wh_of: str = ""


def last_trained_at(run_dir: Path) -> str:
    """When the run's final weights were written, ISO 8601 in UTC; "" before that."""
    return max((event.time for event in _stretches(run_dir)), default="")


def training_effort(run_dir: Path) -> Effort:
    """What the run's last training took, back to the stretch that began at step 0.

    A stretch that was killed left no account, so it is missing.
    """
    stretches: list[dict] = []
    for event in _stretches(run_dir):
        result = event.values["result"]
        stretches = [*(stretches if result.get("resumed_from") else []), result]  # runs of an earlier studio do not say
    seconds = sum(stretch["train_seconds"] for stretch in stretches)
    measured = {stretch.get("train_wh_of", "") for stretch in stretches}
    if len(measured) != 1 or "" in measured:
        return Effort(seconds)
    return Effort(seconds, sum(stretch["train_wh"] for stretch in stretches), measured.pop())


def _stretches(run_dir: Path) -> list[Event]:
    return [event for event in read_events(run_dir)[0]
            if event.type == "done" and event.values["phase"] == "train"]

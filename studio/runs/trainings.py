"""When a run was last trained: one that is stopped and resumed is trained in several stretches."""

from pathlib import Path

from studio.runs.events import Event, read_events


def last_trained_at(run_dir: Path) -> str:
    """When the run's final weights were written, ISO 8601 in UTC; "" before that."""
    return max((event.time for event in _stretches(run_dir)), default="")


def _stretches(run_dir: Path) -> list[Event]:
    return [event for event in read_events(run_dir)[0]
            if event.type == "done" and event.values["phase"] == "train"]

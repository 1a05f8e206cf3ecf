"""Who watches a run: the supervisor's mark and heartbeat in the run folder, and what it means when both are gone."""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

import psutil

from studio.runs.events import RunStage
from studio.runs.processes import ProcessMark, last_beat_age_s

# the supervisor beats every few seconds; only a reader on another machine has to judge by it
STALE_BEAT_S = 60
# what to do once the process of a phase is gone, by phase
AGAIN = {
    "train": "Resume continues from the last checkpoint.",
    "baselines": "Try the untouched model again.",
    "evaluate": "Compare again; the trained model is safe.",
    "merge": "Merge again; what was trained is safe.",
    "gguf": "Write the GGUF files again; what was trained is safe.",
    "parity": "Check the exports again.",
    "publish": "Push again: files that are already there are not sent a second time.",
    "space": "Make the demo again.",
}


def write_marks(run_dir: Path, **marks: ProcessMark) -> None:
    """Note which processes work on the run (`supervisor`, `worker`), replacing the file in one step."""
    partial = run_dir / ".process.json"
    partial.write_text(json.dumps({name: mark.to_json() for name, mark in marks.items()}))
    os.replace(partial, run_dir / "process.json")


def first_mark(run_dir: Path, pid: int) -> None:
    """Note a supervisor that was just started, unless it has done so itself or is gone already."""
    with contextlib.suppress(FileExistsError, psutil.NoSuchProcess), open(run_dir / "process.json", "x") as file:
        file.write(json.dumps({"supervisor": ProcessMark.of(pid).to_json()}))


def read_marks(run_dir: Path) -> dict[str, ProcessMark]:
    """The processes that work or worked on the run; empty before the first start."""
    try:
        values: dict[str, Any] = json.loads((run_dir / "process.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return {}  # not started yet, or being written for the first time
    return {name: ProcessMark(**mark) for name, mark in values.items()}


def is_watched(run_dir: Path, newcomer_grace_s: float) -> bool:
    """Whether some process still works on the run, here or (by its heartbeat) on another machine.

    A run that was just queued has `newcomer_grace_s` seconds for its supervisor to come up.
    """
    marks = read_marks(run_dir)
    if not marks:
        journal = run_dir / "events.jsonl"
        queued = journal if journal.exists() else run_dir / "run.json"
        return time.time() - queued.stat().st_mtime < newcomer_grace_s
    if any(mark.is_alive() for mark in marks.values()):
        return True
    elsewhere = not marks["supervisor"].same_host()
    return elsewhere and last_beat_age_s(run_dir / "heartbeat") < STALE_BEAT_S


def lost_reason(run_dir: Path, error: str, phase: str) -> tuple[RunStage, str, str]:
    """Stage, cause and next step of a run that nobody watches although its journal has no end, at work on `phase`."""
    marks = read_marks(run_dir)
    again = AGAIN.get(phase, AGAIN["train"])  # a run of a newer studio may be at a phase that this one does not know
    if marks and not marks["supervisor"].same_boot():
        return (RunStage.LOST, error or "The machine restarted or went away while the run was working.",
                again)
    if not marks:
        return RunStage.FAILED, error or "The run's process never started.", "Start it again with Resume."
    return (RunStage.FAILED, error or "The run's process was killed, perhaps for lack of memory.",
            f"{again} The log's end may say more.")

"""Examines a preset's data as a process: JSON request on stdin, one JSON object a line on stdout, no torch.

    {"preset": "<YAML>", "exact": false, "parent": process id, "data_dir", "presets_dir"}  ->
    {"progress": share, "rows": n, "part": "reading" or "tokens"}  several times a second
    {"first": report}   of the first rows at once, and of all rows before their tokens are counted
    {"report": report}  at the end, or {"error": {"type", "message", "hint", "field"}}

The fields of a report are those of `report.Report.as_json`. A polite end (SIGTERM) reports what was read until then.
When the parent is gone, this process ends soon, and those it started with it.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

from studio.data import doctor
from studio.data.report import Report
from studio.data.token_client import sample_step
from studio.errors import StudioError
from studio.preset.files import loads
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.worker.environment import prepare

SAID_EACH_S = 0.2
PARENT_LOOK_S = 0.5


def main() -> int:
    """Answer one request; 0 done, 3 the person can mend it."""
    request = json.load(sys.stdin)
    _end_with(request["parent"])
    settings = Settings(data_dir=Path(request["data_dir"]), presets_dir=Path(request["presets_dir"]))
    said = Said(sys.stdout)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    prepare(settings)
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    # libraries that print must not get between the lines of the answer
    with contextlib.redirect_stdout(sys.stderr):
        try:
            said.line({"report": _examined(loads(request["preset"]), settings, request["exact"], said, ended)})
        except StudioError as error:
            said.line({"error": {"type": type(error).__name__, "message": error.message, "hint": error.hint,
                                 "field": error.field}})
            return 3
        finally:  # Python lets go of its signals before it is gone
            signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _end_with(parent: int) -> None:
    """From now on, end this process and those it started when the parent is gone: nobody would read the answer.

    A timer asks, for `ranges` forks only where there are no threads.
    """
    def look(*_: object) -> None:
        if os.getppid() != parent:
            os.killpg(os.getpgrp(), signal.SIGKILL)

    signal.signal(signal.SIGALRM, look)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, PARENT_LOOK_S, PARENT_LOOK_S)


class _Ended(Exception):
    """The person asked for the end while tokens were counted."""


class Said:
    """The lines of the answer; progress comes at most every SAID_EACH_S seconds."""

    def __init__(self, out: TextIO):
        self._out = out
        self._next = 0.0

    def line(self, value: dict[str, Any]) -> None:
        print(json.dumps(value), file=self._out, flush=True)

    def progress(self, share: float, rows: int, part: str) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SAID_EACH_S
            self.line({"progress": round(share, 4), "rows": rows, "part": part})


def _examined(
    preset: Preset, settings: Settings, exact: bool, said: Said, ended: threading.Event
) -> dict[str, Any]:
    report = doctor.examine(
        preset.data, settings, heldout=doctor.heldout_of(preset.data, settings), stopped=ended.is_set,
        progress=lambda share, rows: said.progress(share, rows, "reading"),
        first=lambda report: said.line({"first": report.as_json()}))
    if report.usable_rows and report.complete:
        said.line({"first": report.as_json()})
        _count_tokens(report, preset, settings, exact, said, ended)
    return report.as_json()


def _count_tokens(
    report: Report, preset: Preset, settings: Settings, exact: bool, said: Said, ended: threading.Event
) -> None:
    """Add the tokens to the report, or why they cannot be counted: what was found in the rows stays."""
    if not preset.model.model_name_or_path.lower().endswith(".gguf"):
        # transformers reads a tokenizer from a GGUF file with torch only
        sys.modules["torch"] = None
    from studio.worker import tokens

    def progress(share: float, rows: int) -> None:
        if ended.is_set():
            raise _Ended
        said.progress(share, rows, "tokens")

    try:
        step = sample_step(report.usable_rows, exact)
        report.add_tokens(tokens.count_rows(preset, settings, [preset.data.dataset_name], step, progress),
                          preset.data.bad_rows)
    except _Ended:
        report.complete = False
    except StudioError as error:
        report.tokens_error = {"message": error.message, "hint": error.hint, "field": error.field}

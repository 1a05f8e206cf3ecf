"""Keeps finished reports of examinations as files, the newest so many of them; one that is damaged counts as none."""

import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from studio.data.report import Report

# of a run, in its folder
REPORT_FILE = "data_report.json"
KEPT_REPORTS = 200
# what the Hub holds may change without a sign here
HUB_REPORT_AGE_S = 3600
# of a report as JSON, beside the fields of a Report
DERIVED = {"dropped_rows", "may_train"}

_SHAPE = TypeAdapter(Report)
_lock = threading.Lock()


def read(path: Path, is_far: bool) -> tuple[dict[str, Any], float] | None:
    """The report kept in a file and its age in seconds; None where there is none that can be used.

    With `is_far` the data are on the Hub, and old reports do not count.
    """
    try:
        text = path.read_bytes()
        age = time.time() - path.stat().st_mtime
        _SHAPE.validate_json(text, strict=True)
    except (OSError, ValidationError):
        return None
    report = json.loads(text)
    return (report, age) if report.keys() >= DERIVED and (age < HUB_REPORT_AGE_S or not is_far) else None


def keep(report: dict[str, Any], path: Path, is_far: bool) -> None:
    """Keep a report, unless one is kept that counted more tokens of the same rows. Raises `OSError`."""
    with _lock:
        known = read(path, is_far)
        if known is not None and _counted(known[0]) > _counted(report):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write(report, path)
        oldest_last = sorted(path.parent.glob("*.json"), key=lambda file: -file.stat().st_mtime)
        for file in oldest_last[KEPT_REPORTS:]:
            file.unlink(missing_ok=True)


def write(report: dict[str, Any], path: Path) -> None:
    """Write a report in one step. Raises `OSError`."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report))
    os.replace(partial, path)


def is_exact(report: dict[str, Any]) -> bool:
    """Whether every row's tokens were counted."""
    tokens = report["tokens"]
    return tokens is not None and tokens["sampled_rows"] == tokens["rows"]


def _counted(report: dict[str, Any]) -> int:
    return report["tokens"]["sampled_rows"] if report["tokens"] else -1

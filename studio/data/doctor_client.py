"""Has a data set examined by a process of its own, tells how far it is, and keeps finished reports.

The server imports this; what reads and judges rows stays in the other process.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from studio import __version__
from studio.data import overlay
from studio.data.preview_client import ERRORS
from studio.data.sources import is_hub, local_path
from studio.errors import DataError, StudioError
from studio.preset.files import dumps
from studio.preset.schema import Preset
from studio.settings import PROJECT_DIR, Settings

REMEMBERED, KEPT_REPORTS = 32, 200
# what the Hub holds may change without a sign here, and what failed may work now
HUB_REPORT_AGE_S, FAILURE_AGE_S = 3600, 30
# how long a process may take to report what it read, once it is asked to end
LAST_WORDS_S = 5
SMALL_BYTES, SMALL_LIMIT_S = 20_000_000, 20


@dataclass(frozen=True)
class ExaminationState:
    """How far an examination is.

    `share` of the work (0 to 1) and `rows` so far of `part` ("reading" or "tokens"). `report` is that of
    `report.Report.as_json`; with `is_first` it covers only the first rows, or lacks the tokens. `error` is set where
    there will be no report.
    """

    share: float = 0.0
    rows: int = 0
    part: str = "reading"
    report: dict[str, Any] | None = None
    is_first: bool = False
    error: StudioError | None = None
    done: bool = False


class Examination:
    """One look at a data set; `state` may be asked at any time and never waits."""

    def __init__(self, report: dict[str, Any] | None = None):
        self._state = ExaminationState()
        self._process: subprocess.Popen | None = None
        self.ended_at = 0.0
        if report is not None:
            self._end(share=1.0, rows=report["rows"], report=report)

    def state(self) -> ExaminationState:
        return self._state

    def cancel(self) -> None:
        """End it: the state is done soon after, with a report of what was read where there is one."""
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            timer = threading.Timer(LAST_WORDS_S, _kill, [process])
            timer.daemon = True
            timer.start()

    def wait(self, limit_s: float) -> ExaminationState:
        """The state at the end, or after `limit_s` seconds."""
        end = time.monotonic() + limit_s
        while not self._state.done and time.monotonic() < end:
            time.sleep(0.02)
        return self._state

    def start(self, preset: Preset, settings: Settings, token: str | None, exact: bool, keep: Path) -> None:
        """Start the process; the report of all rows is kept in the file `keep`."""
        request = {"preset": dumps(preset, comments=False), "exact": exact, "data_dir": str(settings.data_dir),
                   "presets_dir": str(settings.presets_dir)}
        complaints = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "studio.worker", "doctor"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=complaints, encoding="utf-8", cwd=PROJECT_DIR, start_new_session=True,
            env=os.environ | ({"HF_TOKEN": token} if token else {}))
        threading.Thread(target=self._follow, args=(self._process, request, complaints, keep), daemon=True).start()

    def _follow(self, process: subprocess.Popen, request: dict[str, Any], complaints: BinaryIO, keep: Path) -> None:
        with process, complaints:
            json.dump(request, process.stdin)
            process.stdin.close()
            for line in process.stdout:
                self._take(json.loads(line), keep)
            if process.wait() not in (0, 3):
                self._end(error=_failure(process.returncode, complaints))

    def _take(self, said: dict[str, Any], keep: Path) -> None:
        match said:
            case {"progress": share, "rows": rows, "part": part}:
                self._state = replace(self._state, share=share, rows=rows, part=part)
            case {"first": report}:
                self._state = replace(self._state, report=report, is_first=True)
            case {"report": report}:
                if report["complete"]:
                    _keep(report, keep)
                self._end(share=1.0, rows=report["rows"], report=report)
            case {"error": error}:
                self._end(error=ERRORS.get(error["type"], StudioError)(error["message"], error["hint"], error["field"]))

    def _end(self, **changes: Any) -> None:
        self.ended_at = time.monotonic()
        self._state = replace(self._state, **changes, is_first=False, done=True)


_examinations: OrderedDict[str, Examination] = OrderedDict()
_lock = threading.Lock()


def examination(preset: Preset, settings: Settings, token: str | None = None, exact: bool = False) -> Examination:
    """Start to examine a preset's data, or join who examines it already, or find the report that is kept.

    `exact` counts every row's tokens, however many there are. `token` opens private and gated repositories. Raises
    `DataError` where the name of the data set leads nowhere.
    """
    key = _key(preset, settings, token)
    path = _path(settings, key)
    with _lock:
        known = _examinations.get(f"{key} {exact}")
        if known is not None and (not known.state().done or time.monotonic() - known.ended_at < FAILURE_AGE_S):
            return known
        report = _read(path, preset)
        if report is not None and _serves(report, path, exact):
            return Examination(report)
        new = _examinations[f"{key} {exact}"] = Examination()
        while len(_examinations) > REMEMBERED:
            _examinations.popitem(last=False)
        new.start(preset, settings, token, exact, path)
    return new


def kept_report(preset: Preset, settings: Settings, token: str | None = None) -> dict[str, Any] | None:
    """The report of an examination of just this data with this model, if there was one. Raises `DataError`."""
    return _read(_path(settings, _key(preset, settings, token)), preset)


def examine_small(preset: Preset, settings: Settings, token: str | None = None) -> Examination | None:
    """Start to examine a set that takes some seconds at most; None for larger ones. Raises `DataError`."""
    path = local_path(preset.data.dataset_name, settings)
    if path is None or not path.is_file() or path.stat().st_size > SMALL_BYTES:
        return None
    return examination(preset, settings, token)


def _key(preset: Preset, settings: Settings, token: str | None) -> str:
    """A hash over all a report hangs on; a private set's report is found only with the same token."""
    data, model, training = preset.data, preset.model, preset.training
    parts = Preset(model=model, data=data, method=preset.method, training={
        "max_length": training.max_length, "seed": training.seed,
        "per_device_train_batch_size": training.per_device_train_batch_size})
    stamps = [_stamp(file) for file in (
        local_path(data.dataset_name, settings), data.dataset_test_split, model.model_name_or_path)]
    stamps.append(overlay.stamp(data, settings))
    far = is_hub(data.dataset_name)
    text = json.dumps([__version__, dumps(parts, comments=False), stamps, token if far else ""])
    return hashlib.sha256(text.encode()).hexdigest()


def _stamp(file: Path | str | None) -> list[int]:
    try:
        stat = Path(file).expanduser().stat() if file else None
    except (OSError, ValueError):
        return []
    return [stat.st_size, stat.st_mtime_ns] if stat else []


def _path(settings: Settings, key: str) -> Path:
    return settings.cache_dir / "doctor" / f"{key}.json"


def _read(path: Path, preset: Preset) -> dict[str, Any] | None:
    try:
        if is_hub(preset.data.dataset_name) and time.time() - path.stat().st_mtime > HUB_REPORT_AGE_S:
            return None
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None


def _serves(report: dict[str, Any], path: Path, exact: bool) -> bool:
    """Whether a kept report answers the question, so that nothing need be read again."""
    tokens = report["tokens"]
    if report["tokens_error"] and time.time() - path.stat().st_mtime > FAILURE_AGE_S:
        return False
    return not exact or tokens is None or tokens["sampled_rows"] == tokens["rows"]


def _keep(report: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report))
    os.replace(partial, path)
    oldest_last = sorted(path.parent.glob("*.json"), key=lambda file: -file.stat().st_mtime)
    for file in oldest_last[KEPT_REPORTS:]:
        file.unlink(missing_ok=True)


def _kill(process: subprocess.Popen) -> None:
    """End the process and those it started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _failure(code: int, complaints: BinaryIO) -> DataError:
    if code < 0:
        return DataError("The examination was ended by the system, as when memory runs out.",
                         "Set data.max_rows to read fewer rows.", "data.max_rows")
    complaints.seek(0)
    said = [line.strip() for line in complaints.read().decode(errors="replace").splitlines() if line.strip()]
    return DataError(f"The data could not be examined: {(said or ['no message'])[-1][:300]}.",
                     "Try another file; if this one is sound, report it with these words.", "data.dataset_name")

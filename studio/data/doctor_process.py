"""One process that examines a data set, and what it has said so far; several may wait for it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from studio.data.preview_client import ERRORS
from studio.errors import DataError, StudioError
from studio.preset.files import dumps
from studio.preset.schema import Preset
from studio.settings import PROJECT_DIR, Settings

# how long a process may take to report what it read, once it is asked to end
LAST_WORDS_S = 5


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

    def ended_early(self) -> "ExaminationState":
        """The same, ended by hand: with the report of what was read until then where there is one."""
        if self.report is None:
            error = DataError("The examination was ended before the first rows were judged.",
                              "Choose the data set again to examine it.", "data.dataset_name")
            return replace(self, error=error, done=True)
        return replace(self, report=self.report | {"complete": False}, is_first=False, done=True)


class DoctorProcess:
    """One look at a data set. `state` is always there; whatever becomes of the process, it is done in the end."""

    def __init__(
        self, preset: Preset, settings: Settings, token: str | None, exact: bool,
        keep: Callable[[dict[str, Any]], None],
    ):
        """Start the process; `keep` is called with the report of all rows. Raises `DataError`."""
        self.state = ExaminationState()
        self.ended_at = 0.0
        self._keep = keep
        self._was_cancelled = False
        request = {"preset": dumps(preset, comments=False), "exact": exact, "parent": os.getpid(),
                   "data_dir": str(settings.data_dir), "presets_dir": str(settings.presets_dir)}
        complaints = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "studio.worker", "doctor"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=complaints, encoding="utf-8", cwd=PROJECT_DIR, start_new_session=True,
                env=os.environ | ({"HF_TOKEN": token} if token else {}))
        except OSError as error:
            complaints.close()
            raise DataError(f"The examination cannot be started: {error.strerror or error}.",
                            "End other programs, or try again.") from None
        threading.Thread(target=self._follow, args=(request, complaints), daemon=True).start()

    def cancel(self) -> None:
        """End it: the state is done soon after, with a report of what was read where there is one."""
        self._was_cancelled = True
        if self._process.poll() is None:
            self._process.terminate()
            timer = threading.Timer(LAST_WORDS_S, self.kill)
            timer.daemon = True
            timer.start()

    def kill(self) -> None:
        """End the process and those it started, at once."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _follow(self, request: dict[str, Any], complaints: BinaryIO) -> None:
        process = self._process
        with complaints, process.stdout:
            try:
                _tell(process, request)
                for line in process.stdout:
                    self._take(json.loads(line))
            except Exception as error:  # whoever waits must hear of it, and nobody else could tell them
                self.kill()
                self._end(error=_broke_off(f"{type(error).__name__}: {error}"))
            code = process.wait()
            if not self.state.done:
                self._end(error=_failure(code, complaints))

    def _take(self, said: dict[str, Any]) -> None:
        match said:
            case {"progress": share, "rows": rows, "part": part}:
                self.state = replace(self.state, share=share, rows=rows, part=part)
            case {"first": report}:
                self.state = replace(self.state, report=report, is_first=True)
            case {"report": report}:
                if report["complete"]:
                    self._keep(report)
                self._end(share=1.0, rows=report["rows"], report=report)
            case {"error": error}:
                self._end(error=ERRORS.get(error["type"], StudioError)(error["message"], error["hint"], error["field"]))

    def _end(self, **changes: Any) -> None:
        if self.state.done:
            return
        self.ended_at = time.monotonic()
        if self._was_cancelled and "error" in changes:
            self.state = self.state.ended_early()
        else:
            self.state = replace(self.state, **changes, is_first=False, done=True)


def _tell(process: subprocess.Popen, request: dict[str, Any]) -> None:
    try:
        with process.stdin:
            json.dump(request, process.stdin)
    except BrokenPipeError:
        # it has ended already, and its end says why
        return


def _failure(code: int, complaints: BinaryIO) -> DataError:
    if code < 0:
        return DataError("The examination was ended by the system, as when memory runs out.",
                         "Set data.max_rows to read fewer rows.", "data.max_rows")
    complaints.seek(0)
    said = [line.strip() for line in complaints.read().decode(errors="replace").splitlines() if line.strip()]
    return _broke_off((said or ["no message"])[-1])


def _broke_off(why: str) -> DataError:
    return DataError(f"The data could not be examined: {why[:300].rstrip('.')}.",
                     "Try another file; if this one is sound, report it with these words.", "data.dataset_name")

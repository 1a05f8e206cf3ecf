"""Has a data set examined by a process of its own, tells how far it is, and finds reports that are kept.

The server imports this; what reads and judges rows stays in the other process.
"""

import hashlib
import json
import threading
import time
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

from studio import __version__
from studio.data import doctor_reports
from studio.data.doctor_process import DoctorProcess, ExaminationState
from studio.data.preview_client import stamps
from studio.data.sources import is_hub, local_path
from studio.preset.files import dumps
from studio.preset.schema import Preset
from studio.settings import Settings

REMEMBERED = 32
# what failed may work now
FAILURE_AGE_S = 30
# who has not looked for so long has left; pages in the background look once a minute
LEFT_AFTER_S = 90
SMALL_BYTES, SMALL_LIMIT_S = 20_000_000, 20


class Examination:
    """What one asker sees of a look at a data set; `state` may be asked at any time and never waits.

    Several askers may wait for the same process.
    """

    def __init__(self, work: "_Work | None", ended: ExaminationState | None = None):
        """Of a `work` that goes on, or of one that has `ended`."""
        self._work, self._ended = work, ended
        self.looked_at = time.monotonic()
        if work is not None:
            work.askers.add(self)

    def state(self) -> ExaminationState:
        self.looked_at = time.monotonic()
        return self._ended or self._work.process.state

    def cancel(self) -> None:
        """End it for this asker: the state is done soon after, with a report of what was read where there is one.

        The process goes on where others wait for it.
        """
        if self.state().done:
            return
        with _lock:
            now = time.monotonic()
            self._work.askers.discard(self)
            if any(now - asker.looked_at < LEFT_AFTER_S for asker in self._work.askers):
                self._ended = self._work.process.state.ended_early()
                return
            # who asks from now on shall not get what was ended early
            for key in [key for key, work in _works.items() if work is self._work]:
                del _works[key]
        self._work.process.cancel()

    def wait(self, limit_s: float) -> ExaminationState:
        """The state at the end, or after `limit_s` seconds."""
        end = time.monotonic() + limit_s
        while not self.state().done and time.monotonic() < end:
            time.sleep(0.02)
        return self.state()


class _Work:
    """A process and who waits for it."""

    def __init__(self, process: DoctorProcess):
        self.process = process
        self.askers: weakref.WeakSet[Examination] = weakref.WeakSet()

    @property
    def is_fresh(self) -> bool:
        """Whether it goes on, or its end is so recent that it would end the same."""
        return not self.process.state.done or time.monotonic() - self.process.ended_at < FAILURE_AGE_S


_works: OrderedDict[str, _Work] = OrderedDict()
_lock = threading.Lock()


def examination(preset: Preset, settings: Settings, token: str | None = None, exact: bool = False) -> Examination:
    """Start to examine a preset's data, or join who examines it already, or find the report that is kept.

    `exact` counts every row's tokens, however many there are. `token` opens private and gated repositories. Raises
    `DataError` where the name of the data set leads nowhere, or no process can be started.
    """
    key, is_far = _key(preset, settings, token), is_hub(preset.data.dataset_name)
    path = _path(settings, key)
    with _lock:
        known = _works.get(f"{key} {exact}")
        if known is not None and known.is_fresh:
            return Examination(known)
        kept = doctor_reports.read(path, is_far)
        if kept is not None and _serves(*kept, exact):
            report = kept[0]
            return Examination(None, ExaminationState(1.0, report["rows"], report=report, done=True))
        new = _Work(DoctorProcess(preset, settings, token, exact, lambda report: _keep(report, path, is_far)))
        _works[f"{key} {exact}"] = new
        for old in [name for name, work in _works.items() if work.process.state.done][:-REMEMBERED]:
            del _works[old]
        return Examination(new)


def kept_report(preset: Preset, settings: Settings, token: str | None = None) -> dict[str, Any] | None:
    """The report of an examination of just this data with this model, if there was one. Raises `DataError`."""
    kept = doctor_reports.read(_path(settings, _key(preset, settings, token)), is_hub(preset.data.dataset_name))
    return kept[0] if kept else None


def examine_small(preset: Preset, settings: Settings, token: str | None = None) -> Examination | None:
    """Start to examine a set that takes some seconds at most; None for larger ones. Raises `DataError`."""
    path = local_path(preset.data.dataset_name, settings)
    if path is None or not path.is_file() or path.stat().st_size > SMALL_BYTES:
        return None
    return examination(preset, settings, token)


def _key(preset: Preset, settings: Settings, token: str | None) -> str:
    """A hash over all a report hangs on; a private set's report is found only with the same token."""
    model, training = preset.model, preset.training
    # all rows are examined, whatever share of them is trained
    data = preset.data.model_copy(update={"train_share": 1.0})
    parts = Preset(model=model, data=data, method=preset.method, training={
        "max_length": training.max_length, "seed": training.seed,
        "per_device_train_batch_size": training.per_device_train_batch_size})
    far = is_hub(data.dataset_name)
    text = json.dumps([__version__, dumps(parts, comments=False), stamps(preset, settings), token if far else ""])
    return hashlib.sha256(text.encode()).hexdigest()


def _path(settings: Settings, key: str) -> Path:
    return settings.cache_dir / "doctor" / f"{key}.json"


def _serves(report: dict[str, Any], age: float, exact: bool) -> bool:
    """Whether a kept report answers the question, so that nothing need be read again."""
    if report["tokens_error"] and age > FAILURE_AGE_S:
        return False
    return not exact or report["tokens"] is None or doctor_reports.is_exact(report)


def _keep(report: dict[str, Any], path: Path, is_far: bool) -> None:
    try:
        doctor_reports.keep(report, path, is_far)
    except OSError:
        # the report is shown all the same, and made anew another time
        return

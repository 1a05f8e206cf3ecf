"""Energy that a training uses, from the counters of GPU (NVML) and processor (RAPL), where they can be read.

The processor's counters begin anew after some minutes to an hour of full load, so they are read all the while.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pynvml

POWERCAP = Path("/sys/class/powercap")
READ_EVERY_S = 20


@dataclass(frozen=True)
class Counter:
    """A counter of used energy in joules; `wraps_at` is where it begins anew, 0 for one that does not."""

    part: str
    read: Callable[[], float]
    wraps_at: float = 0.0


class EnergyMeter:
    """Sums what the counters show within its block: `with EnergyMeter(counters) as meter`."""

    def __init__(self, counters: list[Counter], read_every_s: float = READ_EVERY_S):
        self._counters, self._read_every_s = counters, read_every_s
        self._last: list[float] = []
        self._joules = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "EnergyMeter":
        self._last = [counter.read() for counter in self._counters]
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()
        self._add()

    def facts(self) -> dict[str, float | str]:
        """`train_wh` and the parts it was measured of, "gpu", "cpu" or "gpu+cpu"; nothing where nothing can be read."""
        if not self._counters:
            return {}
        parts = {counter.part for counter in self._counters}
        return {"train_wh": round(self._joules / 3600, 4),
                "train_wh_of": "+".join(part for part in ("gpu", "cpu") if part in parts)}

    def _follow(self) -> None:
        while not self._ended.wait(self._read_every_s):
            self._add()

    def _add(self) -> None:
        for i, counter in enumerate(self._counters):
            try:
                now = counter.read()
            except (OSError, pynvml.NVMLError):  # half a sum would mislead, and no training ends for its counter
                self._counters = []
                return
            used = now - self._last[i]
            self._joules += used if used >= 0 else used + counter.wraps_at
            self._last[i] = now


def find_counters(gpu_uuids: list[str], powercap: Path = POWERCAP) -> list[Counter]:
    """The counters of these GPUs and of all processors that this process may read."""
    return _gpu_counters(gpu_uuids) + _processor_counters(powercap)


def _gpu_counters(uuids: list[str]) -> list[Counter]:
    if not uuids:
        return []
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
        for handle in handles:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:  # no driver, or a GPU older than Volta, which counts nothing
        return []
    return [Counter("gpu", lambda handle=handle: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000)
            for handle in handles]


def _processor_counters(powercap: Path) -> list[Counter]:
    """One for each processor package; often only the system's owner may read them."""
    counters = []
    for file in sorted(powercap.glob("*-rapl:[0-9]*/energy_uj")):
        if file.parent.name.count(":") > 1:  # a part of a package, counted there
            continue
        try:
            float(file.read_text())
            wraps_at = float((file.parent / "max_energy_range_uj").read_text()) / 1e6
        except (OSError, ValueError):
            continue
        counters.append(Counter("cpu", lambda file=file: float(file.read_text()) / 1e6, wraps_at))
    return counters

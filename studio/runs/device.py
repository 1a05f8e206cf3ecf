"""The device runs are trained on: what it is (asked without torch) and the slot that lets one run use it at a time."""

import fcntl
import hashlib
import math
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

from studio.runs.events import RunStage, read_events
from studio.runs.liveness import is_watched
from studio.settings import Settings

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Device:
    """A training device; sizes in bytes. `capability` is CUDA's compute capability, 0 on a CPU."""

    kind: str
    name: str
    memory_bytes: int
    memory_used_bytes: int
    cores: int
    capability: float = 0

    @property
    def is_gpu(self) -> bool:
        return self.kind == "cuda"


def probe_device() -> Device:
    """The first visible NVIDIA GPU, else the CPU with the memory this process may use."""
    cores = usable_cores()
    return _first_gpu(cores) or Device(
        "cpu", f"CPU, {cores} cores", _memory_limit_bytes(), psutil.virtual_memory().used, cores)


def _first_gpu(cores: int) -> Device | None:
    visible = _visible_gpu()
    if shutil.which("nvidia-smi") is None or visible in ("", "-1") or os.environ.get("UNSLOTH_FORCE_CPU") == "1":
        return None
    command = ["nvidia-smi", f"--id={visible}", "--format=csv,noheader,nounits",
               "--query-gpu=name,memory.total,memory.used,compute_cap"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if result.returncode != 0:
        return None
    name, total, used, capability = (part.strip() for part in result.stdout.splitlines()[0].split(","))
    if not (total.isdecimal() and used.isdecimal()):
        return Device("cuda", name, _memory_limit_bytes(), psutil.virtual_memory().used, cores, float(capability))
    mebibyte = 1024**2
    return Device("cuda", name, int(total) * mebibyte, int(used) * mebibyte, cores, float(capability))


def _visible_gpu() -> str:
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def usable_cores() -> int:
    """Cores this process may use: its affinity, or the container's quota (cgroup v2) where that is less.

    A hosted container sees all cores of its machine.
    """
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = CPU_QUOTA.read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):
        return cores


def free_memory_bytes() -> int:
    """Memory that this process may still take, within the container's limit where there is one."""
    machine = psutil.virtual_memory().available
    return max(0, min(machine, _memory_limit_bytes() - psutil.Process().memory_info().rss))


@lru_cache
def _memory_limit_bytes() -> int:
    """The machine's memory, or the container's limit where that is smaller."""
    total = psutil.virtual_memory().total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return total


class DeviceSlot:
    """The right to use the device, held as a lock that the system frees when its holders die.

    It lies on the machine's own disk, never on the data folder, where a mounted bucket may know no locks. A GPU has one
    slot for all data folders; a CPU, which the system shares out, has one for each.
    """

    def __init__(self, settings: Settings):
        self._runs_dir = settings.runs_dir
        shared = f"cuda {_visible_gpu()}" if probe_device().is_gpu else str(settings.data_dir)
        key = hashlib.sha256(shared.encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"fine-tune-studio-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._path = folder / f"{key}.lock"
        self._file = None

    @property
    def held(self) -> bool:
        return self._file is not None

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The lock's descriptor, for a worker that shall hold it too; empty when not held."""
        return (self._file.fileno(),) if self._file else ()

    def take(self, run_id: str) -> bool:
        """Take the slot if it is free and no run waits longer; returns whether it is held now."""
        file = open(self._path, "w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        # asked only once the slot is free: it reads the journals of all runs
        if self._someone_waits_longer(run_id):
            file.close()
            return False
        self._file = file
        return True

    def give_back(self) -> None:
        """Free the slot; nothing happens if it is not held."""
        if self._file:
            self._file.close()
            self._file = None

    def _someone_waits_longer(self, run_id: str) -> bool:
        own = _waiting_since(self._runs_dir / run_id)
        for entry in os.scandir(self._runs_dir):
            if entry.name == run_id or entry.name.startswith("."):
                continue
            since = _waiting_since(Path(entry.path))
            if since and (since, entry.name) < (own, run_id) and is_watched(Path(entry.path), 0):
                return True
        return False


def _waiting_since(run_dir: Path) -> str:
    """When a waiting run entered the queue (ISO 8601), "" if it does not wait."""
    stages = [event for event in read_events(run_dir)[0] if event.type == "stage"]
    return stages[-1].time if stages and stages[-1].values["stage"] == RunStage.QUEUED.value else ""

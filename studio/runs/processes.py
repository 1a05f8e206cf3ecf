"""Is a process still the one we started, and how to end it: pid with start time and boot, since pids are reused."""

import os
import signal
import socket
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class ProcessMark:
    """Names one process for good: host, boot, pid and start time (seconds since the epoch)."""

    host: str
    boot_time: float
    pid: int
    start_time: float

    @classmethod
    def of(cls, pid: int) -> "ProcessMark":
        """Mark a running process. Raises `psutil.NoSuchProcess`."""
        return cls(socket.gethostname(), round(psutil.boot_time()), pid, psutil.Process(pid).create_time())

    def to_json(self) -> dict:
        return asdict(self)

    def same_host(self) -> bool:
        """Whether the process was started on this machine."""
        return self.host == socket.gethostname()

    def same_boot(self) -> bool:
        """Whether the process was started on this machine since it last booted (clocks may shift a little)."""
        return self.same_host() and abs(self.boot_time - psutil.boot_time()) < 60

    def is_alive(self) -> bool:
        """Whether exactly this process still runs; a zombie does not."""
        if not self.same_boot():
            return False
        try:
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.start_time) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def terminate_group(pid: int, grace_s: float) -> None:
    """End a process session: SIGTERM, then SIGKILL after `grace_s` seconds. A group that is gone is fine."""
    try:
        group = os.getpgid(pid)
        os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and psutil.pid_exists(pid):
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                break
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return


def beat(path: Path) -> None:
    """Note that the writer is alive; readers on another machine judge by the file's age."""
    path.write_text(f"{time.time():.0f}\n")


def last_beat_age_s(path: Path) -> float:
    """Seconds since the last beat; infinite where there was none."""
    try:
        return time.time() - float(path.read_text())
    except (OSError, ValueError):
        return float("inf")

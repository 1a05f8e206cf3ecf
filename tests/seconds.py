"""Time in tests: what something takes at its quickest, and waiting for a condition instead of a while."""

import gc
import math
import time
from collections.abc import Callable


def least_seconds(work: Callable[[], object], below: float = 0.0, tries: int = 3) -> float:
    """The least processor time of this thread, in seconds, that `work` took; one try less than `below` is enough.

    The clock on the wall also counts what other processes do: on a busy machine ten times the work. The collector
    goes through all that earlier tests have left in memory.
    """
    least = math.inf
    for _ in range(tries):
        collects = gc.isenabled()
        gc.disable()
        began = time.thread_time()
        try:
            work()
        finally:
            least = min(least, time.thread_time() - began)
            if collects:
                gc.enable()
        if least < below:
            break
    return least


def wait_until(condition: Callable[[], object], limit_s: float = 60) -> None:
    """Wait until something holds. The limit is far beyond what a busy machine needs: it ends a test that is broken."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.002)

"""Calls of the Hub's client: repeated where a failure may pass, given up without an answer, failures put in words."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from studio.publishing.hub_errors import hub_error, is_passing, retry_after_s, silent, status_of

Answer = TypeVar("Answer")
Known = tuple[type[Exception], ...]

# the client itself repeats uploads, but not these calls; the waits between the tries, in seconds
RETRY_WAITS_S = (1, 2, 4, 8)
# before a push a person is waiting for the answer
CHECK_WAITS_S = (1, 2)
LONGEST_WAIT_S = 60

logger = logging.getLogger(__name__)


class _Limit(threading.local):
    """When whoever waits for this thread's calls gives up, on the monotonic clock."""

    until = math.inf


_limit = _Limit()


def explained(call: Callable[[], Answer], doing: str, repo_id: str, known: Known = ()) -> Answer:
    """Call, and turn what the Hub raises into a `HubError`; an unknown error, and a `known` one, stays as it is."""
    try:
        return call()
    except known:
        raise
    except Exception as error:
        said = hub_error(error, doing, repo_id)
        if said is None:
            raise
        raise said from None


def patiently(call: Callable[[], Answer], doing: str, repo_id: str,
              waits_s: Sequence[float] = RETRY_WAITS_S, known: Known = ()) -> Answer:
    """Call, and again after a wait where the failure may pass; otherwise as `explained`. Only for what may be repeated.

    A wait that would outlast the limit of `within` is none: the failure is told at once.
    """
    for wait_s in waits_s:
        try:
            return call()
        except known:
            raise
        except Exception as error:
            if not may_wait(error, wait_s):
                raise hub_error(error, doing, repo_id) or error from None
            wait(error, wait_s, doing)
    return explained(call, doing, repo_id, known)


def may_wait(error: Exception, wait_s: float) -> bool:
    """Whether a failure may pass within a wait of `wait_s` seconds, or what the Hub asks for, that somebody awaits."""
    asked_s = retry_after_s(error)
    return is_passing(error) and asked_s <= LONGEST_WAIT_S and time.monotonic() + max(wait_s, asked_s) <= _limit.until


def wait(error: Exception, wait_s: float, doing: str) -> None:
    """Wait `wait_s` seconds, or as long as the Hub asks, and tell the log: a watchdog shall not take it for silence."""
    seconds = max(wait_s, retry_after_s(error))
    logger.warning("Error %s while %s; the next try is in %.0f s.", status_of(error) or type(error).__name__, doing,
                   seconds)
    time.sleep(seconds)


def within(limit_s: float, doing: str, call: Callable[[], Answer]) -> Answer:
    """Call in a thread and give up after `limit_s` seconds: the client itself waits for ever."""
    outcome: list = []

    def work() -> None:
        _limit.until = time.monotonic() + limit_s
        try:
            outcome.append((call(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit_s)
    if not outcome:
        raise silent(doing, limit_s)
    answer, error = outcome[0]
    if error is not None:
        raise error
    return answer

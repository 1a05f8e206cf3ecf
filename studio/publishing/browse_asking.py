"""How the browser asks the Hub: within a limit of seconds, and with a sentence for whatever goes wrong."""

import os
from collections.abc import Callable
from typing import TypeVar

from huggingface_hub import constants

from studio.errors import HubError
from studio.network import hub_reachable
from studio.publishing.hub import within
from studio.publishing.hub_errors import is_network, retry_after_s, status_of

Answer = TypeVar("Answer")

LIMIT_S = 10
HERE = "Take what is on this machine meanwhile."


class OfflineError(HubError):
    """The Hub cannot be asked at all: switched off, or no connection."""


def ask(call: Callable[[], Answer], doing: str, limit_s: float = LIMIT_S) -> Answer:
    """Call and wait `limit_s` seconds at most; `doing` goes on from "while" ("searching for qwen").

    Raises `OfflineError` without a network, `HubError` for what the Hub refuses, and for an answer of unknown form.
    """
    if not hub_reachable():
        raise OfflineError(f"The Hub cannot be asked: {_why_offline()}.", HERE)
    try:
        return within(limit_s, doing, call)
    except HubError:
        raise HubError(f"The Hub has not answered for {limit_s:.0f} s while {doing}.", f"Try again. {HERE}") from None
    except Exception as error:
        known = _explained(error, doing)
        if known is None:
            raise
        raise known from None


def _why_offline() -> str:
    if os.environ.get("HF_HUB_OFFLINE"):
        return "HF_HUB_OFFLINE is set"
    return f"there is no connection to {constants.ENDPOINT.partition('://')[2]}"


def _explained(error: Exception, doing: str) -> HubError | None:
    status = status_of(error)
    if status in (401, 403):
        return HubError(f"The Hub does not let this studio do it ({status}) while {doing}.",
                        "Sign in, or set a token that may read it (HF_TOKEN).")
    if status == 404:
        return HubError(f"The Hub has no such repository or revision: {doing}.",
                        "Check the name; a private one needs a token.")
    if status == 429:
        wait = f"{retry_after_s(error):.0f} s" if retry_after_s(error) else "some minutes"
        return HubError("The Hub asks to slow down: too many questions.", f"Wait {wait} and try again. {HERE}")
    if status >= 500:
        return HubError(f"The Hub failed (status {status}) while {doing}.", f"Try again in some minutes. {HERE}")
    if status:
        return HubError(f"The Hub refused the question (status {status}) while {doing}.", "Ask in other words.")
    if is_network(error):
        return OfflineError(f"The connection to the Hub broke while {doing}.", f"Check the network. {HERE}")
    # what comes from the Hub is not the studio's: an answer in another form is no defect of it
    if isinstance(error, KeyError | TypeError | ValueError | AttributeError):
        return HubError(f"The Hub's answer cannot be read while {doing}.", f"Try again later. {HERE}")
    return None

"""What went wrong on the Hub, as one sentence and a next step.

huggingface_hub 1.x raises errors of httpx and 2.x those of httpx2, so errors are told by status and by the package
they come from, never by their class.
"""

import errno
import json
import re
from urllib.parse import urlsplit
from urllib.request import getproxies

from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from studio import words
from studio.errors import HubError, RunError, StudioError

FIELD = "publish.hub_model_id"
TOKENS_PAGE = "https://huggingface.co/settings/tokens"
AGAIN = "Push again: files that are already there are not sent a second time."
PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})
NETWORK_PACKAGES = frozenset({"httpx", "httpx2", "httpcore", "httpcore2"})
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
XET_STATUS = re.compile(r"\((\d{3}) [A-Z]")


def hub_error(error: Exception, doing: str, repo_id: str = "") -> HubError | None:
    """Say what an error met while `doing` ("sending model.safetensors") means; None for one that is unknown."""
    error = _innermost(error)
    if isinstance(error, HubError):
        return error
    if isinstance(error, LocalTokenNotFoundError):
        return no_token()
    if isinstance(error, OfflineModeIsEnabled):
        return HubError("The Hub is switched off here: HF_HUB_OFFLINE is set.", "Unset it and start the studio again.")
    if status := status_of(error):
        if status == 403 and isinstance(error, ConnectionError):  # what the Hub said is lost on this way
            return HubError(f"The Hub refused what was sent while {doing}: the token may not write to {repo_id}, or "
                            f"the storage of {repo_id.split('/')[0]} is full.",
                            f"Look at the storage on the Hub, and use a token with write access from {TOKENS_PAGE}. "
                            f"{AGAIN}", FIELD)
        return _by_status(status, _said(error), retry_after_s(error), doing, repo_id)
    if _is_of_proxy(error):
        return HubError(f"The proxy{_proxy()} does not let this machine through to the Hub: "
                        f"{words.plain(str(error), 120).rstrip('.')}.",
                        f"Mend HTTPS_PROXY, or ask whoever runs the proxy to let huggingface.co pass. {AGAIN}", FIELD)
    if is_network(error):
        by = f" The way leads through the proxy{_proxy()}." if _proxy() else ""
        return HubError(f"The connection to the Hub broke while {doing}.", f"Check the network.{by} {AGAIN}", FIELD)
    if isinstance(error, ValueError) and "README.md" in str(error):
        reasons = [line.strip("- .") for line in str(error).splitlines()[1:] if line.strip("- .")]
        reason = reasons[0] if reasons else "no reason given"
        return HubError(f"The Hub does not accept the head of the model card: {reason}.",
                        "Mend the lines between the two --- at the top of the card.")
    if isinstance(error, ValueError) and "LFS batch" in str(error):
        return HubError(f"The Hub refused a file while {doing}: {str(error).rsplit('`', 1)[-1][:200]}.", AGAIN, FIELD)
    return None


def disk_error(error: Exception) -> StudioError | None:
    """What an error that a full disk of this machine raised means; None for any other."""
    if not isinstance(error, OSError) or error.errno not in NO_ROOM:
        return None
    return RunError("The disk of this machine is full.", f"Free some space. {AGAIN}")


def no_token() -> HubError:
    """There is no token at all."""
    return HubError("No Hub token was found.",
                    f"Set HF_TOKEN, run `hf auth login`, or paste a token with write access from {TOKENS_PAGE} "
                    "(at the foot of the Train tab).", FIELD)


def silent(doing: str, limit_s: float, last_words: str = "") -> HubError:
    """Nothing has moved for `limit_s` seconds; `last_words` is the client's last warning."""
    if "Rate limited" in last_words or "Error 429" in last_words:
        return HubError(f"The Hub asks to slow down and gave no answer within {limit_s:.0f} s while {doing}.",
                        f"Wait some minutes. {AGAIN}", FIELD)
    return HubError(f"The Hub has not answered for {limit_s:.0f} s while {doing}.",
                    f"Check the network and https://status.huggingface.co. {AGAIN}", FIELD)


def status_of(error: Exception) -> int:
    """The HTTP status behind an error, 0 without one. The Xet client names it in its text only."""
    error = _innermost(error)
    if isinstance(error, RepositoryNotFoundError):
        return 404  # the Hub answers 401 to those who are not signed in
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code
    if isinstance(error, ConnectionError | RuntimeError) and (found := XET_STATUS.search(str(error))):
        return int(found[1])
    return 0


def is_passing(error: Exception) -> bool:
    """Whether the same call may succeed a little later."""
    if _is_of_proxy(_innermost(error)):
        return False
    return status_of(error) in PASSING_STATUSES or (status_of(error) == 0 and is_network(_innermost(error)))


def is_network(error: Exception) -> bool:
    """Whether no (readable) answer came: refused, broken, timed out, or cut off."""
    package = type(error).__module__.split(".")[0]
    return package in NETWORK_PACKAGES or isinstance(error, ConnectionError | TimeoutError | json.JSONDecodeError)


def _is_of_proxy(error: Exception) -> bool:
    return is_network(error) and type(error).__name__ == "ProxyError"


def _proxy() -> str:
    """The proxy on the way to the Hub, as " host:port" without its password; "" where there is none."""
    proxies = getproxies()
    address = urlsplit(proxies.get("https") or proxies.get("all") or "")
    return f" {address.hostname}{f':{address.port}' if address.port else ''}" if address.hostname else ""


def retry_after_s(error: Exception) -> float:
    """How long the Hub asks to wait, in seconds; 0 where it does not say."""
    error = _innermost(error)
    if not isinstance(error, HfHubHTTPError):
        return 0
    asked = error.response.headers.get("Retry-After", "")
    return float(asked) if asked.isdigit() else 0


def _innermost(error: Exception) -> Exception:
    """The client wraps a failed upload of a file in a RuntimeError."""
    return error.__cause__ if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception) else error


def _said(error: Exception) -> str:
    """The Hub's own words, one line, without a full stop; "" where it said nothing."""
    error = _innermost(error)
    message = (error.server_message if isinstance(error, HfHubHTTPError) else "") or ""
    return " ".join(message.split())[:240].rstrip(".")


def _by_status(status: int, said: str, wait_s: float, doing: str, repo_id: str) -> HubError:
    quoted = f': "{said}"' if said else ""
    namespace = repo_id.split("/")[0]
    if status == 401:
        return HubError("The Hub does not accept the token; it is wrong or has expired.",
                        f"Make a new one with write access at {TOKENS_PAGE}.", FIELD)
    if status == 403 and re.search(r"storage|quota|limit|billing|payment", said, re.IGNORECASE):
        return HubError(f"The Hub has no room left for {namespace}{quoted}.",
                        f"Free space on the Hub, publish as public, or use another account. {AGAIN}", FIELD)
    if status == 403 and doing.startswith("creating"):
        return HubError(f"The token may not create a repository under {namespace}{quoted}.",
                        f"Use a name under your own account, or a token with write access to {namespace}.", FIELD)
    if status == 403:
        return HubError(f"The token may not write to {repo_id}{quoted}.",
                        f"Use a token with write access to {repo_id} from {TOKENS_PAGE}.", FIELD)
    if status == 404:
        return HubError(f"There is no repository {repo_id} on the Hub, or this token may not see it.",
                        "Check the name and the token.", FIELD)
    if status == 407:
        return HubError(f"The proxy{_proxy()} asks for a name and a password.",
                        f"Write them into HTTPS_PROXY: http://name:password@host:port. {AGAIN}", FIELD)
    if status == 409:
        return HubError(f"The Hub reports a conflict for {repo_id}{quoted}; the name may be taken.",
                        "Choose another name, or push again in a minute.", FIELD)
    if status == 412:
        return HubError(f"{repo_id} was changed by someone else while the push ran.", AGAIN, FIELD)
    if status == 413:
        return HubError(f"The Hub refused what was sent as too large while {doing}{quoted}.",
                        f"Lower export.max_shard_size_gb and merge again, or publish only the adapter. {AGAIN}", FIELD)
    if status == 429:
        wait = f"{wait_s:.0f} s" if wait_s else "some minutes"
        return HubError(f"The Hub asks to slow down: too many requests while {doing}.", f"Wait {wait}. {AGAIN}", FIELD)
    if status >= 500:
        return HubError(f"The Hub failed (status {status}) while {doing}{quoted}.",
                        f"Wait some minutes. {AGAIN}", FIELD)
    return HubError(f"The Hub refused the request (status {status}) while {doing}{quoted}.",
                    "Check the repository's name and the token, then push again.", FIELD)

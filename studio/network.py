"""Whether the Hub can be reached at all, asked once with a short wait: its client would retry for half a minute."""

import os
import socket
import time
from urllib.parse import urlsplit

CONNECT_TIMEOUT_S = 3
# what the Hub answers to a wrong token, whatever was asked for: cause and next step
BAD_TOKEN_STATUS = 401
BAD_TOKEN = ("The Hub does not accept your token; it is wrong or has expired.",
             "Make a new one at https://huggingface.co/settings/tokens, or unset HF_TOKEN and empty the token box: "
             "what is public needs none.")
REMEMBER_S = 30

_last: tuple[float, bool] | None = None


def hub_reachable() -> bool:
    """Whether a connection to HF_ENDPOINT (or the proxy in front of it) opens; remembered for half a minute."""
    global _last
    if _last is None or time.monotonic() - _last[0] > REMEMBER_S:
        _last = (time.monotonic(), _connects())
    return _last[1]


def _connects() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    proxy = os.environ.get(f"{endpoint.scheme}_proxy") or os.environ.get(f"{endpoint.scheme.upper()}_PROXY")
    # a proxy is often written without its scheme
    target = urlsplit(proxy if "://" in proxy else f"http://{proxy}") if proxy else endpoint
    try:
        port = target.port or (443 if target.scheme == "https" else 80)
        with socket.create_connection((target.hostname, port), timeout=CONNECT_TIMEOUT_S):
            return True
    except (OSError, ValueError):  # ValueError: a port that is no number
        return False

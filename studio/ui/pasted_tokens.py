"""Hub tokens that were pasted for a run: in the server's memory only, so that what follows on the run has them too.

They are gone when the server ends; the box on the Train tab takes another one.
"""

_pasted: dict[str, str] = {}


def keep(run_id: str, token: str) -> None:
    """Keep a token for a run; an empty one leaves what is kept as it is."""
    if token.strip():
        _pasted[run_id] = token.strip()


def kept(run_id: str) -> str:
    """The token pasted last for a run, "" for none."""
    return _pasted.get(run_id, "")


def of_run(run_id: str, token: str) -> str:
    """The token pasted just now, which is kept for the run from here on, else the one that is kept."""
    keep(run_id, token)
    return kept(run_id)


def forget(run_id: str) -> None:
    """Forget a run's token."""
    _pasted.pop(run_id, None)

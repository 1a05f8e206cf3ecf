"""What unit tests share: a machine that is in no hurry."""

import pytest

from studio.runs import store


@pytest.fixture(autouse=True)
def patient_with_newcomers(monkeypatch):
    """A run without a process may be about to start for half an hour: where a test is slow it has not failed yet."""
    monkeypatch.setattr(store, "NEWCOMER_GRACE_S", 1800)

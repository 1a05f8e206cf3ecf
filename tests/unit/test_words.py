"""Numbers as a person reads them."""

from datetime import UTC, datetime

import pytest

from studio import words


@pytest.mark.parametrize(("seconds", "expected"), [
    (0.2, "under 1 s"), (40, "40 s"), (60, "1 min"), (380, "6 min 20 s"), (7500, "2 h 5 min"), (90_000, "1 d 1 h"),
    (3601, "1 h"),
])
def test_durations(seconds, expected):
    assert words.duration(seconds) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(0, "1 s"), (40, "40 s"), (100, "2 min"), (6000, "2 h"),
                                                   (80, "80 s")])
def test_rough_durations(seconds, expected):
    assert words.rough_duration(seconds) == expected


@pytest.mark.parametrize(("size", "expected"), [
    (12, "12 B"), (12_000, "12 kB"), (1_234_000_000, "1.2 GB"), (340_000_000, "340 MB")])
def test_sizes(size, expected):
    assert words.size(size) == expected


@pytest.mark.parametrize(("value", "expected"), [
    (0, "0"), (2.3127468, "2.31"), (2e-4, "2e-4"), (14300.4, "14,300"), (-0.02131, "-0.0213"), (1.5e-5, "1.5e-5")])
def test_figures(value, expected):
    assert words.figure(value) == expected


def test_others():
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert words.age("2026-01-01T11:55:00+00:00", now) == "5 min ago"
    assert words.age("2026-01-01T11:59:55+00:00", now) == "just now"
    assert (words.percent(0.433), words.money(0.4231), words.count(14300)) == ("43 %", "$0.42", "14,300")

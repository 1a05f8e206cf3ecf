"""How far a look ahead is: what it does now and about how long, until it has ended as outlook or as error."""

import threading
from pathlib import Path

import pytest

from studio.errors import DataError
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.ui import look_ahead_progress
from studio.ui.look_ahead_progress import AGAIN_S, FIRST_S, Looking, progress_of


@pytest.mark.parametrize(("part", "seconds", "share", "said"), [
    ("rows", 3, 0.25, "Reading the rows as a/<b> will read them, about 9 s left"),
    ("model", 11.5, 0.95, "Asking how large a/<b> is, longer than usual"),
    ("hub", 40, 0.95, "Looking at the repository on the Hub, longer than usual")])
def test_the_line_says_what_is_done_and_about_how_long(part, seconds, share, said):
    assert progress_of(part, "a/<b>", seconds, usual=12) == {"running": True, "share": share, "text": said}


@pytest.fixture
def measured(monkeypatch):
    """Nothing is measured yet, and a page is told often."""
    usual = {True: FIRST_S, False: AGAIN_S}
    monkeypatch.setattr(look_ahead_progress, "_usual", usual)
    monkeypatch.setattr(look_ahead_progress, "_known", set())
    monkeypatch.setattr(look_ahead_progress, "TICK_S", 0.001)
    return usual


def test_each_part_is_told_and_the_second_look_with_a_model_is_another_kind_of_look(monkeypatch, measured):
    go_on, told = threading.Event(), threading.Event()

    def look_ahead(preset, settings, token, tell):
        tell("model")
        told.set()
        assert go_on.wait(20)
        return "seen"

    monkeypatch.setattr(look_ahead_progress, "look_ahead", look_ahead)
    for kind in (True, False):
        go_on.clear()
        told.clear()
        looking = Looking(Preset(), Settings(data_dir=Path()), None)
        assert told.wait(20)
        progress = looking.progress()
        assert next(progress)["text"].startswith("Asking how large")
        go_on.set()
        assert (list(progress)[:0], looking.outlook()) == ([], "seen")
        assert measured[kind] not in (FIRST_S, AGAIN_S)


def test_a_look_that_fails_raises_its_error_and_is_no_measure(monkeypatch, measured):
    def look_ahead(*_):
        raise DataError("Nothing there.", "Look elsewhere.")

    monkeypatch.setattr(look_ahead_progress, "look_ahead", look_ahead)
    looking = Looking(Preset(), Settings(data_dir=Path()), None)
    list(looking.progress())
    with pytest.raises(DataError, match="Nothing there"):
        looking.outlook()
    assert measured == {True: FIRST_S, False: AGAIN_S}

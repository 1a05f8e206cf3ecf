"""The log's cursor: the browser may send anything, and no line may be lost or shown twice."""

import pytest

from studio.errors import RunError
from studio.preset.schema import Preset
from studio.ui import log_view


@pytest.fixture
def run_id(store) -> str:
    return store.create(Preset())


def write(store, run_id, text):
    with open(store.run_dir(run_id) / "worker.log", "a") as log:
        log.write(text)


def follow(store, run_id, value):
    """Take deltas until nothing is new; returns the text and the last value."""
    shown = ""
    while (delta := log_view.log_delta(store, run_id, value)) is not None:
        assert delta["start"] == (delta["start"] if delta["reset"] else value["offset"])
        shown, value = delta["text"] if delta["reset"] else shown + delta["text"], delta
    return shown, value


def test_deltas_together_are_the_log(store, run_id):
    value = log_view.log_tail(store, run_id)
    expected, shown = "", ""
    for number in range(50):
        lines = "".join(f"line {number}.{i} äöü\n" for i in range(number))
        write(store, run_id, lines)
        expected += lines
        new, value = follow(store, run_id, value)
        shown += new
    assert shown == expected


def test_a_line_still_being_written_waits_for_its_end(store, run_id):
    value = log_view.log_tail(store, run_id)
    write(store, run_id, "first\nsec")
    shown, value = follow(store, run_id, value)
    write(store, run_id, "ond\n")
    rest, _ = follow(store, run_id, value)
    assert shown + rest == "first\nsecond\n"


@pytest.mark.parametrize("offset", [-1, 10**9, "12", None, 1.5, [], {"a": 1}])
def test_an_offset_that_is_none_starts_anew_from_the_tail(store, run_id, offset):
    write(store, run_id, "one\ntwo\n")
    delta = log_view.log_delta(store, run_id, {"run": run_id, "offset": offset})
    assert delta["reset"] and delta["text"] == "one\ntwo\n"


def test_another_runs_cursor_is_not_taken_over(store, run_id):
    write(store, run_id, "mine\n")
    delta = log_view.log_delta(store, run_id, {"run": "20260101-000000-other-0000", "offset": 3})
    assert delta["reset"] and delta["text"] == "mine\n"


def test_a_value_that_is_empty_starts_anew(store, run_id):
    write(store, run_id, "mine\n")
    assert log_view.log_delta(store, run_id, {})["reset"]


def test_who_is_too_far_behind_jumps_to_the_tail_and_is_told(store, run_id):
    write(store, run_id, "x" * 99 + "\n")
    value = log_view.log_tail(store, run_id)
    write(store, run_id, ("y" * 99 + "\n") * 20_000)
    delta = log_view.log_delta(store, run_id, value)
    assert delta["reset"] and len(delta["text"]) <= log_view.TAIL_BYTES + 200
    assert "passed over" in delta["text"].splitlines()[0]
    assert set(delta["text"].splitlines()[1:]) == {"y" * 99}


def test_a_tick_carries_only_what_is_new(store, run_id):
    write(store, run_id, "old\n" * 10_000)
    value = log_view.log_tail(store, run_id)
    assert log_view.log_delta(store, run_id, value) is None
    write(store, run_id, "new\n")
    assert log_view.log_delta(store, run_id, value)["text"] == "new\n"


def test_a_run_that_is_gone_is_named(store):
    with pytest.raises(RunError):
        log_view.log_tail(store, "../../etc")


def test_progress_bars_and_colours_become_plain_lines():
    assert log_view.readable("\x1b[31mred\x1b[0m\n") == "red\n"
    assert log_view.readable("10%\r50%\r100%\nnext\n") == "100%\nnext\n"
    assert log_view.readable("windows\r\nlines\r\n") == "windows\nlines\n"
    assert log_view.readable("ends with a bar 10%\r") == "ends with a bar 10%"

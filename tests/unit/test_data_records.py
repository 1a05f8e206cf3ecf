"""Rows of JSON that is broken somewhere: what is good is found again, in time that grows with the file."""

import io
import json
import time

import pytest

from studio.data import records
from studio.data.archives import Part
from studio.data.batches import FileFacts

GOOD = json.dumps({"prompt": "question", "completion": "answer"})


def read(text: str):
    """Rows and faults (name, line) of a .json file."""
    data = text.encode()
    stream = io.BytesIO(data)
    part = Part("rows.json", ".json", stream, len(data), stream.tell)
    batches = list(records.read_batches(part, FileFacts("rows.json", "json", len(data))))
    rows = [row for batch in batches for row in batch.rows]
    return rows, [(fault.name, fault.line) for batch in batches for fault in batch.faults]


def seconds(text: str) -> float:
    began = time.process_time()
    read(text)
    return time.process_time() - began


def least_seconds(text: str) -> float:
    return min(seconds(text) for _ in range(3))  # what else the process does comes on top, now and then


def test_bad_rows_of_an_array_cost_time_in_proportion():
    bad = '{"prompt": "question of some length", tru},\n'
    few, many = (f"[\n{GOOD},\n{bad * n}{GOOD}\n]" for n in (1_000, 8_000))
    rows, faults = read(many)
    assert len(rows) == 2 and len(faults) == 8_000
    assert least_seconds(many) < 20 * least_seconds(few), "eight times is in proportion, 64 is the square"


def test_rows_that_an_open_bracket_swallows_are_read_again_within_bounds(monkeypatch):
    monkeypatch.setattr(records, "SWALLOWED", 1_000_000)
    text = "[\n" + (('{"prompt": [\n' + f"{GOOD},\n" * 50) * 100) + f"{GOOD}\n]"
    rows, faults = read(text)
    assert len(rows) == 5_001 and len(faults) == 100


@pytest.mark.parametrize("text", [
    f"[{GOOD}]\n[{GOOD}]", f"{GOOD}\n[{GOOD}]\n", f"[{GOOD}] tail\n{GOOD}", f"[\n{{\"x\": [1, }},\n{GOOD}\n]]\n{GOOD}"])
def test_what_follows_the_closing_bracket_is_read_too(text):
    assert len(read(text)[0]) == 2


def test_a_row_without_end_is_called_too_long(monkeypatch):
    monkeypatch.setattr(records, "LONGEST_LINE_BYTES", 100_000)
    rows, faults = read(f"[\n{json.dumps({'prompt': 'x' * 400_000})},\n{GOOD}\n]")
    assert len(rows) == 1 and faults == [("line_too_long", 2)]

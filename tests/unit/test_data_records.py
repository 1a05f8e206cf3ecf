"""Rows of JSON that is broken somewhere: what is good is found again, in time that grows with the file."""

import io
import json

import pytest

from studio.data import records
from studio.data.archives import Part
from studio.data.batches import FileFacts
from studio.errors import DataError
from tests.seconds import least_seconds

GOOD = json.dumps({"prompt": "question", "completion": "answer"})


def read(text: str):
    """Rows and faults (name, line) of a .json file."""
    data = text.encode()
    stream = io.BytesIO(data)
    part = Part("rows.json", ".json", stream, len(data), stream.tell)
    batches = list(records.read_batches(part, FileFacts("rows.json", "json", len(data))))
    rows = [row for batch in batches for row in batch.rows]
    return rows, [(fault.name, fault.line) for batch in batches for fault in batch.faults]


def test_bad_rows_of_an_array_cost_time_in_proportion():
    bad = '{"prompt": "question of some length", tru},\n'
    few, many = (f"[\n{GOOD},\n{bad * n}{GOOD}\n]" for n in (500, 8_000))
    rows, faults = read(many)
    assert len(rows) == 2 and len(faults) == 8_000
    proportion = 60 * least_seconds(lambda: read(few))
    assert least_seconds(lambda: read(many), below=proportion) < proportion, "16 times is in proportion, 256 the square"


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


ROW = {"prompt": "question", "completion": "answer"}
TURNS = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@pytest.mark.parametrize("value", [
    {"data": [ROW, ROW]}, {"version": 1, "items": [ROW, ROW]}, {"data": [], "rows": [ROW, ROW]},
    {"train": [ROW, ROW], "test": []}, {"name": "a set", "about": "a set of rows", "questions": [ROW, ROW]},
    {"source": "web", "language": "en", "entries": [ROW, ROW]}, {"tags": ["a", "b"], "items": [ROW, ROW]}])
def test_the_one_list_of_objects_holds_the_rows(value):
    assert read(json.dumps(value)) == ([ROW, ROW], [])


@pytest.mark.parametrize("value", [
    ROW, {"messages": TURNS}, {"messages": TURNS, "tools": [{"name": "f"}], "data": "x"},
    {"prompt": TURNS[:1], "completion": TURNS[1:]}, {"prompt": TURNS[:1], "chosen": TURNS[1:], "rejected": TURNS[1:]},
    ROW | {"sources": [{"url": "x"}]}, {"messages": TURNS, "scores": [{"a": 1}], "spans": [{"a": 1}]},
    {"text": "a b", "entities": [{"word": "a"}]}, {"input": {"messages": TURNS}, "meta": {"messages": 1}}, {"rows": 3}])
def test_an_object_that_is_a_row_itself_stays_one(value):
    assert read(json.dumps(value)) == ([value], [])


@pytest.mark.parametrize(("value", "counted"), [
    ({"train": [ROW] * 4, "test": [ROW]}, '"train" (4), "test" (1)'),
    ({"data": [ROW], "rows": [ROW] * 2}, '"data" (1), "rows" (2)'),
    ({"questions": [{"id": 1}], "answers": [{"id": 1}]}, '"questions" (1), "answers" (1)')])
def test_of_several_lists_of_rows_none_is_lost_in_silence(value, counted):
    with pytest.raises(DataError) as caught:
        read(json.dumps(value))
    assert f"2 lists of rows: {counted}" in caught.value.message and "file of its own" in caught.value.hint


@pytest.mark.parametrize("value", [
    {"prompt": {"0": "a", "1": "b"}, "completion": {"0": "c", "1": "d"}}, {"text": {"3": "a", "7": "b"}},
    {"0": ROW, "1": ROW}, {"prompt": ["a", "b"], "completion": ["c", "d"]}, {"messages": [TURNS, TURNS]}])
def test_a_table_saved_by_columns_is_refused_with_the_way_to_save_it(value):
    with pytest.raises(DataError, match="saved by columns") as caught:
        read(json.dumps(value))
    assert 'orient="records", lines=True' in caught.value.hint


@pytest.mark.parametrize("text", [
    '[{"a": 1},\n{"b": 1, "b": 2}]', '[{"a": 1},\n{"b": {"c": [{"d\\n": 1, "d\\n": 2}]}}]',
    '{"a": 1}\n{"b": 1, "b": 2}'])
def test_a_key_that_stands_twice_is_told_in_json_too(text):
    rows, faults = read(text)
    assert len(rows) == 2 and faults == [("duplicate_key", 2)]


def test_keys_that_stand_twice_in_a_list_are_counted():
    twice = '{"prompt": "a", "prompt": "b", "completion": "c"}'
    assert read(f'{{"data": [{twice}, {GOOD}, {twice}]}}')[1] == [("duplicate_key", 0)] * 2
    assert read('[{"\\ud800": 1, "\\ud800": 2}]')[1] == [("duplicate_key", 1), ("broken_text", 1)]


def test_an_object_that_nests_without_end_beside_a_list_is_no_trouble():
    deep = '{"a":' * 900 + "1" + "}" * 900
    assert len(read(f'{{"x": {deep}, "items": [{GOOD}]}}')[0]) == 1

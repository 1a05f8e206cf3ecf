"""The doctor, the page of rows and the rows of a run say the same of one data set."""

import json

import pytest

from studio.data.account import stops
from studio.data.doctor import examine
from studio.data.prepare import look
from studio.data.rows import Query, find_rows
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})


def chat(question, answer="fine", **more):
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]} | more


def lines(rows):
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def said(path, settings, **data):
    """What the three say: the report, the rows of a run, and the rows of the page that have problems."""
    section = DataSection(dataset_name=str(path), **data)
    report = examine(section, settings)
    prepared = look(Preset(data=section), settings)
    return report, prepared, find_rows(section, settings, Query(only="problem", limit=100)).rows


def found(report):
    """Names with level, count and places (row, line)."""
    return {one.name: (one.level, one.count, [(place.row, place.line) for place in one.places])
            for one in report.findings if one.name != "few_rows"}


def usable(prepared):
    return len(prepared.train) + len(prepared.heldout)


def test_with_a_limit_only_what_stands_before_its_last_row_counts(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text(lines([chat("a"), "{broken", chat("b"), "", chat("c"), "nope", chat("d"), "xx", chat("e")]))
    report, prepared, page = said(path, settings, max_rows=3)
    assert found(report) == {"not_json": ("error", 1, [(0, 2)])}
    assert [(entry.reason, entry.line) for entry in prepared.left_out] == [("not_json", 2)]
    assert [(row.problems, row.line) for row in page] == [(["not_json"], 2)]


def agree(path, settings, **data):
    """The three say the same of every row that costs something; returns the names with the rows' numbers."""
    report, prepared, page = said(path, settings, bad_rows="drop", **data)
    lost = {}
    for entry in prepared.left_out:
        if stops(entry):
            lost.setdefault(entry.reason, []).append(entry.row)
    assert {one.name: one.count for one in report.findings if one.level == "error"} == {
        name: len(rows) for name, rows in lost.items()}
    assert report.usable_rows == usable(prepared)
    assert report.rows == usable(prepared) + sum(map(len, lost.values()))
    shown = {}
    for row in page:
        for name in row.problems:
            shown.setdefault(name, []).append(row.number)
    assert {name: rows for name, rows in shown.items() if name in lost} == lost
    assert report.shape["format"] == prepared.source.shape.format
    return lost


TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}


def test_tools_that_cannot_be_read_cost_their_rows_alone(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    bad = ["not json", '"text"', 5, True, [5], ["[1"], {"name": "no list"}, {"tools": 5}, "[" * 300 + "]" * 300]
    good = [None, "", " ", [], {}, [TOOL], json.dumps([TOOL]), {"tools": [TOOL]}]
    path.write_text(lines([chat(f"q{i}", tools=tools) for i, tools in enumerate(bad + good)]))
    assert agree(path, settings) == {"unreadable_tools": list(range(1, len(bad) + 1))}
    prepared = said(path, settings, bad_rows="drop", test_size=0)[1]
    assert [row.get("tools") for row in prepared.train] == [None] * 5 + [[TOOL]] * 3

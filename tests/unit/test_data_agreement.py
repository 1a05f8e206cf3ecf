"""The doctor, the page of rows and the rows of a run say the same of one data set."""

import json

import pytest

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

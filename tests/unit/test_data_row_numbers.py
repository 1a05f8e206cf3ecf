"""One way to name rows: by file and line (or row in that file), and by one number through the whole data set."""

import io
import json
import zipfile

import pyarrow
import pyarrow.parquet
import pytest

from studio.data import ranges
from studio.data.doctor import examine
from studio.data.prepare import look
from studio.data.rows import Query, find_rows
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings

BAD = {"prompt": "no answer", "completion": ""}


def rows(file, n, bad=()):
    return [BAD if i in bad else {"prompt": f"{file}: question {i}", "completion": f"answer {i}"} for i in range(n)]


def lines(rows):
    # an empty line, so that lines and rows differ
    return ("\n" + "".join(json.dumps(row) + "\n" for row in rows)).encode()


def parquet(rows):
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path):
    """Four files of which three hold rows; so few that all wait for the shape."""
    path = tmp_path / "rows.zip"
    again = rows("a", 10)[2]
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("a.jsonl", lines(rows("a", 10, {4})))
        packed.writestr("empty.jsonl", "\n")
        packed.writestr("b.jsonl", lines([*rows("b", 10, {1}), again]) + b"{broken\n")
        packed.writestr("c.parquet", parquet(rows("c", 10, {7})))
    return path


def by_name(report):
    return {found.name: [(place.file.partition("/")[2], place.row, place.line, place.in_file) for place in found.places]
            for found in report.findings}


def test_report_page_and_account_name_the_same_rows(tmp_path, archive):
    section, settings = DataSection(dataset_name=str(archive), bad_rows="drop"), Settings(data_dir=tmp_path)
    report = examine(section, settings)
    found = by_name(report)
    bad = [("a.jsonl", 5, 6, 5), ("b.jsonl", 12, 3, 2), ("c.parquet", 29, 0, 8)]
    assert found["missing_completion"] == bad
    assert found["duplicates"] == [("b.jsonl", 21, 12, 11)]
    (again,) = [one for one in report.findings if one.name == "duplicates"]
    assert again.places[0].detail == "as row 3"
    assert found["not_json"] == [("b.jsonl", 0, 13, 0)]
    assert [(file["rows"], file["rows_before"]) for file in report.files if file["rows"]] == [
        (10, 0), (11, 10), (10, 21)]

    page = find_rows(section, settings, Query(only="problem", limit=100)).rows
    assert [(row.file.partition("/")[2], row.number, row.line) for row in page if row.number] == [
        place[:3] for place in bad]
    account = look(Preset(data=section), settings).left_out
    assert [(entry.file.partition("/")[2], entry.row, entry.line) for entry in account
            if entry.reason == "missing_completion"] == [place[:3] for place in bad]
    assert [(entry.row, entry.line) for entry in account if entry.reason == "not_json"] == [(0, 13)]


def test_files_read_in_ranges_are_counted_on(tmp_path, monkeypatch):
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl")]
    chats = [{"messages": [{"role": "user", "content": f"q {i}"}, {"role": "assistant", "content": f"a {i}"}]}
             for i in range(200)]
    for file in files:
        some = [dict(chat) for chat in chats]
        some[150] = {"messages": some[150]["messages"][:1]}
        file.write_bytes(lines(some))
    section, settings = DataSection(dataset_name=str(files[0])), Settings(data_dir=tmp_path)
    whole = examine(section, settings, more=[str(files[1])])
    monkeypatch.setattr(ranges, "LARGE_BYTES", 1)
    monkeypatch.setattr(ranges, "RANGE_BYTES", 4_000)
    parted = examine(section, settings, more=[str(files[1])])
    for report in (whole, parted):
        (found,) = [one for one in report.findings if one.name == "example_missing_assistant_message"]
        assert [(place.file, place.row, place.line, place.in_file) for place in found.places] == [
            ("a.jsonl", 151, 152, 151), ("b.jsonl", 351, 152, 151)]
        (again,) = [one for one in report.findings if one.name == "duplicates"]
        assert [(place.file, place.row, place.line, place.detail) for place in again.places[:2]] == [
            ("b.jsonl", 201, 2, "as row 1"), ("b.jsonl", 202, 3, "as row 2")]

"""Files whose name says something else than they are: read as what they are and told, or refused by their real name."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile

import pyarrow
import pyarrow.parquet
import pytest

from studio.data.doctor import examine
from studio.data.kinds import kind_of
from studio.data.sources import read_rows
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings

ROWS = [{"question": f"question {n}, please", "answer": f"answer {n}"} for n in range(20)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
ARRAY, PRETTY = json.dumps(ROWS).encode(), json.dumps(ROWS, indent=1).encode()
TABLE = ("question,answer\n" + "".join(f'"{row["question"]}",{row["answer"]}\n' for row in ROWS)).encode()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


def arrow_stream() -> bytes:
    buffer, table = io.BytesIO(), pyarrow.Table.from_pylist(ROWS)
    with pyarrow.ipc.new_stream(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def packed(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "content", "told"), [
    ("rows.jsonl", parquet(), "it holds Parquet"),
    ("rows.csv", LINES, "it holds JSON Lines"),
    ("rows.tsv", LINES, "it holds JSON Lines"),
    ("rows.txt", LINES, "it holds JSON Lines"),
    ("rows.parquet", LINES, "it holds JSON Lines"),
    ("rows.arrow", b"\xef\xbb\xbf" + LINES, "it holds JSON Lines"),
    ("rows.csv", LINES.decode().encode("utf-16"), "it holds JSON Lines"),
    ("rows.jsonl", ARRAY, "it holds JSON"),
    ("rows.jsonl", PRETTY, "it holds JSON"),
    ("rows.csv", PRETTY, "it holds JSON"),
    ("rows.jsonl", TABLE, "it holds a table (CSV)"),
    ("rows.json", TABLE, "it holds a table (CSV)"),
    ("rows.tsv", TABLE, "it holds a table (CSV)"),
    ("rows.parquet", TABLE, "it holds a table (CSV)"),
    ("rows.parquet", arrow_stream(), "it holds Arrow"),
    ("rows.jsonl", gzip.compress(LINES), "it holds a gzip archive"),
    ("rows.csv", gzip.compress(TABLE), "it holds a gzip archive"),
    ("rows.jsonl.gz", LINES, "it holds JSON Lines"),
    ("rows.jsonl.gz", gzip.compress(parquet()), "it holds Parquet"),
    ("rows.csv.gz", gzip.compress(LINES), "it holds JSON Lines"),
    ("rows.gz", gzip.compress(TABLE), "is read as a table (CSV)"),
    ("rows.jsonl", packed("a.jsonl", LINES), "it holds a ZIP archive"),
    ("rows.zip", packed("a.csv", LINES), "it holds JSON Lines"),
])
def test_what_its_name_hides_is_read_all_the_same_and_told(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    section, settings = DataSection(dataset_name=str(path)), Settings(data_dir=tmp_path)
    report = examine(section, settings)
    assert report.usable_rows == 20 and report.may_train
    (found,) = [finding for finding in report.findings if finding.name == "wrong_extension"]
    assert told in found.places[0].detail and found.level == "warning"
    table = read_rows(section, settings)
    assert table.rows == ROWS and "wrong_extension" in [entry.reason for entry in table.lost]


@pytest.mark.parametrize(("name", "content"), [
    ("rows.jsonl", LINES), ("rows.ndjson", LINES), ("rows.json", LINES), ("rows.json", ARRAY), ("rows.csv", TABLE),
    ("rows.tsv", TABLE.replace(b'",', b'"\t').replace(b"n,a", b"n\ta")), ("rows.parquet", parquet()),
    ("rows.arrow", arrow_stream()), ("rows.jsonl.gz", gzip.compress(LINES)), ("rows.zip", packed("a.jsonl", LINES)),
    ("notes.txt", b"[a note]\n{and more}\n"), ("notes.markdown", b"# Title\n\nsome, text\nmore, text\n"),
    ("rows.jsonl", b'{"question": "cut off"\n' + LINES), ("rows.csv", b'{x},answer\n' + TABLE)])
def test_what_is_as_its_name_says_is_not_complained_of(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    report = examine(DataSection(dataset_name=str(path)), Settings(data_dir=tmp_path))
    assert "wrong_extension" not in [finding.name for finding in report.findings]


class Evil:
    def __reduce__(self):
        return print, ("taken over",)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "rows.csv", "rows.zip"])
@pytest.mark.parametrize("value", [[1, 2, 3], {"a": "b"}, ({"a": 1},), [], Evil()],
                         ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_refused_by_its_name(name, value, protocol):
    with pytest.raises(DataError, match="is a Python pickle, not rows"):
        kind_of(name, pickle.dumps(value, protocol))


def test_a_tar_archive_is_refused_packed_or_not(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("rows.jsonl")
        member.size = len(LINES)
        archive.addfile(member, io.BytesIO(LINES))
    for name, content in (("rows.tar.gz", gzip.compress(buffer.getvalue())), ("rows.jsonl", buffer.getvalue())):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name} holds a tar archive"):
            examine(DataSection(dataset_name=str(tmp_path / name)), Settings(data_dir=tmp_path))
    recipe = ("x" * 256 + "mustard\n").encode()
    assert recipe[257:262] == b"ustar" and kind_of("rows.txt", recipe) == ".txt"


@pytest.mark.parametrize(("content", "what"), [
    (b"\n<!DOCTYPE html>\n<html>", "a web page"), (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    (b"\x93NUMPY\x01", "NumPy"), (b"BZh9", "bzip2"), (b"{\\rtf1", "RTF"), (b"Rar!\x1a", "RAR")])
def test_other_foreign_files_are_refused_by_their_name(content, what):
    with pytest.raises(DataError, match=what) as caught:
        kind_of("rows.jsonl", content)
    assert caught.value.hint


@pytest.mark.parametrize("text", [
    "customer\nAnna\npaul\n", "customer\nname\nquentin\n", "list\nlp\n", "dose\ntime\n(none)\n", "[1]\n[2]\n"])
def test_texts_are_no_pickles(text):
    assert kind_of("rows.csv", text.encode()) == ".csv"

"""Files of every kind, broken in every way, uploads, and the names of what is where."""

import gzip
import json
import pickle
import zipfile

import pyarrow
import pyarrow.parquet
import pytest

from studio.data.prepare import prepare
from studio.data.sources import fingerprint, is_hub, local_path, read_rows, store_upload, store_uploads
from studio.errors import DataError
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings

ROWS = [{"prompt": f"question {i} – é", "completion": f"answer {i}"} for i in range(20)]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def json_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read(path, limit=0):
    """The rows of a file as training reads them."""
    return read_rows(DataSection(dataset_name=str(path)), Settings(data_dir=path.parent), limit=limit).rows


CSV = "prompt,completion\n" + "".join(f'{row["prompt"]},"{row["completion"]}"\n' for row in ROWS)


@pytest.mark.parametrize(("name", "content"), [
    ("rows.jsonl", json_lines(ROWS)),
    ("rows.JSONL", "\ufeff" + json_lines(ROWS).replace("\n", "\r\n\r\n")),
    ("rows.ndjson", json_lines(ROWS).rstrip("\n")),
    ("rows.json", json.dumps(ROWS, indent=1)),
    ("rows.json", json.dumps({"version": 1, "data": ROWS})),
    ("rows.json", json_lines(ROWS)),
    ("rows.csv", CSV),
    ("rows.csv", "\ufeff" + CSV.replace(",", ";").replace("\n", "\r\n")),
    ("rows.tsv", CSV.replace(",", "\t")),
])
def test_text_files_give_their_rows(tmp_path, name, content):
    assert read(write(tmp_path / name, content)) == ROWS
    assert read(tmp_path / name, limit=3) == ROWS[:3]


def test_packed_and_arrow_files_give_their_rows(tmp_path, settings):
    table = pyarrow.Table.from_pylist(ROWS)
    with pyarrow.ipc.new_file(tmp_path / "rows.arrow", table.schema) as writer:
        writer.write_table(table)
    write(tmp_path / "rows.csv.gz", gzip.compress(CSV.encode()))
    write(tmp_path / "wide.jsonl", json_lines(ROWS).encode("utf-16"))
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as archive:
        archive.writestr("rows.jsonl", json_lines(ROWS))
    for name in ("rows.arrow", "rows.csv.gz", "wide.jsonl", "rows.zip"):
        assert read(tmp_path / name) == ROWS
        assert read(tmp_path / name, limit=3) == ROWS[:3]
        upload = store_upload(settings, tmp_path / name)
        assert read_rows(DataSection(dataset_name=upload), settings).rows == ROWS
    write(tmp_path / "bad.jsonl.gz", gzip.compress(json_lines(ROWS).encode() + b"rubbish\n"))
    with pytest.raises(DataError, match=r"1 line is not JSON \(first: bad\.jsonl\.gz, line 21"):
        prepare(Preset.model_validate({"data": {"dataset_name": str(tmp_path / "bad.jsonl.gz")}}), settings)


def test_parquet_gives_its_rows(tmp_path):
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    assert read(path) == ROWS
    assert read(path, limit=3) == ROWS[:3]


def test_a_line_separator_inside_a_string_does_not_end_the_line(tmp_path):
    rows = [{"text": "one\u2028two\x85three"}, {"text": "four"}]
    assert read(write(tmp_path / "rows.jsonl", json_lines(rows))) == rows


def test_csv_cells_may_hold_separators_and_line_ends(tmp_path):
    path = write(tmp_path / "rows.csv", 'prompt,completion\n"a, b","line one\nline ""two"""\n')
    assert read(path) == [{"prompt": "a, b", "completion": 'line one\nline "two"'}]


@pytest.mark.parametrize(("name", "content", "message"), [
    ("rows.jsonl", b"", "is empty"),
    ("rows.jsonl", "\n \n", "holds no rows"),
    ("rows.csv", "prompt,completion\n", "holds no rows"),
    ("rows.json", "[]", "holds no rows"),
    ("rows.xlsx", "x", "not a kind of file"),
    ("rows", "x", "not a kind of file"),
    ("rows.jsonl", json_lines(ROWS[:16]) + '{"prompt": "a" "b"}\n',
     r"1 line is not JSON \(first: rows.jsonl, line 17: Expecting ',' delimiter at column 16"),
    ("rows.json", '[\n{"text": "a"},\n{"text" 2},\n{"text": "b"}]', r"1 line is not JSON \(first: rows.json, line 3"),
    ("rows.json", '{"rows": 3}', "No columns were found that hold"),
    ("rows.json", "3", "holds no list of rows"),
    ("rows.json", "[" * 100_000, "no row that can be read.*nests too deeply"),
    ("rows.jsonl", json_lines(ROWS) + "[" * 100_000, r"1 row nests too deeply \(first: rows.jsonl, line 21"),
    ("rows.jsonl", b'{"text": "fine"}\n{"text": "caf\xe9"}\n', r"1 line is not UTF-8.*\(first: rows.jsonl, line 2"),
    ("rows.csv", "text\nJos\u00e9\n".encode("latin-1"), r"1 line is not UTF-8.*\(first: rows.csv, line 2"),
    ("rows.csv", "text,b\n1,2\n1,2,3\n", "first: rows.csv, line 3: 3 cells, and the header has 2"),
    ("rows.csv", 'text,b\n1,2\n1,"2\n', "1 line of the table does not fit its header.*line 3"),
    ("rows.csv", "text,\nfine,\n1,2\n", r"1 line of the table.*first: rows.csv, line 3: column 2 has no name\)"),
    ("rows.csv", "text,\n1,2\n", "no row that can be read.* line 2.*column 2 has no name"),
    ("rows.csv", f"messages\n\"{[{'role': 'user', 'content': 'a'}]}\"\n",
     r"1 of 1 rows has messages in Python's notation, which is not JSON \(first: row 1\)"),
    ("rows.csv", "a,a\n1,2\n", 'two columns called "a"'),
    ("rows.parquet", "PAR1 nonsense", "not a readable Parquet file"),
])
def test_a_broken_file_is_an_error_that_says_where(tmp_path, settings, name, content, message):
    with pytest.raises(DataError, match=message) as caught:
        prepare(Preset.model_validate({"data": {"dataset_name": str(write(tmp_path / name, content))}}), settings)
    assert caught.value.hint
    assert "\n" not in caught.value.message


def test_missing_files_and_folders_are_named(tmp_path, settings):
    with pytest.raises(DataError, match=r"no file .*gone\.jsonl") as caught:
        read_rows(DataSection(dataset_name=str(tmp_path / "gone.jsonl")), settings)
    assert caught.value.field == "data.dataset_name"
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path / "folder.jsonl")


def test_a_parquet_extension_type_is_read_as_its_storage_and_runs_nothing(tmp_path):
    trap = tmp_path / "executed"

    class Trap:
        def __reduce__(self):
            return open, (str(trap), "w")

    field = pyarrow.field("text", pyarrow.string(), metadata={
        b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(Trap())})
    table = pyarrow.Table.from_arrays([pyarrow.array(["words"])], schema=pyarrow.schema([field]))
    pyarrow.parquet.write_table(table, tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet") == [{"text": "words"}]
    assert not trap.exists()


def test_uploads_are_kept_under_a_safe_name_with_their_hash(tmp_path, settings):
    path = write(tmp_path / "my rows (final) é.JSONL", json_lines(ROWS))
    name = store_upload(settings, path)
    assert name.startswith("upload:my-rows-final-") and name.endswith(".jsonl")
    path.unlink()
    assert read_rows(DataSection(dataset_name=name), settings).rows == ROWS
    assert [file.name for file in settings.uploads_dir.iterdir()] == [name.removeprefix("upload:")]
    assert store_upload(settings, write(path, json_lines(ROWS))) == name
    assert store_upload(settings, write(path, json_lines(ROWS[1:]))) != name
    with pytest.raises(DataError, match="not a kind of file"):
        store_upload(settings, write(tmp_path / "rows.exe", "x"))
    with pytest.raises(DataError, match=r"Rows\.XLSX is a spreadsheet.*Save as, CSV UTF-8"):
        store_upload(settings, write(tmp_path / "Rows.XLSX", "x"))


def test_several_uploads_are_one_data_set_in_their_order(tmp_path, settings):
    (tmp_path / "other").mkdir()
    paths = [write(tmp_path / "b.jsonl", json_lines(ROWS[:8])), write(tmp_path / "a.csv", CSV),
             write(tmp_path / "other" / "b.jsonl", json_lines(ROWS[8:]))]
    name = store_uploads(settings, paths)
    assert name.startswith("upload:b-and-2-more-") and name.endswith(".zip")
    table = read_rows(DataSection(dataset_name=name), settings)
    assert table.rows == ROWS[:8] + ROWS + ROWS[8:]
    assert [file.rpartition("/")[2] for _, file in table.files] == ["b.jsonl", "a.csv", "3-b.jsonl"]
    assert store_uploads(settings, paths) == name != store_uploads(settings, paths[::-1])
    assert store_uploads(settings, paths[:1]) == store_upload(settings, paths[0])
    assert len(list(settings.uploads_dir.iterdir())) == 3
    for bad, match in ((tmp_path / "x.exe", "not a kind of file"), (tmp_path / "x.zip", "archive among other files"),
                       (tmp_path / "x.gz", "archive among other files")):
        with pytest.raises(DataError, match=match):
            store_uploads(settings, [paths[0], write(bad, "x")])


@pytest.mark.parametrize("name", ["upload:../secret.jsonl", "upload:/etc/x.jsonl", "upload:.hidden.jsonl", "upload:",
                                  "upload:gone.jsonl", "bundled:../recipes", "bundled:none", "bundled:"])
def test_names_cannot_leave_their_folder(settings, name):
    write(settings.data_dir / "secret.jsonl", json_lines(ROWS))
    with pytest.raises(DataError):
        local_path(name, settings)


@pytest.mark.parametrize(("name", "hub"), [
    ("owner/name", True), ("HuggingFaceH4/ultrachat_200k", True), ("upload:x.jsonl", False), ("bundled:recipes", False),
    ("data/rows.jsonl", False), ("./owner/name", False), ("~/rows", False), ("/rows/x", False), ("json", False),
    ("a/b/c", False), ("../name", False)])
def test_hub_names_are_told_from_files(name, hub):
    assert is_hub(name) is hub


def test_a_name_that_is_nothing_says_what_it_could_be(settings):
    with pytest.raises(DataError, match='"json" is neither a file here nor a data set of the Hub'):
        read_rows(DataSection(dataset_name="json"), settings)


def test_at_most_max_rows_are_taken(tmp_path, settings):
    section = DataSection(dataset_name=str(write(tmp_path / "rows.jsonl", json_lines(ROWS))), max_rows=5)
    assert read_rows(section, settings).rows == ROWS[:5]
    assert read_rows(section, settings, limit=2).rows == ROWS[:2]


def test_the_fingerprint_follows_content_and_order():
    assert fingerprint(ROWS) == fingerprint([dict(reversed(row.items())) for row in ROWS])
    assert len({fingerprint(ROWS), fingerprint(ROWS[::-1]), fingerprint(ROWS[1:])}) == 3

"""Data sets with rubbish in them, for the fuzz tests: rows that are good, and any bytes between and around them."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import pyarrow
import pyarrow.parquet
from hypothesis import strategies as st

from studio.data.doctor import examine
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings

GOOD = [{"messages": [{"role": "user", "content": f"question {i} ž"}, {"role": "assistant", "content": f"a {i}"}]}
        for i in range(3)]
LINES = [json.dumps(row, ensure_ascii=False).encode() for row in GOOD]
PIECES = [
    b'{"messages": [', b"[" * 300, b'{"a":' * 300, b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"PAR1", b"PK\x03\x04",
    b"\x1f\x8b\x08", b"ARROW1\x00\x00", b"1" * 5000, b"NaN", b'{"messages": NaN}', b'{"messages": "\\ud800"}',
    b'{"messages": [{"role": "user", "content": "\\ud800"}, {"role": "assistant", "content": "a"}]}',
    b'{"messages": [{"role": [], "content": {}}]}', b'{"prompt": 1, "completion": [[]]}', b'{"a":1,"a":2}', b"1e999",
    b'{"messages": [{"from": "gpt", "value": "x", "tool_calls": {"a": 1}}]}', b"-", b"\xc3", b"{}", b"[]", b'"',
    b'{"messages": [{"role": "assistant", "content": [{"text": 1}]}], "tools": "[[["}', b'{"messages": "[{"}',
    b'{"items": [{"a": 1}], "x": ', b'{"train": [{"a": 1}], "test": [{"a": 1}]}', b'{"a": {"0": 1}, "b": {"0": []}}',
    b'{"messages": [{"role": "user", "content": "a", "x": {}}, {"role": "assistant", "content": "b", "\x00": 1}]}']
rubbish = st.lists(st.one_of(st.binary(max_size=60), st.sampled_from(PIECES)), max_size=6).map(b"".join)
ENDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".jsonl.gz", ".csv.gz", ".parquet.gz", ".zip", ".gz",
        ".txt", ".pkl")
names = st.sampled_from([f"rows{end}" for end in ENDS])


def _whole_files() -> dict[str, list[bytes]]:
    """Files of packed kinds that are as they should be."""
    table = pyarrow.Table.from_pylist(GOOD)
    lines = b"\n".join(LINES)
    found: dict[str, list[bytes]] = {"rows.jsonl.gz": [gzip.compress(lines)], "rows.parquet": [], "rows.arrow": []}
    for compression in ("snappy", "none", "zstd"):
        pyarrow.parquet.write_table(table, buffer := io.BytesIO(), compression=compression)
        found["rows.parquet"].append(buffer.getvalue())
    for new in (pyarrow.ipc.new_file, pyarrow.ipc.new_stream):
        with new(buffer := io.BytesIO(), table.schema) as writer:
            writer.write_table(table)
        found["rows.arrow"].append(buffer.getvalue())
    with zipfile.ZipFile(buffer := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("rows.jsonl", lines)
        archive.writestr("rows.csv", "prompt,completion\n1,2\n")
    found["rows.zip"] = [buffer.getvalue()]
    return found


@st.composite
def damaged_files(draw) -> tuple[str, bytes]:
    """The name and bytes of a packed file with some bytes changed, and perhaps its end cut off."""
    name = draw(st.sampled_from(sorted(WHOLE)))
    content = bytearray(draw(st.sampled_from(WHOLE[name])))
    for _ in range(draw(st.integers(0, 8))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return name, bytes(content[:draw(st.integers(1, len(content)))] if draw(st.booleans()) else content)


def check_any_bytes(folder: Path, name: str, content: bytes) -> None:
    """Whatever the bytes, the doctor answers with a report that counts right, or with its own error."""
    path = folder / name
    path.write_bytes(content)
    try:
        report = examine(DataSection(dataset_name=str(path)), Settings(data_dir=folder))
    except DataError as error:
        assert error.message and error.hint
        assert error.message.isprintable()
    else:
        assert 0 <= report.usable_rows <= report.rows
        json.dumps(report.as_json(), allow_nan=False).encode()
        assert report.verdict.endswith(".")


def check_good_rows_survive(folder: Path, between: list[bytes], packed: str) -> None:
    """Good lines of a file are all used, whatever stands on the lines between them."""
    lines = []
    for i, line in enumerate(LINES):
        lines += [line, between[i].replace(b"\n", b" ")]
    content = b"\n".join(lines)
    path = folder / f"rows.jsonl{packed}"
    if packed == ".gz":
        content = gzip.compress(content, 1)
    if packed == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("rows.jsonl", content)
        content = buffer.getvalue()
    path.write_bytes(content)
    report = examine(DataSection(dataset_name=str(path), messages_column="messages"), Settings(data_dir=folder))
    assert report.usable_rows >= len(GOOD)
    named = {(place.name, spot.line) for place in report.findings if place.level == "error" for spot in place.places}
    assert not {line for _, line in named} & {1, 3, 5}


WHOLE = _whole_files()

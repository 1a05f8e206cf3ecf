"""Archives that are damaged or lie: each member is read, or left out with its reason, and nothing else comes of it."""

import gzip
import io
import random
import struct
import zipfile

import pytest

from studio import cli
from studio.data.archives import open_parts
from studio.errors import DataError

ROW = b'{"prompt": "question", "completion": "answer"}\n'


def zip_of(members, kind=zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read(path):
    """Bytes by name of part, and names of members left out with the reasons."""
    left_out, parts = {}, {}
    for part in open_parts(path, lambda problem, file, detail: left_out.setdefault(file, detail)):
        try:
            parts[part.name] = part.stream.read()
        except DataError as error:
            left_out[part.name] = error.message
    return parts, left_out


GOOD = {"good.jsonl": ROW * 20}


@pytest.mark.parametrize(("members", "kind", "reason"), [
    ({".": b"x"}, zipfile.ZIP_STORED, "no name"),
    ({"../a.jsonl": ROW}, zipfile.ZIP_STORED, "leads out"),
    ({"a.jsonl": ROW}, zipfile.ZIP_LZMA, "rare way"),
    ({"a.jsonl": ROW}, zipfile.ZIP_BZIP2, "rare way"),
    ({"a.pkl": b"x"}, zipfile.ZIP_STORED, "may run code"),
])
def test_a_member_that_cannot_be_read_is_left_out_with_its_reason(tmp_path, members, kind, reason):
    path = tmp_path / "rows.zip"
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        archive.writestr("good.jsonl", ROW * 20, zipfile.ZIP_DEFLATED)
    parts, left_out = read(path)
    assert parts == {"rows.zip/good.jsonl": ROW * 20}
    assert [reason in said for said in left_out.values()] == [True]
    path.write_bytes(zip_of(members, kind))
    with pytest.raises(DataError, match=rf"no file that can be read\..*{reason}"):
        read(path)


@pytest.mark.parametrize("offset", [2**32 - 2, 7])
def test_a_member_that_begins_elsewhere_is_left_out(tmp_path, offset):
    data = bytearray(zip_of({"a.jsonl": ROW} | GOOD))
    start = data.index(b"PK\x01\x02")
    data[start + 42:start + 46] = struct.pack("<I", offset)
    (tmp_path / "rows.zip").write_bytes(data)
    parts, left_out = read(tmp_path / "rows.zip")
    assert parts == {"rows.zip/good.jsonl": ROW * 20} and "cannot be unpacked" in left_out["rows.zip/a.jsonl"]


@pytest.mark.parametrize("make", [
    lambda content: zip_of({"a.jsonl": content} | GOOD), lambda content: zip_of({"a.csv": content}, zipfile.ZIP_STORED),
    lambda content: gzip.compress(content)], ids=["deflated", "stored", "gzip"])
def test_damage_anywhere_ends_in_a_reason_or_an_error_of_our_own(tmp_path, make):
    dice = random.Random(3)
    whole = make(dice.randbytes(300) + ROW * 5)
    path = tmp_path / ("rows.jsonl.gz" if whole.startswith(b"\x1f\x8b") else "rows.zip")
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.choice([0, 255, dice.randrange(256)])
        path.write_bytes(data[:dice.choice([None, dice.randrange(1, len(data))])])
        try:
            _, left_out = read(path)
        except DataError as error:
            assert error.hint and error.message.isprintable()
        else:
            assert all(said.isprintable() and said for said in left_out.values())


def test_the_commands_say_a_sentence_and_end_with_2(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STUDIO_DATA_DIR", str(tmp_path / "studio"))
    damaged = bytearray(zip_of({"a.jsonl": ROW * 50}))
    damaged[40:60] = bytes(20)
    (tmp_path / "rows.zip").write_bytes(damaged)
    for command in (["doctor"], ["data", "export", "--to", str(tmp_path / "out")]):
        assert cli.main([*command, str(tmp_path / "rows.zip")]) == 2
        said = capsys.readouterr().err
        assert "rows.zip" in said and "Pack" in said and "Traceback" not in said

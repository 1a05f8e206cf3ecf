"""No damage to a PDF or Word file makes its reader raise anything but the studio's own error, or take for ever."""

import io
import random
import time
import zipfile

import pytest

from studio.data import pdf_rows
from studio.data.archives import Part
from studio.data.docx_rows import read_docx
from studio.data.pdf_rows import read_pdf
from studio.errors import DataError
from tests import documents

LINES = ["The baker rose at four.", "She lit the oven (slowly)."]
PDF = documents.pdf([LINES, LINES * 5, []])
PLAIN_PDF = documents.pdf_of_streams([b"BT /F1 12 Tf 72 700 Td (The baker rose.) Tj ET"] * 3, b"[]", packed=True)
WORD = documents.word_document(LINES, [["a", "b"], ["c", "d"]])
CASES, LONGEST_S = 250, 20


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some of them changed, removed, repeated or swapped for numbers that lie."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 5, 30))):
        at, n = rng.randrange(len(out)), rng.choice((1, 1, 2, 8, 60))
        match rng.randrange(5):
            case 0:
                out[at:at + n] = rng.randbytes(n)
            case 1:
                del out[at:at + n]
            case 2:
                out[at:at] = out[at:at + n] * rng.choice((1, 3, 50))
            case 3:
                out[at:at + 1] = rng.choice((b"999999999", b"-1", b"0", b"<<", b">>", b"[", b"(", b"R", b"/Kids", b" "))
            case _:
                del out[at:]
        if not out:
            return b"%PDF"
    return bytes(out)


def damaged_inside(data: bytes, rng: random.Random) -> bytes:
    """A Word file whose archive is sound and one of whose parts is damaged."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        names = source.namelist()
        chosen = rng.choice(["word/document.xml", *names])
        for name in names:
            out.writestr(name, damaged(source.read(name), rng) if name == chosen else source.read(name))
    return target.getvalue()


@pytest.mark.parametrize(("reader", "name", "data", "damage", "readable"), [
    (read_pdf, "a.pdf", PDF, damaged, 20), (read_pdf, "a.pdf", PLAIN_PDF, damaged, 20),
    (read_docx, "a.docx", WORD, damaged, 0), (read_docx, "a.docx", WORD, damaged_inside, 20)],
    ids=["pdf", "plain pdf", "docx", "inside docx"])
def test_damage_costs_a_sentence_at_most(reader, name, data, damage, readable, monkeypatch):
    monkeypatch.setattr(pdf_rows, "PAGE_S", 1)
    read = 0
    for seed in range(CASES):
        content = damage(data, random.Random(seed))
        stream, began = io.BytesIO(content), time.process_time()
        try:
            batches = list(reader(Part(name, "." + name.rpartition(".")[2], stream, len(content), stream.tell)))
            texts = [row["text"] for batch in batches for row in batch.rows]
            assert all(text.encode() for text in texts), seed
            read += bool(texts)
        except DataError as error:
            assert error.message.endswith(".") and error.hint, seed
        assert time.process_time() - began < LONGEST_S, seed
    assert read >= readable, "some damage leaves text to read"

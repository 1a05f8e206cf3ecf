"""Text, Markdown, PDF and Word files as rows, and the hostile ones among them."""

import gc
import io
import time
import zipfile

import pytest

from studio.data import pdf_rows
from studio.data.archives import Part, open_parts
from studio.data.batches import FileFacts
from studio.data.borders import best_cut, cut
from studio.data.document_rows import LONGEST_PART, PARTS, SHORTEST_PART
from studio.data.docx_rows import read_docx
from studio.data.pdf_rows import read_pdf
from studio.data.records import read_batches
from studio.errors import DataError
from tests import documents
from tests.seconds import least_seconds

PARAGRAPH = "The baker rose at four. She lit the oven, and the street smelled of bread. Nobody was awake yet.\n\n"


def rows_of(path):
    """Texts, lines, faults as (name, detail), and what was left out of an archive."""
    texts, lines, faults, skipped = [], [], [], []
    for part in open_parts(path, lambda *said: skipped.append(said)):
        for batch in read_batches(part, FileFacts(part.name, part.extension, part.size)):
            texts += [row["text"] for row in batch.rows]
            lines += batch.lines
            faults += [(fault.name, fault.detail) for fault in batch.faults]
    return texts, lines, faults, skipped


def read(reader, data: bytes, name: str = "paper.pdf"):
    """Rows and faults of a document, read in this process."""
    stream = io.BytesIO(data)
    batches = list(reader(Part(name, f".{name.rpartition('.')[2]}", stream, len(data), stream.tell)))
    return ([row["text"] for batch in batches for row in batch.rows],
            [(fault.name, fault.detail) for batch in batches for fault in batch.faults])


def refusal(reader, data: bytes, name: str = "paper.pdf") -> DataError:
    with pytest.raises(DataError) as caught:
        read(reader, data, name)
    assert caught.value.message.endswith(".") and caught.value.hint and name in caught.value.message
    return caught.value


def rezipped(data: bytes, content: bytes, member: str = "word/document.xml") -> bytes:
    """A Word document with a member replaced."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        for name in source.namelist():
            out.writestr(name, content if name == member else source.read(name))
    return target.getvalue()


# -- plain text and Markdown


@pytest.mark.parametrize("name", ["book.txt", "book.md", "BOOK.MARKDOWN"])
def test_a_long_text_becomes_parts_that_end_at_paragraphs_and_lose_nothing(tmp_path, name):
    text = PARAGRAPH * 2000
    (tmp_path / name).write_text(text)
    texts, lines, faults, _ = rows_of(tmp_path / name)
    assert "".join(texts) == text and not faults
    assert PARTS <= len(texts) <= PARTS + 3
    assert all(part.endswith(".\n\n") and len(part) <= LONGEST_PART for part in texts)
    assert lines == [1 + 2 * "".join(texts[:i]).count("\n\n") for i in range(len(texts))]


def test_a_short_text_is_one_row(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"one\r\ntwo")
    assert rows_of(tmp_path / "a.txt")[:2] == (["one\ntwo\n"], [1])


def test_a_huge_text_is_read_in_blocks_with_nothing_lost(tmp_path):
    text = "".join(f"Line {number} of a long book.\n" + "\n" * (number % 5 == 0) for number in range(150_000))
    (tmp_path / "a.txt").write_text(text)
    texts, lines, _, _ = rows_of(tmp_path / "a.txt")
    assert "".join(texts) == text
    assert max(map(len, texts)) <= LONGEST_PART
    assert lines[5] == 1 + "".join(texts[:5]).count("\n")


def test_other_encodings_are_told(tmp_path):
    (tmp_path / "a.txt").write_bytes("Füße und Straßen, für alle.\n".encode("cp1252"))
    (tmp_path / "b.txt").write_bytes("Füße und Straßen.\n".encode("utf-16"))
    assert rows_of(tmp_path / "a.txt")[0] == ["Füße und Straßen, für alle.\n"]
    assert rows_of(tmp_path / "a.txt")[2] == [("encoding", "1")]
    assert rows_of(tmp_path / "b.txt")[0] == ["Füße und Straßen.\n"]


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"fine\n" + bytes(range(256)) * 10)
    with pytest.raises(DataError, match="not text at line 2"):
        rows_of(tmp_path / "a.txt")


# -- several at once


def test_documents_of_an_archive_are_read_one_after_the_other(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("a.txt", "From the text.")
        archive.writestr("b/b.md", "# From Markdown")
        archive.writestr("c.pdf", documents.pdf([["From the PDF"]]))
        archive.writestr("d.docx", documents.word_document(["From Word"]))
    texts, _, faults, skipped = rows_of(tmp_path / "all.zip")
    assert [text.strip() for text in texts] == ["From the text.", "# From Markdown", "From the PDF", "From Word"]
    assert not faults and not skipped


def test_a_readme_beside_rows_is_left_out_and_told(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("README.md", "# What this is")
        archive.writestr("rows.jsonl", '{"text": "one"}\n')
    texts, _, _, skipped = rows_of(tmp_path / "all.zip")
    assert texts == ["one"]
    assert skipped == [("archive_member", "all.zip/README.md", "it is a document beside files of rows")]


def test_one_bad_document_of_an_archive_does_not_cost_the_others(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("bad.pdf", b"%PDF-1.7 and then nothing")
        archive.writestr("good.txt", "Fine.")
    from studio.data import doctor
    from studio.preset.schema import DataSection
    from studio.settings import Settings

    report = doctor.examine(DataSection(dataset_name=str(tmp_path / "all.zip")), Settings(data_dir=tmp_path))
    assert report.usable_rows == 1
    [finding] = [finding for finding in report.findings if finding.name == "unreadable_file"]
    assert "bad.pdf is not a readable PDF" in finding.places[0].detail


# -- PDF


def test_the_text_of_a_pdf_through_the_process_of_its_own(tmp_path):
    (tmp_path / "a.pdf").write_bytes(documents.pdf([["Grüße (an alle)", "Second line"], ["Next page"]]))
    texts, lines, faults, _ = rows_of(tmp_path / "a.pdf")
    assert texts == ["Grüße (an alle)\nSecond line\n\nNext page\n\n"]
    assert (lines, faults) == ([0], [])


def test_a_long_pdf_becomes_parts():
    pages = [[f"Page {number}, line {line}: a street smells of bread." for line in range(40)] for number in range(80)]
    texts, _ = read(read_pdf, documents.pdf(pages))
    assert PARTS <= len(texts) <= 2 * PARTS
    assert all(f"Page {n}, line 39" in "".join(texts) for n in range(80))
    assert max(map(len, texts)) < 2 * SHORTEST_PART * 2


def test_a_page_without_text_is_told_and_a_scan_is_refused():
    texts, faults = read(read_pdf, documents.pdf([["Words"], []]))
    assert texts == ["Words\n\n"] and faults == [("page_without_text", "page 2")]
    error = refusal(read_pdf, documents.pdf([[], []]))
    assert "holds no text" in error.message and "OCR" in error.hint


def test_a_password_is_asked_for_only_where_one_is_needed():
    assert "password" in refusal(read_pdf, documents.protected_pdf([["Secret"]], "open", "own")).message
    assert read(read_pdf, documents.protected_pdf([["Not secret"]], "", "own"))[0] == ["Not secret\n\n"]


def test_one_bad_page_does_not_cost_the_others(monkeypatch):
    good = b"BT /F1 12 Tf 72 700 Td (Good) Tj ET"
    bomb = documents.pdf_of_streams([good, b" " * 90_000_000])
    assert len(bomb) < 100_000
    texts, faults = read(read_pdf, bomb)
    assert texts == ["Good\n\n"] and [name for name, _ in faults] == ["unreadable_page"]
    assert faults[0][1].startswith("page 2: ")


@pytest.mark.parametrize("data", [
    documents.pdf([["x"]])[:300], b"%PDF-1.7\n" + b"\xff" * 5000, b"%PDF",
    documents.pdf_of_objects([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R] /Count 1 >>"]),
    documents.pdf_of_objects([b"<< /Type /Catalog /Pages 1 0 R >>"]),
    documents.pdf_of_objects([b"[" * 100_000]),
], ids=["cut off", "noise", "head only", "pages that hold themselves", "a catalogue as pages", "deep"])
def test_damaged_pdfs_are_refused_with_a_sentence(data):
    assert "cannot be read" not in refusal(read_pdf, data).message


@pytest.fixture
def without_collector():
    """Hypothesis listens to the garbage collector, and Python drops what a signal raises meanwhile."""
    gc.disable()
    yield
    gc.enable()


def test_a_page_that_takes_for_ever_is_left(monkeypatch, without_collector):
    monkeypatch.setattr(pdf_rows, "PAGE_S", 0.2)
    forms = {b"A%d" % n: b"/A%d Do " % (n + 1) * 9 for n in range(9)} | {b"A9": b"BT /F1 9 Tf (x) Tj ET " * 2000}
    began = time.thread_time()
    error = refusal(read_pdf, documents.pdf_of_streams([b"/A0 Do"], forms=forms))
    assert error.message == "No page of paper.pdf can be read."
    error = refusal(read_pdf, documents.pdf_of_streams([b"/A0 Do"] * 50, forms=forms))
    assert error.message.startswith("paper.pdf takes too long to read: 3 pages up to page 3")
    assert time.thread_time() - began < 5


def test_a_form_that_draws_itself_ends():
    data = documents.pdf_of_streams([b"BT /F1 12 Tf (Here) Tj ET /A Do"], forms={b"A": b"/A Do"})
    assert "Here" in "".join(read(read_pdf, data)[0])


def test_a_file_of_another_name_is_told_by_its_content(tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(documents.pdf([["From the PDF"]]))
    texts, _, _, skipped = rows_of(tmp_path / "rows.jsonl")
    assert texts == ["From the PDF\n\n"]
    assert skipped == [("wrong_extension", "rows.jsonl", "it holds a PDF document")]


# -- Word


def test_the_text_of_a_word_document_with_its_tables(tmp_path):
    (tmp_path / "a.docx").write_bytes(documents.word_document(["Ärger & <Lust>", "", "Zwei"], [["a", "b"], ["c", "d"]]))
    texts, _, faults, skipped = rows_of(tmp_path / "a.docx")
    assert texts == ["Ärger & <Lust>\n\nZwei\n\na\tb\nc\td\n\n"]
    assert not faults and not skipped


def test_deleted_text_is_left_out_and_inserted_text_is_read():
    body = (b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p>'
            b"<w:r><w:t>kept</w:t></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del>"
            b"<w:ins><w:r><w:tab/><w:t>new</w:t></w:r></w:ins></w:p></w:body></w:document>")
    data = rezipped(documents.word_document([]), body)
    assert read(read_docx, data, "a.docx")[0] == ["kept\tnew\n\n"]


def test_word_bombs_are_refused_before_they_unpack():
    data = rezipped(documents.word_document(["x"]), b" " * 70_000_000)
    assert len(data) < 200_000
    assert "may be a bomb" in refusal(read_docx, data, "a.docx").message


def test_entities_that_multiply_are_not_resolved():
    lines = [b'<!DOCTYPE x [<!ENTITY a0 "ha">']
    lines += [b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 12)]
    body = b"".join(lines) + (
        b']><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>'
        b"&a11;</w:t></w:r></w:p></w:body></w:document>")
    document = rezipped(documents.word_document([]), body)
    assert least_seconds(lambda: refusal(read_docx, document, "a.docx"), below=1) < 1


@pytest.mark.parametrize("data", [
    b"PK\x03\x04 and then nothing", documents.word_document(["x"])[:3000],
    rezipped(documents.word_document([]), b"<a"), documents.word_document([]),
    rezipped(documents.word_document(["x"]), b"", "[Content_Types].xml")], ids=[
    "no archive", "cut off", "no XML", "no text", "no content types"])
def test_damaged_word_documents_are_refused_with_a_sentence(data):
    refusal(read_docx, data, "a.docx")


# -- where a text is cut


def test_paragraphs_come_first_then_sentences_lines_and_words():
    assert best_cut("aaaa. bb\n\ncc dd", 1, 14) == 10
    assert best_cut("aaaa. bb\ncc dd", 1, 13) == 6
    assert best_cut("aaaa bb\ncc dd", 1, 12) == 8
    assert best_cut("aaaa bb cc", 1, 9) == 8
    assert best_cut("aaaaaaaaaa", 1, 9) == 9
    assert best_cut("这是第一句。这是第二句。完", 1, 12) == 12


@pytest.mark.parametrize("text", [
    "", "x", " " * 999, "\n" * 999, "word " * 300, "nospace" * 200, PARAGRAPH * 9, "。" * 500])
@pytest.mark.parametrize("longest", [1, 7, 100, 5000])
def test_a_text_in_parts_is_the_text(text, longest):
    parts = cut(text, longest)
    assert "".join(parts) == text
    assert all(len(part) <= longest for part in parts)
    assert len(parts) <= 2 * (len(text) // longest) + 2

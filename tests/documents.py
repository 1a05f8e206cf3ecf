"""Small documents for tests: PDF files written out by hand, so that any part can be wrong, and Word documents."""

import io
import zlib

import docx
from pypdf import PdfReader, PdfWriter

FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def pdf(pages: list[list[str]]) -> bytes:
    """A PDF with these lines on its pages; a page without lines has none."""
    return pdf_of_streams([b"\n".join(
        b"BT /F1 12 Tf 72 %d Td (%s) Tj ET" % (720 - 16 * number, _escaped(line))
        for number, line in enumerate(lines)) for lines in pages])


def pdf_of_streams(streams: list[bytes], filters: bytes = b"/FlateDecode", packed: bool = False,
                   forms: dict[bytes, bytes] | None = None) -> bytes:
    """A PDF whose pages have these content streams; `forms` are further objects that pages and forms may draw."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", FONT]
    names = b" ".join(b"/%s %d 0 R" % (name, number) for number, name in enumerate(forms or {}, start=4))
    resources = b"<< /Font << /F1 3 0 R >> /XObject << %s >> >>" % names
    for content in (forms or {}).values():
        objects.append(b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources %s /Length %d >>\nstream\n%s\n"
                       b"endstream" % (resources, len(content), content))
    kids = []
    for content in streams:
        data = content if packed else zlib.compress(content)
        objects.append(b"<< /Filter %s /Length %d >>\nstream\n%s\nendstream" % (filters, len(data), data))
        objects.append(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources %s >>" % (
            len(objects), resources))
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    return pdf_of_objects(objects)


def pdf_of_objects(objects: list[bytes]) -> bytes:
    """A PDF of these objects, numbered from 1; the first is the catalogue."""
    out, places = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def protected_pdf(pages: list[list[str]], user_password: str, owner_password: str) -> bytes:
    """The same, encrypted; with an empty user password it opens without one."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(pages))))
    writer.encrypt(user_password, owner_password, algorithm="AES-256")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def word_document(paragraphs: list[str], table: list[list[str]] | None = None) -> bytes:
    """A .docx with these paragraphs and a table behind them."""
    document = docx.Document()
    for text in paragraphs:
        document.add_paragraph(text)
    if table:
        grid = document.add_table(len(table), len(table[0]))
        for row, cells in zip(grid.rows, table, strict=True):
            for cell, text in zip(row.cells, cells, strict=True):
                cell.text = text
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def _escaped(line: str) -> bytes:
    return line.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")

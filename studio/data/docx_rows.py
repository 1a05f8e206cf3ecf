"""Text of Word documents by python-docx: what a reader sees in the body, tables too; called in `reader_child`."""

import zipfile
from collections.abc import Iterator

import docx
from docx.oxml.ns import qn
from lxml import etree

from studio.data.archives import Part
from studio.data.batches import Batch
from studio.data.document_rows import Parts
from studio.errors import DataError

# what honest documents never reach: a thousand pages are 10 MB of XML
UNPACKED_BYTES, UNPACKED_XML_BYTES = 256_000_000, 40_000_000
MEMBERS = 20_000
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
# text that was deleted or moved away, and the second copy of a text box for older programs
UNSEEN = {qn("w:del"), qn("w:moveFrom"), FALLBACK}
CHARACTERS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
TEXT, PARAGRAPH, CELL, ROW, TABLE = qn("w:t"), qn("w:p"), qn("w:tc"), qn("w:tr"), qn("w:tbl")


def read_docx(part: Part) -> Iterator[Batch]:
    """Rows of a Word document. Raises `DataError` for a bomb, one with a password, without text, or damaged."""
    try:
        _refuse_bomb(part)
        body = docx.Document(part.stream).element.body
    except (DataError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make it stumble in any way
        raise DataError(f"{part.name} is not a readable Word document: {_reason(error)}.",
                        "Open it in a word processor and save it again.") from None
    parts = Parts()
    texts = [text for block in _blocks(body) for text in parts.add(block)]
    texts += [text for text in parts.finish() if not text.isspace()]
    if not texts:
        raise DataError(f"{part.name} holds no text.", "If its pages are pictures, run text recognition (OCR) first.")
    yield Batch([{"text": text} for text in texts], [0] * len(texts))


def _refuse_bomb(part: Part) -> None:
    """What the parts say they unpack to is a bound, since `zipfile` reads no further."""
    with zipfile.ZipFile(part.stream) as archive:
        members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise DataError(f"{part.name} is protected with a password.", "Save it without one.")
    xml = sum(member.file_size for member in members if member.filename.endswith((".xml", ".rels")))
    if (len(members) > MEMBERS or xml > UNPACKED_XML_BYTES
            or sum(member.file_size for member in members) > UNPACKED_BYTES):
        raise DataError(f"{part.name} unpacks to far more than a document would: it may be a bomb.",
                        "Save its text as a plain text file.")


def _blocks(body: etree._Element) -> Iterator[str]:
    """Paragraphs that end with an empty line, and rows of tables with a tab between the cells."""
    said: list[str] = []
    tables = 0
    walk = etree.iterwalk(body, events=("start", "end"))
    for event, element in walk:
        tag = element.tag
        if event == "start":
            tables += tag == TABLE
            if tag in UNSEEN:
                walk.skip_subtree()
            elif tag == TEXT:
                said.append(element.text or "")
            elif tag in CHARACTERS:
                said.append(CHARACTERS[tag])
            continue
        tables -= tag == TABLE
        if tag == PARAGRAPH and tables:
            said.append(" ")
        elif tag == CELL:
            said = ["".join(said).rstrip(), "\t"]
        elif tag in (PARAGRAPH, ROW, TABLE):
            text = "".join(said).strip()
            said = []
            if text or tag == TABLE:
                yield text + ("\n" if tag in (ROW, TABLE) else "\n\n")


def _reason(error: Exception) -> str:
    if isinstance(error, zipfile.BadZipFile):
        return "it is no ZIP archive, or a broken one"
    return {KeyError: "a part of it is missing", ValueError: "it holds something else"}.get(
        type(error), type(error).__name__)

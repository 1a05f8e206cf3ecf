"""Text of PDF documents by pypdf, which is pure Python and bounds what streams unpack to; called in `reader_child`.

What is drawn and not written (scans, pictures of text) is told, not read.
"""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from pypdf import PdfReader, apply_configuration
from pypdf.errors import PyPdfError

from studio.data.archives import Part, unpacked_limit
from studio.data.batches import Batch, Fault
from studio.data.document_rows import Parts
from studio.errors import DataError

# of processor time; an honest page takes some hundredths
PAGE_S = 5
SLOW_PAGES = 3
PAGES = 20_000
# what a page's drawing, or a table of the file, may unpack to; text alone is some kilobytes
STREAM_BYTES = 20_000_000
LIMITS = {f"{kind}_maximum_output_length": STREAM_BYTES for kind in (
    "zlib", "lzw", "run_length", "brotli", "array_based_stream", "jbig2")}
TOO_SLOW = "it takes too long"
# its notes on sloppy files would go nowhere
logging.getLogger("pypdf").setLevel(logging.CRITICAL)


def read_pdf(part: Part) -> Iterator[Batch]:
    """Rows of a PDF. Raises `DataError` for one with a password, without text, or damaged beyond reading."""
    with apply_configuration(jbig2dec_binary=None, **LIMITS):
        yield from _read(part)


def _read(part: Part) -> Iterator[Batch]:
    reader, pages = _opened(part)
    if pages > PAGES:
        raise DataError(f"{part.name} has {pages:,} pages.", f"Part it into files of at most {PAGES:,} pages.")
    parts, faults, room, slow = Parts(), [], unpacked_limit(part.size), 0
    for number in range(pages):
        text, reason = _page_text(reader, number)
        slow += reason == TOO_SLOW
        if slow == SLOW_PAGES:
            raise DataError(f"{part.name} takes too long to read: {SLOW_PAGES} pages up to page {number + 1:,} needed "
                            f"more than {PAGE_S} s each.", "Print it into a new PDF.")
        if not text.strip():
            name = "unreadable_page" if reason else "page_without_text"
            faults.append(Fault(name, 0, f"page {number + 1:,}{reason and ': '}{reason}", keeps_row=True))
            continue
        room -= len(text)
        if room < 0:
            raise DataError(f"{part.name} unpacks to far more than a document would: it may be a bomb.",
                            "Save its text as a plain text file.")
        if texts := list(parts.add(text.strip() + "\n\n")):
            yield _batch(texts, faults)
            faults = []
    texts = list(parts.finish())
    if not texts and len(faults) == pages:
        raise _no_text(part, faults)
    yield _batch(texts, faults)


def _no_text(part: Part, faults: list[Fault]) -> DataError:
    if any(fault.name == "unreadable_page" for fault in faults):
        return DataError(f"No page of {part.name} can be read.", "Save it again, or print it into a new PDF.")
    return DataError(f"{part.name} holds no text: its pages are pictures, as of a scan, or empty.",
                     "Run text recognition (OCR) over it first.")


def _opened(part: Part) -> tuple[PdfReader, int]:
    try:
        with _time_limit():
            reader = PdfReader(part.stream)
            # many files are only protected against changes, and open without a password
            if reader.is_encrypted and not reader.decrypt(""):
                raise DataError(f"{part.name} is protected with a password.", "Save it without one.")
            return reader, len(reader.pages)
    except (DataError, MemoryError):
        raise
    except (Exception, _TooSlow) as error:  # damaged bytes make it stumble in any way
        raise DataError(f"{part.name} is not a readable PDF: {_reason(error)}.", "Save it again.") from None


def _page_text(reader: PdfReader, number: int) -> tuple[str, str]:
    """A page's text, or "" and why there is none; one bad page does not cost the others."""
    try:
        with _time_limit():
            page = reader.pages[number]
            text = page.extract_text()
    except MemoryError:
        raise
    except (Exception, _TooSlow) as error:  # as above
        return "", _reason(error)
    return "".join(c for c in text if not "\ud800" <= c <= "\udfff" and c != "\0"), ""


def _batch(texts: list[str], faults: list[Fault]) -> Batch:
    rows = [{"text": text} for text in texts if not text.isspace()]
    return Batch(rows, [0] * len(rows), faults)


class _TooSlow(BaseException):
    """A page needs more time than any honest one. The parser goes on after any `Exception`."""


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooSlow(TOO_SLOW)

    before = signal.signal(signal.SIGVTALRM, stop)
    # again every second: Python drops what is raised while it tidies up memory
    signal.setitimer(signal.ITIMER_VIRTUAL, PAGE_S, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _reason(error: BaseException) -> str:
    said = str(error) if isinstance(error, PyPdfError | _TooSlow) else ""
    return "".join(c for c in said.split("\n")[0][:200] if c.isprintable()).strip(" .:") or type(error).__name__

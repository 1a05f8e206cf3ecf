"""Documents (plain text, Markdown, PDF, DOCX) as rows of text: parts of some pages that end where a paragraph does.

Parts do not overlap, so that no text stands both among the rows to learn from and among those held back. What is
longer than a model's row is cut again by tokens, see `chunks`.
"""

from collections.abc import Iterator

from studio.data.archives import Part
from studio.data.batches import Fault, Found
from studio.data.borders import cut
from studio.data.encoding import LOST, TextLines
from studio.errors import DataError

# a document becomes this many rows where it is long enough, so that some of it can be held back
PARTS = 20
SHORTEST_PART, LONGEST_PART = 4_000, 64_000
BLOCK_CHARACTERS = PARTS * LONGEST_PART


def read_plain(part: Part, lines: TextLines) -> Found:
    """Rows of a text or Markdown file, with the line each begins on. Raises `DataError` for bytes that are no text."""
    parts, number = Parts(), 1
    for line in lines:
        if b"\0" in line:
            raise DataError(f"{part.name} is not text at line {lines.number:,}: it holds zero bytes.",
                            "Save it as plain text in UTF-8.")
        for text in parts.add(lines.as_text(line).removesuffix("\r") + "\n"):
            yield _row(text, number, lines)
            number += text.count("\n")
    for text in parts.finish():
        if not text.isspace():
            yield _row(text, number, lines)
        number += text.count("\n")


def _row(text: str, line: int, lines: TextLines) -> tuple[dict[str, str] | None, int, Fault | None]:
    """The row, or the fault in its place."""
    if lines.has_lost and LOST in text:
        return None, line, Fault("broken_text", line, f"it holds bytes that are no {lines.name}")
    return {"text": text}, line, None


class Parts:
    """The text of one document on its way into parts; holds little more than BLOCK_CHARACTERS."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._size = 0
        self._longest = 0

    def add(self, text: str) -> Iterator[str]:
        """Take the next piece of the document; gives the parts that are whole by now."""
        self._waiting.append(text)
        self._size += len(text)
        if self._size >= BLOCK_CHARACTERS:
            self._longest = LONGEST_PART
            *ready, rest = cut("".join(self._waiting), self._longest)
            self._waiting, self._size = [rest], len(rest)
            yield from ready

    def finish(self) -> Iterator[str]:
        """The parts that are left."""
        longest = self._longest or min(LONGEST_PART, max(SHORTEST_PART, -(-self._size // PARTS)))
        if self._size:
            yield from cut("".join(self._waiting), longest)

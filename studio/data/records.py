"""Rows of a file of any kind in batches, with the line each stands on; what is no row becomes a fault, not an end.

One pass, bounded memory: at most a block of text, a batch of rows and one over-long row are held.
"""

from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any

from studio.data.archives import APART_EXTENSIONS, Part
from studio.data.batches import Batch, Fault, FileFacts, Found
from studio.data.csv_rows import read_csv
from studio.data.document_rows import read_plain
from studio.data.encoding import LONGEST_LINE_BYTES, TextLines
from studio.data.files import TEXT_EXTENSIONS
from studio.data.json_rows import DEEPEST, BadRow, depth, has_half_characters, parse, reason
from studio.data.reader_process import read_apart
from studio.errors import DataError

BATCH_ROWS = 1000
LONG_LINE_BYTES = 1_000_000
ROW_LISTS = ("data", "rows", "train", "examples")


def read_batches(part: Part, facts: FileFacts) -> Iterator[Batch]:
    """The rows of one file. Raises `DataError` where nothing more of it can be read."""
    if part.extension in APART_EXTENSIONS:
        yield from read_apart(part)
    else:
        yield from _text(part, facts)


def _text(part: Part, facts: FileFacts) -> Iterator[Batch]:
    batch = Batch()
    lines = TextLines(part.stream, lambda number: batch.faults.append(
        Fault("line_too_long", number, f"longer than {LONGEST_LINE_BYTES // 1_000_000} MB")))
    if part.extension in (".csv", ".tsv"):
        found = read_csv(part, lines)
    elif part.extension == ".json":
        found = _json(part, lines)
    elif part.extension in TEXT_EXTENSIONS:
        found = read_plain(part, lines)
    else:
        found = _json_lines(lines)
    try:
        for row, line, fault in found:
            if fault is None:
                batch.rows.append(row)
                batch.lines.append(line)
                if len(batch.rows) < BATCH_ROWS:
                    continue
            else:
                batch.faults.append(fault)
            if len(batch.rows) + len(batch.faults) >= BATCH_ROWS:
                # the callback above keeps writing to this very batch
                yield Batch(batch.rows, batch.lines, batch.faults)
                batch.rows, batch.lines, batch.faults = [], [], []
    except DataError:
        # an archive may break off: the rows before stay
        yield batch
        raise
    finally:
        facts.encoding = lines.name
    if lines.foreign_lines:
        batch.faults.append(Fault("encoding", lines.first_foreign, f"{lines.foreign_lines}", keeps_row=True))
    yield batch


def read_lines(lines: TextLines) -> Batch:
    """All rows of JSON Lines at once, for a part of a file."""
    batch = Batch()
    for row, line, fault in _json_lines(lines):
        if fault is None:
            batch.add(row, line)
        else:
            batch.faults.append(fault)
    return batch


def _json_lines(lines: TextLines) -> Found:
    for line in lines:
        if not line or line.isspace():
            continue
        number = lines.number
        try:
            row, twice = _parsed_line(lines, line)
        except BadRow as bad:
            cut = lines.last_is_open and bad.name == "not_json" and line.lstrip()[:1] == b"{"
            yield None, number, Fault("truncated_last_line" if cut else bad.name, number, bad.detail)
            continue
        if twice:
            yield None, number, Fault("duplicate_key", number, f'"{twice[:40]}"', keeps_row=True)
        if len(line) > LONG_LINE_BYTES:
            yield None, number, Fault("long_line", number, f"{len(line) / 1e6:.1f} MB", keeps_row=True)
        yield row, number, None


def _parsed_line(lines: TextLines, line: bytes) -> tuple[Any, str]:
    try:
        return parse(line)
    except UnicodeDecodeError:
        return parse(lines.as_text(line))


def _json(part: Part, lines: TextLines) -> Found:
    """An array of rows, an object that holds one, or rows one after the other, line by line or spread over lines."""
    text = _Characters(lines)
    start = text.peek()
    if start == "[":
        text.advance(1)
        yield from _elements(part, text, closing="]")
    elif start == "{":
        yield from _objects(part, text)
    else:
        raise DataError(f"{part.name} holds no list of rows.", 'It must be an array [...] or {"data": [...]}.')


def _elements(part: Part, text: "_Characters", closing: str) -> Found:
    while (sign := text.peek()) and sign != closing:
        line = text.line
        if sign == ",":
            text.advance(1)
            continue
        try:
            value = text.value()
        except BadRow as bad:
            yield None, line, Fault("truncated_file" if text.ended else bad.name, text.line, bad.detail)
            if not text.skip_to_next_object():
                return
            continue
        yield from _checked(value, line)
    if not sign:
        yield None, text.line, Fault("truncated_file", text.line, "the closing bracket is missing", keeps_row=True)


def _objects(part: Part, text: "_Characters") -> Found:
    first = True
    while text.peek():
        line = text.line
        try:
            value = text.value()
        except BadRow as bad:
            yield None, line, Fault(bad.name, text.line, bad.detail)
            if not text.skip_to_next_object():
                return
            continue
        if first and not text.peek() and isinstance(value, dict):
            inner = next((value[name] for name in ROW_LISTS if isinstance(value.get(name), list)), None)
            if inner is not None:
                for row in inner:
                    yield from _checked(row, 0)
                return
        first = False
        yield from _checked(value, line)


def _checked(value: Any, line: int) -> Found:
    if depth(value) > DEEPEST:
        yield None, line, Fault("too_deep", line, "it nests too deeply")
    elif has_half_characters(value):
        yield None, line, Fault("broken_text", line, "it holds half a character (a lone surrogate)")
    else:
        yield value, line, None


class _Characters:
    """The text of a file as a window that moves on; holds no more than one value and a block."""

    def __init__(self, lines: TextLines):
        self._lines = iter(lines)
        self._as_text = lines.as_text
        self._text, self._at = "", 0
        self._decoder = JSONDecoder()
        self.line = 1
        self.ended = False

    def peek(self) -> str:
        """The next character that is not white space, "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self.advance(1)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill(1):
                return ""

    def advance(self, n: int) -> None:
        self.line += self._text.count("\n", self._at, self._at + n)
        self._at += n

    def value(self) -> Any:
        """The JSON value here. Raises `BadRow`; `line` is then where it breaks off."""
        size = 65_536
        while True:
            whole = not self._fill(size)
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except JSONDecodeError as error:
                if not whole and len(self._text) - self._at <= LONGEST_LINE_BYTES:
                    size = 4 * (len(self._text) - self._at)
                    continue
                at_end = error.pos >= len(self._text.rstrip()) - len(r"\u1234")
                self.ended = whole and (at_end or error.msg.startswith("Unterminated string"))
                self.line += self._text.count("\n", self._at, error.pos)
                raise BadRow("not_json", reason(error)) from None
            except RecursionError:
                raise BadRow("too_deep", "it nests too deeply") from None
            except ValueError:
                raise BadRow("not_json", "a number has thousands of digits") from None
            if end >= len(self._text) and not whole:
                size *= 4
                continue
            self.advance(end - self._at)
            return value

    def skip_to_next_object(self) -> bool:
        """Move behind the broken value: to the next line that begins with an opening brace."""
        while True:
            end = self._text.find("\n", self._at)
            if end < 0:
                self._at = len(self._text)
                if not self._fill(1):
                    return False
                continue
            self.advance(end + 1 - self._at)
            if self.peek() == "{":
                return True

    def _fill(self, size: int) -> bool:
        """Have `size` characters ahead; False at the end of the file."""
        if len(self._text) - self._at >= size:
            return True
        parts, ahead = [self._text[self._at:]], len(self._text) - self._at
        for line in self._lines:
            parts.append(self._as_text(line) + "\n")
            ahead += len(parts[-1])
            if ahead >= size:
                break
        self._text, self._at = "".join(parts), 0
        return ahead >= size

"""Rows of a file of any kind in batches, with the line each stands on; what is no row becomes a fault, not an end.

One pass, bounded memory: at most a block of text, a batch of rows and one over-long row are held.
"""

import re
from collections.abc import Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any

from studio import words
from studio.data.archives import APART_EXTENSIONS, Part
from studio.data.batches import Batch, Fault, FileFacts, Found
from studio.data.csv_rows import read_csv
from studio.data.document_rows import read_plain
from studio.data.encoding import LONGEST_LINE_BYTES, TextLines
from studio.data.files import TEXT_EXTENSIONS
from studio.data.json_layout import listed_rows
from studio.data.json_rows import DEEPEST, BadRow, depth, has_half_characters, parse, reason
from studio.data.reader_process import read_apart
from studio.errors import DataError

BATCH_ROWS = 1000
LONG_LINE_BYTES = 1_000_000
BLOCK_CHARACTERS = 16_384
# so many characters may be read again, in all, because rows do not end where they should
SWALLOWED = 8 * LONGEST_LINE_BYTES
LONGEST_SIGN = len("-Infinity\n")
BLANK = re.compile(r"[ \t\r\n]*")


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
            yield None, number, _key_twice(twice, number)
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
    if text.peek() not in ("[", "{"):
        raise DataError(f"{part.name} holds no list of rows.", 'It must be an array [...] or {"data": [...]}.')
    in_array, first = False, True
    while sign := text.peek():
        line = text.line
        if sign == ("]" if in_array else "["):
            in_array = not in_array
            text.advance(1)
            continue
        if sign == "," and in_array:
            text.advance(1)
            continue
        try:
            value = text.value()
        except BadRow as bad:
            yield None, line, Fault("truncated_file" if in_array and text.ended else bad.name, text.line, bad.detail)
            if not text.skip_to_next_object():
                return
            continue
        if first and not in_array and isinstance(value, dict) and not text.peek():
            inner = listed_rows(part.name, value)
            if inner is not None:
                for key in text.twice:
                    yield None, 0, _key_twice(key, 0)
                for row in inner:
                    yield from _checked(row, 0)
                return
        first = False
        if text.twice:
            yield None, line, _key_twice(text.twice[0], line)
        yield from _checked(value, line)
    if in_array:
        yield None, text.line, Fault("truncated_file", text.line, "the closing bracket is missing", keeps_row=True)


def _key_twice(key: str, line: int) -> Fault:
    return Fault("duplicate_key", line, f'"{words.plain(key, 40)}"', keeps_row=True)


def _checked(value: Any, line: int) -> Found:
    if depth(value) > DEEPEST:
        yield None, line, Fault("too_deep", line, "it nests too deeply")
    elif has_half_characters(value):
        yield None, line, Fault("broken_text", line, "it holds half a character (a lone surrogate)")
    else:
        yield value, line, None


class _Characters:
    """The text of a file as a window that moves on; holds no more than one value and a block.

    What is wrong with a value costs time in its own length, and in the length of what it swallows by an open bracket;
    of that, no more than SWALLOWED in the whole file.
    """

    def __init__(self, lines: TextLines):
        self._lines = iter(lines)
        self._as_text = lines.as_text
        self._text, self._at = "", 0
        # read already, and longer than the window needs: text, and from where on it comes; the last comes first
        self._ahead: list[tuple[str, int]] = []
        self._decoder = JSONDecoder(object_pairs_hook=self._object)
        # of each object in the last value that names a key twice, that key
        self.twice: list[str] = []
        self._swallowed = 0
        self.line = 1
        self.ended = False

    def peek(self) -> str:
        """The next character that is not white space, "" at the end."""
        while True:
            self.advance(BLANK.match(self._text, self._at).end() - self._at)
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill(1):
                return ""

    def advance(self, n: int) -> None:
        self.line += self._text.count("\n", self._at, self._at + n)
        self._at += n

    def value(self) -> Any:
        """The JSON value here. Raises `BadRow`; `line` is then where it breaks off."""
        size = BLOCK_CHARACTERS
        while True:
            whole = not self._fill(size)
            self.twice = []
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except JSONDecodeError as error:
                if not whole and self._may_go_on(error):
                    if size < self._longest():
                        size *= 2
                        continue
                    bad = BadRow("line_too_long", f"it does not end within {size // 1_000_000:,} MB")
                else:
                    bad = BadRow("not_json", reason(error))
                self.ended = whole and self._may_go_on(error)
                self.line += self._text.count("\n", self._at, error.pos)
                self._swallowed += size if size > BLOCK_CHARACTERS else 0
                self._give_back()
                raise bad from None
            except RecursionError:
                self._give_back()
                raise BadRow("too_deep", "it nests too deeply") from None
            except ValueError:
                self._give_back()
                raise BadRow("not_json", "a number has thousands of digits") from None
            if end >= len(self._text) and not whole:
                size *= 2
                continue
            self.advance(end - self._at)
            self._give_back()
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

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            seen: set[str] = set()
            self.twice.append(next(key for key, _ in pairs if key in seen or seen.add(key)))
        return found

    def _may_go_on(self, error: JSONDecodeError) -> bool:
        """Whether the value breaks off where the window ends."""
        return error.pos >= len(self._text) - LONGEST_SIGN or error.msg.startswith("Unterminated string")

    def _longest(self) -> int:
        return LONGEST_LINE_BYTES if self._swallowed < SWALLOWED else BLOCK_CHARACTERS

    def _fill(self, size: int) -> bool:
        """Have `size` characters ahead; False at the end of the file."""
        if len(self._text) - self._at >= size:
            return True
        parts, ahead = [self._text[self._at:]], len(self._text) - self._at
        # some more, so that this is seldom
        while ahead < size + 4 * BLOCK_CHARACTERS and (piece := self._piece()):
            parts.append(piece)
            ahead += len(piece)
        self._text, self._at = "".join(parts), 0
        return ahead >= size

    def _piece(self) -> str:
        """The next text, a block at most; "" at the end."""
        if not self._ahead:
            line = next(self._lines, None)
            if line is None:
                return ""
            text = self._as_text(line) + "\n"
            if len(text) <= BLOCK_CHARACTERS:
                return text
            self._ahead.append((text, 0))
        text, start = self._ahead.pop()
        end = start + BLOCK_CHARACTERS
        if end < len(text):
            self._ahead.append((text, end))
        return text[start:end]

    def _give_back(self) -> None:
        """Have a small window again, for an error in it is counted from its start."""
        if len(self._text) > 8 * BLOCK_CHARACTERS:
            end = self._at + BLOCK_CHARACTERS
            if end < len(self._text):
                self._ahead.append((self._text[end:], 0))
            self._text, self._at = self._text[self._at:end], 0

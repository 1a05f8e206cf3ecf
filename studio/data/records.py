"""Rows of a file of any kind in batches, with the line each stands on; what is no row becomes a fault, not an end.

One pass, bounded memory: at most a block of text, a batch of rows and one over-long row are held.
"""

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import JSONDecodeError, JSONDecoder
from typing import Any

from studio.data.archives import Part, unpacked_limit
from studio.data.encoding import LONGEST_LINE_BYTES, TextLines
from studio.data.files import csv_delimiter, csv_header
from studio.data.json_rows import DEEPEST, BadRow, depth, has_half_characters, parse, reason
from studio.errors import DataError

BATCH_ROWS = 2000
COLUMN_BATCH_ROWS = 500
# what a row of columns costs at least, so that a tiny file cannot hold rows without end
ROW_BYTES = 64
LONG_LINE_BYTES = 1_000_000
# a cell that runs on over so many characters has an open quotation mark
LONGEST_CSV_ROW = 2_000_000
# each long rewind reads up to LONGEST_CSV_ROW again
CSV_REWINDS, REWOUND_FREELY = 50, 20_000
ROW_LISTS = ("data", "rows", "train", "examples")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong where a row should be, or (`keeps_row`) with the text of a row that can be used."""

    name: str
    line: int
    detail: str = ""
    keeps_row: bool = False


@dataclass(slots=True)
class Batch:
    """Rows with their lines (from 1; 0 where the kind of file has none), and faults met on the way."""

    rows: list[Any] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, row: Any, line: int) -> None:
        self.rows.append(row)
        self.lines.append(line)


@dataclass
class FileFacts:
    """What was found out about a file while it was read; `encoding` is empty for kinds that are not text."""

    name: str
    kind: str
    size_bytes: int
    encoding: str = ""
    rows: int = 0


def read_batches(part: Part, facts: FileFacts) -> Iterator[Batch]:
    """The rows of one file. Raises `DataError` where nothing more of it can be read."""
    if part.extension == ".parquet":
        yield from _parquet(part)
    elif part.extension == ".arrow":
        yield from _arrow(part)
    else:
        yield from _text(part, facts)


def _text(part: Part, facts: FileFacts) -> Iterator[Batch]:
    batch = Batch()
    lines = TextLines(part.stream, lambda number: batch.faults.append(
        Fault("line_too_long", number, f"longer than {LONGEST_LINE_BYTES // 1_000_000} MB")))
    if part.extension in (".csv", ".tsv"):
        found = _csv(part, lines)
    elif part.extension == ".json":
        found = _json(part, lines)
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


Found = Iterator[tuple[Any, int, Fault | None]]


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


def _csv(part: Part, lines: TextLines) -> Found:
    """Rows of cells. A row with an open quotation mark costs that one line: reading goes on with the next."""
    csv.field_size_limit(sys.maxsize)
    source = _Rewindable(lines)
    delimiter, header = "", []
    while True:
        source.begin_row()
        try:
            if not delimiter:
                delimiter = "\t" if part.extension == ".tsv" else csv_delimiter(source.peek())
            # one reader a row, so that a row that ends in an error does not take the lines read ahead with it
            cells = next(csv.reader(source, delimiter=delimiter, strict=True), None)
        except (csv.Error, _TooLong) as error:
            if not header:
                raise DataError(f"{part.name} has a header that cannot be read: {error}.",
                                "The first line must name every column.") from None
            first, lost = source.first, source.rewind()
            yield None, first, Fault("ragged_csv", first, f"{error}" + (f"; {lost:,} lines with it" if lost else ""))
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = csv_header(part.name, cells)
        elif len(cells) != len(header):
            yield None, source.first, Fault("ragged_csv", source.first,
                                            f"{len(cells):,} cells, and the header has {len(header):,}")
        elif any("\0" in cell for cell in cells):
            yield None, source.first, Fault("nul_bytes", source.first, "it holds zero bytes")
        else:
            yield dict(zip(header, cells, strict=True)), source.first, None


class _TooLong(Exception):
    pass


class _Rewindable:
    """Lines as text for the CSV reader, which can be given back if they turn out not to be one row."""

    def __init__(self, lines: TextLines):
        self._lines, self._as_text = iter(lines), lines.as_text
        self._ahead: list[str] = []
        self._taken: list[str] = []
        self._taken_characters = 0
        self._rewinds = 0
        self._number = 0
        self.first = 1

    def __iter__(self) -> "_Rewindable":
        return self

    def __next__(self) -> str:
        if self._taken_characters > LONGEST_CSV_ROW:
            raise _TooLong("the row does not end; a quotation mark is open")
        line = self._ahead.pop() if self._ahead else self._as_text(next(self._lines)) + "\n"
        self._number += 1
        self._taken.append(line)
        self._taken_characters += len(line)
        return line

    def peek(self) -> str:
        if not self._ahead:
            self._ahead.append(self._as_text(next(self._lines, b"")) + "\n")
        return self._ahead[-1]

    def begin_row(self) -> None:
        self._taken, self._taken_characters = [], 0
        self.first = self._number + 1

    def rewind(self) -> int:
        """Give back all lines of this row but its first; returns how many were not given back, to stay in bounds."""
        if self._rewinds == CSV_REWINDS:
            return len(self._taken) - 1
        self._rewinds += self._taken_characters > REWOUND_FREELY
        self._ahead.extend(reversed(self._taken[1:]))
        self._number -= len(self._taken) - 1
        return 0


# what pyarrow lets through from a file whose bytes lie: names that are no text, sizes that no memory holds
PYARROW_ERRORS = (OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError)


def _parquet(part: Part) -> Iterator[Batch]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(part.stream) as file:
            groups = range(file.metadata.num_row_groups)
            room = _Room(part)
            room.take(sum(file.metadata.row_group(number).total_byte_size for number in groups))
            room = _Room(part)
            for batch in file.iter_batches(batch_size=COLUMN_BATCH_ROWS):
                room.take(batch.nbytes + ROW_BYTES * batch.num_rows)
                yield _columns(batch)
    except (pyarrow.ArrowException, *PYARROW_ERRORS) as error:
        raise DataError(f"{part.name} is not a readable Parquet file: {_reason(error)}.", "Write it again.") from None


def _arrow(part: Part) -> Iterator[Batch]:
    """Arrow IPC, as a file or (what `datasets` writes) a stream."""
    import pyarrow

    try:
        head = part.stream.read(6)
        part.stream.seek(0)
        room = _Room(part)
        if head == b"ARROW1":
            with pyarrow.ipc.open_file(part.stream) as file:
                for number in range(file.num_record_batches):
                    yield from _slices(file.get_batch(number), room)
        else:
            with pyarrow.ipc.open_stream(part.stream) as stream:
                for batch in stream:
                    yield from _slices(batch, room)
    except (pyarrow.ArrowException, *PYARROW_ERRORS) as error:
        raise DataError(f"{part.name} is not a readable Arrow file: {_reason(error)}.", "Write it again.") from None


class _Room:
    """How much the columns of a file may still unpack to: runs of equal values pack far tighter than text."""

    def __init__(self, part: Part):
        self._name, self._left = part.name, unpacked_limit(part.size)

    def take(self, size_bytes: int) -> None:
        """Raises `DataError` when there is no room left."""
        self._left -= size_bytes
        if self._left < 0:
            raise DataError(f"{self._name} unpacks to far more than rows of text would: it may be a bomb.",
                            "Write its rows as JSON Lines.")


def _slices(batch: Any, room: _Room) -> Iterator[Batch]:
    room.take(batch.nbytes + ROW_BYTES * batch.num_rows)
    # offsets in a hostile file may point outside its buffers
    batch.validate(full=True)
    for start in range(0, batch.num_rows, COLUMN_BATCH_ROWS):
        yield _columns(batch.slice(start, COLUMN_BATCH_ROWS))


def _columns(table: Any) -> Batch:
    """Rows of an Arrow batch; values that Python cannot hold (dates after the year 9999) cost their row."""
    try:
        return Batch(rows := table.to_pylist(), [0] * len(rows), [])
    except (ValueError, OverflowError, TypeError):
        batch = Batch()
        for number in range(table.num_rows):
            try:
                batch.add(table.slice(number, 1).to_pylist()[0], 0)
            except (ValueError, OverflowError, TypeError) as error:
                batch.faults.append(Fault("unreadable_value", 0, _reason(error)))
        return batch


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0][:200]
    return "".join(c for c in first if c.isprintable()).strip(" .:") or type(error).__name__

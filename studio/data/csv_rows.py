"""Rows of a table in text (CSV, TSV); a line that does not fit costs only itself."""

import csv
import re
import sys

from studio import words
from studio.data.archives import Part
from studio.data.batches import Fault, Found
from studio.data.encoding import LOST, TextLines
from studio.errors import DataError

# a cell that runs on over so many characters has an open quotation mark
LONGEST_CSV_ROW = 2_000_000
# each long rewind reads up to LONGEST_CSV_ROW again
CSV_REWINDS, REWOUND_FREELY = 50, 20_000
# Excel's own first line, which names the delimiter
SEPARATOR_LINE = re.compile(r'"?sep=([,;|:\t])"?', re.IGNORECASE)


def read_csv(part: Part, lines: TextLines) -> Found:
    """Rows of cells. A row with an open quotation mark costs that one line: reading goes on with the next.

    Columns without a name are left out: a first one numbers the rows, others are there for a comma at the end of lines.
    """
    csv.field_size_limit(sys.maxsize)
    lines.may_end_in_carriage_returns = True
    source = _Rewindable(lines)
    delimiter, header, unnamed = "", [], []
    while True:
        source.begin_row()
        try:
            if not delimiter:
                named = SEPARATOR_LINE.fullmatch(source.peek().strip("\r\n"))
                if named:
                    next(source)
                    source.begin_row()
                delimiter = named[1] if named else "\t" if part.extension == ".tsv" else _delimiter(source.peek())
            # one reader a row, so that a row that ends in an error does not take the lines read ahead with it
            cells = next(csv.reader(source, delimiter=delimiter, strict=True), None)
        except (csv.Error, _TooLong) as error:
            said = words.plain(str(error).replace("'\t'", "a tab"))
            if not header:
                raise DataError(f"{part.name} has a header that cannot be read: {said}.",
                                "The first line must name every column.") from None
            first, lost = source.first, source.rewind()
            yield None, first, Fault("ragged_csv", first, said + (f"; {lost:,} lines with it" if lost else ""))
            continue
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _header(part.name, cells)
            unnamed = [i for i, name in enumerate(header) if not name]
            for i in unnamed:
                yield None, source.first, Fault("unnamed_column", source.first, f"column {i + 1:,}", keeps_row=True)
        elif len(cells) != len(header):
            yield None, source.first, Fault("ragged_csv", source.first,
                                            words.in_number(
                                                f"{len(cells):,} [cell|cells], and the header has {len(header):,}",
                                                len(cells)))
        elif any("\0" in cell for cell in cells):
            yield None, source.first, Fault("nul_bytes", source.first, "it holds zero bytes")
        elif lines.has_lost and any(LOST in cell for cell in cells):
            yield None, source.first, Fault("broken_text", source.first, f"it holds bytes that are no {lines.name}")
        elif not unnamed:
            yield dict(zip(header, cells, strict=True)), source.first, None
        elif stray := next((i for i in unnamed if i and cells[i].strip()), 0):
            yield None, source.first, Fault("ragged_csv", source.first, f"column {stray + 1:,} has no name")
        else:
            row = {name: cell for name, cell in zip(header, cells, strict=True) if name}
            yield row, source.first, None


def _delimiter(first_line: str) -> str:
    """The sign that parts the cells: comma, semicolon or tab, whichever the first line has most of."""
    return max(",;\t", key=first_line.count)


def _header(name: str, cells: list[str]) -> list[str]:
    """The names of the columns, "" where there is none. Raises `DataError` for a name used twice."""
    header = [cell.strip().replace(LOST, "\ufffd") for cell in cells]
    twice = next((cell for cell in header if cell and header.count(cell) > 1), None)
    if twice is not None:
        raise DataError(f'{name} has two columns called "{words.plain(twice)}".',
                        "Give every column a name of its own.")
    return header


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

"""Rows of a file in batches, with the line each stands on, and what was wrong where a row should be."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


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

    def first(self, n: int) -> "Batch":
        """Its first `n` rows (one at least), and what was met up to the last of them."""
        last = self.lines[n - 1]
        return Batch(self.rows[:n], self.lines[:n], [fault for fault in self.faults if fault.line <= last])


@dataclass
class FileFacts:
    """What was found out about a file while it was read; `encoding` is empty for kinds that are not text.

    `rows_before` are the rows of the data set in the files before it.
    """

    name: str
    kind: str
    size_bytes: int
    encoding: str = ""
    rows: int = 0
    rows_before: int = 0


# a row with its line, or a fault in its place
Found = Iterator[tuple[Any, int, Fault | None]]

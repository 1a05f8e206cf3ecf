"""Finds rows in a whole data set for a page: by words, by what is wrong with them, by edits; in one pass, few kept.

Rows are judged as they would be trained: after edits by hand, in the studio's shape, masked.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from studio.data import formats, overlay
from studio.data.account import Entry, stops
from studio.data.cycles import without_cycle_search
from studio.data.privacy import mask_row
from studio.data.row_checks import check_row, check_source, unused_keys
from studio.data.row_reader import RowReader
from studio.data.shapes import PROBLEMS, Refused, Shape
from studio.data.sources import HUB_ROWS, is_hub, is_hub_kept, row_batches
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings

SOURCE_CHARACTERS = 100_000
# what makes a row unusable
COSTS = frozenset({*PROBLEMS, "empty_text"})


@dataclass(frozen=True)
class Query:
    """Which rows are wanted: `text` in them in any case, `only` all, problem, edited, excluded or masked; rows
    `offset` to `offset + limit` of those found, in the file's order, or with `order` random so many by `seed`.

    Where an earlier search told their `known_total`, this one ends with the page.
    """

    text: str = ""
    only: str = "all"
    order: str = "file"
    seed: int = 0
    offset: int = 0
    limit: int = 10
    known_total: int = 0


@dataclass
class Row:
    """A row found: `number` from 1 (0 for a line that is no row), `source` as JSON with the edit, `original` without.

    `normalised` is what would be trained, None for a row that cannot be used. `masked` are kinds of secrets and
    personal data in it, masked there if the preset says so. `is_long` sources are cut and cannot be edited.
    """

    number: int
    file: str
    line: int
    source: str = ""
    original: str = ""
    is_long: bool = False
    excluded: bool = False
    edited: bool = False
    problems: list[str] = field(default_factory=list)
    masked: list[str] = field(default_factory=list)
    detail: str = ""
    normalised: dict[str, Any] | None = None


@dataclass
class Found:
    """How many rows the query has in all, those asked for, and how many rows were searched.

    `only_first` where those are no more than the first HUB_ROWS of a data set on the Hub.
    """

    total: int
    rows: list[Row]
    searched: int
    only_first: bool = False


@without_cycle_search()
def find_rows(section: DataSection, settings: Settings, query: Query, token: str | None = None) -> Found:
    """Search all rows; a million take about ten seconds. Raises `DataError`."""
    lost: list[Entry] = []
    edits = overlay.load(section, settings)
    only_first = is_hub(section.dataset_name) and not is_hub_kept(section, settings, token)
    search = _Search(section, query, edits)
    for row in _read(section, settings, token, lost, edits):
        search.take(*row)
        if search.has_page:
            return Found(query.known_total, search.rows(), search.searched, only_first)
    if not search.searched:
        raise DataError("The data set holds no row that can be read.", "Choose another file.",
                        field="data.dataset_name")
    if not (section.max_rows or is_hub(section.dataset_name)):
        edits.check(search.searched)
    search.finish(lost)
    return Found(search.total, search.rows(), search.searched, only_first)


def _read(
    section: DataSection, settings: Settings, token: str | None, lost: list[Entry], edits: overlay.Edits
) -> Iterator[tuple[int, str, int, Any, Any]]:
    """Each row as number, file, line, the row with its edit, and as the file has it."""
    number = 0
    for file, batch in row_batches(section, settings, token, HUB_ROWS, lost):
        for row, line in zip(batch.rows, batch.lines, strict=True):
            number += 1
            yield number, file, line, edits.replaced.get(number, row), row


class _Search:
    """Takes rows one by one, counts those wanted and keeps those of the page."""

    def __init__(self, section: DataSection, query: Query, edits: overlay.Edits):
        self._section, self._query, self._edits = section, query, edits
        # as it stands in JSON
        self._text = json.dumps(query.text, ensure_ascii=False)[1:-1].lower()
        self._personal = section.mask != "secrets"
        self._reader = RowReader(section)
        self._shape: Shape | None = None
        self._columns: set[str] = set()
        self._waiting: list[tuple[int, str, int, Any, Any]] = []
        self._objects = 0
        # rows of empty text, which are a problem only where no row can be used
        self._empty: list[tuple[int, str, int, Any, Any]] = []
        self._some_usable = False
        self._random = random.Random(query.seed)
        self._kept: list[Row] = []
        self.total = self.searched = 0

    def take(self, number: int, file: str, line: int, row: Any, original: Any) -> None:
        """Judge a row; the first ones wait until the shape can be told."""
        self.searched += 1
        if self._shape is not None:
            self._judge(number, file, line, row, original)
            return
        self._waiting.append((number, file, line, row, original))
        self._objects += isinstance(row, dict) and number not in self._edits.excluded
        if self._objects == formats.DETECT_ROWS:
            self._decide()

    def finish(self, lost: list[Entry]) -> None:
        """No more rows come; lines that are no rows count among those with problems."""
        if self._shape is None:
            self._decide()
        for waiting in [] if self._some_usable else self._empty:
            self._count(lambda waiting=waiting: replace(self._shown(*waiting), problems=["missing_text"]))
        if self._query.only == "problem" and not self._query.text:
            for entry in filter(stops, lost):
                self._count(lambda entry=entry: Row(
                    0, entry.file, entry.line, problems=[entry.reason], detail=entry.detail))

    @property
    def has_page(self) -> bool:
        """Whether all that is asked for is there already."""
        query = self._query
        return query.known_total > 0 and query.order == "file" and len(self._kept) == max(
            0, min(query.limit, query.known_total - query.offset))

    def rows(self) -> list[Row]:
        """Those asked for, in the file's order."""
        return sorted(self._kept, key=lambda row: row.number) if self._query.order == "random" else self._kept

    def _decide(self) -> None:
        left = [row for number, _, _, row, _ in self._waiting if number not in self._edits.excluded]
        # where all are left out by hand, they must be found to be restored
        self._shape, self._columns = formats.first_shape(
            left or [row for _, _, _, row, _ in self._waiting], self._section)
        for waiting in self._waiting:
            self._judge(*waiting)
        self._waiting = []

    def _judge(self, *found: Any) -> None:
        """Take a row (number, file, line, the row, the row without its edit) whose shape is known."""
        if self._wants(found):
            self._count(lambda: self._shown(*found))

    def _wants(self, found: tuple[int, str, int, Any, Any]) -> bool:
        only, number, row = self._query.only, found[0], found[3]
        if only == "edited" and number not in self._edits.replaced:
            return False
        if only == "excluded" and number not in self._edits.excluded:
            return False
        if self._text and self._text not in _as_text(row).lower():
            return False
        if only == "problem":
            return number not in self._edits.excluded and self._is_problem(found)
        return only != "masked" or bool(self._read(row)[1])

    def _is_problem(self, found: tuple[int, str, int, Any, Any]) -> bool:
        problems = self._problems(found[3])
        self._some_usable = self._some_usable or not COSTS.intersection(problems)
        if problems != ["empty_text"]:
            return bool(problems)
        if not self._some_usable:
            self._empty.append(found)
        return False

    def _count(self, build: Any) -> None:
        """Count a row that is wanted, and keep it if it is on the page (or drawn, each with the same chance)."""
        self.total += 1
        query = self._query
        if query.order == "random":
            if len(self._kept) < query.limit:
                self._kept.append(build())
            elif (place := self._random.randrange(self.total)) < query.limit:
                self._kept[place] = build()
        elif query.offset < self.total <= query.offset + query.limit:
            self._kept.append(build())

    def _problems(self, row: Any) -> list[str]:
        """What is wrong with a row as it is."""
        try:
            normalised = formats.convert_row(row, self._shape)
            # masked or mended, both answers may be the same; mended, an answer may be gone
            if "chosen" in normalised or self._reader.mends:
                self._reader.read(row, self._shape)
        except Refused as refused:
            return [refused.args[0]]
        late = formats.late_columns(row, self._columns, self._shape)
        unused = unused_keys(row, normalised, self._shape)
        return (check_row(normalised) + check_source(row, normalised, self._columns)
                + ["unused_message_key"] * bool(unused) + ["late_column"] * bool(late))

    def _read(self, row: Any) -> tuple[dict[str, Any] | None, list[str]]:
        """The row as it is trained, and the kinds of secrets and personal data in it, masked or not."""
        try:
            read, _, masked = self._reader.read(row, self._shape)
        except Refused:
            return None, []
        return read, masked or mask_row(read, self._personal)[1]

    def _shown(self, number: int, file: str, line: int, row: Any, original: Any) -> Row:
        source = json.dumps(row, ensure_ascii=False, indent=2, default=str)
        edited = number in self._edits.replaced
        read, masked = self._read(row)
        return Row(
            number, file, line, source[:SOURCE_CHARACTERS],
            json.dumps(original, ensure_ascii=False, indent=2, default=str)[:SOURCE_CHARACTERS] if edited else "",
            len(source) > SOURCE_CHARACTERS, number in self._edits.excluded, edited, self._problems(row), masked,
            normalised=read)


def _as_text(row: Any) -> str:
    """The row as JSON, quickly."""
    try:
        return orjson.dumps(row).decode()
    except orjson.JSONEncodeError:  # numbers of more than 64 bits, and what Parquet holds beside JSON
        return json.dumps(row, ensure_ascii=False, default=str)

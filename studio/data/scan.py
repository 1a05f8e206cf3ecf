"""What is known of the rows of a data set that were read so far; parts of a file are scanned apart and joined."""

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from studio.data import duplicates, formats, languages, privacy
from studio.data.batches import Batch, FileFacts
from studio.data.formats import Refused, Shape
from studio.data.mends import mend
from studio.data.overlay import NO_EDITS, Edits
from studio.data.report import Findings, Place
from studio.data.row_checks import check_row, check_source, unused_keys
from studio.data.row_reader import RowReader
from studio.data.templates import named
from studio.errors import DataError
from studio.preset.schema import DataSection

# answers are labels where so few different ones serve so many rows each
LABELS_AT_MOST, ROWS_PER_LABEL, LABEL_CHARACTERS = 50, 5, 80
SOURCE_COLUMNS = {"label"}
# in place of a row that a person left out
LEFT_OUT = object()


class Scan:
    """Counts and first places of what is wrong, and what the usable rows are like, row by row.

    `usable` rows are those that a run takes, mended and masked as the preset says. With `thorough` equal and similar
    rows, languages, secrets and personal data are looked for too. Rows are taken as `edits` leave them. With `each`
    nothing is judged beyond the shape: it is called with every usable row, normalised, and its place.
    """

    def __init__(
        self, section: DataSection, thorough: bool = True,
        each: Callable[[dict[str, Any], Place], None] | None = None, edits: Edits = NO_EDITS,
    ):
        self.section = section
        self._edits = edits
        self.thorough = thorough
        self._each = each
        self.reader = RowReader(section)
        self.findings = Findings()
        self.files: list[FileFacts] = []
        self.unreadable: list[DataError] = []
        self.shape: Shape | None = None
        self.rows = self.usable = self._rows_taken = 0
        self.duplicates = duplicates.Duplicates()
        self._rows_judged = 0
        # of each usable row: its number in the data set, and its line
        self._place_rows, self._place_lines = array("Q"), array("Q")
        self.secrets: Counter[str] = Counter()
        self.personal_data: Counter[str] = Counter()
        self.labels: Counter[str] | None = Counter()
        self.turns: Counter[str] = Counter()
        self.languages = languages.Sample()
        self._columns: set[str] = set()
        self._waiting: list[tuple[FileFacts, Batch]] = []
        self._waiting_rows = 0

    def begin_file(self, name: str, kind: str, size: int) -> FileFacts:
        """Note that the next rows come from this file."""
        self.files.append(FileFacts(name, kind, size))
        return self.files[-1]

    def note_file(self, problem: str, file: str, detail: str) -> None:
        """Note something about a file as a whole."""
        self.findings.add(problem, Place(file, 0, 0, detail))

    def note_unreadable(self, name: str, error: DataError) -> None:
        """Note that no more of a file can be read."""
        self.unreadable.append(error)
        self.note_file("unreadable_file", name, error.message)

    @property
    def can_be_parted(self) -> bool:
        """Whether parts of a file may be scanned apart: nobody waits for the rows, and all of them count."""
        return self._each is None and not self.section.max_rows and self._edits == NO_EDITS

    @property
    def is_full(self) -> bool:
        """Whether all rows that `data.max_rows` lets in are taken."""
        return 0 < self.section.max_rows <= self._rows_taken

    def know_shape_of(self, other: "Scan") -> None:
        """Take over what another scan found the shape of the rows to be."""
        self.shape, self._columns = other.shape, other._columns

    def part(self) -> "Scan":
        """An empty scan for a part of a file, which knows the shape already."""
        part = Scan(self.section, self.thorough)
        part.know_shape_of(self)
        return part

    def take(self, facts: FileFacts, batch: Batch) -> None:
        """Judge a batch, as far as `data.max_rows` goes; the first ones wait until there are enough for the shape."""
        if self.section.max_rows and len(batch.rows) >= (left := self.section.max_rows - self._rows_taken):
            batch = batch.first(left)
        if self._edits != NO_EDITS:
            numbered = enumerate(batch.rows, start=self._rows_taken + 1)
            batch = replace(batch, rows=[LEFT_OUT if number in self._edits.excluded else
                                         self._edits.replaced.get(number, row) for number, row in numbered])
        self._rows_taken += len(batch.rows)
        if self.shape is not None:
            self._judge(facts, batch)
            return
        self.rows += len(batch.rows)
        # what is no object tells nothing of the shape, and is refused whatever it holds: it need not be kept
        waiting = [row if isinstance(row, dict) or row is LEFT_OUT else None for row in batch.rows]
        self._waiting.append((facts, replace(batch, rows=waiting)))
        self._waiting_rows += sum(isinstance(row, dict) for row in waiting)
        if self._waiting_rows >= formats.DETECT_ROWS:
            self._decide()

    def join(self, part: "Scan", lines_before: int) -> None:
        """Add what a scan of the file's next part found; the first line of that part was line 1 to it."""
        facts, theirs = self.files[-1], part.files[0]
        facts.rows_before = self._rows_judged - facts.rows
        self.findings.join(part.findings, self._rows_judged, lines_before, facts.rows)
        self._place_rows.extend(row + self._rows_judged for row in part._place_rows)
        self._place_lines.extend(line + lines_before for line in part._place_lines)
        facts.rows += theirs.rows
        self._rows_judged += theirs.rows
        self.rows += part.rows
        self.usable += part.usable
        self.duplicates.join(part.duplicates)
        self.secrets += part.secrets
        self.personal_data += part.personal_data
        self.turns += part.turns
        for text in part.languages.texts:
            self.languages.add(text)
        self.labels = None if self.labels is None or part.labels is None else self.labels + part.labels
        if self.labels is not None and len(self.labels) > LABELS_AT_MOST:
            self.labels = None

    def finish(self, complete: bool = True) -> None:
        """No more rows come; the data set may have more where it was not read `complete`.

        Raises `DataError` where there was none that is an object with columns, and for an edit of a row behind them.
        """
        if complete and not self.is_full:
            self._edits.check(self._rows_taken)
        if self.shape is None:
            self._decide()
        if not self.usable:
            self.findings.rename("empty_text", "missing_text")

    def _decide(self) -> None:
        rows = [row for _, batch in self._waiting for row in batch.rows if row is not LEFT_OUT]
        if not rows:
            raise self._nothing()
        self.shape, self._columns = formats.first_shape(rows, self.section)
        waiting, self._waiting, self.rows = self._waiting, [], 0
        for facts, batch in waiting:
            self._judge(facts, batch)

    def _nothing(self) -> DataError:
        """Why there are no rows: the first thing that went wrong, where something did."""
        faults = [(facts, fault) for facts, batch in self._waiting for fault in batch.faults if not fault.keeps_row]
        if any(batch.rows for _, batch in self._waiting):
            return DataError("All rows are left out by hand.", "Restore some of them.", field="data.edits")
        if not faults:
            return DataError("The data set holds no rows.", "Choose a file with rows in it.", field="data.dataset_name")
        facts, fault = faults[0]
        where = f" at line {fault.line:,}" if fault.line else ""
        found = Findings()
        found.add(fault.name, Place(facts.name, 1, fault.line))
        return DataError(f"{facts.name} holds no row that can be read{where}: {fault.detail or fault.name}.",
                         found.list(1, self.section)[0].fix, field="data.dataset_name")

    def _judge(self, facts: FileFacts, batch: Batch) -> None:
        for fault in batch.faults:
            count = int(fault.detail) if fault.name == "encoding" else 1
            detail = facts.encoding if fault.name == "encoding" else fault.detail
            self.findings.add(fault.name, Place(facts.name, 0, fault.line, detail), count)
            self.rows += not fault.keeps_row
        if facts.rows == 0:
            facts.rows_before = self._rows_judged
        for row, line in zip(batch.rows, batch.lines, strict=True):
            self.judge_row(facts, row, line)
        self._rows_judged += len(batch.rows)

    def judge_row(self, facts: FileFacts, source: Any, line: int) -> None:
        """Judge the next row of a file."""
        facts.rows += 1
        place = Place(facts.name, facts.rows_before + facts.rows, line, in_file=facts.rows)
        if source is LEFT_OUT:
            self.findings.add("excluded_by_hand", place)
            return
        self.rows += 1
        row, taken = self._read(source, place)
        if taken is None:
            return
        self.usable += 1
        if self._each is not None:
            self._each(taken, place)
            return
        if row is not None:
            for name in check_row(row):
                self.findings.add(name, place)
            if unused := unused_keys(source, row, self.shape):
                self.findings.add("unused_message_key", replace(place, detail=named(unused)))
        if not SOURCE_COLUMNS.isdisjoint(self._columns):
            for name in check_source(source, taken, self._columns):
                self.findings.add(name, place)
        if not self._columns.issuperset(source):
            late = formats.late_columns(source, self._columns, self.shape)
            if late:
                self.findings.add("late_column", replace(place, detail=named(late)))
        self._count(taken)
        if self.thorough:
            self.note_private(privacy.places(mend(source, self.shape)[0] if row is None else row), place)
            self.note_row(taken, place)

    def _read(self, source: Any, place: Place) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """The row in its form, and as a run takes it; None for each that cannot be, with the finding."""
        try:
            row = formats.convert_row(source, self.shape)
        except Refused as refused:
            row = None
            self.findings.add(refused.args[0], place)
        if not self.reader.changes or (row is None and not self.reader.mends):
            return row, row
        try:
            return row, self.reader.read(source, self.shape)[0]
        except Refused as refused:
            if row is not None:
                self.findings.add(refused.args[0], place)
            return row, None

    def note_row(self, taken: dict[str, Any], place: Place) -> None:
        """Note a row, as a run takes it, to compare it."""
        self.note(place, *duplicates.parts(taken), duplicates.digest(taken))

    def note(self, place: Place, asked: str, said: str, digest: int) -> None:
        """Note a usable row to compare it: what it asks, its text without what rows share, its digest."""
        self.duplicates.add(asked, said, digest)
        self.languages.add(said)
        self._place_rows.append(place.row)
        self._place_lines.append(place.line)

    def note_private(self, text: str, place: Place) -> bool:
        """Look for secrets and personal data in a row's `privacy.places`; returns whether there are any."""
        secrets, personal = privacy.found_in(text)
        if secrets:
            self.secrets.update(secrets)
            self.findings.add("secrets", replace(place, detail=", ".join(secrets)))
        if personal:
            self.personal_data.update(personal)
            self.findings.add("personal_data", replace(place, detail=", ".join(personal)))
        return bool(secrets or personal)

    def place(self, index: int) -> Place:
        """Where the usable row `index` (from 0) stands."""
        row = self._place_rows[index]
        file = next(file for file in reversed(self.files) if file.rows and file.rows_before < row)
        return Place(file.name, row, self._place_lines[index], in_file=row - file.rows_before)

    def _count(self, row: dict[str, Any]) -> None:
        if "messages" in row:
            roles = [message["role"] for message in row["messages"]]
            self.turns["messages"] += len(roles)
            self.turns["with_system"] += roles[0] in ("system", "developer")
            self.turns["with_tools"] += "tool" in roles or "tools" in row
            answer = row["messages"][-1]["content"]
        else:
            answer = row.get("completion")
        if isinstance(answer, str):
            self.count_label(answer)

    def count_label(self, answer: str) -> None:
        """Count an answer while answers may be labels."""
        if self.labels is None:
            return
        self.labels[answer[:LABEL_CHARACTERS]] += 1
        if len(self.labels) > LABELS_AT_MOST or len(answer) > LABEL_CHARACTERS:
            self.labels = None

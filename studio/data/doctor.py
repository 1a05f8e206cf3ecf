"""Examines a whole data set before a minute is spent on training: every problem with its row, and what the set is like.

One pass in bounded memory: rows are read in batches, judged and forgotten; kept are counts, 16 bytes a row to find
equal rows, and signatures to find similar ones. Nothing is changed, and nothing that is read is executed.
"""

import gc
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from studio.data import duplicates, formats, languages, privacy
from studio.data.archives import Part, open_parts
from studio.data.batches import Batch, FileFacts
from studio.data.formats import Refused, Shape
from studio.data.records import BATCH_ROWS, read_batches
from studio.data.report import Duplicates, Findings, Overlap, Place, Report, automatic_epochs, verdict
from studio.data.row_checks import check_row, check_source
from studio.data.sources import BUNDLED, is_hub, local_path, read_rows
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings

DETECT_ROWS = 100
# answers are labels where so few different ones serve so many rows each
LABELS_AT_MOST, ROWS_PER_LABEL, LABEL_CHARACTERS = 50, 5, 80
LABEL_SHARE = 0.9
FEW_ROWS, UNSURE = 10, 0.7
FIRST_ROWS = 1000
SOURCE_COLUMNS = {"label"}

Progress = Callable[[float, int], None]


@contextmanager
def without_cycle_search() -> Iterator[None]:
    """Let Python not search rows for reference cycles, which have none: that takes a third of the time otherwise."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


class Stopped(Exception):
    """The person ended the examination."""


@without_cycle_search()
def examine(
    section: DataSection, settings: Settings, *, more: list[str] | None = None, heldout: DataSection | None = None,
    token: str | None = None, progress: Progress | None = None, stopped: Callable[[], bool] = lambda: False,
    first: Callable[[Report], None] | None = None,
) -> Report:
    """Examine `section.dataset_name` and the files `more` as one set, and the rows to judge by against it.

    `progress(share from 0 to 1, rows so far)` is called several times a second for large files; when `stopped()`
    becomes True the report covers what was read. `first` gets a report of the first FIRST_ROWS rows as soon as they
    are judged, where there are more. Raises `DataError` where there is nothing to examine: no such file, no rows, no
    columns that a model could learn from.
    """
    began = time.monotonic()
    names = [section.dataset_name, *(more or [])]
    scan = Scan(section)
    complete = True
    try:
        for facts, batch, share in read_set(names, section, settings, scan, token):
            scan.take(facts, batch)
            if first and scan.rows >= FIRST_ROWS and scan.usable:
                first(_report(scan, ", ".join(names), None, False, time.monotonic() - began))
                first = None
            if progress:
                progress(share, scan.rows)
            if stopped():
                raise Stopped
    except Stopped:
        complete = False
    scan.finish()
    overlap = _overlap(scan, heldout, settings, token) if heldout and complete else None
    return _report(scan, ", ".join(names), overlap, complete, time.monotonic() - began)


def read_set(
    names: list[str], section: DataSection, settings: Settings, scan: "Scan", token: str | None = None
) -> Iterator[tuple[FileFacts, Batch, float]]:
    """The batches of several sources in order, with the share that is read; unreadable parts are findings of `scan`.

    Raises `DataError` where no source gave a row.
    """
    left = section.max_rows or float("inf")
    for number, name in enumerate(names):
        for facts, batch, share in _read_source(name, section, settings, scan, token):
            if len(batch.rows) > left:
                batch = Batch(batch.rows[:left], batch.lines[:left], [])
            left -= len(batch.rows)
            yield facts, batch, (number + share) / len(names)
            if left <= 0:
                return
    if scan.unreadable and not scan.rows:
        error = scan.unreadable[0]
        raise DataError(error.message, error.hint, error.field or "data.dataset_name")


def _read_source(
    name: str, section: DataSection, settings: Settings, scan: "Scan", token: str | None
) -> Iterator[tuple[FileFacts, Batch, float]]:
    try:
        if is_hub(name):
            rows = read_rows(section.model_copy(update={"dataset_name": name}), settings, token).rows
            facts = scan.begin_file(name, "Hub", 0)
            for start in range(0, len(rows), BATCH_ROWS):
                batch = rows[start:start + BATCH_ROWS]
                yield facts, Batch(batch, [0] * len(batch), []), (start + len(batch)) / len(rows)
            return
        for part in open_parts(local_path(name, settings), scan.note_file):
            yield from _read_part(part, scan)
    except DataError as error:
        scan.note_unreadable(name, error)


def _read_part(part: Part, scan: "Scan") -> Iterator[tuple[FileFacts, Batch, float]]:
    facts = scan.begin_file(part.name, part.extension.lstrip("."), part.size)
    try:
        for batch in read_batches(part, facts):
            yield facts, batch, min(1.0, part.position() / part.size)
    except DataError as error:  # the next file of an archive may be whole
        scan.note_unreadable(part.name, error)


class Scan:
    """What is known of the rows so far. `usable` are those in a shape that can be trained.

    With `each` nothing is judged beyond that: it is called with every usable row, normalised, and its place.
    """

    def __init__(self, section: DataSection, each: Callable[[dict[str, Any], Place], None] | None = None):
        self.section = section
        self._each = each
        self.findings = Findings()
        self.files: list[FileFacts] = []
        self.unreadable: list[DataError] = []
        self.shape: Shape | None = None
        self.rows = self.usable = 0
        self.duplicates = duplicates.Duplicates() if each is None else None
        # of each usable row: number of its file, row and line there
        self._place_files, self._place_rows, self._place_lines = array("I"), array("Q"), array("Q")
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

    def take(self, facts: FileFacts, batch: Batch) -> None:
        """Judge a batch. The first ones wait until there are rows enough to tell the shape."""
        if self.shape is not None:
            self._judge(facts, batch)
            return
        self.rows += len(batch.rows)
        self._waiting.append((facts, batch))
        self._waiting_rows += sum(isinstance(row, dict) for row in batch.rows)
        if self._waiting_rows >= DETECT_ROWS:
            self._decide()

    def finish(self) -> None:
        """No more rows come. Raises `DataError` where there was none that is an object with columns."""
        if self.shape is None:
            self._decide()
        if self.usable:
            missing = self.findings.discard("missing_text")
            if missing:
                self.findings.add("empty_text", Place("", 0, 0), missing)

    def _decide(self) -> None:
        rows = [row for _, batch in self._waiting for row in batch.rows if isinstance(row, dict)][:DETECT_ROWS]
        if not rows:
            raise self._nothing()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        if not columns:
            raise DataError("The rows are empty objects.", 'Each row must look like {"messages": [...]}.',
                            field="data.dataset_name")
        self.shape = formats.detect(columns, rows, self.section)
        self._columns = set(columns)
        waiting, self._waiting, self.rows = self._waiting, [], 0
        for facts, batch in waiting:
            self._judge(facts, batch)

    def _nothing(self) -> DataError:
        """Why there are no rows: the first thing that went wrong, where something did."""
        faults = [(facts, fault) for facts, batch in self._waiting for fault in batch.faults if not fault.keeps_row]
        if any(batch.rows for _, batch in self._waiting):
            return DataError("The rows are not objects with named columns.",
                             'Each row must look like {"messages": [...]}.', field="data.dataset_name")
        if not faults:
            return DataError("The data set holds no rows.", "Choose a file with rows in it.", field="data.dataset_name")
        facts, fault = faults[0]
        where = f" at line {fault.line:,}" if fault.line else ""
        found = Findings()
        found.add(fault.name, Place(facts.name, 1, fault.line))
        return DataError(f"{facts.name} holds no row that can be read{where}: {fault.detail or fault.name}.",
                         found.list(1)[0].fix, field="data.dataset_name")

    def _judge(self, facts: FileFacts, batch: Batch) -> None:
        costs = [fault for fault in batch.faults if not fault.keeps_row]
        for fault in batch.faults:
            count = int(fault.detail) if fault.name == "encoding" else 1
            detail = facts.encoding if fault.name == "encoding" else fault.detail
            self.findings.add(fault.name, Place(facts.name, 0, fault.line, detail), count)
        each = self._judge_row if self._each is None else lambda _, row, place: self._each(row, place)
        for row, line in zip(batch.rows, batch.lines, strict=True):
            facts.rows += 1
            try:
                normalised = formats.convert_row(row, self.shape)
            except Refused as refused:
                self.findings.add(refused.args[0], Place(facts.name, facts.rows, line))
                continue
            self.usable += 1
            each(row, normalised, Place(facts.name, facts.rows, line))
        self.rows += len(batch.rows) + len(costs)

    def place(self, index: int) -> Place:
        """Where the usable row `index` (from 0) stands."""
        file = self.files[self._place_files[index]]
        return Place(file.name, self._place_rows[index], self._place_lines[index])

    def _judge_row(self, source: dict[str, Any], row: dict[str, Any], place: Place) -> None:
        text = "\n".join(texts(row))
        names = check_row(row)
        if not SOURCE_COLUMNS.isdisjoint(self._columns):
            names = names + check_source(source, row, self._columns)
        for name in names:
            self.findings.add(name, place)
        self._count(row)
        asked, said = duplicates.parts(row)
        self.duplicates.add(asked, said, text)
        self.languages.add(said)
        self._place_files.append(len(self.files) - 1)
        self._place_rows.append(place.row)
        self._place_lines.append(place.line)
        if secrets := privacy.secrets_in(text):
            self.secrets.update(secrets)
            self.findings.add("secrets", replace(place, detail=", ".join(secrets)))
        if found := privacy.personal_data_in(text):
            self.personal_data.update(found)
            self.findings.add("personal_data", replace(place, detail=", ".join(found)))

    def _count(self, row: dict[str, Any]) -> None:
        if "messages" in row:
            roles = [message["role"] for message in row["messages"]]
            self.turns["messages"] += len(roles)
            self.turns["with_system"] += roles[0] in ("system", "developer")
            self.turns["with_tools"] += "tool" in roles or "tools" in row
            answer = row["messages"][-1]["content"]
        else:
            answer = row.get("completion")
        if self.labels is None or not isinstance(answer, str):
            return
        self.labels[answer[:LABEL_CHARACTERS]] += 1
        if len(self.labels) > LABELS_AT_MOST or len(answer) > LABEL_CHARACTERS:
            self.labels = None


def texts(row: dict[str, Any]) -> list[str]:
    """Every text of a normalised row."""
    return formats.texts(row)


@without_cycle_search()
def each_row(
    names: list[str], section: DataSection, settings: Settings, token: str | None,
    each: Callable[[dict[str, Any], Place], None], progress: Progress = lambda share, rows: None,
) -> Scan:
    """Call `each` with every usable row of the sources, normalised, and its place. Raises `DataError` as `examine`."""
    scan = Scan(section, each)
    for facts, batch, share in read_set(names, section, settings, scan, token):
        scan.take(facts, batch)
        progress(share, scan.rows)
    scan.finish()
    return scan


def heldout_of(section: DataSection, settings: Settings) -> DataSection | None:
    """The rows to judge by that the source brings itself, as `sources.read_heldout_rows` reads them."""
    name, split = section.dataset_name, section.dataset_test_split
    if split:
        return section.model_copy(update={"dataset_train_split" if is_hub(name) else "dataset_name": split})
    if name.startswith(BUNDLED):
        path = local_path(name, settings).with_name("heldout.jsonl")
        return section.model_copy(update={"dataset_name": str(path)})
    return None


def _overlap(scan: Scan, heldout: DataSection, settings: Settings, token: str | None) -> Overlap:
    """Compare held-out rows with the training rows. Raises `DataError` where they cannot be read."""
    counts: Counter[str] = Counter()
    names = {"exact": "heldout_overlap", "near": "heldout_near_overlap", "question": "heldout_same_question"}

    def note(row: dict[str, Any], place: Place) -> None:
        theirs.add(*duplicates.parts(row), "\n".join(texts(row)))
        places.append(place)

    theirs, places = duplicates.Duplicates(), []
    own = each_row([heldout.dataset_name], heldout, settings, token, note)
    for index, kind in scan.duplicates.overlap(theirs):
        counts[kind] += 1
        scan.findings.add(names[kind], places[index])
    for finding in own.findings.list(own.rows):
        name = {"error": "heldout_unusable", "warning": "heldout_odd"}.get(finding.level)
        if name:
            scan.findings.add(name, replace(finding.places[0], detail=finding.message), finding.count)
    return Overlap(own.usable, counts["exact"], counts["near"], counts["question"])


def _report(scan: Scan, source: str, overlap: Overlap | None, complete: bool, seconds: float) -> Report:
    found = scan.findings.copy()
    for name, pairs in (("duplicates", scan.duplicates.exact()), ("near_duplicates", scan.duplicates.near())):
        for again, first in pairs:
            found.add(name, replace(scan.place(again), detail=f"as row {scan.place(first).row:,}"))
    usable = scan.usable
    labels = _labels(scan)
    if labels:
        most, n = labels.most_common(1)[0]
        if n > LABEL_SHARE * usable:
            found.add("label_imbalance", Place("", 0, 0, most), n)
    if 0 < usable < FEW_ROWS:
        found.add("few_rows", Place("", 0, 0), usable)
    if scan.shape.confidence < UNSURE:
        found.add("guessed_columns", Place("", 0, 0, scan.shape.reason))
    findings = found.list(scan.rows)
    errors = sum(finding.level == "error" for finding in findings)
    chats = scan.turns["messages"]
    return Report(
        source=source, verdict=verdict(usable, scan.rows, errors), rows=scan.rows, usable_rows=usable,
        shape=asdict(scan.shape), files=[asdict(facts) for facts in scan.files], findings=findings,
        epochs=automatic_epochs(usable), overlap=overlap,
        duplicates=Duplicates(
            found.count("duplicates"), found.count("near_duplicates"), scan.duplicates.compared),
        secrets=dict(scan.secrets), personal_data=dict(scan.personal_data), labels=dict(labels),
        languages=languages.mix(scan.languages.texts),
        turns={"mean": chats / usable, "with_system": scan.turns["with_system"] / usable,
               "with_tools": scan.turns["with_tools"] / usable} if chats and usable else {},
        seconds=round(seconds, 3), complete=complete)


def _labels(scan: Scan) -> Counter[str]:
    """The answers with their counts where they are labels, else nothing."""
    if scan.labels is None or len(scan.labels) < 2 or scan.usable < ROWS_PER_LABEL * len(scan.labels):
        return Counter()
    return scan.labels

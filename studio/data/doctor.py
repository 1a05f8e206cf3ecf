"""Examines a whole data set before a minute is spent on training: every problem with its row, and what the set is like.

One pass in bounded memory: rows are read in batches, judged and forgotten; kept are counts, 16 bytes a row to find
equal rows, and signatures to find similar ones. Nothing is changed, and nothing that is read is executed.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

from studio import words
from studio.data import duplicates, hub_rows, languages, overlay, ranges
from studio.data.archives import Part, open_parts
from studio.data.batches import Batch
from studio.data.cycles import without_cycle_search
from studio.data.doctor_reports import HUB_REPORT_AGE_S
from studio.data.hub import HubRows, stream_hub, unknown_source
from studio.data.privacy import mask_text
from studio.data.records import read_batches
from studio.data.report import PLACES, Duplicates, Overlap, Place, Report, automatic_epochs, verdict
from studio.data.scan import ROWS_PER_LABEL, Scan
from studio.data.sources import has_own_heldout, is_hub, local_path
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings

LABEL_SHARE = 0.9
FEW_ROWS, UNSURE = 10, 0.7
FIRST_ROWS = 1000
# characters of a label in the report
LABEL_SHOWN = 60

Progress = Callable[[float, int], None]


@without_cycle_search()
def examine(
    section: DataSection, settings: Settings, *, more: list[str] | None = None, heldout: DataSection | None = None,
    token: str | None = None, thorough: bool = True, progress: Progress = lambda share, rows: None,
    stopped: Callable[[], bool] = lambda: False, first: Callable[[Report], None] | None = None,
) -> Report:
    """Examine `section.dataset_name` and the files `more` as one set, and the rows to judge by against it.

    Without `thorough` every row is parsed, brought into shape and judged, and that is all: nothing is compared, and
    neither languages nor secrets are looked for. `progress(share from 0 to 1, rows so far)` is called several times a
    second for large files; when `stopped()` becomes True the report covers what was read. `first` gets a report of the
    first FIRST_ROWS rows as soon as they are judged, where there are more. Raises `DataError` where there is nothing to
    examine: no such file, no rows, no columns that a model could learn from.
    """
    began = time.monotonic()
    names = [section.dataset_name, *(more or [])]
    scan, complete = Scan(section, thorough, edits=overlay.load(section, settings)), True

    def report(scan: Scan, overlap: Overlap | None, complete: bool) -> Report:
        return _report(scan, ", ".join(names), overlap, complete, time.monotonic() - began)

    head = first and _Once(lambda scan: first(report(scan, None, False)))
    for share in scan_all(names, section, settings, scan, token, head):
        progress(share, scan.rows)
        if stopped():
            complete = False
            break
    scan.finish(complete)
    return report(scan, _overlap(scan, heldout, settings, token) if heldout and complete else None, complete)


class _Once:
    """Calls a function with the first scan that holds rows enough."""

    def __init__(self, call: Callable[[Scan], None]):
        self._call: Callable[[Scan], None] | None = call

    def look(self, scan: Scan) -> None:
        if self._call and scan.rows >= FIRST_ROWS and scan.usable:
            call, self._call = self._call, None
            call(scan)


def scan_all(
    names: list[str], section: DataSection, settings: Settings, scan: Scan, token: str | None = None,
    head: _Once | None = None,
) -> Iterator[float]:
    """Scan several sources in order; yields the share that is done. What cannot be read is a finding of `scan`.

    Raises `DataError` where no source gave a row.
    """
    for number, name in enumerate(names):
        for share in _scan_source(name, section, settings, scan, token, head):
            if head:
                head.look(scan)
            yield (number + share) / len(names)
            if scan.is_full:
                return
    if scan.unreadable and not scan.rows:
        error = scan.unreadable[0]
        raise DataError(error.message, error.hint, error.field or "data.dataset_name")


def _scan_source(
    name: str, section: DataSection, settings: Settings, scan: Scan, token: str | None, head: _Once | None
) -> Iterator[float]:
    try:
        if is_hub(name):
            source = _hub_rows(section.model_copy(update={"dataset_name": name}), settings, token)
            facts = scan.begin_file(name, "Hub", 0)
            for rows in source.batches:
                scan.take(facts, Batch(rows, [0] * len(rows), []))
                yield min(1.0, facts.rows / source.total) if source.total else 0.0
            return
        path = local_path(name, settings)
        if path is None:
            raise unknown_source(name)
        for part in open_parts(path, scan.note_file):
            yield from _scan_part(part, scan, head)
    except DataError as error:
        scan.note_unreadable(name, error)


def _hub_rows(section: DataSection, settings: Settings, token: str | None) -> HubRows:
    """All rows of a data set on the Hub, read once an hour and kept for the page. Raises `DataError`."""
    folder = hub_rows.folder_of(section, settings, token)
    if hub_rows.is_kept(folder, HUB_REPORT_AGE_S):
        return HubRows(hub_rows.batches(folder), hub_rows.count(folder))
    return stream_hub(
        section.dataset_name, section.dataset_config, section.dataset_train_split, token, section.dataset_revision,
        section.max_rows, lambda tables: hub_rows.keeping(folder, tables, section.max_rows))


def _scan_part(part: Part, scan: Scan, head: _Once | None) -> Iterator[float]:
    try:
        if ranges.is_large(part) and scan.can_be_parted:
            try:
                with ranges.processes() as pool:  # before anything here starts threads
                    _learn_shape(part, scan, head)
                    yield from ranges.scan_ranges(part, scan, pool)
                return
            except ranges.NotInRanges:
                part.stream.seek(0)
        facts = scan.begin_file(part.name, part.extension.lstrip("."), part.size)
        for batch in read_batches(part, facts):
            scan.take(facts, batch)
            yield min(1.0, part.position() / part.size)
    except DataError as error:  # the next file of an archive may be whole
        scan.note_unreadable(part.name, error)


def _learn_shape(part: Part, scan: Scan, head: _Once | None) -> None:
    """Tell `scan` the shape from the first rows of its first file. Raises `DataError` where they have none."""
    if scan.shape is not None:
        return
    beginning = Scan(scan.section, scan.thorough)
    facts = beginning.begin_file(part.name, part.extension.lstrip("."), part.size)
    for batch in read_batches(part, facts):
        beginning.take(facts, batch)
        if beginning.shape is not None and beginning.rows >= FIRST_ROWS:
            break
    beginning.finish()
    scan.know_shape_of(beginning)
    if head:
        head.look(beginning)


@without_cycle_search()
def each_row(
    names: list[str], section: DataSection, settings: Settings, token: str | None,
    each: Callable[[dict[str, Any], Place], None], progress: Progress = lambda share, rows: None,
) -> Scan:
    """Call `each` with every usable row of the sources, normalised, and its place. Raises `DataError` as `examine`."""
    scan = Scan(section, each=each, edits=overlay.load(section, settings))
    for share in scan_all(names, section, settings, scan, token):
        progress(share, scan.rows)
    scan.finish()
    return scan


def heldout_of(section: DataSection, settings: Settings) -> DataSection | None:
    """The rows to judge by that the source brings itself, as `sources.read_heldout_rows` reads them."""
    if not has_own_heldout(section):
        return None
    name, split = section.dataset_name, section.dataset_test_split
    section = section.model_copy(update={"edits": "", "max_rows": 0})
    if split:
        return section.model_copy(update={"dataset_train_split" if is_hub(name) else "dataset_name": split})
    path = local_path(name, settings).with_name("heldout.jsonl")
    return section.model_copy(update={"dataset_name": str(path)})


def _overlap(scan: Scan, heldout: DataSection, settings: Settings, token: str | None) -> Overlap:
    """Compare held-out rows with the training rows. Raises `DataError` where they cannot be read."""
    counts: Counter[str] = Counter()
    names = {"exact": "heldout_overlap", "near": "heldout_near_overlap", "question": "heldout_same_question"}

    def note(row: dict[str, Any], place: Place) -> None:
        theirs.add(*duplicates.parts(row), duplicates.digest(row))
        places.append(place)

    theirs, places = duplicates.Duplicates(), []
    own = each_row([heldout.dataset_name], heldout, settings, token, note)
    for index, kind in scan.duplicates.overlap(theirs):
        counts[kind] += 1
        scan.findings.add(names[kind], places[index])
    for finding in own.findings.list(own.rows, heldout):
        name = {"error": "heldout_unusable", "warning": "heldout_odd"}.get(finding.level)
        if name:
            scan.findings.add(name, replace(finding.places[0], detail=finding.message), finding.count)
    return Overlap(own.usable, counts["exact"], counts["near"], counts["question"])


def _report(scan: Scan, source: str, overlap: Overlap | None, complete: bool, seconds: float) -> Report:
    found = scan.findings.copy()
    for name, pairs in (("duplicates", scan.duplicates.exact()), ("near_duplicates", scan.duplicates.near())):
        if len(pairs):
            found.add_many(name, [replace(scan.place(again), detail=f"as row {scan.place(first).row:,}")
                                  for again, first in pairs[:PLACES].tolist()], len(pairs))
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
    findings = found.list(scan.rows, scan.section, scan.shape.format)
    chats = scan.turns["messages"]
    return Report(
        source=source, verdict=verdict(usable, scan.rows, findings, scan.section.bad_rows), rows=scan.rows,
        usable_rows=usable,
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
    """The answers with their counts where they are labels, else nothing; masked, since they are shown."""
    if scan.labels is None or len(scan.labels) < 2 or scan.usable < ROWS_PER_LABEL * len(scan.labels):
        return Counter()
    shown: Counter[str] = Counter()
    for label, n in scan.labels.items():
        shown[words.plain(mask_text(label, personal=True)[0], LABEL_SHOWN)] += n
    return shown

"""The one way from a source to the rows a run learns from and is judged by, with an account of every row on the way.

Read, edits by hand, bring into shape, mask, drop repeated rows, part: training, preview and export all do just this.
"""

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.data import formats
from studio.data.account import Entry, as_json, sentences, stops
from studio.data.cycles import without_cycle_search
from studio.data.leakage import NO_LEAKAGE, Leakage, leakage
from studio.data.overlay import NO_EDITS, Edits, load
from studio.data.row_reader import RowReader
from studio.data.shapes import Shape
from studio.data.sources import Table, read_heldout_rows, read_rows
from studio.data.split import part, row_digest
from studio.data.templates import named, no_column
from studio.errors import DataError
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings

# noted where a row keeps its place all the same
KEPT = {"duplicate_key", "encoding"}
# nothing of a row is lost or changed
REMARKS = {"long_line", "wrong_extension", "unnamed_column"}


@dataclass
class Cleaned:
    """The rows of one source in the studio's shapes; `numbers` are the source's row numbers (from 1) they came from.

    `errors` holds what stops a run that takes no bad rows, worst first, `late` unused columns as `formats.Converted`.
    """

    table: Table
    shape: Shape
    rows: list[dict[str, Any]]
    numbers: array
    left_out: list[Entry]
    changed: list[Entry]
    errors: list[DataError]
    late: dict[str, tuple[int, int]]


@dataclass
class Prepared:
    """Rows to learn from and to judge by, and the account of all others.

    `source` is where the training rows come from, `own_heldout` the source of the held-out rows where they have one of
    their own; the numbers are the rows' numbers there. `leakage` tells which held-out rows are training rows too, or
    nearly, or ask the same; `leaks` are their lines of the account. `errors` stop the run.
    """

    train: list[dict[str, Any]]
    heldout: list[dict[str, Any]]
    train_numbers: list[int]
    heldout_numbers: list[int]
    source: Cleaned
    own_heldout: Cleaned | None
    leakage: Leakage
    leaks: list[Entry]
    errors: list[DataError] = field(default_factory=list)

    @property
    def left_out(self) -> list[Entry]:
        return self.source.left_out + (self.own_heldout.left_out if self.own_heldout else [])

    @property
    def changed(self) -> list[Entry]:
        return self.source.changed + (self.own_heldout.changed if self.own_heldout else [])

    def account(self) -> list[dict[str, Any]]:
        """Every row that is left out, changed, or held out and given away, as JSON."""
        return as_json(self.left_out, self.changed + self.leaks)

    def leave_out(self, side: str, reason: str, rows: dict[int, str]) -> None:
        """Take rows of a side (train or heldout), by their index and with a detail, out again."""
        kept, numbers, cleaned = self._side(side)
        cleaned.left_out += [cleaned.table.entry(numbers[index], reason, detail) for index, detail in rows.items()]
        kept[:] = [row for index, row in enumerate(kept) if index not in rows]
        numbers[:] = [number for index, number in enumerate(numbers) if index not in rows]

    def note_tokens(self, side: str, found: list[tuple[int, int, bool]]) -> None:
        """Note what a side's rows are as tokens: (learned tokens, length, whether cut), one for each row.

        Rows without a learned token are left out by the trainer, and stay here to judge by.
        """
        _, numbers, cleaned = self._side(side)
        for number, (trained, length, is_cut) in zip(numbers, found, strict=True):
            if not trained:
                cleaned.left_out.append(cleaned.table.entry(number, "all_labels_masked", f"{length:,} tokens"))
            elif is_cut:
                cleaned.changed.append(cleaned.table.entry(number, "truncated", f"{length:,} tokens"))

    def refusal(self, side: str, refused: dict[int, DataError]) -> DataError:
        """What to say where rows of a side that cannot be rendered, by their index, stop the run."""
        rows, numbers, _ = self._side(side)
        index, first = next(iter(refused.items()))
        message = f"{len(refused):,} of {len(rows):,} rows cannot be used (first: row {numbers[index]:,}): " \
                  f"{first.message}"
        if len(refused) == len(rows):
            return DataError(message, first.hint, first.field)
        return DataError(message, f"{first.hint} Or leave them out: set data.bad_rows to drop.", "data.bad_rows")

    def emptied(self) -> DataError | None:
        """What to say where rows without a learned token stop the run; None without any."""
        entries = [entry for entry in self.left_out if entry.reason == "all_labels_masked"]
        if not entries:
            return None
        message, fix = sentences(entries, 0)[0]
        return DataError(message, f"{fix} Or leave them out: set data.bad_rows to drop.", field="data.bad_rows")

    def _side(self, side: str) -> tuple[list[dict[str, Any]], list[int], Cleaned]:
        if side == "train":
            return self.train, self.train_numbers, self.source
        return self.heldout, self.heldout_numbers, self.own_heldout or self.source


def prepare(preset: Preset, settings: Settings, token: str | None = None) -> Prepared:
    """All rows of a run; the same preset gives the same rows. Raises `DataError` for the worst that is wrong."""
    prepared = look(preset, settings, token)
    if prepared.errors:
        worst, others = prepared.errors[0], len(prepared.errors) - 1
        more = {0: "", 1: " There is 1 more problem."}.get(others, f" There are {others} more problems.")
        raise DataError(f"{worst.message}{more}", worst.hint, worst.field)
    return prepared


@without_cycle_search()
def look(preset: Preset, settings: Settings, token: str | None = None, limit: int = 0) -> Prepared:
    """The same with what is wrong as a list, of the first `limit` rows (0: all).

    Raises `DataError` where there is nothing to look at: no rows, no columns to learn from, no row that can be used.
    """
    section = preset.data
    edits = load(section, settings)
    source = clean(read_rows(section, settings, token, limit), section, edits)
    if section.test_size == 0 and not section.dataset_test_split:
        prepared = _all_to_learn_from(source, source.errors)
    elif (table := read_heldout_rows(section, settings, token, limit)) is not None:
        prepared = _with_own_heldout(source, clean(table, section), section)
    else:
        prepared = _parted(source, section, preset.training.seed)
    if section.train_share < 1:
        _learn_from_share(prepared, section.train_share, preset.training.seed)
    return prepared


def clean(table: Table, section: DataSection, edits: Edits = NO_EDITS) -> Cleaned:
    """Bring the rows of a source into shape as `data.bad_rows`, `data.mask` and `data.drop_duplicates` say.

    Raises `DataError` where no row can be used.
    """
    numbers, rows, by_hand = _edited(table, edits)
    if by_hand and not rows:
        raise _nothing_left([], len(table.rows))
    reader = RowReader(section)
    converted = formats.convert(rows, section, numbers, reader.read_row)
    left_out = [entry for entry in table.lost if entry.reason not in KEPT | REMARKS]
    changed = [entry for entry in table.lost if entry.reason in KEPT]
    left_out += [entry for entry in by_hand if entry.reason == "excluded_by_hand"]
    changed += [entry for entry in by_hand if entry.reason == "edited_by_hand"]
    left_out += [table.entry(number, name) for number, name in converted.refused]
    changed += [table.entry(number, name) for number, names in zip(converted.numbers, reader.mended, strict=True)
                for name in names]
    errors = _errors(left_out + changed, section, len(table.rows))
    if not converted.rows:
        raise errors[0] if errors else _nothing_left(left_out, len(table.rows))
    changed += [table.entry(number, "masked", ", ".join(kinds))
                for number, kinds in zip(converted.numbers, reader.masked, strict=True) if kinds]
    cleaned = Cleaned(table, converted.shape, converted.rows, array("Q", converted.numbers), left_out, changed, errors,
                      converted.late)
    if section.drop_duplicates:
        _drop_repeated(cleaned)
    return cleaned


def _edited(table: Table, edits: Edits) -> tuple[Sequence[int], list[Any], list[Entry]]:
    """Numbers and rows without those left out by hand, and the account of it; the table takes the rows put in place."""
    total = len(table.rows)
    if edits == NO_EDITS:
        return range(1, total + 1), table.rows, []
    if total == table.total:
        edits.check(total)
    replaced = {number: row for number, row in sorted(edits.replaced.items()) if number <= total}
    for number, row in replaced.items():
        table.rows[number - 1] = row
    excluded = sorted(number for number in edits.excluded if number <= total)
    numbers = [number for number in range(1, total + 1) if number not in edits.excluded]
    account = [table.entry(number, "excluded_by_hand") for number in excluded]
    account += [table.entry(number, "edited_by_hand") for number in replaced]
    return numbers, [table.rows[number - 1] for number in numbers], account


def _errors(entries: list[Entry], section: DataSection, total: int) -> list[DataError]:
    """What stops the run: every bad row, or only what cannot be told apart by rows."""
    if section.bad_rows == "stop":
        stopping = [entry for entry in entries if stops(entry)]
        return [DataError(message, hint, field="data.dataset_name") for message, hint in sentences(stopping, total)]
    foreign = [entry for entry in entries if entry.reason == "encoding"]
    if foreign and section.bad_rows == "drop":
        return [DataError(f"{foreign[0].file} is not UTF-8 text: {foreign[0].detail}.",
                          "Save it as UTF-8, or set data.bad_rows to fix to read it so.", field="data.bad_rows")]
    return []


def _nothing_left(left_out: list[Entry], total: int) -> DataError:
    found = sentences(filter(stops, left_out), total)
    message, hint = found[0] if found else ("All rows are left out by hand.", "Restore some of them.")
    return DataError(f"No row is left to learn from. {message}", hint, field="data.dataset_name")


def _drop_repeated(cleaned: Cleaned) -> None:
    first: dict[int, int] = {}
    kept = []
    for index, row in enumerate(cleaned.rows):
        number = cleaned.numbers[index]
        earlier = first.setdefault(row_digest(row), number)
        if earlier == number:
            kept.append(index)
        else:
            cleaned.left_out.append(cleaned.table.entry(number, "duplicates", f"row {earlier:,}"))
    cleaned.rows = [cleaned.rows[index] for index in kept]
    cleaned.numbers = array("Q", [cleaned.numbers[index] for index in kept])


def _learn_from_share(prepared: Prepared, share: float, seed: int) -> None:
    """Leave all training rows but a share of them out; with one seed a smaller share lies within a larger."""
    order = list(range(len(prepared.train)))
    random.Random(seed).shuffle(order)
    prepared.leave_out("train", "beyond_share", dict.fromkeys(order[max(1, round(share * len(order))):], ""))


def _with_own_heldout(source: Cleaned, heldout: Cleaned, section: DataSection) -> Prepared:
    field_name = "data.dataset_test_split" if section.dataset_test_split else "data.dataset_name"
    errors = source.errors + [
        DataError(f"Held-out rows: {error.message}", error.hint, field=field_name) for error in heldout.errors]
    if heldout.shape.format != source.shape.format:
        errors.append(DataError(
            f"The held-out rows are read as {heldout.shape.format}, the training rows as {source.shape.format}.",
            "Set data.format, or choose held-out rows of the same shape.", field=field_name))
    found = leakage(source.rows, heldout.rows)
    return Prepared(list(source.rows), list(heldout.rows), list(source.numbers), list(heldout.numbers), source, heldout,
                    found, _leaks(found, source.numbers, heldout, heldout.numbers), errors)


def _all_to_learn_from(source: Cleaned, errors: list[DataError]) -> Prepared:
    return Prepared(list(source.rows), [], list(source.numbers), [], source, None, NO_LEAKAGE, [], errors)


def _parted(source: Cleaned, section: DataSection, seed: int) -> Prepared:
    rows, table = source.rows, source.table
    try:
        values = _split_values(source, section)
        files = [table.file_number(number) for number in source.numbers] if section.split_by == "file" else []
        parts = part([row_digest(row) for row in rows], section.split_by, section.test_size, seed, values, files)
    except DataError as error:
        return _all_to_learn_from(source, [*source.errors, error])
    train, heldout = ([rows[index] for index in side] for side in (parts.train, parts.heldout))
    numbers = [[source.numbers[index] for index in side] for side in (parts.train, parts.heldout)]
    found = leakage(train, heldout)
    return Prepared(train, heldout, *numbers, source, None, found, _leaks(found, numbers[0], source, numbers[1]),
                    source.errors)


def _leaks(found: Leakage, numbers: Sequence[int], heldout: Cleaned, heldout_numbers: Sequence[int]) -> list[Entry]:
    """The held-out rows that are given away, by name, with the training row that does it."""
    return [heldout.table.entry(heldout_numbers[index], name, f"training row {numbers[row]:,}")
            for name, of_kind in (("heldout_overlap", found.exact), ("heldout_near_overlap", found.near),
                                  ("heldout_same_question", found.same_question))
            for index, row in of_kind.items()]


def _split_values(source: Cleaned, section: DataSection) -> Sequence[Any]:
    """The column to part by, one value a row. Raises `DataError` where there is none."""
    by, column = section.split_by, section.split_column
    if by in ("random", "file"):
        return []
    columns = source.table.columns
    rows = source.table.rows
    if column and column not in columns and not any(column in rows[number - 1] for number in source.numbers):
        raise DataError(no_column(column, columns), "Choose one of them.", field="data.split_column")
    if column:
        return [rows[number - 1].get(column) for number in source.numbers]
    if by == "label":
        return [formats.label_of(row) for row in source.rows]
    raise DataError(f"Holding back by {by} needs the column that holds the {by}.",
                    f"Set data.split_column; the columns are {named(columns)}.", field="data.split_column")

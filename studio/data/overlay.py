"""Rows changed or left out by hand, kept beside the uploads: what was uploaded never changes, and all can be undone.

    <data_dir>/edits/<name>.jsonl: {"dataset": "...", "fingerprint": "...", "stamp": [size, time]}, then
    {"row": 3, "exclude": true} or {"row": 7, "replace": {...}}, one line a row; rows are counted from 1 through all
    files of the data set. While its size and time are those of the stamp, the fingerprint is not taken again.
"""

import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from studio import words
from studio.data.hub import unknown_source
from studio.data.json_rows import BadRow, parse
from studio.data.jsonl import write_jsonl
from studio.data.sources import is_hub, local_path
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}")
READ_AT_ONCE_BYTES = 4_000_000
LONGEST_EDIT_CHARACTERS = 2_000_000

_writing = threading.Lock()


@dataclass(frozen=True)
class Edits:
    """Edits by hand: row numbers left out, and what stands in place of others."""

    excluded: frozenset[int]
    replaced: dict[int, dict[str, Any]]

    def check(self, total: int) -> None:
        """Raises `DataError` for an edit of a row that a data set of so many rows does not have."""
        last = max((*self.excluded, *self.replaced), default=0)
        if last > total:
            raise DataError(f"There is an edit by hand of row {last:,}, and the data set has {total:,} rows.",
                            "Undo that edit, or empty data.edits.", field="data.edits")


NO_EDITS = Edits(frozenset(), {})


def load(section: DataSection, settings: Settings) -> Edits:
    """The edits that `data.edits` names; none where it is empty. Raises `DataError`, also for those of other data."""
    return _read(section, settings)[1] if section.edits else NO_EDITS


def exclude(section: DataSection, settings: Settings, number: int) -> None:
    """Leave a row out, whatever was done with it before. Raises `DataError`."""
    _change(section, settings, number, {"exclude": True})


def replace(section: DataSection, settings: Settings, number: int, text: str) -> None:
    """Put a row, given as JSON, in place of another. Raises `DataError` where it is no object with named columns."""
    _change(section, settings, number, {"replace": _row_of(text)})


def restore(section: DataSection, settings: Settings, number: int) -> None:
    """Take the row as the data set has it again. Raises `DataError`."""
    _change(section, settings, number, None)


def name_for(section: DataSection) -> str:
    """A name for the first edit of a data set, made of the data set's own name."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", section.dataset_name.rpartition(":")[2]).strip("-")[-80:]
    return stem or "edits"


def stamp(section: DataSection, settings: Settings) -> list[int]:
    """What tells that the edits have changed: size and time of their file."""
    if not section.edits:
        return []
    try:
        stat = _path(section, settings).stat()
    except FileNotFoundError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _path(section: DataSection, settings: Settings) -> Path:
    if not NAME.fullmatch(section.edits):
        raise DataError(f'"{section.edits}" cannot be the name of a list of edits.',
                        "Use letters, digits, dots and dashes.", field="data.edits")
    return settings.data_dir / "edits" / f"{section.edits}.jsonl"


def _read(section: DataSection, settings: Settings) -> tuple[str, Edits]:
    """The fingerprint of the data set, which is that of the list, and the edits. Raises `DataError`."""
    path = _path(section, settings)
    try:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    except FileNotFoundError:
        raise DataError(f'There are no edits called "{section.edits}".', "Empty data.edits, or edit a row.",
                        field="data.edits") from None
    except UnicodeDecodeError:
        raise _damaged(path, 1) from None
    head = _value(path, 1, lines[0] if lines else "")
    fingerprint = head.get("fingerprint")
    if not isinstance(fingerprint, str):
        raise _damaged(path, 1)
    data_stamp = _data_stamp(section, settings)
    is_as_it_was = data_stamp and [head.get("dataset"), head.get("stamp")] == [section.dataset_name, data_stamp]
    if not is_as_it_was and fingerprint != _fingerprint(section, settings):
        raise DataError(f'The edits "{section.edits}" were made on other data: the data set has changed since.',
                        "Empty data.edits, or choose the data set they were made on.", field="data.edits")
    edits = {}
    for number, line in enumerate(lines[1:], start=2):
        edit = _value(path, number, line)
        if not _is_row_number(row := edit.get("row")) or edit not in (
                {"row": row, "exclude": True}, {"row": row, "replace": edit.get("replace")}):
            raise _damaged(path, number)
        if "replace" in edit and (not isinstance(edit["replace"], dict) or not edit["replace"]):
            raise _damaged(path, number)
        edits[row] = edit
    return fingerprint, Edits(frozenset(row for row, edit in edits.items() if "exclude" in edit),
                              {row: edit["replace"] for row, edit in edits.items() if "replace" in edit})


def _value(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value, _ = parse(line)
    except BadRow:
        raise _damaged(path, number) from None
    if not isinstance(value, dict):
        raise _damaged(path, number)
    return value


def _damaged(path: Path, line: int) -> DataError:
    return DataError(f"The edits in {path.name} cannot be read: line {line:,} is damaged.",
                     "Empty data.edits, and edit the rows again.", field="data.edits")


def _is_row_number(value: Any) -> bool:
    return type(value) is int and value >= 1


def _change(section: DataSection, settings: Settings, number: int, edit: dict[str, Any] | None) -> None:
    """Write the list anew with one row's edit changed; the first edit begins the list."""
    if not _is_row_number(number):
        raise DataError(f'"{words.plain(str(number), 40)}" is not the number of a row.',
                        "Rows are counted from 1, in whole numbers.", field="data.edits")
    path = _path(section, settings)
    with _writing:
        # before the data set is read, so that a change meanwhile shows
        data_stamp = _data_stamp(section, settings)
        fingerprint, edits = _read(section, settings) if path.exists() else (_fingerprint(section, settings), NO_EDITS)
        rows = {row: {"exclude": True} for row in edits.excluded}
        rows |= {row: {"replace": value} for row, value in edits.replaced.items()}
        rows.pop(number, None)
        if edit:
            rows[number] = edit
        lines = [{"dataset": section.dataset_name, "fingerprint": fingerprint, "stamp": data_stamp}]
        lines += [{"row": row} | rows[row] for row in sorted(rows)]
        write_jsonl(path, lines)


def _row_of(text: str) -> dict[str, Any]:
    if len(text) > LONGEST_EDIT_CHARACTERS:
        raise DataError("The row is too long to be edited by hand.", "Edit it in the file.")
    try:
        row, _ = parse(text)
    except BadRow as bad:
        raise DataError(f"The row cannot be read: {bad.detail}.", "Mend it there, or restore the row.") from None
    if not isinstance(row, dict) or not row:
        raise DataError("A row must be an object with named columns.", 'It looks like {"messages": [...]}.')
    return row


def _data_stamp(section: DataSection, settings: Settings) -> list[int]:
    """Size and time of the data set's file; [] for what is none. Raises `DataError`."""
    path = local_path(section.dataset_name, settings)
    try:
        stat = path.stat() if path else None
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns] if stat else []


def _fingerprint(section: DataSection, settings: Settings) -> str:
    """Of a file its bytes; of a data set on the Hub its name, configuration and split. Raises `DataError`."""
    digest = xxhash.xxh3_128()
    if is_hub(section.dataset_name):
        digest.update(json.dumps([section.dataset_name, section.dataset_config, section.dataset_revision,
                                  section.dataset_train_split]))
        return digest.hexdigest()
    path = local_path(section.dataset_name, settings)
    if path is None:
        raise unknown_source(section.dataset_name)
    try:
        with open(path, "rb") as file:
            while block := file.read(READ_AT_ONCE_BYTES):
                digest.update(block)
    except OSError as error:
        raise DataError(f"The data set cannot be read: {error.strerror}.", "Check its name.",
                        field="data.dataset_name") from None
    return digest.hexdigest()

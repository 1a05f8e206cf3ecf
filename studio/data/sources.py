"""Where rows come from: uploaded and local files, data sets on the Hub, and the one that comes with the studio.

Nothing here executes what it reads: JSON, CSV and Parquet are parsed, and Hub data sets are loaded without scripts.
"""

import hashlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.data import hub_rows as kept_rows
from studio.data.account import Entry, sentences, stops
from studio.data.archives import open_parts
from studio.data.batches import Batch, Fault, FileFacts
from studio.data.files import EXTENSIONS, ROW_EXTENSIONS, SPREADSHEET_EXTENSIONS
from studio.data.hub import is_hub_name, read_hub
from studio.data.records import read_batches
from studio.data.split import row_key
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings

UPLOAD, BUNDLED = "upload:", "bundled:"
# of a data set on the Hub that was not examined yet so many rows are downloaded to be looked at and searched
HUB_ROWS = 1000
UPLOAD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


@dataclass
class Table:
    """Rows as the source holds them. `source` names it for people, `total` is its row count where that is known.

    `files` says with which row (from 0) each file begins, `lines` on which line each row stands (0: none), and `lost`
    what was met where a row should have been, or with the text of a row.
    """

    rows: list[Any]
    source: str
    total: int | None = None
    files: list[tuple[int, str]] = field(default_factory=list)
    lines: array = field(default_factory=lambda: array("Q"))
    lost: list[Entry] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """Column names of the first hundred rows, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows[:100] if isinstance(row, dict) for name in row))

    def file_number(self, number: int) -> int:
        """Which of `files` row `number` (from 1) is in."""
        return bisect_right(self.files, number - 1, key=lambda file: file[0]) - 1

    def entry(self, number: int, reason: str, detail: str = "") -> Entry:
        """A line of the account for row `number` (from 1)."""
        return Entry(self.files[self.file_number(number)][1], number, self.lines[number - 1], reason, detail)


def read_rows(section: DataSection, settings: Settings, token: str | None = None, limit: int = 0) -> Table:
    """Read the training rows, at most `limit` (0: all, or `max_rows` where the preset sets it).

    `token` opens gated and private data sets of the Hub. Raises `DataError`.
    """
    limit = min((n for n in (limit, section.max_rows) if n), default=0)
    name, split = section.dataset_name, section.dataset_train_split
    return _read(name, split, "data.dataset_name", section, settings, token, limit)


def read_heldout_rows(
    section: DataSection, settings: Settings, token: str | None = None, limit: int = 0
) -> Table | None:
    """Read the held-out rows the source brings itself, at most `limit` (0: all).

    That is the split `dataset_test_split` of a Hub data set, the second file it names beside an uploaded or local
    file, and the bundled data set's own held-out file. None where a share of the training rows must be held back.
    Raises `DataError`.
    """
    if not has_own_heldout(section):
        return None
    name, split = section.dataset_name, section.dataset_test_split
    if split and is_hub(name):
        return _read(name, split, "data.dataset_test_split", section, settings, token, limit)
    if split:
        return _read(split, split, "data.dataset_test_split", section, settings, token, limit)
    return _read_local(_bundled_dir(name, settings) / "heldout.jsonl", f"{name} (held out)", 0)


def has_own_heldout(section: DataSection) -> bool:
    """Whether the rows to judge by come from a source of their own, which edits by hand do not reach."""
    return bool(section.dataset_test_split) or (section.dataset_name.startswith(BUNDLED) and section.test_size > 0)


def row_batches(
    section: DataSection, settings: Settings, token: str | None, hub_rows: int, lost: list[Entry]
) -> Iterator[tuple[str, Batch]]:
    """The training rows in batches with the name of their file, for one pass in bounded memory; of a data set on the
    Hub that is not kept here the first `hub_rows`. `lost` is added to as in `Table`. Raises `DataError`.
    """
    path = local_path(section.dataset_name, settings)
    if path is None and is_hub_kept(section, settings, token):
        for rows in kept_rows.batches(kept_rows.folder_of(section, settings, token)):
            yield section.dataset_name, Batch(rows, [0] * len(rows))
        return
    if path is None:
        table = read_rows(section, settings, token, hub_rows)
        yield section.dataset_name, Batch(table.rows, list(table.lines))
        return
    yield from file_batches(path, lost, section.max_rows)


def is_hub_kept(section: DataSection, settings: Settings, token: str | None) -> bool:
    """Whether all rows of a data set on the Hub are here, as an examination has read them."""
    return is_hub(section.dataset_name) and kept_rows.is_kept(kept_rows.folder_of(section, settings, token))


def fingerprint(rows: list[dict[str, Any]]) -> str:
    """SHA-256 over the rows in order, in hexadecimal: the same rows give the same fingerprint."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(row_key(row).encode() + b"\n")
    return digest.hexdigest()


def store_upload(settings: Settings, path: Path) -> str:
    """Copy an uploaded file into the uploads folder under a name with its content's hash.

    Returns the name for `data.dataset_name`. The same content under the same name is stored once. Raises `DataError`
    for a kind of file that cannot hold rows.
    """
    _check_extension(path)
    extension = path.suffix.lower()
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    inner = Path(path.stem).suffix.lower() if extension == ".gz" else ""
    if inner in ROW_EXTENSIONS:
        extension = inner + extension
    stem = re.sub(r"[^A-Za-z0-9]+", "-", path.name[:-len(extension)]).strip("-")[:60] or "data"
    target = settings.uploads_dir / f"{stem}-{digest}{extension}"
    if not target.exists():
        partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
        shutil.copyfile(path, partial)
        os.replace(partial, target)
    return f"{UPLOAD}{target.name}"


def store_uploads(settings: Settings, paths: list[Path]) -> str:
    """Keep one uploaded file, or several as one data set in a ZIP archive of them in the order given.

    Returns the name for `data.dataset_name`; the same files in the same order are stored once. Raises `DataError`.
    """
    if len(paths) == 1:
        return store_upload(settings, paths[0])
    names: set[str] = set()
    with tempfile.TemporaryDirectory(dir=settings.uploads_dir) as folder:
        packed = Path(folder) / f"{paths[0].stem} and {len(paths) - 1} more.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            for path in paths:
                _check_extension(path)
                if path.suffix.lower() in (".zip", ".gz"):
                    raise DataError(f"{path.name} is an archive among other files.",
                                    "Upload it by itself, or the files in it.", field="data.dataset_name")
                name = path.name if path.name not in names else f"{len(names) + 1}-{path.name}"
                names.add(name)
                # without the time of the upload, the same files give the same archive
                with (open(path, "rb") as source,
                      archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as target):
                    shutil.copyfileobj(source, target)
        return store_upload(settings, packed)


def is_hub(name: str) -> bool:
    """Whether `data.dataset_name` means a data set on the Hub."""
    return not name.startswith((UPLOAD, BUNDLED)) and not _is_local(name) and is_hub_name(name)


def local_path(name: str, settings: Settings) -> Path | None:
    """The file that `data.dataset_name` means, or None for a data set on the Hub. Raises `DataError`."""
    if name.startswith(UPLOAD):
        file_name = name.removeprefix(UPLOAD)
        path = settings.uploads_dir / file_name
        if not UPLOAD_NAME.fullmatch(file_name) or not path.is_file():
            raise DataError(f'The uploaded file "{file_name}" is not here any more.', "Upload it again.",
                            field="data.dataset_name")
        return path
    if name.startswith(BUNDLED):
        return _bundled_dir(name, settings) / "train.jsonl"
    return Path(name).expanduser() if _is_local(name) else None


def _check_extension(path: Path) -> None:
    if path.suffix.lower() in SPREADSHEET_EXTENSIONS:
        raise DataError(f"{path.name} is a spreadsheet, which cannot be read as it is.",
                        "Save the sheet with the rows as CSV (in Excel: Save as, CSV UTF-8), then use that file.",
                        field="data.dataset_name")
    if path.suffix.lower() not in EXTENSIONS:
        raise DataError(f"{path.name} is not a kind of file that can hold rows.",
                        f"Use one of {', '.join(EXTENSIONS)}.", field="data.dataset_name")


def _read(
    name: str, split: str, field: str, section: DataSection, settings: Settings, token: str | None, limit: int
) -> Table:
    try:
        path = local_path(name, settings)
        if path is not None:
            return _read_local(path, name if name.startswith(BUNDLED) else path.name, limit)
        rows, total = read_hub(name, section.dataset_config, split, token, limit, section.dataset_revision)
        return Table(rows, f"{name} on the Hub", total, [(0, name)], array("Q", bytes(8 * len(rows))))
    except DataError as error:
        raise DataError(error.message, error.hint, error.field or field) from None


def _read_local(path: Path, source: str, limit: int) -> Table:
    """The rows of a file, packed or not. Raises `DataError` where there are none at all."""
    table = Table([], source)
    for file, batch in file_batches(path, table.lost, limit):
        if not table.files or table.files[-1][1] != file:
            table.files.append((len(table.rows), file))
        table.rows += batch.rows
        table.lines.extend(batch.lines)
        if len(table.rows) == limit > 0:
            return table
    if not table.rows:
        raise _without_rows(path.name, table.lost)
    table.total = len(table.rows)
    return table


def file_batches(path: Path, lost: list[Entry], limit: int = 0) -> Iterator[tuple[str, Batch]]:
    """Name of the file and rows, batch by batch, up to `limit` rows (0: all); what is no row is added to `lost`, and so
    is a file of several that cannot be read.

    Raises `DataError` where the only file cannot be read, or none that is there.
    """
    def skipped(name: str, file: str, detail: str) -> None:
        lost.append(Entry(file, 0, 0, name, detail))

    some, failure, left = False, None, limit or sys.maxsize
    for part in open_parts(path, skipped):
        facts = FileFacts(part.name, part.extension, part.size)
        try:
            for batch in read_batches(part, facts):
                if len(batch.rows) >= left:
                    batch = batch.first(left)
                lost.extend(_lost(fault, facts) for fault in batch.faults)
                some = some or bool(batch.rows)
                yield part.name, batch
                left -= len(batch.rows)
                if not left:
                    return
        except DataError as error:  # the next file of an archive may be whole
            failure = failure or error
            lost.append(Entry(part.name, 0, 0, "unreadable_file", error.message))
    if failure and not some:
        raise failure


def _lost(fault: Fault, facts: FileFacts) -> Entry:
    detail = f"{fault.detail} lines, read as {facts.encoding}" if fault.name == "encoding" else fault.detail
    return Entry(facts.name, 0, fault.line, fault.name, detail)


def _without_rows(name: str, lost: list[Entry]) -> DataError:
    costs = [entry for entry in lost if stops(entry)]
    if not costs:
        return DataError(f"{name} holds no rows.", "Choose a file with rows in it.")
    sentence, fix = sentences(costs, 0)[0]
    return DataError(f"{name} holds no row that can be read. {sentence}", fix)


def _bundled_dir(name: str, settings: Settings) -> Path:
    root = settings.presets_dir / "data"
    known = sorted(path.name for path in root.iterdir() if path.is_dir())
    if name.removeprefix(BUNDLED) not in known:
        names = ", ".join(f"{BUNDLED}{folder}" for folder in known)
        raise DataError(f'"{name}" does not come with the studio.', f"There is {names}.", field="data.dataset_name")
    return root / name.removeprefix(BUNDLED)


def _is_local(name: str) -> bool:
    """A path rather than owner/name: it exists, starts like a path, or ends like a data file."""
    path = Path(name).expanduser()
    return path.is_absolute() or name.startswith((".", "~")) or path.suffix.lower() in EXTENSIONS or path.exists()

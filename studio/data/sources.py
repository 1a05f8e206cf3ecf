"""Where rows come from: uploaded and local files, data sets on the Hub, and the one that comes with the studio.

Nothing here executes what it reads: JSON, CSV and Parquet are parsed, and Hub data sets are loaded without scripts.
"""

import hashlib
import json
import os
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from studio.data.files import EXTENSIONS, ROW_EXTENSIONS, read_file
from studio.data.formats import normalise
from studio.data.hub import is_hub_name, read_hub
from studio.errors import DataError
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings

UPLOAD, BUNDLED = "upload:", "bundled:"
UPLOAD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


@dataclass(frozen=True)
class Table:
    """Rows as the source holds them. `source` names it for people, `total` is its row count where that is known."""

    rows: list[Any]
    source: str
    total: int | None

    @property
    def columns(self) -> list[str]:
        """Column names of the first hundred rows, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows[:100] if isinstance(row, dict) for name in row))


class Split(NamedTuple):
    """Normalised rows to learn from and to judge by."""

    train: list[dict[str, Any]]
    heldout: list[dict[str, Any]]


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
    name, split = section.dataset_name, section.dataset_test_split
    if split and is_hub(name):
        return _read(name, split, "data.dataset_test_split", section, settings, token, limit)
    if split:
        return _read(split, split, "data.dataset_test_split", section, settings, token, limit)
    if name.startswith(BUNDLED):
        path = _bundled_dir(name, settings) / "heldout.jsonl"
        return Table(rows := read_file(path), f"{name} (held out)", len(rows))
    return None


def open_split(preset: Preset, settings: Settings, token: str | None = None) -> Split:
    """Read, normalise and part the rows; the same preset gives the same parts.

    Rows that are equal stay on one side. `data.test_size` 0 holds back nothing. Raises `DataError`.
    """
    section = preset.data
    train = normalise(read_rows(section, settings, token).rows, section)
    if section.test_size == 0 and not section.dataset_test_split:
        return Split(train, [])
    heldout = read_heldout_rows(section, settings, token)
    if heldout is not None:
        return Split(train, normalise(heldout.rows, section))
    return hold_back(train, section.test_size, preset.training.seed)


def hold_back(rows: list[dict[str, Any]], test_size: float, seed: int) -> Split:
    """Hold back a share of the rows, chosen by `seed`; both parts keep the rows' order. Raises `DataError`."""
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(_key(row), []).append(index)
    order = list(groups.values())
    random.Random(seed).shuffle(order)
    wanted = max(1, round(len(rows) * test_size))
    chosen: set[int] = set()
    for group in order:
        if len(chosen) + len(group) <= wanted:
            chosen.update(group)
    if not chosen or len(chosen) == len(rows):
        raise DataError(f"{_count(len(rows))} cannot be parted into rows to learn from and rows to judge by.",
                        "Add different rows, or set data.test_size to 0.", field="data.test_size")
    return Split([row for i, row in enumerate(rows) if i not in chosen], [rows[i] for i in sorted(chosen)])


def fingerprint(rows: list[dict[str, Any]]) -> str:
    """SHA-256 over the rows in order, in hexadecimal: the same rows give the same fingerprint."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(_key(row).encode() + b"\n")
    return digest.hexdigest()


def store_upload(settings: Settings, path: Path) -> str:
    """Copy an uploaded file into the uploads folder under a name with its content's hash.

    Returns the name for `data.dataset_name`. The same content under the same name is stored once. Raises `DataError`
    for a kind of file that cannot hold rows.
    """
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        raise DataError(f"{path.name} is not a kind of file that can hold rows.",
                        f"Use one of {', '.join(EXTENSIONS)}.", field="data.dataset_name")
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


def _read(
    name: str, split: str, field: str, section: DataSection, settings: Settings, token: str | None, limit: int
) -> Table:
    try:
        path = local_path(name, settings)
        if path is not None:
            rows = read_file(path, limit)
            return Table(rows, name if name.startswith(BUNDLED) else path.name, None if limit else len(rows))
        rows, total = read_hub(name, section.dataset_config, split, token, limit)
        return Table(rows, f"{name} on the Hub", total)
    except DataError as error:
        raise DataError(error.message, error.hint, error.field or field) from None


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


def _key(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, sort_keys=True, default=str)


def _count(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"

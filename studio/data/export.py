"""Writes the rows a run would learn from and be judged by as JSON Lines, with the account of all others.

A list of what was written stays in the folder, so that the next export replaces its own files and nobody else's.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from studio.data import account, languages
from studio.data.duplicates import parts
from studio.data.jsonl import write_jsonl
from studio.data.prepare import Prepared, prepare
from studio.data.sources import local_path
from studio.errors import DataError
from studio.preset.schema import Preset
from studio.settings import Settings

TRAIN, HELDOUT, ACCOUNT = "train.jsonl", "heldout.jsonl", "left_out.jsonl"
# the names of an export's files with the digests of what it wrote
WRITTEN = ".export.json"


@dataclass(frozen=True)
class Exported:
    """What was written into `folder`, and from where.

    `left_out` and `changed` say in words how many of the source's rows were, and why; "" for none. `languages` are
    those of a sample, as `languages.mix` counts them.
    """

    folder: Path
    source: str
    format: str
    train_rows: int
    heldout_rows: int
    left_out: str
    changed: str
    languages: dict[str, int]

    @property
    def files(self) -> list[str]:
        """Names of the files with rows."""
        return [TRAIN, HELDOUT] if self.heldout_rows else [TRAIN]


def export(preset: Preset, settings: Settings, folder: Path, token: str | None = None) -> Exported:
    """Write train.jsonl, heldout.jsonl (rows held back) and left_out.jsonl (rows left out or changed) if there are any.

    Files of an earlier export are replaced. The rows are the same that training takes, documents in their parts.
    Raises `DataError` for data that a run would refuse, for a folder that cannot be written, and where a file there is
    the data set itself, or not as an export left it: then nothing is changed.
    """
    try:
        written = _written(folder)
        _refuse_other_files(folder, written, preset, settings)
        prepared = prepare(preset, settings, token)
        account_rows = prepared.account()
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in ((TRAIN, prepared.train), (HELDOUT, prepared.heldout), (ACCOUNT, account_rows)):
            if rows:
                write_jsonl(folder / name, rows)
                written[name] = _digest(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
                written.pop(name, None)
            (folder / WRITTEN).write_text(json.dumps(written))
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}.", "Choose another folder.") from None
    return Exported(
        folder, prepared.source.table.source, prepared.source.shape.format, len(prepared.train), len(prepared.heldout),
        account.in_words(prepared.left_out), account.in_words(prepared.changed), _languages(prepared))


def _written(folder: Path) -> dict[str, str]:
    """Digests of the files that an earlier export left in a folder; none where it left no list that can be read."""
    try:
        found = json.loads((folder / WRITTEN).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _refuse_other_files(folder: Path, written: dict[str, str], preset: Preset, settings: Settings) -> None:
    data = preset.data
    sources = [path for name in (data.dataset_name, data.dataset_test_split)
               if name and (path := local_path(name, settings)) is not None and path.exists()]
    for path in (folder / name for name in (TRAIN, HELDOUT, ACCOUNT)):
        # written under another name first
        beside = path.with_name(f".{path.name}")
        if any(file.exists() and any(file.samefile(source) for source in sources) for file in (path, beside)):
            raise DataError(f"{path} is the data set itself, and an export there would overwrite it.",
                            "Choose another folder.")
        if path.is_symlink() or (path.exists() and not (path.is_file() and written.get(path.name) == _digest(path))):
            raise DataError(f"{path} is there already, and not as an export wrote it.",
                            "Choose another folder, or move that file away.")


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _languages(prepared: Prepared) -> dict[str, int]:
    sample = languages.Sample()
    for row in prepared.train:
        sample.add(parts(row)[1])
    return languages.mix(sample.texts)

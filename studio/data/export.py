"""Writes the rows a run would learn from and be judged by as JSON Lines, with the account of all others."""

from dataclasses import dataclass
from pathlib import Path

from studio.data import account, languages
from studio.data.duplicates import parts
from studio.data.jsonl import write_jsonl
from studio.data.prepare import Prepared, prepare
from studio.errors import DataError
from studio.preset.schema import Preset
from studio.settings import Settings

TRAIN, HELDOUT, ACCOUNT = "train.jsonl", "heldout.jsonl", "left_out.jsonl"


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
    Raises `DataError` for data that a run would refuse, and for a folder that cannot be written.
    """
    prepared = prepare(preset, settings, token)
    account_rows = account.as_json(prepared.left_out, prepared.changed)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in ((TRAIN, prepared.train), (HELDOUT, prepared.heldout), (ACCOUNT, account_rows)):
            if rows:
                write_jsonl(folder / name, rows)
            else:
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}.", "Choose another folder.") from None
    return Exported(
        folder, prepared.source.table.source, prepared.source.shape.format, len(prepared.train), len(prepared.heldout),
        account.in_words(prepared.left_out), account.in_words(prepared.changed), _languages(prepared))


def _languages(prepared: Prepared) -> dict[str, int]:
    sample = languages.Sample()
    for row in prepared.train:
        sample.add(parts(row)[1])
    return languages.mix(sample.texts)

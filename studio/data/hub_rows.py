"""Rows of the Hub that an examination has read to their end, kept here for a while, so that a page can search them all.

A folder for each part of a data set, under a hash of all that names it and of the token that opened it: Arrow files,
one for each schema that the rows came in, and a file `rows` with their number.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.preset.schema import DataSection
from studio.settings import Settings

if TYPE_CHECKING:
    import pyarrow

KEPT_S = 7200
KEPT_SETS = 4
# of one data set, as it lies in memory
MOST_BYTES = 1_000_000_000
COUNT_FILE, PARTIAL = "rows", ".partial-"


def folder_of(section: DataSection, settings: Settings, token: str | None) -> Path:
    """Where the rows of a section are kept; rows that a token opened are found with that token alone."""
    token = token or os.environ.get("HF_TOKEN", "")
    named = [section.dataset_name, section.dataset_config, section.dataset_train_split, section.dataset_revision,
             section.max_rows, token]
    return settings.cache_dir / "hub_rows" / hashlib.sha256(json.dumps(named).encode()).hexdigest()


def is_kept(folder: Path, age_s: float = KEPT_S) -> bool:
    """Whether all rows are in the folder, read at most so many seconds ago: the Hub may have others by then."""
    try:
        return time.time() - (folder / COUNT_FILE).stat().st_mtime < age_s
    except FileNotFoundError:
        return False


def count(folder: Path) -> int:
    """How many rows are kept."""
    return int((folder / COUNT_FILE).read_text())


def batches(folder: Path) -> Iterator[list[dict[str, Any]]]:
    """The rows that are kept, in their order."""
    import pyarrow

    for path in sorted(folder.glob("*.arrow")):
        with pyarrow.memory_map(str(path)) as source, pyarrow.ipc.open_stream(source) as stream:
            for batch in stream:
                yield batch.to_pylist()


def keeping(folder: Path, tables: Iterator["pyarrow.Table"], limit: int = 0) -> Iterator["pyarrow.Table"]:
    """The same tables; with the last of them, or `limit` rows, they are in `folder` where there is room for them."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=PARTIAL))
    except OSError:
        yield from tables
        return
    writer = _Writer(partial)
    try:
        for table in tables:
            writer.write(table)
            if writer.rows == limit:  # nobody asks for more
                writer.put(folder)
            yield table
        if partial.exists():
            writer.put(folder)
    finally:
        with suppress(OSError):
            writer.close()
        shutil.rmtree(partial, ignore_errors=True)
        _forget_oldest(folder.parent)


class _Writer:
    """Writes tables into a folder; `is_whole` until one finds no room, and from then on does nothing."""

    def __init__(self, folder: Path):
        self.is_whole = True
        self._folder = folder
        self._schema: pyarrow.Schema | None = None
        self._file: Any = None
        self.rows = self._files = self._bytes = 0

    def write(self, table: "pyarrow.Table") -> None:
        self.rows += table.num_rows
        self._bytes += table.nbytes
        self.is_whole = self.is_whole and self._bytes <= MOST_BYTES
        if self.is_whole:
            try:
                self._append(table)
            except OSError:
                # a full disk costs the search in all rows, and nothing else
                self.is_whole = False

    def _append(self, table: "pyarrow.Table") -> None:
        import pyarrow

        if self._schema is None or not self._schema.equals(table.schema):
            self.close()
            self._schema, self._files = table.schema, self._files + 1
            self._file = pyarrow.ipc.new_stream(str(self._folder / f"{self._files:06}.arrow"), table.schema)
        self._file.write_table(table)

    def put(self, folder: Path) -> None:
        """No more tables come: what is whole is found in `folder` from now on."""
        try:
            self.close()
            (self._folder / COUNT_FILE).write_text(str(self.rows))
            if self.is_whole:
                shutil.rmtree(folder, ignore_errors=True)
                os.replace(self._folder, folder)
        except OSError:
            self.is_whole = False

    def close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            file.close()


def _forget_oldest(parent: Path) -> None:
    """Delete what is too old to be used, all but the newest sets, and what was broken off."""
    now = time.time()
    found = sorted(((entry.stat().st_mtime, entry) for entry in parent.iterdir()), reverse=True)
    kept = [entry for _, entry in found if not entry.name.startswith(PARTIAL)]
    for modified, entry in found:
        if now - modified > KEPT_S or entry in kept[KEPT_SETS:]:
            shutil.rmtree(entry, ignore_errors=True)

"""Rows of files of columns (Parquet, Arrow), which are parsed and never executed; what they unpack to is bounded.

pyarrow can crash on damaged bytes, so only `reader_child` calls this.
"""

from collections.abc import Iterator

import pyarrow
import pyarrow.parquet

from studio import words
from studio.data.archives import Part, unpacked_limit
from studio.data.batches import Batch, Fault
from studio.errors import DataError

BATCH_ROWS, BATCH_BYTES = 500, 16_000_000
# what a row of columns costs at least, so that a tiny file cannot hold rows without end
ROW_BYTES = 64
# what pyarrow lets through from a file whose bytes lie: names that are no text, sizes that no memory holds
PYARROW_ERRORS = (pyarrow.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError)


def read_parquet(part: Part) -> Iterator[Batch]:
    """Rows group by group. Raises `DataError` where the file is broken or unpacks to too much."""
    try:
        with pyarrow.parquet.ParquetFile(part.stream, pre_buffer=False) as file:
            groups = range(file.metadata.num_row_groups)
            _Room(part).take(sum(file.metadata.row_group(number).total_byte_size for number in groups))
            room = _Room(part)
            for batch in file.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                yield from _slices(batch, room)
    except PYARROW_ERRORS as error:
        raise DataError(f"{part.name} is not a readable Parquet file: {_reason(error)}.", "Write it again.") from None


def read_arrow(part: Part) -> Iterator[Batch]:
    """Arrow IPC, as a file or (what `datasets` writes) a stream. Raises `DataError` as `read_parquet`."""
    options = pyarrow.ipc.IpcReadOptions(use_threads=False)
    try:
        head = part.stream.read(6)
        part.stream.seek(0)
        room = _Room(part)
        if head == b"ARROW1":
            with pyarrow.ipc.open_file(part.stream, options=options) as file:
                for number in range(file.num_record_batches):
                    yield from _slices(file.get_batch(number), room)
        else:
            with pyarrow.ipc.open_stream(part.stream, options=options) as stream:
                for batch in stream:
                    yield from _slices(batch, room)
    except PYARROW_ERRORS as error:
        raise DataError(f"{part.name} is not a readable Arrow file: {_reason(error)}.", "Write it again.") from None


class _Room:
    """How much the columns of a file may still unpack to: runs of equal values pack far tighter than text."""

    def __init__(self, part: Part):
        self.name, self._left = part.name, unpacked_limit(part.size)

    def take(self, size_bytes: int) -> None:
        """Raises `DataError` when there is no room left."""
        self._left -= size_bytes
        if self._left < 0:
            raise DataError(f"{self.name} unpacks to far more than rows of text would: it may be a bomb.",
                            "Write its rows as JSON Lines.")


def _slices(batch: pyarrow.RecordBatch, room: _Room) -> Iterator[Batch]:
    """The rows of a record batch, so many at a time that their text stays small."""
    names = batch.schema.names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f'{room.name} has two columns called "{words.plain(twice, 40)}".',
                        "Give every column a name of its own.")
    room.take(batch.nbytes + ROW_BYTES * batch.num_rows)
    # offsets in a hostile file may point outside its buffers
    batch.validate(full=True)
    rows = max(1, min(BATCH_ROWS, BATCH_BYTES * batch.num_rows // max(1, batch.nbytes)))
    for start in range(0, batch.num_rows, rows):
        yield _columns(batch.slice(start, rows))


def _columns(table: pyarrow.RecordBatch) -> Batch:
    """Rows of an Arrow batch; values that Python cannot hold (dates after the year 9999) cost their row."""
    try:
        return Batch(rows := table.to_pylist(), [0] * len(rows), [])
    except (ValueError, OverflowError, TypeError):
        batch = Batch()
        for number in range(table.num_rows):
            try:
                batch.add(table.slice(number, 1).to_pylist()[0], 0)
            except (ValueError, OverflowError, TypeError) as error:
                batch.faults.append(Fault("unreadable_value", 0, _reason(error)))
        return batch


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0][:200]
    return "".join(c for c in first if c.isprintable()).strip(" .:") or type(error).__name__

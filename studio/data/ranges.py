"""Scans a large file of JSON Lines in ranges of bytes, on all cores at once; what it says is the same in one pass."""

import gc
import io
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from studio.data import duplicates
from studio.data.archives import Part
from studio.data.batches import FileFacts
from studio.data.encoding import LONGEST_LINE_BYTES, SAMPLE_BYTES, TextLines, mark_and_encoding
from studio.data.plain_chats import PlainChats, serves
from studio.data.records import read_lines
from studio.data.scan import Scan
from studio.errors import DataError

# below it starting the processes takes longer than the reading
LARGE_BYTES = 24_000_000
RANGE_BYTES = 8_000_000
# a block that holds one odd line is read slowly, so blocks are small
BLOCK_BYTES = 200_000
MOST_PROCESSES = 16
AHEAD = 2 * MOST_PROCESSES


class NotInRanges(Exception):
    """The file must be read from its start to its end: it is not all UTF-8, or has a line without end."""


def is_large(part: Part) -> bool:
    """Whether a file is worth it."""
    return part.path is not None and part.extension in (".jsonl", ".ndjson") and part.size >= LARGE_BYTES


@contextmanager
def processes(
    kind: str = "", begin: Callable[..., None] | None = None, *values: Any
) -> Iterator[ProcessPoolExecutor]:
    """Processes to work with, one a core, started at once; they end with the block, whatever they are at.

    They are forked where that is safe, unless a `kind` is named; each calls `begin(*values)` first.
    """
    kind = kind or ("spawn" if duplicates.threads_started or threading.active_count() > 1 else "fork")
    pool = ProcessPoolExecutor(min(MOST_PROCESSES, len(os.sched_getaffinity(0))), multiprocessing.get_context(kind),
                               _prepare, (begin, values))
    try:
        pool.submit(os.getpid)
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def scan_ranges(part: Part, scan: Scan, pool: ProcessPoolExecutor) -> Iterator[float]:
    """Scan a file into `scan`, which knows the shape of its rows; yields the share that is done.

    Raises `NotInRanges`, and then nothing was added to `scan`; whoever stops here earlier finds what was done in it.
    """
    with open(part.path, "rb") as file:
        mark, encoding = mark_and_encoding(file.read(SAMPLE_BYTES))
    if encoding != "utf-8":
        raise NotInRanges
    whole, lines = scan.part(), 0
    whole.begin_file(part.name, "", 0)
    facts = FileFacts(part.name, part.extension.lstrip("."), part.size,
                      "UTF-8 with byte-order mark" if mark else "UTF-8")
    try:
        for found, lines_in_it, end in _in_order(pool, part.path, len(mark), part.size, scan.part()):
            whole.join(found, lines)
            lines += lines_in_it
            yield end / part.size
    except GeneratorExit:
        scan.files.append(facts)
        scan.join(whole, 0)
        raise
    scan.files.append(facts)
    scan.join(whole, 0)


def _in_order(
    pool: ProcessPoolExecutor, path: Path, start: int, size: int, empty: Scan
) -> Iterator[tuple[Scan, int, int]]:
    """The scans of a file's ranges, with the lines each has and where it ends; some ranges are worked on ahead."""
    waiting: deque[tuple[Future, int]] = deque()
    ends = [min(size, begin + RANGE_BYTES) for begin in range(start, size, RANGE_BYTES)]
    try:
        for begin, end in pairwise([start, *ends]):
            waiting.append((pool.submit(_scan_range, path, begin, end, begin == start, empty), end))
            if len(waiting) > AHEAD:
                future, done = waiting.popleft()
                yield *future.result(), done
        for future, done in waiting:
            yield *future.result(), done
    except BrokenProcessPool:
        raise DataError(f"The reading of {path.name} was ended by the system, as when memory runs out.",
                        "Set data.max_rows to read fewer rows.", "data.max_rows") from None


def _prepare(begin: Callable[..., None] | None, values: tuple[Any, ...]) -> None:
    """In each process: Ctrl-C is for the one that asks, and when that is gone there is nothing left to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
    gc.disable()
    if begin:
        begin(*values)


def _scan_range(path: Path, begin: int, end: int, is_first: bool, scan: Scan) -> tuple[Scan, int]:
    """Scan the lines that begin in a range of bytes; returns the scan and how many lines there are."""
    facts = scan.begin_file(path.name, "", 0)
    plain = PlainChats(scan.shape.columns["messages"]) if serves(scan.shape) else None
    lines = 0
    for block in _blocks(path, begin, end, is_first):
        taken = plain.take(scan, facts, block, lines) if plain else 0
        lines += taken or _take_slowly(scan, facts, block, lines)
    scan.duplicates.sign()
    return scan, lines


def _take_slowly(scan: Scan, facts: FileFacts, block: bytes, lines_before: int) -> int:
    reader = TextLines(io.BytesIO(block), _refuse, lines_before)
    batch = read_lines(reader)
    if reader.foreign_lines:
        raise NotInRanges
    scan.take(facts, batch)
    return reader.number - lines_before


def _refuse(line: int) -> None:
    raise NotInRanges


def _blocks(path: Path, begin: int, end: int, is_first: bool) -> Iterator[bytes]:
    """Whole lines, about BLOCK_BYTES at a time, of those that begin in the range."""
    with open(path, "rb") as file:
        file.seek(begin)
        if not is_first:
            file.seek(begin - 1)
            _line(file)
        while block := file.read(max(0, min(BLOCK_BYTES, end - file.tell()))):
            yield block if block.endswith(b"\n") else block + _line(file)


def _line(file: BinaryIO) -> bytes:
    """The rest of a line. Raises `NotInRanges` for one that is too long to be a row."""
    line = file.readline(LONGEST_LINE_BYTES)
    if len(line) == LONGEST_LINE_BYTES:
        raise NotInRanges
    return line

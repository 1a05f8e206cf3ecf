"""Reads files whose parsers can crash on damaged bytes: `python -m studio.data.reader_child SOCKET`, started by
`reader_process`.

The server has the parsers loaded and reads nothing itself. For each file it forks a child (some milliseconds) that may
use so much memory and time and write nothing to disk, and that sends rows back as lines of JSON.
"""

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import orjson

from studio.data.archives import Part
from studio.data.batches import Batch, Fault
from studio.errors import DataError

REQUEST_BYTES = 65_536
MEMORY_BYTES = 6_000_000_000
CPU_S, CPU_S_EACH_MB = 60, 2


def main() -> None:
    """Serve until the process that asks is gone."""
    # Ctrl-C ends the asker, who may still want rows from here for its report
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    server = socket.socket(fileno=int(sys.argv[1]))
    while True:
        request, descriptors, _, _ = socket.recv_fds(server, REQUEST_BYTES, 2)
        if not request:
            return
        asked = json.loads(request)
        read = reader_of(asked["extension"])
        if os.fork() == 0:
            try:
                server.close()
                _limit(asked["size"])
                _answer(read, asked, *descriptors)
            finally:
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)


def reader_of(extension: str) -> Callable[[Part], Iterator[Batch]]:
    """The function that reads such files; its module is loaded before the fork, so that no child loads it again."""
    match extension:
        case ".pdf":
            from studio.data.pdf_rows import read_pdf
            return read_pdf
        case ".docx":
            from studio.data.docx_rows import read_docx
            return read_docx
        case _:
            from studio.data import column_rows
            return {".parquet": column_rows.read_parquet, ".arrow": column_rows.read_arrow}[extension]


def _limit(size: int) -> None:
    """What a child may use; beyond it the system ends it, or an allocation fails."""
    seconds = CPU_S + CPU_S_EACH_MB * size // 1_000_000
    for what, most in ((resource.RLIMIT_AS, MEMORY_BYTES), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_FSIZE, 0),
                       (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(what, (most, most))


def _answer(read: Callable[[Part], Iterator[Batch]], asked: dict[str, Any], source: int, target: int) -> None:
    """Send batches, then either the end or why there is none; nothing at all where this process crashes."""
    with os.fdopen(target, "wb") as answer, os.fdopen(source, "rb") as stream:
        try:
            stream.seek(0)
            for batch in read(Part(asked["name"], asked["extension"], stream, asked["size"], stream.tell)):
                _send(answer, batch)
            answer.write(b'{"end": true}\n')
        except DataError as error:
            answer.write(orjson.dumps({"error": [error.message, error.hint]}) + b"\n")
        except MemoryError:
            error = f"{asked['name']} needs more memory than {MEMORY_BYTES // 10**9} GB to read."
            answer.write(orjson.dumps({"error": [error, "Write it in smaller pieces."]}) + b"\n")


def _send(answer: BinaryIO, batch: Batch) -> None:
    try:
        rows = [_as_json(row) for row in batch.rows]
        kept, faults = batch.lines, batch.faults
    except orjson.JSONEncodeError:
        rows, kept, faults = [], [], list(batch.faults)
        for row, line in zip(batch.rows, batch.lines, strict=True):
            try:
                rows.append(_as_json(row))
                kept.append(line)
            except orjson.JSONEncodeError:
                faults.append(Fault("too_deep", line, "it nests too deeply"))
    said = [[fault.name, fault.line, fault.detail, fault.keeps_row] for fault in faults]
    rest = orjson.dumps({"lines": kept, "faults": said})
    answer.write(b'{"rows":[' + b",".join(rows) + b"]," + rest[1:] + b"\n")
    answer.flush()


def _as_json(row: Any) -> bytes:
    """Dates and numbers that JSON has not become text, as `json.dumps(default=str)` writes them."""
    return orjson.dumps(row, default=str, option=orjson.OPT_PASSTHROUGH_DATETIME)


if __name__ == "__main__":
    main()

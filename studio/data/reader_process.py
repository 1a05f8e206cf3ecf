"""Has files read in a process of their own where damaged bytes can crash the parser; a crash is one error here.

Rows come back as JSON, so nothing that a hostile file did to that process reaches this one.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import orjson

from studio.data.archives import Part
from studio.data.batches import Batch, Fault
from studio.errors import DataError
from studio.settings import PROJECT_DIR

# no batch of rows is longer, see column_rows.BATCH_BYTES; a process that a file took over could send lines without end
LONGEST_ANSWER_BYTES = 1_000_000_000
# what a program needs to start; secrets are not among it
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")

_lock = threading.Lock()
_server: "tuple[subprocess.Popen, socket.socket] | None" = None


def read_apart(part: Part) -> Iterator[Batch]:
    """The rows of a part whose stream is a real file. Raises `DataError` where it cannot be read on."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as answer:
        try:
            _ask({"name": part.name, "extension": part.extension, "size": part.size}, [part.stream.fileno(), writing])
        finally:
            os.close(writing)
        while line := answer.readline(LONGEST_ANSWER_BYTES):
            said = orjson.loads(line) if line.endswith(b"\n") else {}
            if "rows" in said:
                yield Batch(said["rows"], said["lines"], [Fault(*fault) for fault in said["faults"]])
            elif "error" in said:
                raise DataError(*said["error"])
            elif "end" in said:
                return
            else:
                break
    raise DataError(f"{part.name} is damaged so badly that its reader broke on it.", "Write it again.")


def _ask(request: dict[str, str | int], descriptors: list[int]) -> None:
    global _server
    with _lock:
        if _server is None or _server[0].poll() is not None:
            _server = _start()
        socket.send_fds(_server[1], [json.dumps(request).encode()], descriptors)


def _start() -> "tuple[subprocess.Popen, socket.socket]":
    """A server that ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "studio.data.reader_child", str(theirs.fileno())], cwd=PROJECT_DIR,
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ})
    return process, ours

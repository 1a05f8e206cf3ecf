"""How far a file or folder is that somebody else writes, told while it grows."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_S = 0.5


@contextmanager
def watched(path: Path, tell: Callable[[int], None]) -> Iterator[None]:
    """Call `tell` with the bytes at `path` now and then within the block; never after it."""
    written = threading.Event()

    def watch() -> None:
        while not written.wait(LOOK_S):
            if (size := _size(path)) > 0:
                tell(size)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        written.set()
        watcher.join()


def _size(path: Path) -> int:
    try:
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        return sum(file.stat().st_size for file in files)
    except FileNotFoundError:  # renamed or deleted while it was looked at
        return 0

"""Bytes of the file that is being sent. huggingface_hub has no public hook for uploads, so two names are replaced.

Where a later version lacks the names, progress goes file by file and nothing else is lost.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def reported_bytes(on_bytes: Callable[[int], None]) -> Iterator[None]:
    """Call `on_bytes(sent)` with the bytes sent of the present file, whenever some were; from any thread.

    Covers both ways of sending: LFS (by plain HTTP) and Xet.
    """

    def bar(original: type) -> type:
        class Bar(original):
            """The tqdm bar of one LFS upload, unseen; a repeated upload counts again, hence the limit."""

            def __init__(self, *arguments, **options):
                self.is_of_bytes, self.sent, self.size = options.get("unit") == "B", 0, options.get("total") or 0
                super().__init__(*arguments, **options | {"disable": True})

            def update(self, n: float | None = 1) -> None:
                if self.is_of_bytes:
                    self.sent = min(self.sent + n, self.size)
                    on_bytes(self.sent)

        return Bar

    class Report:
        """Stands in for XetUploadProgressReporter: bytes read, less those still waiting to be sent."""

        def __init__(self, *_: object, **__: object):
            self.last = (0, 0)

        def update_progress(self, group, _items) -> None:
            now = (group.total_bytes_completed, group.total_transfer_bytes_completed)
            if now != self.last:
                self.last = now
                read, sent = now
                on_bytes(max(0, read - max(0, group.total_transfer_bytes - sent)))

        def reset_for_next_commit(self) -> None:
            self.last = (0, 0)

        def close(self) -> None:
            pass

    with _replaced(*_LFS_BAR, bar), _replaced(*_XET_REPORT, lambda _: Report):
        yield


_LFS_BAR = ("huggingface_hub.utils.tqdm", "tqdm")
_XET_REPORT = ("huggingface_hub.utils._xet_progress_reporting", "XetUploadProgressReporter")


def places() -> list[tuple[str, str]]:
    """The private names that are replaced, for the test that watches over them."""
    return [_LFS_BAR, _XET_REPORT]


@contextmanager
def _replaced(module_name: str, name: str, stand_in: Callable[[type], type]) -> Iterator[None]:
    module = _module(module_name)
    if module is None or name not in vars(module):
        yield
        return
    original = vars(module)[name]
    setattr(module, name, stand_in(original))
    try:
        yield
    finally:
        setattr(module, name, original)


def _module(name: str) -> ModuleType | None:
    """`huggingface_hub.utils.tqdm` names a class too, so only sys.modules finds the module."""
    try:
        importlib.import_module(name)
    except ImportError:
        return None
    return sys.modules[name]

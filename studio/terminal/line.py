"""A line in a terminal that changes while something works."""

import sys
import time

# without a terminal to redraw, a line now and then is enough
PLAIN_LINE_S = 10


class LiveLine:
    """One line redrawn in a terminal; elsewhere a line now and then, when it changed."""

    def __init__(self, quiet: bool):
        self._quiet = quiet
        self._redraws = sys.stderr.isatty()
        self._shown, self._shown_at = "", 0.0

    def show(self, text: str) -> None:
        if self._quiet or text == self._shown:
            return
        if self._redraws:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._shown_at >= PLAIN_LINE_S or text.split("  ")[:2] != self._shown.split("  ")[:2]:
            print(text, file=sys.stderr, flush=True)
            self._shown_at = time.monotonic()
        else:
            return
        self._shown = text

    def say(self, text: str) -> None:
        if not self._quiet:
            print(("\r\033[K" if self._redraws else "") + text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave no line behind."""
        if self._redraws and not self._quiet:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._redraws and not self._quiet:
            print(file=sys.stderr)

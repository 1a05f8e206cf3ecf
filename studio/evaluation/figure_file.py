"""Figures that a model found, by key, in a JSON file of the run, so that they are not measured again."""

import json
import os
from pathlib import Path


class FigureFile:
    """The figures of one run; a file that cannot be read is measured anew."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._known: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self._known = {}

    def find(self, key: str) -> float | None:
        """The figure of that key, None where it was not measured."""
        return self._known.get(key)

    def add(self, found: dict[str, float]) -> None:
        """Keep what was measured."""
        self._known |= found
        partial = self._path.with_name(f".{self._path.name}.partial")
        partial.write_text(json.dumps(self._known) + "\n", encoding="utf-8")
        os.replace(partial, self._path)

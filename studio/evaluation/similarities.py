"""How alike in meaning answers and wanted answers are, as an encoder found, kept in a run's `similarities.json`."""

import hashlib
import json
import os
from pathlib import Path

METRIC = "embedding_similarity"


def similarity_key(encoder: str, answer: str, wanted: str) -> str:
    """Names a pair of texts under an encoder, which is told by its mark."""
    return hashlib.sha256(json.dumps([encoder, answer, wanted]).encode()).hexdigest()[:24]


class SimilarityFile:
    """The similarities of one run, by key; a file that cannot be read is measured anew."""

    def __init__(self, path: Path):
        self._path = path
        try:
            self._known: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self._known = {}

    def find(self, key: str) -> float | None:
        """The similarity of that key, None where it was not measured."""
        return self._known.get(key)

    def add(self, found: dict[str, float]) -> None:
        """Keep what was measured."""
        self._known |= found
        partial = self._path.with_name(f".{self._path.name}.partial")
        partial.write_text(json.dumps(self._known) + "\n", encoding="utf-8")
        os.replace(partial, self._path)

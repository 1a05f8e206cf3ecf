"""Rows that are there twice, nearly twice, or on both sides of a split; memory grows by about 0.5 kB a row compared."""

from array import array
from collections.abc import Iterator
from typing import Any

import numpy
import xxhash
from rensa import RMinHash, RMinHashDeduplicator

NEAR_ROWS = 1_000_000
NEAR_THRESHOLD = 0.8
PERMUTATIONS = 64
BANDS = 16
SHINGLE_WORDS = 3
# shorter rows are near to each other by chance
NEAR_WORDS = 12
# rows are told apart by their beginning
NEAR_CHARACTERS = 20_000


class Duplicates:
    """Takes rows one by one; says of each whether it is near to an earlier one, and of all which are equal."""

    def __init__(self, near: bool = True) -> None:
        self._hashes = array("Q")
        self._questions = array("Q")
        self._near = RMinHashDeduplicator(NEAR_THRESHOLD, PERMUTATIONS, True, BANDS) if near else None
        self._exact_seen: set[int] = set()
        self.compared = 0

    def add(self, question: str, said: str, whole: str) -> bool:
        """Note a row, given what it asks, its text without system prompt, and all its text.

        True where it is near to an earlier one but not equal.
        """
        digest = _digest(whole)
        self._hashes.append(digest)
        self._questions.append(_digest(question) if question else digest)
        if self._near is None or self.compared >= NEAR_ROWS:
            return False
        self.compared += 1
        if digest in self._exact_seen:
            return False
        self._exact_seen.add(digest)
        tokens = shingles(said)
        if tokens is None:
            return False
        signature = RMinHash(PERMUTATIONS, 42)
        signature.update(tokens)
        return not self._near.add(str(len(self._hashes)), signature)

    def exact(self) -> Iterator[tuple[int, int]]:
        """Index of each row that is there already, and of the first such row; both from 0."""
        hashes = numpy.frombuffer(self._hashes, dtype=numpy.uint64)
        order = numpy.argsort(hashes, kind="stable")
        ordered = hashes[order]
        again = numpy.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        starts = numpy.searchsorted(ordered, ordered[again], side="left")
        pairs = numpy.stack([order[again], order[starts]], axis=1)
        yield from map(tuple, pairs[numpy.argsort(pairs[:, 0])].tolist())

    def overlap(self, question: str, said: str, whole: str) -> str:
        """How a held-out row is among the rows: "exact", "near", "question" or "". Call `close` first."""
        if _digest(whole) in self._closed_hashes:
            return "exact"
        tokens = shingles(said) if self._near is not None else None
        if tokens is not None:
            signature = RMinHash(PERMUTATIONS, 42)
            signature.update(tokens)
            if self._near.is_duplicate("heldout", signature):
                return "near"
        return "question" if question and _digest(question) in self._closed_questions else ""

    def close(self) -> None:
        """No more rows come; held-out rows are compared from now on."""
        self._closed_hashes, self._closed_questions = frozenset(self._hashes), frozenset(self._questions)


def shingles(text: str) -> list[str] | None:
    """Runs of three words in lower case, or None for a row of few words."""
    words = text[:NEAR_CHARACTERS].lower().split()
    if len(words) < NEAR_WORDS:
        return None
    return [" ".join(run) for run in zip(words, words[1:], words[2:], strict=False)]


def parts(row: dict[str, Any]) -> tuple[str, str]:
    """What a normalised row asks ("" for plain text), and its text without what rows share (system prompts)."""
    if "text" in row:
        return "", row["text"]
    if "messages" in row:
        turns = row["messages"]
        question = next((turn["content"] for turn in turns if turn["role"] == "user"), "")
        return question, "\n".join(_said(turn) for turn in turns if turn["role"] != "system")
    asked, answered = (
        side if isinstance(side, str) else "\n".join(_said(turn) for turn in side if turn["role"] != "system")
        for side in (row["prompt"], row["completion"]))
    return asked, f"{asked}\n{answered}"


def _digest(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


def _said(turn: dict[str, Any]) -> str:
    return f"{turn['content']}\n{turn['tool_calls']}" if "tool_calls" in turn else turn["content"]

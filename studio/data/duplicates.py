"""Rows that are there twice, nearly twice, or on both sides of a split; memory grows by about 300 bytes a row."""

import re
from array import array
from collections.abc import Iterator
from typing import Any

import numpy
import xxhash
from rensa import RMinHash

from studio.data.formats import TEXT_PARTS, question
from studio.data.split import json_digest, row_digest

NEAR_ROWS = 1_000_000
NEAR_SIMILARITY = 0.8
# signatures of 16 bands of 4: pairs as similar as that share a band with 99.98 % probability
PERMUTATIONS, BANDS, SEED = 64, 16, 42
BAND_WIDTH = PERMUTATIONS // BANDS
SIGNED_AT_ONCE, COMPARED_AT_ONCE = 1000, 100_000
# shorter rows are near to each other by chance
NEAR_WORDS = 12
# rows are told apart by their beginning
NEAR_CHARACTERS = 20_000
# Chinese, Japanese, Thai, Lao, Burmese and Khmer are written without spaces
UNSPACED = re.compile("[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")
# longer words on average, looked at in so many characters; of their text no more runs than of NEAR_CHARACTERS of words
LONGEST_WORDS, LOOKED_AT = 8, 200
FEWEST_CHARACTERS, UNSPACED_CHARACTERS = 40, 3_000


# signing works in threads, which a process forked later would wait for in vain
threads_started = False


class Duplicates:
    """Takes rows one by one and then tells which are equal, which nearly, and which are in another set too."""

    def __init__(self) -> None:
        self._hashes, self._questions = array("Q"), array("Q")
        self._signed = array("Q")
        self._signatures: list[numpy.ndarray] = []
        self._waiting: list[list[str]] = []

    @property
    def compared(self) -> int:
        """How many rows are compared for nearness: those long enough to tell, NEAR_ROWS at most."""
        return len(self._signed)

    def add(self, question: str, said: str, digest: int) -> None:
        """Note a row: what it asks, its text without system prompt, and its `digest`."""
        self._hashes.append(digest)
        self._questions.append(xxhash.xxh3_64_intdigest(question.encode()) if question else digest)
        if self.compared == NEAR_ROWS:
            return
        tokens = shingles(said)
        if tokens is not None:
            self._signed.append(len(self._hashes) - 1)
            self._waiting.append(tokens)
            if len(self._waiting) == SIGNED_AT_ONCE:
                self.sign()

    def join(self, other: "Duplicates") -> None:
        """Add the rows of another part after these."""
        before, room = len(self._hashes), NEAR_ROWS - self.compared
        self._hashes.extend(other._hashes)
        self._questions.extend(other._questions)
        rows, signatures = other._signed_rows()
        self.sign()
        self._signed.extend((rows[:room] + before).tolist())
        self._signatures.append(signatures[:room])

    def exact(self) -> numpy.ndarray:
        """Pairs of the index of each row that is there already, in order, and of the first such row; both from 0."""
        hashes = self._hash_array()
        order = numpy.argsort(hashes, kind="stable")
        ordered = hashes[order]
        again = numpy.flatnonzero(ordered[1:] == ordered[:-1]) + 1
        starts = numpy.searchsorted(ordered, ordered[again], side="left")
        pairs = numpy.stack([order[again], order[starts]], axis=1)
        return pairs[numpy.argsort(pairs[:, 0])]

    def near(self) -> numpy.ndarray:
        """Pairs of the index of each row that is near to an earlier one and equal to none, and of that earlier one."""
        rows, signatures = self._signed_rows()
        first_times = numpy.ones(len(self._hashes), dtype=bool)
        first_times[self.exact()[:, 0]] = False
        kept = first_times[rows]
        rows, signatures = rows[kept], signatures[kept]
        found = numpy.full(len(rows), -1, dtype=numpy.int64)
        for band in range(BANDS):
            keys = _band_keys(signatures, band)
            order = numpy.argsort(keys, kind="stable")
            ordered = keys[order]
            again = numpy.flatnonzero(ordered[1:] == ordered[:-1]) + 1
            starts = numpy.searchsorted(ordered, ordered[again], side="left")
            # the first of a band's rows, and the one before: both may be the similar one
            for others in (order[starts], order[again - 1]):
                _note_similar(found, signatures, order[again], signatures, others)
        again = numpy.flatnonzero(found >= 0)
        return numpy.stack([rows[again], rows[found[again]]], axis=1)

    def overlap(self, heldout: "Duplicates") -> Iterator[tuple[int, str]]:
        """Index of each row of `heldout` that is among these rows, and how: "exact", "near" or "question"."""
        exact = numpy.isin(heldout._hash_array(), self._hash_array())
        asked = numpy.isin(numpy.array(heldout._questions, dtype=numpy.uint64),
                           numpy.array(self._questions, dtype=numpy.uint64))
        _, signatures = self._signed_rows()
        rows, theirs = heldout._signed_rows()
        found = numpy.full(len(rows), -1, dtype=numpy.int64)
        for band in range(BANDS if len(signatures) else 0):
            keys = _band_keys(signatures, band)
            order = numpy.argsort(keys, kind="stable")
            wanted = _band_keys(theirs, band)
            at = numpy.minimum(numpy.searchsorted(keys[order], wanted), len(keys) - 1)
            same = numpy.flatnonzero(keys[order][at] == wanted)
            _note_similar(found, theirs, same, signatures, order[at[same]])
        near = numpy.zeros(len(exact), dtype=bool)
        near[rows[found >= 0]] = True
        for index in numpy.flatnonzero(exact | near | asked).tolist():
            yield index, "exact" if exact[index] else "near" if near[index] else "question"

    def _hash_array(self) -> numpy.ndarray:
        return numpy.array(self._hashes, dtype=numpy.uint64)

    def sign(self) -> None:
        """Turn the waiting rows into signatures."""
        global threads_started
        if self._waiting:
            threads_started = True
            matrix = RMinHash.digest_matrix_from_token_sets(self._waiting, PERMUTATIONS, SEED)
            self._signatures.append(numpy.array(matrix.to_rows(), dtype=numpy.uint32))
            self._waiting = []

    def _signed_rows(self) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Indices of the rows that have a signature, and these signatures."""
        self.sign()
        self._signatures = [numpy.concatenate([numpy.empty((0, PERMUTATIONS), numpy.uint32), *self._signatures])]
        return numpy.array(self._signed, dtype=numpy.int64), self._signatures[0]


def _band_keys(signatures: numpy.ndarray, band: int) -> numpy.ndarray:
    """One number for each row's part of the signature; rows that only share the number are told apart later."""
    keys = numpy.zeros(len(signatures), dtype=numpy.uint64)
    for column in range(band * BAND_WIDTH, (band + 1) * BAND_WIDTH):
        keys = keys * numpy.uint64(0x9E3779B97F4A7C15) + signatures[:, column]
    return keys


def _note_similar(
    found: numpy.ndarray, signatures: numpy.ndarray, rows: numpy.ndarray, others: numpy.ndarray, partners: numpy.ndarray
) -> None:
    """Write into `found` the partner of each row whose signature is similar enough."""
    for start in range(0, len(rows), COMPARED_AT_ONCE):
        row, partner = rows[start:start + COMPARED_AT_ONCE], partners[start:start + COMPARED_AT_ONCE]
        similar = (signatures[row] == others[partner]).mean(axis=1) >= NEAR_SIMILARITY
        found[row[similar]] = partner[similar]


def shingles(text: str) -> list[str] | None:
    """Runs of three words in lower case, or of five characters in a script without spaces; None for a short row."""
    text = text[:NEAR_CHARACTERS].lower()
    words = text.split()
    if not text.isascii() and _is_unspaced(text, len(words)):
        return _runs_of_characters(words, 5) or None
    if len(words) < NEAR_WORDS:
        return None
    return list(map(" ".join, zip(words, words[1:], words[2:], strict=False)))


def words_of(text: str) -> list[str]:
    """Words of which each three are a run as in `shingles`, none for a short row."""
    text = text[:NEAR_CHARACTERS].lower()
    words = text.split()
    if not text.isascii() and _is_unspaced(text, len(words)):
        return _runs_of_characters(words, 3)
    return words if len(words) >= NEAR_WORDS else []


def _is_unspaced(text: str, words: int) -> bool:
    """Whether a text that spaces cut into so many words is mostly in a script that parts no words by them."""
    if len(text) <= LONGEST_WORDS * words:
        return False
    some = text[::-(-len(text) // LOOKED_AT)]
    return 2 * len(UNSPACED.sub("", some)) < len(some)


def _runs_of_characters(words: list[str], length: int) -> list[str]:
    text = "".join(words)[:UNSPACED_CHARACTERS]
    return [text[i:i + length] for i in range(len(text) - length + 1)] if len(text) >= FEWEST_CHARACTERS else []


def parts(row: dict[str, Any]) -> tuple[str, str]:
    """What a normalised row asks ("" for plain text), and its text without what rows share (system prompts)."""
    if "messages" in row:
        return question(row), _without_system(row["messages"])
    sides = (row[part] for part in TEXT_PARTS if part in row)
    return question(row), "\n".join(side if isinstance(side, str) else _without_system(side) for side in sides)


def digest(row: dict[str, Any]) -> int:
    """64 bits that are the same for rows that a run counts as the same."""
    return row_digest(row) & 0xFFFF_FFFF_FFFF_FFFF


def digest_of_json(row: bytes) -> int:
    """The `digest` of a row given as JSON with its keys in order and no spaces."""
    return json_digest(row) & 0xFFFF_FFFF_FFFF_FFFF


def _without_system(turns: list[dict[str, Any]]) -> str:
    return "\n".join(_said(turn) for turn in turns if turn["role"] != "system")


def _said(turn: dict[str, Any]) -> str:
    return f"{turn['content']}\n{turn['tool_calls']}" if "tool_calls" in turn else turn["content"]

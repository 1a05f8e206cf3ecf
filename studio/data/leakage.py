"""What of the held-out rows the training rows give away: the same row, nearly the same one, or the same question."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import xxhash

from studio.data.duplicates import NEAR_SIMILARITY, parts, words_of
from studio.data.formats import question
from studio.data.split import row_digest

# so many held-out rows, evenly spaced, are compared for near ones: it bounds the memory
NEAR_HELDOUT_ROWS = 20_000
# runs of words that more rows share than that are of a template, and tell nothing
ROWS_PER_RUN = 50


@dataclass(frozen=True)
class Leakage:
    """Indices (from 0) of held-out rows, each with that of the first training row that gives it away.

    `exact` are there word for word, `near` nearly, `same_question` only ask the same; no row is in two of them.
    """

    exact: dict[int, int]
    near: dict[int, int]
    same_question: dict[int, int]


NO_LEAKAGE = Leakage({}, {}, {})


def leakage(train: Sequence[dict[str, Any]], heldout: Sequence[dict[str, Any]]) -> Leakage:
    """Compare normalised rows of both sides; 50,000 rows of 80 words take about two seconds."""
    exact = _first_with_key(train, heldout, row_digest)
    near = {index: row for index, row in _near(train, heldout).items() if index not in exact}
    asked = _first_with_key(train, heldout, _question_digest)
    return Leakage(exact, near, {index: row for index, row in asked.items() if index not in exact | near})


def _first_with_key(train: Sequence[dict[str, Any]], heldout: Sequence[dict[str, Any]], key: Any) -> dict[int, int]:
    """Indices of held-out rows, with that of the first training row of the same key; key 0 is none."""
    keys = [key(row) for row in heldout]
    wanted, first = set(keys) - {0}, {}
    for index, row in enumerate(train):
        if (found := key(row)) in wanted:
            first.setdefault(found, index)
    return {index: first[found] for index, found in enumerate(keys) if found in first}


def _question_digest(row: dict[str, Any]) -> int:
    """0 for a row that asks nothing."""
    asked = question(row)
    return xxhash.xxh3_128_intdigest(asked.encode(errors="surrogatepass")) if asked else 0


def _near(train: Sequence[dict[str, Any]], heldout: Sequence[dict[str, Any]]) -> dict[int, int]:
    """Of rows with words enough those that share NEAR_SIMILARITY of their runs of three words (Jaccard).

    Rows as similar as that share at least one of any fifth of the runs of either, and one more: only the rarest runs
    of each held-out row are looked up (prefix filter, Bayardo et al. 2007).
    """
    runs = {index: found for index in range(0, len(heldout), -(-len(heldout) // NEAR_HELDOUT_ROWS) or 1)
            if (found := set(_runs(_words(heldout[index]))))}
    frequency = Counter(run for found in runs.values() for run in found)
    rows_with: defaultdict[int, list[int]] = defaultdict(list)
    for index, found in runs.items():
        looked_up = len(found) - ceil(NEAR_SIMILARITY * len(found) - 1e-9) + 1
        for run in sorted(found, key=lambda run: (frequency[run], run))[:looked_up]:
            if len(rows_with[run]) < ROWS_PER_RUN:
                rows_with[run].append(index)
    near: dict[int, int] = {}
    for number, row in enumerate(train):
        words = _words(row)
        if rows_with.keys().isdisjoint(_runs(words)):
            continue
        theirs = set(_runs(words))
        for index in {index for run in theirs if run in rows_with for index in rows_with[run]} - near.keys():
            shared = len(theirs & runs[index])
            if shared >= NEAR_SIMILARITY * (len(theirs) + len(runs[index]) - shared):
                near[index] = number
    return near


def _words(row: dict[str, Any]) -> list[str]:
    """The words of a row, beside what rows share; none of a row of few."""
    return words_of(parts(row)[1])


def _runs(words: list[str]) -> Iterable[int]:
    """A number for each run of three words."""
    return map(hash, zip(words, words[1:], words[2:], strict=False))

"""The answers row by row, read from a run's `predictions.jsonl` a page at a time.

A line holds `prompt`, `expected`, and for each way its answer and `<way>_score` (see report.py). The file may be large:
where each line begins and how its row turned out is read once, then only the lines that are shown or searched.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from studio.evaluation.ways import BASE, TUNED

SCORE = "_score"
NOT_WAYS = frozenset({"prompt", "expected"})


class Turnout(StrEnum):
    """How a row turned out; the tuned model is compared with the base model."""

    ALL = "all"
    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    WRONG = "wrong"  # at least one way is not right


class Order(StrEnum):
    """The order of the rows; a gain is the tuned model's score less that of the base, or of the best other way."""

    FILE = "file"
    GAIN = "gain"
    LOSS = "loss"
    GAIN_ON_BEST = "gain_on_best"
    LOSS_ON_BEST = "loss_on_best"


@dataclass(frozen=True)
class Prediction:
    """One row: its number from 1, what was asked and wanted, and (way, answer, score from 0 to 1) for each way."""

    number: int
    prompt: str
    expected: str
    answers: list[tuple[str, str, float]]

    @property
    def turnout(self) -> Turnout:
        """Better, worse or same."""
        scores = {way: score for way, _, score in self.answers}
        gain = scores[TUNED] - scores[BASE]
        return Turnout.BETTER if gain > 0 else Turnout.WORSE if gain < 0 else Turnout.SAME


@dataclass(frozen=True)
class PredictionPage:
    """Some of the rows that were looked for: `found` of `total`; `page` counts from 1; `damaged` lines are left out.

    `rival` is the way that the gains of the order are on, "" where the rows stand as in the file.
    """

    rows: list[Prediction]
    found: int
    total: int
    page: int
    pages: int
    damaged: int
    rival: str = ""


@dataclass(frozen=True)
class _Index:
    """Where each readable line begins, its number in the file, the tuned model's gains, whether any way is not right.

    `best` is the way besides the tuned model that reaches most on these rows.
    """

    offsets: np.ndarray
    numbers: np.ndarray
    gains: np.ndarray
    gains_on_best: np.ndarray
    wrong: np.ndarray
    best: str
    damaged: int


def file_mark(path: Path) -> str:
    """Changes with the file; "" where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return ""
    return f"{stat.st_mtime_ns} {stat.st_size}"


def read_page(path: Path, search: str, turnout: Turnout, page: int, size: int,
              order: Order = Order.FILE) -> PredictionPage:
    """The rows that turned out so and hold `search` in question or answers, in any case; `page` is kept in bounds.

    Rows of equal gain stand as in the file. Raises `FileNotFoundError` where the run has no predictions.
    """
    mark = file_mark(path)
    index = _read_index(path, mark)
    found = _find(path, mark, " ".join(search.casefold().split()), turnout)
    found = _sorted(index, found, order)
    pages = max(1, -(-len(found) // size))
    page = min(max(1, page), pages)
    rows = [row for row in _read_rows(path, index, found[(page - 1) * size:page * size]) if row is not None]
    rival = "" if order is Order.FILE else BASE if order in (Order.GAIN, Order.LOSS) else index.best
    return PredictionPage(rows, len(found), len(index.offsets), page, pages, index.damaged, rival)


def _sorted(index: _Index, places: np.ndarray, order: Order) -> np.ndarray:
    if order is Order.FILE:
        return places
    gains = (index.gains if order in (Order.GAIN, Order.LOSS) else index.gains_on_best)[places]
    ahead = order in (Order.GAIN, Order.GAIN_ON_BEST)
    return places[np.argsort(-gains if ahead else gains, kind="stable")]


@lru_cache(maxsize=8)
def _read_index(path: Path, mark: str) -> _Index:
    offsets, numbers, judged, offset, damaged = [], [], [], 0, 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            row = _parse(line, number)
            if row is None:
                damaged += 1
            else:
                offsets.append(offset)
                numbers.append(number)
                judged.append({way: score for way, _, score in row.answers})
            offset += len(line)
    # one comparison writes the file, so that every row has the same ways; a line from elsewhere may lack some
    ways = [way for way in (judged[0] if judged else (BASE, TUNED)) if all(way in scores for scores in judged)]
    scores = {way: np.array([row[way] for row in judged], np.float32) for way in ways}
    best = max((way for way in ways if way != TUNED), key=lambda way: scores[way].sum())
    wrong = np.array([min(row.values()) < 1 for row in judged], bool)
    return _Index(np.array(offsets, np.int64), np.array(numbers, np.int64), scores[TUNED] - scores[BASE],
                  scores[TUNED] - scores[best], wrong, best, damaged)


@lru_cache(maxsize=16)
def _find(path: Path, mark: str, search: str, turnout: Turnout) -> np.ndarray:
    """Places in the index of the rows that were looked for."""
    index = _read_index(path, mark)
    kept = {Turnout.ALL: np.ones(len(index.gains), bool), Turnout.BETTER: index.gains > 0,
            Turnout.WORSE: index.gains < 0, Turnout.SAME: index.gains == 0, Turnout.WRONG: index.wrong}[turnout]
    places = np.flatnonzero(kept)
    if not search:
        return places
    holds = [row is not None and _holds(row, search) for row in _read_rows(path, index, places)]
    return places[np.array(holds, bool)]


def _holds(row: Prediction, search: str) -> bool:
    return any(search in " ".join(said.casefold().split())
               for said in (row.prompt, row.expected, *(answer for _, answer, _ in row.answers)))


def _read_rows(path: Path, index: _Index, places: np.ndarray) -> Iterator[Prediction | None]:
    """The rows at these places; None for one that is gone, since the file was written anew in the meantime."""
    with open(path, "rb") as file:
        for place in places:
            file.seek(index.offsets[place])
            yield _parse(file.readline(), int(index.numbers[place]))


def _parse(line: bytes, number: int) -> Prediction | None:
    """A line as a row; None where it is torn or of another form."""
    try:
        values: dict[str, Any] = orjson.loads(line)
        ways = [name for name in values if name + SCORE in values and name not in NOT_WAYS]
        answers = [(way, values[way], float(values[way + SCORE])) for way in ways]
        said = [values["prompt"], values["expected"], *(answer for _, answer, _ in answers)]
    except (KeyError, TypeError, ValueError):
        return None
    if not {BASE, TUNED} <= set(ways) or not all(isinstance(text, str) for text in said):
        return None
    return Prediction(number, values["prompt"], values["expected"], answers)

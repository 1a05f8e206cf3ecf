"""Parts rows into those to learn from and those to judge by; equal rows stay on one side, the seed decides the rest."""

import json
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import orjson
import xxhash

from studio import words
from studio.errors import DataError

IN_WORDS = {
    "random": ("", "Add different rows"), "label": (" by label", "Name the column of labels in data.split_column"),
    "group": (" by whole groups", "Choose a column with more groups"), "time": (" by time", "Choose another column"),
    "file": (" by file", "Add different rows")}


@dataclass(frozen=True)
class Parts:
    """Indices of rows (from 0), in order, on either side."""

    train: list[int]
    heldout: list[int]


def part(
    keys: Sequence[int], by: str, test_size: float, seed: int, values: Sequence[Any], files: Sequence[int],
) -> Parts:
    """Hold back the share `test_size` of the rows, of which `keys` holds a `row_digest` each.

    `by` is `data.split_by`, `values` the column it goes by (one a row, unused for random and file), `files` the number
    of each row's file. Raises `DataError` where the rows cannot be parted so.
    """
    groups = _equal_rows(keys)
    wanted = max(1, round(len(keys) * test_size))
    if by == "label":
        chosen = _by_label(groups, values, test_size, seed)
    elif by == "group":
        chosen = _about(_shuffled(_joined(groups, values), seed), wanted)
    elif by == "time":
        chosen = _latest(groups, _times(values), wanted)
    elif by == "file":
        chosen = _last_file(groups, files)
    else:
        chosen = _about(_shuffled(groups, seed), wanted)
    if not chosen or len(chosen) == len(keys):
        amount = "1 row" if len(keys) == 1 else f"{len(keys):,} rows"
        how, hint = IN_WORDS[by]
        raise DataError(f"{amount} cannot be parted{how} into rows to learn from and rows to judge by.",
                        f"{hint}, or set data.test_size to 0.", field="data.test_size")
    return Parts([i for i in range(len(keys)) if i not in chosen], sorted(chosen))


def row_digest(row: dict[str, Any]) -> int:
    """A number that is the same for rows that are equal word for word, whatever the order of their keys."""
    try:
        return json_digest(orjson.dumps(row, option=orjson.OPT_SORT_KEYS))
    except orjson.JSONEncodeError:  # dates and numbers of more than 64 bits
        return xxhash.xxh3_128_intdigest(row_key(row).encode(errors="surrogatepass"))


def json_digest(row: bytes) -> int:
    """The `row_digest` of a row given as JSON with its keys in order and no spaces."""
    return xxhash.xxh3_128_intdigest(row)


def row_key(row: dict[str, Any]) -> str:
    """The same for rows that are equal word for word, whatever the order of their keys."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, default=str)


def _equal_rows(keys: Sequence[int]) -> list[list[int]]:
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for index, key in enumerate(keys):
        groups[key].append(index)
    return list(groups.values())


def _shuffled(groups: list[list[int]], seed: int) -> list[list[int]]:
    order = list(groups)
    random.Random(seed).shuffle(order)
    return order


def _first_that_fit(groups: Iterable[list[int]], wanted: int) -> set[int]:
    chosen: set[int] = set()
    for group in groups:
        if len(chosen) + len(group) <= wanted:
            chosen.update(group)
    return chosen


def _about(groups: list[list[int]], wanted: int) -> set[int]:
    """At most so many rows, or the smallest group where each has more."""
    return _first_that_fit(groups, wanted) or set(min(groups, key=len))


def _by_label(groups: list[list[int]], values: Sequence[Any], test_size: float, seed: int) -> set[int]:
    """The same share of each label, to within a row; a label keeps a row to learn from."""
    labels: defaultdict[str, list[list[int]]] = defaultdict(list)
    for group in groups:
        labels[str(values[group[0]])].append(group)
    chosen: set[int] = set()
    due = 0.0
    for number, of_label in enumerate(labels.values()):
        n = sum(map(len, of_label))
        due += n * test_size
        wanted = min(n - 1, round(due) - len(chosen))
        chosen |= _first_that_fit(_shuffled(of_label, seed + number), wanted)
    return chosen


def _joined(groups: list[list[int]], values: Sequence[Any]) -> list[list[int]]:
    """Equal rows joined further by their value, so that no group and no row is on both sides."""
    parent = list(range(len(groups)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first_with: dict[str, int] = {}
    for i, group in enumerate(groups):
        for index in group:
            if values[index] not in (None, ""):
                here, there = root(i), root(first_with.setdefault(str(values[index]), i))
                parent[max(here, there)] = min(here, there)
    joined: defaultdict[int, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        joined[root(i)] += group
    return list(joined.values())


def _latest(groups: list[list[int]], times: Sequence[float], wanted: int) -> set[int]:
    """The latest rows; equal rows count as old as the oldest of them, rows of one moment stay together."""
    moments: defaultdict[float, list[int]] = defaultdict(list)
    for group in groups:
        moments[min(times[index] for index in group)] += group
    chosen: set[int] = set()
    for moment in sorted(moments, reverse=True):
        if (chosen and len(chosen) + len(moments[moment]) > wanted) or moment == float("-inf"):
            break
        chosen.update(moments[moment])
    return chosen


def _last_file(groups: list[list[int]], files: Sequence[int]) -> set[int]:
    last = max(files)
    if last == min(files):
        raise DataError("The rows come from one file, so none can be held back by file.",
                        "Add a second file, or hold back by random.", field="data.split_by")
    return {index for group in groups if all(files[index] == last for index in group) for index in group}


def _times(values: Sequence[Any]) -> list[float]:
    """Seconds since 1970; rows without a time count as older than all others. Raises `DataError`."""
    return [float("-inf") if value in (None, "") else _seconds(value) for value in values]


def _seconds(value: Any) -> float:
    try:
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                value = datetime.fromisoformat(value.strip())
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
        seconds = float(value)
        if math.isfinite(seconds):
            return seconds
    except (TypeError, ValueError, OverflowError):
        pass
    raise DataError(f'"{words.plain(str(value), 40)}" is not a time.',
                    "Write times as 2026-01-31 or 2026-01-31T12:00:00, or as numbers.", field="data.split_column")

"""How one answer is judged against the wanted one. Every score lies between 0 and 1."""

import json
import re
from collections import Counter
from typing import Any

CODE_FENCE = re.compile(r"^```\w*\n(.*)\n?```$", re.DOTALL)
INVALID = object()


def choose_metric(chosen: str, expected: list[str]) -> str:
    """The metric for a set of wanted answers: the one chosen, or for "auto" json_match where all are JSON objects or
    arrays, else exact_match."""
    if chosen != "auto":
        return chosen
    all_json = all(type(parse_json(text)) in (dict, list) for text in expected)
    return "json_match" if all_json else "exact_match"


def score(metric: str, answer: str, expected: str) -> float:
    """Judge one answer by `metric` (exact_match, json_match or token_f1)."""
    return {"exact_match": exact_match, "json_match": json_match, "token_f1": token_f1}[metric](answer, expected)


def exact_match(answer: str, expected: str) -> float:
    """1 where the texts are the same, differences in white space apart."""
    return float(answer.split() == expected.split())


def token_f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over words, as in SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250)."""
    return _f1(Counter(re.findall(r"\w+", answer.lower())), Counter(re.findall(r"\w+", expected.lower())))


def json_match(answer: str, expected: str) -> float:
    """1 where both are the same JSON value; order of keys, white space and a code fence around the answer are free."""
    return float(same_json(parse_json(answer), parse_json(expected)))


def json_valid(answer: str) -> float:
    """1 where the answer is JSON and nothing else."""
    return float(parse_json(answer) is not INVALID)


def json_field_f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over the leaf fields, each counted as path and value; 0 for invalid JSON."""
    value = parse_json(answer)
    return 0.0 if value is INVALID else _f1(Counter(_leaves(value)), Counter(_leaves(parse_json(expected))))


def parse_json(text: str) -> Any:
    """The JSON value a text holds, `INVALID` where it holds none."""
    text = text.strip()
    if fenced := CODE_FENCE.match(text):
        text = fenced[1]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return INVALID


def same_json(one: Any, other: Any) -> bool:
    """Equality of JSON values, in which true is not 1."""
    return one is not INVALID and other is not INVALID and sorted(_leaves(one)) == sorted(_leaves(other))


def _leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    """(path, value as JSON) of each leaf; empty objects and arrays are leaves too, 2 and 2.0 are the same."""
    if isinstance(value, dict) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}/{json.dumps(key)}")]
    if isinstance(value, list) and value:
        return [leaf for index, item in enumerate(value) for leaf in _leaves(item, f"{path}/{index}")]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return [(path, json.dumps(value))]


def _f1(found: Counter, wanted: Counter) -> float:
    if not found or not wanted:
        return float(found == wanted)
    common = (found & wanted).total()
    return 2 * common / (found.total() + wanted.total())

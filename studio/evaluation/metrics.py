"""How one answer is judged against the wanted one. Every score lies between 0 and 1."""

import json
import re
from collections import Counter
from statistics import median
from typing import Any

from sacrebleu.metrics import CHRF

from studio.errors import DataError

CODE_FENCE = re.compile(r"^```\w*\n(.*)\n?```$", re.DOTALL)
INVALID = object()
SENTENCE_CHRF = CHRF()
# wanted answers of so few words are labels or values, which are right or wrong
LABEL_WORDS = 8


def choose_metric(chosen: str, expected: list[str]) -> str:
    """The metric a set of wanted answers is judged by: the one chosen; for "auto" json_match where all are JSON
    objects or arrays, chrf where half of them or more are longer than `LABEL_WORDS` words, else exact_match.

    Raises `DataError` when json_match is chosen for answers that are no JSON, since all would count as wrong.
    """
    as_json = all_json(expected)
    if chosen == "json_match" and not as_json:
        raise DataError("The metric json_match needs wanted answers that are JSON, and some held-out answers are not.",
                        "Set evaluation.metric to auto.", "evaluation.metric")
    if chosen != "auto":
        return chosen
    if as_json:
        return "json_match"
    return "chrf" if median(len(text.split()) for text in expected) > LABEL_WORDS else "exact_match"


def all_json(texts: list[str]) -> bool:
    """Whether every text is a JSON object or array."""
    return all(type(parse_json(text)) in (dict, list) for text in texts)


def score_all(answer: str, expected: str, as_json: bool) -> dict[str, float]:
    """Every measure that fits: exact_match and token_f1; json_match, json_valid and field_f1 `as_json`, else chrf."""
    scores = {"exact_match": exact_match(answer, expected), "token_f1": token_f1(answer, expected)}
    if not as_json:
        scores["chrf"] = chrf(answer, expected)
    else:
        scores |= {"json_match": json_match(answer, expected), "json_valid": json_valid(answer),
                   "field_f1": field_f1(answer, expected)}
    return scores


def exact_match(answer: str, expected: str) -> float:
    """1 where the texts are the same, differences in white space apart."""
    return float(answer.split() == expected.split())


def token_f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over words, as in SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250)."""
    return _f1(Counter(re.findall(r"\w+", answer.lower())), Counter(re.findall(r"\w+", expected.lower())))


def chrf(answer: str, expected: str) -> float:
    """Character n-gram F score as sacrebleu computes it for a sentence (Popović 2015), from 0 to 1."""
    return SENTENCE_CHRF.sentence_score(answer, [expected]).score / 100


def json_match(answer: str, expected: str) -> float:
    """1 where both are the same JSON value; order of keys, white space and a code fence around the answer are free."""
    return float(same_json(parse_json(answer), parse_json(expected)))


def json_valid(answer: str) -> float:
    """1 where the answer is JSON and nothing else."""
    return float(parse_json(answer) is not INVALID)


def field_f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over the leaf fields, counted as path and value; 0 for invalid JSON."""
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

"""How one answer is judged against the wanted one, text by text. Every score lies between 0 and 1."""

import json
import re
from collections import Counter
from typing import Any

from rapidfuzz.distance import LCSseq
from sacrebleu.metrics import CHRF

CODE_FENCE = re.compile(r"^```\w*\n(.*)\n?```$", re.DOTALL)
PUNCTUATION = re.compile(r"[^\w\s]|_")
ARTICLES = re.compile(r"\b(?:a|an|the)\b")
INVALID = object()
SENTENCE_CHRF = CHRF()


def all_json(texts: list[str]) -> bool:
    """Whether every text is a JSON object or array."""
    return all(type(parse_json(text)) in (dict, list) for text in texts)


def exact_match(answer: str, expected: str) -> float:
    """1 where the texts are the same, differences in white space apart."""
    return float(answer.split() == expected.split())


def normalised_match(answer: str, expected: str) -> float:
    """1 where the texts are the same but for case, punctuation, articles and white space, as SQuAD's exact match
    (Rajpurkar et al. 2016, arXiv:1606.05250); texts of nothing but these are compared as they are.
    """
    given, wanted = _normalise(answer), _normalise(expected)
    return float(given == wanted) if given or wanted else exact_match(answer, expected)


def token_f1(answer: str, expected: str) -> float:
    """Harmonic mean of precision and recall over words, case, punctuation and articles apart, as in SQuAD
    (Rajpurkar et al. 2016, arXiv:1606.05250); texts of nothing but these are compared as they are.
    """
    given, wanted = _normalise(answer), _normalise(expected)
    return _f1(Counter(given), Counter(wanted)) if given or wanted else exact_match(answer, expected)


def rouge_l(answer: str, expected: str) -> float:
    """ROUGE-L: F1 of the longest common subsequence of words (Lin 2004), as rouge-score has it for ASCII, unstemmed."""
    given, wanted = (re.findall(r"[^\W_]+", text.lower()) for text in (answer, expected))
    common = LCSseq.similarity(given, wanted)
    return 2 * common / (len(given) + len(wanted)) if common else 0.0


def chrf(answer: str, expected: str) -> float:
    """Character n-gram F score as sacrebleu computes it for a sentence (Popović 2015), from 0 to 1."""
    return SENTENCE_CHRF.sentence_score(answer, [expected]).score / 100


def json_match(answer: str, expected: str) -> float:
    """1 where both are the same JSON value; order of keys, white space and a code fence around the answer are free."""
    return float(same_json(parse_json(answer), parse_json(expected)))


def json_valid(answer: str) -> float:
    """1 where the answer is JSON by its standard (RFC 8259) and nothing else: no code fence, no NaN."""
    try:
        json.loads(answer, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return 0.0
    return 1.0


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


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON.")


def _normalise(text: str) -> list[str]:
    return ARTICLES.sub(" ", PUNCTUATION.sub("", text.casefold())).split()


def _leaves(value: Any) -> list[tuple[str, str]]:
    """(path, value as JSON) of each leaf, in no order; empty objects and arrays are leaves too, 2 and 2.0 are the same.
    """
    leaves, ahead = [], [("", value)]
    while ahead:  # no recursion: a model may nest deeper than Python's stack
        path, item = ahead.pop()
        if isinstance(item, dict) and item:
            ahead += [(f"{path}/{json.dumps(key)}", inner) for key, inner in item.items()]
        elif isinstance(item, list) and item:
            ahead += [(f"{path}/{index}", inner) for index, inner in enumerate(item)]
        else:
            leaves.append((path, json.dumps(int(item) if isinstance(item, float) and item.is_integer() else item)))
    return leaves


def _f1(found: Counter, wanted: Counter) -> float:
    if not found or not wanted:
        return float(found == wanted)
    common = (found & wanted).total()
    return 2 * common / (found.total() + wanted.total())

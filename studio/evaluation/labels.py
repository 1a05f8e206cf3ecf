"""Answers that are one of a few labels: which label an answer names, macro F1, and what is taken for what."""

import re

import numpy as np

MAX_LABELS, MAX_LABEL_WORDS = 20, 4
EDGES = " .,:;!?\"'`*()[]"


class Labels:
    """The labels of a data set, in order of name, as they are written there."""

    def __init__(self, expected: list[str]):
        self.names = sorted({text.strip() for text in expected})
        self._by_key = {_key(name): i for i, name in enumerate(self.names)}
        self._longest_first = sorted(range(len(self.names)), key=lambda i: -len(self.names[i]))
        self._spoken = re.compile("|".join(_whole_word(self.names[i]) for i in self._longest_first))

    def read(self, answer: str) -> int | None:
        """The label an answer is, or the only one that it names in a sentence; None where it names none or several."""
        if (label := self._by_key.get(_key(answer))) is not None:
            return label
        named = {self._longest_first[found.lastindex - 1] for found in self._spoken.finditer(answer)}
        return named.pop() if len(named) == 1 else None

    def one_hot(self, answers: list[str]) -> np.ndarray:
        """(answers, labels) with 1 where an answer is that label; a row of 0 for an answer that is none."""
        table = np.zeros((len(answers), len(self.names)))
        for row, answer in enumerate(answers):
            if (label := self.read(answer)) is not None:
                table[row, label] = 1
        return table

    def confusion(self, answers: list[str], expected: list[str]) -> list[list[int]]:
        """How often a wanted label (row) was answered by each label; the last column counts answers that are none."""
        given, wanted = self.one_hot(answers), self.one_hot(expected)
        none = 1 - given.sum(axis=1, keepdims=True)
        return (wanted.T @ np.hstack([given, none])).astype(int).tolist()


def are_labels(expected: list[str]) -> bool:
    """Whether the wanted answers are a few short ones that come again: each at least twice on average."""
    names = {text.strip() for text in expected}
    few = 2 <= len(names) <= min(MAX_LABELS, len(expected) // 2)
    return few and len({_key(name) for name in names}) == len(names) and all(
        name and len(name.split()) <= MAX_LABEL_WORDS for name in names)


def macro_f1(hits: np.ndarray, given: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Mean of the labels' F1 from their counts (..., labels): 2 hits / (given + wanted), the same for each label.

    As scikit-learn's f1_score(average="macro"), whose labels too are those that were wanted or given.
    """
    seen = given + wanted
    shares = np.divide(2 * hits, seen, out=np.zeros_like(seen), where=seen > 0)
    return shares.sum(axis=-1) / (seen > 0).sum(axis=-1)


def _key(text: str) -> str:
    words = " ".join(text.split())
    return words.casefold().strip(EDGES) or words


def _whole_word(name: str) -> str:
    # a single letter is a label only as it is written: "a" is a word of its own
    case = "" if len(name) == 1 else "i"
    return rf"((?{case}:(?<!\w){re.escape(name)}(?!\w)))"

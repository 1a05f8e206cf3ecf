"""What was forgotten: general questions and texts (guard.yaml), judged for base and tuned model.

`report["guard"]` holds: `questions` and for `base` and `tuned` the share `right` of them; `kinds`: the same by kind of
question; `lost` (right before, wrong after) and `gained` with the `p_value` of their difference; `perplexity` with
`base`, `tuned`, and `ratio` (tuned by base) as `value` and 95 % `interval`; `forgotten`, whether that is too much to
be chance; `examples` of lost questions with both answers.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from studio import words
from studio.evaluation.bootstrap import Resamples, interval
from studio.texts import text

MAX_NEW_TOKENS = 32
# general text may become so much harder to foresee before it is called forgetting: any training moves it a little
RATIO = 1.1
CERTAIN = 0.05
EXAMPLES = 5
FILE = Path(__file__).with_name("guard.yaml")


@dataclass(frozen=True)
class GuardQuestion:
    """A question with what makes an answer right: one of `accept` occurs in it, or it has the form of `pattern`."""

    kind: str
    ask: str
    accept: tuple[str, ...] = ()
    pattern: str = ""

    def is_right(self, answer: str) -> bool:
        if self.pattern:
            return re.fullmatch(self.pattern, answer.strip(), re.IGNORECASE) is not None
        return any(re.search(rf"\b{re.escape(word)}\b", answer, re.IGNORECASE) for word in self.accept)


@dataclass(frozen=True)
class GuardSet:
    """Questions, texts, and a mark that changes with them."""

    questions: list[GuardQuestion]
    texts: list[str]
    mark: str


@dataclass(frozen=True)
class GuardAnswers:
    """One model's answers to the questions, and of each text the negative log-likelihood (nats) and its tokens."""

    answers: list[str]
    nll: list[float]
    tokens: list[int]


@cache
def guard_set() -> GuardSet:
    """The questions and texts that come with the studio."""
    content = FILE.read_text(encoding="utf-8")
    values = yaml.safe_load(content)
    questions = [GuardQuestion(row["kind"], row["ask"], tuple(row.get("accept", ())), row.get("pattern", ""))
                 for row in values["questions"]]
    return GuardSet(questions, values["texts"], hashlib.sha256(content.encode()).hexdigest()[:16])


def compare_guard(base: GuardAnswers, tuned: GuardAnswers, seed: int) -> dict[str, Any]:
    """The report's `guard` from what both models answered."""
    questions = guard_set().questions
    right = {way: [question.is_right(answer) for question, answer in zip(questions, said.answers, strict=True)]
             for way, said in (("base", base), ("tuned", tuned))}
    before_after = list(zip(right["base"], right["tuned"], strict=True))
    lost = [i for i, (before, after) in enumerate(before_after) if before and not after]
    gained = sum(after and not before for before, after in before_after)
    p_value = sign_test(len(lost), gained)
    perplexity = _perplexity(base, tuned, seed)
    fewer = len(lost) > gained and p_value < CERTAIN
    return {
        "questions": len(questions), **{way: sum(right[way]) / len(questions) for way in right},
        "kinds": {kind: {way: _share(questions, right[way], kind) for way in right}
                  for kind in dict.fromkeys(question.kind for question in questions)},
        "lost": len(lost), "gained": gained, "p_value": p_value, "perplexity": perplexity,
        "forgotten": fewer or perplexity["ratio"]["interval"][0] > RATIO,
        "examples": [{"ask": questions[i].ask, "base": base.answers[i], "tuned": tuned.answers[i]}
                     for i in lost[:EXAMPLES]],
    }


def guard_words(guard: dict[str, Any]) -> str:
    """The comparison in a sentence or two; the last says whether that is forgetting."""
    perplexity, questions = guard["perplexity"], guard["questions"]
    change = perplexity["ratio"]["value"] - 1
    figures = text(
        "evaluation.guard.figures", questions=questions, base=round(guard["base"] * questions),
        tuned=round(guard["tuned"] * questions), before=words.figure(perplexity["base"]),
        after=words.figure(perplexity["tuned"]), change=f"{'+' if change >= 0 else '−'}{words.percent(abs(change))}")
    return f"{figures} {text('evaluation.guard.forgotten' if guard['forgotten'] else 'evaluation.guard.kept')}"


def sign_test(lost: int, gained: int) -> float:
    """Two-sided exact p-value that as many were lost as gained (McNemar's test, binomial form)."""
    changed, fewer = lost + gained, min(lost, gained)
    tail = sum(math.comb(changed, k) for k in range(fewer + 1)) / 2 ** changed
    return min(1.0, 2 * tail)


class GuardFile:
    """What was measured, in a run's `guard.json`, so that the same weights are not asked again."""

    def __init__(self, path: Path):
        self._path = path

    def find(self, weights: str) -> GuardAnswers | None:
        """What these weights answered, None where they were not asked these questions."""
        values = self._read().get(self._key(weights))
        return GuardAnswers(**values) if values else None

    def add(self, weights: str, answers: GuardAnswers) -> None:
        self._path.write_text(
            json.dumps(self._read() | {self._key(weights): vars(answers)}, ensure_ascii=False), encoding="utf-8")

    def _key(self, weights: str) -> str:
        return hashlib.sha256(f"{guard_set().mark} {weights}".encode()).hexdigest()[:24]

    def _read(self) -> dict[str, Any]:
        try:
            return json.loads(self._path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):  # torn by a stop: it is measured anew
            return {}


def _perplexity(base: GuardAnswers, tuned: GuardAnswers, seed: int) -> dict[str, Any]:
    """Perplexity per token of both models, and how many times as high the tuned model's is, by resampled texts."""
    losses = np.column_stack([base.nll, tuned.nll, base.tokens])
    totals, drawn = losses.sum(axis=0), Resamples(len(losses), seed).sums(losses)
    ratios = np.exp((drawn[:, 1] - drawn[:, 0]) / drawn[:, 2])
    return {"base": float(np.exp(totals[0] / totals[2])), "tuned": float(np.exp(totals[1] / totals[2])),
            "ratio": {"value": float(np.exp((totals[1] - totals[0]) / totals[2])), "interval": interval(ratios)}}


def _share(questions: list[GuardQuestion], right: list[bool], kind: str) -> float:
    of_kind = [was for question, was in zip(questions, right, strict=True) if question.kind == kind]
    return sum(of_kind) / len(of_kind)

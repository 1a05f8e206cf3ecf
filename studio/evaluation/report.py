"""The report on a run: base against tuned model on held-out rows, with how sure the figures are.

`report.json` holds: `n` (rows), `metric` (the one that decides), `metrics` by name, the deciding one first, each with
`base`, `tuned` and `difference` (tuned minus base) as `value` and 95 % `interval`, and `higher_is_better`; `wins`,
`ties` and `losses` of the tuned model by row; `base` and `tuned` with their speed; `examples`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from studio.evaluation.metrics import all_json, score_all

RESAMPLES = 4000
CONFIDENCE = 0.95
EXAMPLES = 12


@dataclass(frozen=True)
class Answers:
    """What one model said to the held-out rows, in the rows' order; `cut` counts answers that hit the length limit."""

    texts: list[str]
    generated_tokens: int
    seconds: float
    cut: int


@dataclass(frozen=True)
class RowLosses:
    """Summed negative log-likelihood (nats) and number of learned tokens of each held-out row, under one model."""

    nll: list[float]
    tokens: list[int]
    seconds: float


def compare_answers(
    prompts: list[str], expected: list[str], base: Answers, tuned: Answers, metric: str, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge both models' answers; `metric` decides who wins a row.

    Returns the report and one prediction a row (for predictions.jsonl).
    """
    as_json = all_json(expected)
    scores = {
        name: [score_all(answer, wanted, as_json) for answer, wanted in zip(answers.texts, expected, strict=True)]
        for name, answers in (("base", base), ("tuned", tuned))}
    draws = _draws(len(expected), seed)
    names = sorted(scores["base"][0], key=lambda name: name != metric)
    compared = {}
    for name in names:
        rows = np.array([[row[name] for row in scores[model]] for model in ("base", "tuned")])
        compared[name] = _figures(rows.mean(axis=1), rows[:, draws].mean(axis=2), higher_is_better=True)
    decisive = np.array([[row[metric] for row in scores[model]] for model in ("base", "tuned")])
    predictions = [
        {"prompt": prompts[i], "expected": expected[i], "base": base.texts[i], "tuned": tuned.texts[i],
         "base_score": scores["base"][i][metric], "tuned_score": scores["tuned"][i][metric]}
        for i in range(len(expected))]
    return {
        "n": len(expected), "metric": metric, "metrics": compared, **_duels(decisive[1] - decisive[0]),
        "base": _speed(base), "tuned": _speed(tuned), "examples": _examples(predictions),
    }, predictions


def compare_perplexity(base: RowLosses, tuned: RowLosses, seed: int) -> dict[str, Any]:
    """Report on plain text: perplexity, the exponential of the mean loss per token; lower is better."""
    tokens, losses = np.array(tuned.tokens), np.array([base.nll, tuned.nll])
    draws = _draws(len(tokens), seed)
    resampled = np.exp(losses[:, draws].sum(axis=2) / tokens[draws].sum(axis=1))
    figures = _figures(np.exp(losses.sum(axis=1) / tokens.sum()), resampled, higher_is_better=False)
    return {
        "n": len(tokens), "metric": "perplexity", "metrics": {"perplexity": figures}, **_duels(losses[0] - losses[1]),
        "base": {"seconds": round(base.seconds, 1)}, "tuned": {"seconds": round(tuned.seconds, 1)}, "examples": [],
    }


def _figures(values: np.ndarray, resampled: np.ndarray, higher_is_better: bool) -> dict[str, Any]:
    """Values of base and tuned (2,) with percentile bootstrap intervals from resampled values (2, RESAMPLES).

    Both models are resampled by the same rows (Efron 1979), so the interval of the difference is the paired one.
    """
    return {
        "base": {"value": float(values[0]), "interval": _interval(resampled[0])},
        "tuned": {"value": float(values[1]), "interval": _interval(resampled[1])},
        "difference": {"value": float(values[1] - values[0]), "interval": _interval(resampled[1] - resampled[0])},
        "higher_is_better": higher_is_better,
    }


def _duels(gains: np.ndarray) -> dict[str, int]:
    """How often the tuned model did better, the same, or worse than the base model on a row."""
    return {"wins": int((gains > 0).sum()), "ties": int((gains == 0).sum()), "losses": int((gains < 0).sum())}


def _draws(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(rows, size=(RESAMPLES, rows))


def _interval(values: np.ndarray) -> list[float]:
    tail = (1 - CONFIDENCE) / 2 * 100
    return [float(value) for value in np.percentile(values, [tail, 100 - tail])]


def _speed(answers: Answers) -> dict[str, Any]:
    return {"tokens_per_second": round(answers.generated_tokens / answers.seconds, 1),
            "generated_tokens": answers.generated_tokens, "seconds": round(answers.seconds, 1),
            "cut_answers": answers.cut}


def _examples(predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows to read first: those the tuned model lost, then those it gets wrong, then the others."""
    return sorted(predictions, key=lambda row: (row["tuned_score"] >= row["base_score"], row["tuned_score"]))[:EXAMPLES]

"""The report on a run: base against tuned model on held-out rows, with how sure the figures are.

`report.json` holds: `metric`, `higher_is_better`, `rows`; `base` and `tuned`, each with `score`, `interval`, further
`scores` by name, `cut_answers`, `generated_tokens`, `seconds`, `tokens_per_second`; `difference` (tuned minus base)
with `score` and `interval`; `wins`, `ties`, `losses` (of the tuned model); `examples`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from studio.evaluation import metrics

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
    seconds: float = field(default=0.0)


def compare_answers(
    prompts: list[str], expected: list[str], base: Answers, tuned: Answers, metric: str, seed: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge both models' answers by `metric`; returns the report and one prediction a row (for predictions.jsonl)."""
    base_scores = [metrics.score(metric, answer, wanted) for answer, wanted in zip(base.texts, expected, strict=True)]
    tuned_scores = [metrics.score(metric, answer, wanted) for answer, wanted in zip(tuned.texts, expected, strict=True)]
    predictions = [
        {"prompt": prompt, "expected": wanted, "base": ours, "tuned": theirs, "base_score": one, "tuned_score": other}
        for prompt, wanted, ours, theirs, one, other
        in zip(prompts, expected, base.texts, tuned.texts, base_scores, tuned_scores, strict=True)]
    statistics = _paired(np.array(base_scores), np.array(tuned_scores), seed)
    as_json = all(type(metrics.parse_json(text)) in (dict, list) for text in expected)
    report = {
        "metric": metric, "higher_is_better": True, "rows": len(expected),
        "base": statistics["base"] | _answer_facts(base, expected, as_json),
        "tuned": statistics["tuned"] | _answer_facts(tuned, expected, as_json),
        **{key: statistics[key] for key in ("difference", "wins", "ties", "losses")},
        "examples": _examples(predictions),
    }
    return report, predictions


def compare_perplexity(base: RowLosses, tuned: RowLosses, seed: int) -> dict[str, Any]:
    """Perplexity of both models on held-out text: exp of the mean loss per token; lower is better."""
    tokens = np.array(tuned.tokens)
    losses = np.array([base.nll, tuned.nll])
    draws = _draws(len(tokens), seed)
    resampled = np.exp(losses[:, draws].sum(axis=2) / tokens[draws].sum(axis=1))
    score = np.exp(losses.sum(axis=1) / tokens.sum())
    won, lost = int((losses[1] < losses[0]).sum()), int((losses[1] > losses[0]).sum())
    models = {
        name: {"score": float(score[i]), "interval": _interval(resampled[i]),
               "scores": {"loss": float(np.log(score[i]))}, "seconds": round(part.seconds, 1)}
        for i, (name, part) in enumerate([("base", base), ("tuned", tuned)])}
    return {
        "metric": "perplexity", "higher_is_better": False, "rows": len(tokens), **models,
        "difference": {"score": float(score[1] - score[0]), "interval": _interval(resampled[1] - resampled[0])},
        "wins": won, "ties": len(tokens) - won - lost, "losses": lost, "examples": [],
    }


def _paired(base: np.ndarray, tuned: np.ndarray, seed: int) -> dict[str, Any]:
    """Means with percentile bootstrap intervals; base and tuned are resampled by the same rows (Efron 1979)."""
    draws = _draws(len(base), seed)
    means = {"base": base[draws].mean(axis=1), "tuned": tuned[draws].mean(axis=1)}
    return {
        "base": {"score": float(base.mean()), "interval": _interval(means["base"])},
        "tuned": {"score": float(tuned.mean()), "interval": _interval(means["tuned"])},
        "difference": {"score": float(tuned.mean() - base.mean()), "interval": _interval(means["tuned"] - means["base"])},
        "wins": int((tuned > base).sum()), "ties": int((tuned == base).sum()), "losses": int((tuned < base).sum()),
    }


def _draws(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(rows, size=(RESAMPLES, rows))


def _interval(values: np.ndarray) -> list[float]:
    tail = (1 - CONFIDENCE) / 2 * 100
    return [float(value) for value in np.percentile(values, [tail, 100 - tail])]


def _answer_facts(answers: Answers, expected: list[str], as_json: bool) -> dict[str, Any]:
    pairs = list(zip(answers.texts, expected, strict=True))
    scores = {"exact_match": _mean(metrics.exact_match(*pair) for pair in pairs),
              "token_f1": _mean(metrics.token_f1(*pair) for pair in pairs)}
    if as_json:
        scores |= {"json_match": _mean(metrics.json_match(*pair) for pair in pairs),
                   "json_valid": _mean(metrics.json_valid(answer) for answer in answers.texts),
                   "json_field_f1": _mean(metrics.json_field_f1(*pair) for pair in pairs)}
    return {"scores": scores, "cut_answers": answers.cut, "generated_tokens": answers.generated_tokens,
            "seconds": round(answers.seconds, 1),
            "tokens_per_second": round(answers.generated_tokens / answers.seconds, 1) if answers.seconds else 0.0}


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def _examples(predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A few rows to read: those the tuned model lost, then those it still gets wrong, then the others."""
    order = sorted(predictions, key=lambda row: (row["tuned_score"] >= row["base_score"], row["tuned_score"]))
    return order[:EXAMPLES]

"""The report on a run: the tuned model against the other ways on held-out rows, with how sure the figures are.

`report.json` holds: `n` (rows), `metric` (the one that decides), `metrics` by name, the deciding one first, each with
`base`, `tuned` and `difference` (tuned minus base) as `value` and 95 % `interval`, and `higher_is_better`; `wins`,
`ties` and `losses` of the tuned model by row; `base` and `tuned` with their speed; `examples`; `ways`: for each way its
`metrics` (value and interval) and its costs by request; `against`: for each way but the tuned model the `difference`
(tuned minus that way) on the deciding metric, its `p_value`, and the tuned model's wins, ties and losses;
`training_seconds`; `data`, the data set the rows are from, "" for the run's held-out rows; `verdict` with `outcome`,
`rival`, `rows_needed` and `break_even_requests` (see verdict.py).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from studio.evaluation.answers import Answer
from studio.evaluation.metrics import all_json, score_all
from studio.evaluation.verdict import break_even_requests, decide
from studio.evaluation.ways import BASE, TUNED

RESAMPLES = 4000
CONFIDENCE = 0.95
EXAMPLES = 12


@dataclass(frozen=True)
class WayAnswers:
    """What was answered in one way, and how many examples each prompt held, in the rows' order."""

    answers: list[Answer]
    examples: list[int]


@dataclass(frozen=True)
class RowLosses:
    """Summed negative log-likelihood (nats) and number of learned tokens of each held-out row, under one model."""

    nll: list[float]
    tokens: list[int]
    seconds: float


def compare_answers(
    prompts: list[str], expected: list[str], ways: dict[str, WayAnswers], metric: str, seed: int,
    training_seconds: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge the answers of all ways, `base` and `tuned` among them; `metric` decides who wins a row.

    Returns the report and one prediction a row (for predictions.jsonl).
    """
    as_json = all_json(expected)
    scores = {
        way: [score_all(answer.text, wanted, as_json) for answer, wanted in zip(said.answers, expected, strict=True)]
        for way, said in ways.items()}
    draws = _draws(len(expected), seed)
    names = sorted(scores[BASE][0], key=lambda name: name != metric)
    rows = {name: {way: np.array([row[name] for row in scores[way]]) for way in ways} for name in names}
    compared = {}
    for name in names:
        pair = np.array([rows[name][BASE], rows[name][TUNED]])
        compared[name] = _figures(pair.mean(axis=1), pair[:, draws].mean(axis=2), higher_is_better=True)
    predictions = [
        {"prompt": prompts[i], "expected": expected[i]}
        | {way: said.answers[i].text for way, said in ways.items()}
        | {f"{way}_score": scores[way][i][metric] for way in ways}
        for i in range(len(expected))]
    report = {
        "n": len(expected), "metric": metric, "metrics": compared, **_duels(rows[metric][TUNED] - rows[metric][BASE]),
        "base": _speed(ways[BASE]), "tuned": _speed(ways[TUNED]), "examples": _examples(predictions),
        "ways": {way: {"metrics": {name: _figure(rows[name][way], draws) for name in names}, **_costs(ways[way])}
                 for way in ways},
        "against": {way: _paired(rows[metric][TUNED] - rows[metric][way], draws) for way in ways if way != TUNED},
        "training_seconds": training_seconds, "data": "",
    }
    return report | {"verdict": _verdict(report)}, predictions


def compare_perplexity(base: RowLosses, tuned: RowLosses, seed: int, training_seconds: float) -> dict[str, Any]:
    """Report on plain text: perplexity, the exponential of the mean loss per token; lower is better."""
    tokens, losses = np.array(tuned.tokens), np.array([base.nll, tuned.nll])
    draws = _draws(len(tokens), seed)
    resampled = np.exp(losses[:, draws].sum(axis=2) / tokens[draws].sum(axis=1))
    figures = _figures(np.exp(losses.sum(axis=1) / tokens.sum()), resampled, higher_is_better=False)
    difference = resampled[1] - resampled[0]
    report = {
        "n": len(tokens), "metric": "perplexity", "metrics": {"perplexity": figures}, **_duels(losses[0] - losses[1]),
        "base": {"seconds": round(base.seconds, 1)}, "tuned": {"seconds": round(tuned.seconds, 1)}, "examples": [],
        "ways": {way: {"metrics": {"perplexity": figures[way]}} for way in (BASE, TUNED)},
        "against": {BASE: {"difference": figures["difference"], "p_value": _p_value(difference),
                           **_duels(losses[0] - losses[1])}},
        "training_seconds": training_seconds, "data": "",
    }
    return report | {"verdict": _verdict(report)}


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


def _paired(gains: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    """The tuned model against another way on the same rows: paired bootstrap of the gains by row (rows,)."""
    resampled = gains[draws].mean(axis=1)
    return {"difference": {"value": float(gains.mean()), "interval": _interval(resampled)},
            "p_value": _p_value(resampled), **_duels(gains)}


def _p_value(resampled: np.ndarray) -> float:
    """Two-sided bootstrap p-value of "no difference" (Efron and Tibshirani 1993), never below one draw's share."""
    tail = min((resampled <= 0).mean(), (resampled >= 0).mean())
    return float(min(1.0, max(2 * tail, 1 / len(resampled))))


def _verdict(report: dict[str, Any]) -> dict[str, Any]:
    """The rule's answer, and after how many requests the training has paid for itself against the rival."""
    verdict, ways = decide(report), report["ways"]
    requests = None
    if report["metric"] != "perplexity":  # nothing was asked there, so nothing has a price
        costs = (ways[way]["seconds_per_request"] for way in (verdict.rival, TUNED))
        requests = break_even_requests(report["training_seconds"], *costs)
    return {"outcome": verdict.outcome.value, "rival": verdict.rival, "rows_needed": verdict.rows_needed,
            "break_even_requests": requests}


def _duels(gains: np.ndarray) -> dict[str, int]:
    """How often the tuned model did better, the same, or worse than the base model on a row."""
    return {"wins": int((gains > 0).sum()), "ties": int((gains == 0).sum()), "losses": int((gains < 0).sum())}


def _draws(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(rows, size=(RESAMPLES, rows))


def _interval(values: np.ndarray) -> list[float]:
    tail = (1 - CONFIDENCE) / 2 * 100
    return [float(value) for value in np.percentile(values, [tail, 100 - tail])]


def _figure(rows: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    """The mean of scores by row (rows,) with its percentile bootstrap interval."""
    return {"value": float(rows.mean()), "interval": _interval(rows[draws].mean(axis=1))}


def _speed(said: WayAnswers) -> dict[str, Any]:
    tokens, seconds = sum(answer.tokens for answer in said.answers), sum(answer.seconds for answer in said.answers)
    return {"tokens_per_second": round(tokens / seconds, 1), "generated_tokens": tokens, "seconds": round(seconds, 1),
            "cut_answers": sum(answer.cut for answer in said.answers)}


def _costs(said: WayAnswers) -> dict[str, Any]:
    """What a request costs in this way, on average: tokens, seconds of a batch's time, examples in its prompt."""
    requests = len(said.answers)
    speed = _speed(said)
    return {
        "prompt_tokens": round(sum(answer.prompt_tokens for answer in said.answers) / requests, 1),
        "answer_tokens": round(speed["generated_tokens"] / requests, 1),
        "seconds_per_request": round(sum(answer.seconds for answer in said.answers) / requests, 4),
        "tokens_per_second": speed["tokens_per_second"], "cut_answers": speed["cut_answers"],
        "examples": round(sum(said.examples) / requests, 1),
    }


def _examples(predictions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows to read first: those the tuned model lost, then those it gets wrong, then the others."""
    return sorted(predictions, key=lambda row: (row["tuned_score"] >= row["base_score"], row["tuned_score"]))[:EXAMPLES]

"""The report on a run: the tuned model against the other ways on held-out rows, with how sure the figures are.

`report.json` holds: `n` (rows), `metric` (the one that decides), `refused_metric` (one that was chosen and does not
apply to these rows, or ""), `notes` (sentences on what was left out, and on what flatters), `metrics` by name, the
deciding one first, each with `base`, `tuned` and `difference` (tuned minus base) as `value` and 95 % `interval`, and
`higher_is_better`; `wins`, `ties` and `losses` of the tuned model by row; `base` and `tuned` with their speed; `best`
and `worst`: the rows on which the tuned model gains and loses most against the base model; `ways`: for each way its
`metrics` (value and interval) and its costs by request; `against`: for each way but the tuned model the `difference`
(tuned minus that way) on the deciding metric, its `p_value`, and the tuned model's wins, ties and losses; `labels` with
`names` and the `confusion` of each way (see labels.py), None where the answers are no labels; `wanted_words` and
`wanted_tokens` (mean length of the wanted answers; tokens of the tuned model, 0 until they are counted);
`training_seconds`; `costs` and `plan` (see costs.py); `guard`, what was forgotten (see guard.py), None where that was
not asked; `judge` (see judge.py), None likewise; `data`, the data set the rows are from, "" for the run's held-out
rows; `verdict` with `outcome`, `rival`, `rows_needed`, `break_even_requests` and `cheaper_from` (see verdict.py).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from studio.evaluation.answers import Answer
from studio.evaluation.bootstrap import Resamples, interval, p_value, share_interval
from studio.evaluation.costs import price_report
from studio.evaluation.labels import Labels, macro_f1
from studio.evaluation.perplexity import METRIC as PERPLEXITY
from studio.evaluation.perplexity import RowLosses, perplexities
from studio.evaluation.scores import Rules, choose_metric, score_ways
from studio.evaluation.verdict import LOWER_IS_BETTER, decide, weigh_costs
from studio.evaluation.ways import BASE, TUNED
from studio.preset.schema import PlanSection

EXAMPLES = 5


@dataclass(frozen=True)
class WayAnswers:
    """What was answered in one way, and how many examples each prompt held, in the rows' order."""

    answers: list[Answer]
    examples: list[int]


@dataclass(frozen=True)
class _Figure:
    """A way's value by one measure, and its values in the resamples (RESAMPLES,).

    `rows` it was measured on, where it is a share or (`least` -1) the difference of two; 0 for what has no bounds.
    """

    value: float
    resampled: np.ndarray
    rows: int = 0
    least: float = 0.0

    def __sub__(self, other: "_Figure") -> "_Figure":
        return _Figure(self.value - other.value, self.resampled - other.resampled, self.rows, -1.0)

    def shown(self) -> dict[str, Any]:
        found = share_interval(self.resampled, self.rows, self.least) if self.rows else interval(self.resampled)
        return {"value": float(self.value), "interval": found}


def compare_answers(
    prompts: list[str], expected: list[str], ways: dict[str, WayAnswers], metric: str, seed: int,
    training_seconds: float, rules: Rules | None = None, own: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Judge the answers of all ways, `base` and `tuned` among them.

    `metric` decides who wins a row; "auto", or one that does not apply to these rows, is replaced by one that fits.
    `own` are ways of the same training, which the verdict leaves aside. Where perplexity decides, a row's score is the
    mean probability of a token of its wanted answer.
    Returns the report and one prediction a row (for predictions.jsonl).
    """
    rules = rules or Rules()
    decides = choose_metric(metric, expected, rules)
    texts = {way: [answer.text for answer in said.answers] for way, said in ways.items()}
    scores = score_ways(texts, expected, decides, rules)
    resamples = Resamples(len(expected), seed)
    figures = {name: _figures(by_way, resamples) for name, by_way in scores.items()}
    if decides == PERPLEXITY:
        scores[PERPLEXITY] = {way: rules.losses[way].likelihoods() for way in ways}
        figures = {PERPLEXITY: _perplexities(rules.losses, resamples)} | figures
    labels = Labels(expected) if "label_accuracy" in scores else None
    if labels is not None:
        figures["macro_f1"] = _macro_f1(labels, texts, expected, resamples)
    gains = {way: np.array(scores[decides][TUNED]) - np.array(scores[decides][way]) for way in ways if way != TUNED}
    predictions = [
        {"prompt": prompts[i], "expected": expected[i]} | {way: texts[way][i] for way in ways}
        | {f"{way}_score": scores[decides][way][i] for way in ways}
        for i in range(len(expected))]
    best, worst = _extremes(predictions)
    report = {
        "n": len(expected), "metric": decides, "refused_metric": refused(metric, decides), "notes": [],
        "metrics": {name: _compared(by_way[BASE], by_way[TUNED], name) for name, by_way in figures.items()},
        **_duels(gains[BASE]), "base": _speed(ways[BASE]), "tuned": _speed(ways[TUNED]), "best": best, "worst": worst,
        "ways": {way: {"metrics": {name: by_way[way].shown() for name, by_way in figures.items()},
                       **way_costs(said, resamples)} for way, said in ways.items()},
        "against": {way: _against(figures[decides], way, gain) for way, gain in gains.items()},
        "labels": None if labels is None else {
            "names": labels.names, "confusion": {way: labels.confusion(texts[way], expected) for way in ways}},
        "wanted_words": _mean_words(expected), "wanted_tokens": 0.0, "training_seconds": training_seconds, "data": "",
    }
    return _judged(report, own), predictions


def refused(chosen: str, decides: str) -> str:
    """The metric that was chosen, where another one decides, else ""."""
    return chosen if chosen not in ("auto", decides) else ""


def compare_perplexity(base: RowLosses, tuned: RowLosses, seed: int, training_seconds: float) -> dict[str, Any]:
    """Report on plain text by its perplexity (see perplexity.py); lower is better."""
    by_way = _perplexities({BASE: base, TUNED: tuned}, Resamples(len(tuned.nll), seed))
    gains = np.array(base.nll) - np.array(tuned.nll)
    report = {
        "n": len(gains), "metric": PERPLEXITY, "refused_metric": "", "notes": [],
        "metrics": {PERPLEXITY: _compared(by_way[BASE], by_way[TUNED], PERPLEXITY)}, **_duels(gains),
        "base": {"seconds": round(base.seconds, 1)}, "tuned": {"seconds": round(tuned.seconds, 1)},
        "best": [], "worst": [],
        "ways": {way: {"metrics": {PERPLEXITY: figure.shown()}} for way, figure in by_way.items()},
        "against": {BASE: _against(by_way, BASE, gains)}, "labels": None, "wanted_words": 0.0,
        "wanted_tokens": 0.0, "training_seconds": training_seconds, "data": "",
    }
    return _judged(report)


def _figures(by_way: dict[str, list[float]], resamples: Resamples) -> dict[str, _Figure]:
    """The mean of the scores by row, for each way; all ways are resampled by the same rows."""
    rows = np.array([by_way[way] for way in by_way]).T
    resampled = resamples.means(rows)
    return {way: _Figure(rows[:, i].mean(), resampled[:, i], len(rows)) for i, way in enumerate(by_way)}


def _perplexities(losses: dict[str, RowLosses], resamples: Resamples) -> dict[str, _Figure]:
    return {way: _Figure(*found) for way, found in perplexities(losses, resamples).items()}


def _macro_f1(labels: Labels, texts: dict[str, list[str]], expected: list[str],
              resamples: Resamples) -> dict[str, _Figure]:
    """Macro F1 of each way, computed anew from the rows of each resample."""
    wanted = labels.one_hot(expected)
    drawn_wanted = resamples.sums(wanted)
    found = {}
    for way, answers in texts.items():
        given = labels.one_hot(answers)
        found[way] = _Figure(macro_f1((given * wanted).sum(axis=0), given.sum(axis=0), wanted.sum(axis=0)),
                             macro_f1(resamples.sums(given * wanted), resamples.sums(given), drawn_wanted),
                             len(expected))
    return found


def _compared(base: _Figure, tuned: _Figure, name: str) -> dict[str, Any]:
    """Base and tuned model by one measure; the interval of the difference is the paired one."""
    return {"base": base.shown(), "tuned": tuned.shown(), "difference": (tuned - base).shown(),
            "higher_is_better": name not in LOWER_IS_BETTER}


def _against(by_way: dict[str, _Figure], way: str, gains: np.ndarray) -> dict[str, Any]:
    """The tuned model against another way on the same rows; `gains` of the tuned model by row (rows,)."""
    difference = by_way[TUNED] - by_way[way]
    return {"difference": difference.shown(), "p_value": p_value(difference.resampled), **_duels(gains)}


def _judged(report: dict[str, Any], own: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The report with its verdict; costs and plan are those of a person who told nothing, until these are set."""
    verdict = decide(report, own)
    report = report | {"guard": None, "judge": None, **price_report(report, PlanSection(), None, None), "verdict": {
        "outcome": verdict.outcome.value, "rival": verdict.rival, "rows_needed": verdict.rows_needed}}
    return report | {"verdict": weigh_costs(report)}


def _duels(gains: np.ndarray) -> dict[str, int]:
    """How often the tuned model did better, the same, or worse on a row."""
    return {"wins": int((gains > 0).sum()), "ties": int((gains == 0).sum()), "losses": int((gains < 0).sum())}


def _speed(said: WayAnswers) -> dict[str, Any]:
    tokens, seconds = sum(answer.tokens for answer in said.answers), sum(answer.seconds for answer in said.answers)
    return {"tokens_per_second": round(tokens / seconds, 1) if seconds else 0.0, "generated_tokens": tokens,
            "seconds": round(seconds, 1), "cut_answers": sum(answer.cut for answer in said.answers)}


def way_costs(said: WayAnswers, resamples: Resamples) -> dict[str, Any]:
    """What a request costs in this way, on average: tokens, words with their 95 % interval, seconds (where this machine
    answers, a row's share of its batch), examples in its prompt.
    """
    requests = len(said.answers)
    lengths = np.array([[len(answer.text.split())] for answer in said.answers])
    speed = _speed(said)
    return {
        "prompt_tokens": round(sum(answer.prompt_tokens for answer in said.answers) / requests, 1),
        "answer_tokens": round(speed["generated_tokens"] / requests, 1),
        "answer_words": round(float(lengths.mean()), 1), "answer_words_interval": interval(resamples.means(lengths)),
        "seconds_per_request": round(sum(answer.seconds for answer in said.answers) / requests, 4),
        "tokens_per_second": speed["tokens_per_second"], "cut_answers": speed["cut_answers"],
        "examples": round(sum(said.examples) / requests, 1),
    }


def _mean_words(texts: list[str]) -> float:
    return round(sum(len(text.split()) for text in texts) / len(texts), 1)


def _extremes(predictions: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows on which the tuned model gains most against the base model, and those on which it loses most or, where
    it loses on fewer, does worst. `row` is their place in predictions.jsonl; no row is in both."""
    rows = [{"row": i} | row for i, row in enumerate(predictions)]

    def quality(row: dict[str, Any]) -> tuple[float, float]:
        return row["tuned_score"] - row["base_score"], row["tuned_score"]

    worst = sorted(rows, key=quality)[:EXAMPLES]
    return sorted((row for row in rows if row not in worst), key=quality, reverse=True)[:EXAMPLES], worst

"""Judges what was answered before any training: each way by itself, and how sure its figures are (see baselines.py)."""

from typing import Any

import numpy as np

from studio.evaluation.bootstrap import Resamples, interval, share_interval
from studio.evaluation.perplexity import METRIC as PERPLEXITY
from studio.evaluation.perplexity import perplexities
from studio.evaluation.report import WayAnswers, refused, way_costs
from studio.evaluation.scores import Rules, choose_metric, score_ways
from studio.evaluation.verdict import LOWER_IS_BETTER

SAMPLES = 10


def compare_baselines(prompts: list[str], expected: list[str], ways: dict[str, WayAnswers], metric: str, seed: int,
                      rules: Rules) -> dict[str, Any]:
    """Judge the answers of all ways; "auto" and a metric that cannot judge these rows are replaced by one that can."""
    decides = choose_metric(metric, expected, rules)
    texts = {way: [answer.text for answer in said.answers] for way, said in ways.items()}
    scores, resamples = score_ways(texts, expected, decides, rules), Resamples(len(expected), seed)
    figures: dict[str, dict[str, Any]] = {way: {} for way in ways}
    for name, by_way in scores.items():
        rows = np.array([by_way[way] for way in ways]).T
        resampled = resamples.means(rows)
        for i, way in enumerate(ways):
            figures[way][name] = {"value": float(rows[:, i].mean()),
                                  "interval": share_interval(resampled[:, i], len(rows))}
    if decides == PERPLEXITY:
        for way, (value, resampled) in perplexities(rules.losses, resamples).items():
            figures[way] = {PERPLEXITY: {"value": value, "interval": interval(resampled)}} | figures[way]
    sign = -1 if decides in LOWER_IS_BETTER else 1
    return {
        "n": len(expected), "metric": decides, "refused_metric": refused(metric, decides), "notes": [],
        "ways": {way: {"metrics": figures[way], **way_costs(said, resamples)} for way, said in ways.items()},
        "best": max(ways, key=lambda way: sign * figures[way][decides]["value"]),
        "samples": [{"prompt": prompts[i], "expected": expected[i]} | {way: texts[way][i] for way in ways}
                    for i in range(min(SAMPLES, len(expected)))]}

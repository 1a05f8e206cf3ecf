"""Was it worth it: a rule on the figures of a report, the same for every run.

1. Fewer than `MIN_ROWS` held-out rows: cannot tell.
2. The tuned model is surely better than every other way but its own checkpoints (each 95 % interval of the difference
   lies above 0): worth it, or "more rows" where it still scores below `GOOD`.
3. Else the rival is the best of the ways that are not surely worse. Where the rival is surely better, or surely within
   `MARGIN` of the tuned model: a better prompt is enough, or "more rows" where the rival too scores below `GOOD`.
4. Where the rival is not surely better and would be enough, costs decide: "cheaper" where the training pays for itself
   against each way without training, and the service that was asked, that the tuned model does not surely beat; within
   `PAID_WITHIN_MONTHS`, where the requests of a month are known. Times within a tenth of each other save nothing.
5. Else the figures do not part the two: cannot tell.

Where the same was gained on every row, resampling finds no spread; then the interval is widened by 3 / rows, the most
that could differ unseen with 95 % confidence (rule of three, Hanley and Lippman-Hand 1983).

Perplexity has no `GOOD` and no `MARGIN`: only the intervals count.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from studio.evaluation.ways import BASE, ENDPOINT, FEW_SHOT, RETRIEVAL, TUNED

BASE_WAYS = frozenset({BASE, FEW_SHOT, RETRIEVAL})  # which need no training
LOWER_IS_BETTER = frozenset({"refusals", "empty", "perplexity"})  # of the measures
MIN_ROWS = 20
GOOD = 0.5
MARGIN = 0.05
UNSEEN = 3  # rule of three
# where all rows that differ go to one side, fewer leave more than 2.5 % of the resamples without any: exp(-3) is 5 %
SURE_WINS = 4
PAID_WITHIN_MONTHS = 12
# of a request's time: less may be chance
LEAST_SAVING = 0.1


class Outcome(StrEnum):
    """What a comparison can come to."""

    WORTH_IT = "worth_it"
    MORE_ROWS = "more_rows"
    BETTER_PROMPT = "better_prompt"
    CHEAPER = "cheaper"
    CANNOT_TELL = "cannot_tell"


@dataclass(frozen=True)
class Verdict:
    """The outcome, the way it was measured against, and the held-out rows that would part the two (None: unknown)."""

    outcome: Outcome
    rival: str
    rows_needed: int | None = None


def decide(report: dict[str, Any], own: frozenset[str] = frozenset()) -> Verdict:
    """Judge a report by its `n`, `metric`, `metrics`, `ways` and `against` (see report.py).

    `own` are ways that came of the same training: its checkpoints do not say whether it was worth it.
    """
    metric, ways = report["metric"], report["ways"]
    against = {way: found for way, found in report["against"].items() if way not in own}
    figures = report["metrics"][metric]
    sign = 1 if figures["higher_is_better"] else -1
    is_share = figures["higher_is_better"]

    def value(way: str) -> float:
        return ways[way]["metrics"][metric]["value"]

    def gain(way: str) -> tuple[float, float]:
        """Interval of how much better the tuned model is."""
        low, high = _gain(report, way)
        unseen = UNSEEN / report["n"] if is_share and low == high else 0
        return low - unseen, high + unseen

    def poor(way: str) -> bool:
        return is_share and value(way) < GOOD

    best = max(against, key=lambda way: sign * value(way))
    if report["n"] < MIN_ROWS:
        return Verdict(Outcome.CANNOT_TELL, best, MIN_ROWS)
    unbeaten = [way for way in against if gain(way)[0] <= 0]
    if not unbeaten:
        return Verdict(Outcome.MORE_ROWS if poor(TUNED) else Outcome.WORTH_IT, best)
    rival = max(unbeaten, key=lambda way: sign * value(way))
    low, high = gain(rival)
    if high < 0 or (is_share and low >= -MARGIN and high <= MARGIN):
        return Verdict(Outcome.MORE_ROWS if poor(rival) else Outcome.BETTER_PROMPT, rival)
    return Verdict(Outcome.CANNOT_TELL, rival, _rows_needed(report["n"], against[rival], low, high, is_share))


def weigh_costs(report: dict[str, Any]) -> dict[str, Any]:
    """The report's `verdict` by its `costs` and `plan`, which may have changed since it was last weighed.

    `break_even_requests` say when the training has paid for itself against the rival, `cheaper_from` against all that
    are as good, where that makes the outcome "cheaper"; None where it never has, or nobody knows.
    """
    verdict, cheaper_from = report["verdict"], None
    outcome = Outcome(verdict["outcome"])
    if outcome in (Outcome.BETTER_PROMPT, Outcome.CHEAPER):
        cheaper_from = _cheaper_from(report)
        outcome = Outcome.BETTER_PROMPT if cheaper_from is None else Outcome.CHEAPER
    return verdict | {"outcome": outcome.value, "break_even_requests": _paid_after(report, verdict["rival"]),
                      "cheaper_from": cheaper_from}


def break_even_requests(training_seconds: float, rival_seconds: float, tuned_seconds: float) -> int | None:
    """After how many requests the shorter prompt has paid for the training, in time on the same machine.

    None where the tuned model's requests are hardly cheaper. Times in seconds, the last two for one request.
    """
    saved = rival_seconds - tuned_seconds
    return math.ceil(training_seconds / saved) if saved > LEAST_SAVING * rival_seconds else None


def _cheaper_from(report: dict[str, Any]) -> int | None:
    """From how many requests on the tuned model is cheaper than all that is as good; None where that is never."""
    gains = {way: _gain(report, way) for way in report["against"]}
    rival, month = report["verdict"]["rival"], report["plan"]["requests_per_month"]
    if gains[rival][1] < 0:
        return None
    as_good = {rival, *(way for way in gains if way in BASE_WAYS | {ENDPOINT} and gains[way][0] <= 0)}
    paid = [_paid_after(report, way) for way in as_good]
    found = None if None in paid else max(paid)
    return None if found is None or (month and found > PAID_WITHIN_MONTHS * month) else found


def _paid_after(report: dict[str, Any], way: str) -> int | None:
    """Requests until the training is paid for against a way: in money against a service, else in the machine's time.

    Other tuned models were trained too, and plain text asks nothing: None.
    """
    costs, ways = report["costs"], report["ways"]
    if way == ENDPOINT:
        return costs["break_even"]["requests"] if costs["break_even"] else None
    if way not in BASE_WAYS or "seconds_per_request" not in ways[TUNED]:
        return None
    # an hour of training may cost more or less than one of answering
    dearer = costs["training_price_per_hour"] / costs["price_per_hour"] if costs["price_per_hour"] else 1
    return break_even_requests(dearer * report["training_seconds"], *(ways[name]["seconds_per_request"]
                                                                      for name in (way, TUNED)))


def _gain(report: dict[str, Any], way: str) -> tuple[float, float]:
    """Interval of how much better the tuned model is than a way."""
    sign = 1 if report["metrics"][report["metric"]]["higher_is_better"] else -1
    low, high = sorted(sign * bound for bound in report["against"][way]["difference"]["interval"])
    return low, high


def _rows_needed(rows: int, against: dict[str, Any], low: float, high: float, is_share: bool) -> int | None:
    """Rows at which the interval would no longer hold 0 if the difference stays: its width falls with their root.

    Where no row differs, the rows that would show the two within `MARGIN`. None where nothing tells.
    """
    wins = max(against["wins"], against["losses"])
    if not wins:
        return math.ceil(UNSEEN / MARGIN) if is_share else None
    difference, half = abs(against["difference"]["value"]), (high - low) / 2
    if difference <= half / 10:
        return None
    one_sided = not (against["wins"] and against["losses"])
    needed = rows * SURE_WINS / wins if one_sided else rows * (half / difference) ** 2
    return max(math.ceil(needed), rows + 1)

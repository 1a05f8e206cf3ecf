"""What the curves of a run show: smoothing, thinning to a few hundred points, and the value printed beside each.

Series are lists of (step, value); nothing here draws.
"""

import math
from dataclasses import dataclass

from studio import words
from studio.runs.events import RunState
from studio.texts import text

MAX_POINTS = 500
EACH_STEP, SMOOTHED, HELD_OUT = "each", "smoothed", "held_out"
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One chart's content: `rows` are (step, value, series name); `last` is the newest value in words."""

    rows: list[tuple[float, float, str]]
    last: str


def loss_curve(state: RunState) -> Curve:
    """Training loss of each step, the same smoothed, and the loss on held-out rows."""
    training, held_out = series(state.logs, "loss"), series(state.evals, "eval_loss")
    rows = _with_smoothed(training, 200) + _named(thin(held_out, 100), HELD_OUT)
    parts = [text("runs.curve.training", value=words.figure(smooth(training)[-1][1]))] if training else []
    if held_out:
        parts.append(text("runs.curve.held_out_value", value=words.figure(held_out[-1][1])))
    return Curve(rows, ", ".join(parts))


def learning_rate_curve(state: RunState) -> Curve:
    """The learning rate of each step."""
    points = series(state.logs, "learning_rate")
    return Curve(_named(thin(points, MAX_POINTS), SMOOTHED), words.figure(points[-1][1]) if points else "")


def throughput_curve(state: RunState) -> Curve:
    """Tokens a second, each step and smoothed."""
    # the first line after a resume may have nothing to count yet
    points = [point for point in series(state.logs, "tokens_per_second") if point[1] > 0]
    last = text("runs.curve.per_second", value=words.figure(smooth(points)[-1][1])) if points else ""
    return Curve(_with_smoothed(points, 250), last)


def memory_curve(state: RunState) -> Curve:
    """Memory held by the training process on its device, in GB."""
    points = series(state.logs, "memory_bytes")
    rows = _named(thin([(step, value / 1e9) for step, value in points], MAX_POINTS), SMOOTHED)
    return Curve(rows, words.size(points[-1][1]) if points else "")


def axis_end(curve: Curve) -> float:
    """A round number above all values, so that an axis from zero moves seldom; 1 where there is no value yet."""
    highest = max((value for _, value, _ in curve.rows), default=0) or 1
    unit = 10 ** math.floor(math.log10(highest))
    return next(step * unit for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if step * unit >= highest)


def series(history: list[tuple[int, dict[str, float]]], metric: str) -> Points:
    """The (step, value) pairs of one metric. Steps that did not log it, and values that are no number, are left out."""
    pairs = ((step, metrics[metric]) for step, metrics in history if metric in metrics)
    return [(step, value) for step, value in pairs if isinstance(value, int | float) and math.isfinite(value)]


def smooth(points: Points) -> Points:
    """Exponential moving average over about a twentieth of the run, without the bias towards the first value.

    The correction is that of Adam: the sum of the weights given so far divides each average.
    """
    keep = 1 - 2 / (max(1.0, len(points) / 20) + 1)
    average, weight, result = 0.0, 0.0, []
    for step, value in points:
        average = keep * average + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        result.append((step, average / weight))
    return result


def thin(points: Points, limit: int) -> Points:
    """At most `limit` of the points: first and last, and of each stretch between the lowest and the highest."""
    if len(points) <= limit:
        return points
    stretches = (limit - 2) // 2
    inner, kept = points[1:-1], [points[0]]
    for index in range(stretches):
        stretch = inner[index * len(inner) // stretches:(index + 1) * len(inner) // stretches]
        lowest, highest = min(stretch, key=lambda p: p[1]), max(stretch, key=lambda p: p[1])
        kept += sorted({lowest, highest})
    return [*kept, points[-1]]


def _with_smoothed(points: Points, limit: int) -> list[tuple[float, float, str]]:
    return _named(thin(points, limit), EACH_STEP) + _named(thin(smooth(points), limit), SMOOTHED)


def _named(points: Points, name: str) -> list[tuple[float, float, str]]:
    return [(step, value, text(f"runs.series.{name}")) for step, value in points]

"""Would more rows help: the same training on a part of its rows, judged by the same held-out rows.

The runs on parts are clones of the run that differ from it in `data.train_share` alone, as far as the training goes;
each smaller part lies within the larger.
What decides is the step from the largest part to all rows: where its 95 % interval lies above 0 more rows are likely to
help, where it lies within `MARGIN` of 0 they are not. As in the verdict, fewer than `MIN_ROWS` held-out rows tell
nothing, and an interval without width is widened by what may have gone unseen.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import orjson

from studio.evaluation.bootstrap import Resamples, share_interval
from studio.evaluation.perplexity import METRIC as PERPLEXITY
from studio.evaluation.verdict import MARGIN, MIN_ROWS
from studio.preset.schema import Preset, Section
from studio.runs.store import TRAINING, RunStore, RunView

SHARES = (0.25, 0.5)


class Course(StrEnum):
    """Where the scores go as rows are added."""

    RISING = "rising"
    LEVEL = "level"
    FALLING = "falling"
    UNSURE = "unsure"
    FEW = "few"  # held-out rows


@dataclass(frozen=True)
class Part:
    """A training on `rows` rows and the score of each held-out row, in their order (0 to 1)."""

    run_id: str
    rows: int
    scores: np.ndarray


@dataclass(frozen=True)
class Point:
    """One part on the slope: mean score with its 95 % interval."""

    run_id: str
    rows: int
    value: float
    interval: list[float]


@dataclass(frozen=True)
class Slope:
    """Points by number of rows, and what the last step brought: `gain` with its paired 95 % interval.

    `judged` is the number of held-out rows that all were judged by.
    """

    metric: str
    points: list[Point]
    gain: float
    gain_interval: list[float]
    course: Course
    judged: int


def may_have_slope(view: RunView) -> bool:
    """Whether trainings on parts could be set against this run: it saw all rows, and its answers to its own held-out
    rows are judged one by one."""
    report = view.report
    if report is None or view.preset.data.train_share < 1 or not (view.run_dir / "predictions.jsonl").is_file():
        return False
    try:
        return report["metric"] != PERPLEXITY and not report.get("data")
    except (AttributeError, KeyError, TypeError):  # written by another version of the studio
        return False


def clones_on_parts(store: RunStore, run_id: str, max_age_s: float = 0) -> list[RunView]:
    """The runs that repeat this one on a part of its rows, smallest part first, as seen `max_age_s` ago at most.

    A clone that was trained in another way is none of them. Raises `RunError` for an unknown run.
    """
    whole = store.get(run_id, max_age_s).preset
    clones = [view for view in store.list(max_age_s)
              if view.info["parent"] == run_id and view.kind == TRAINING
              and view.preset.data.train_share < whole.data.train_share and _training(view.preset) == _training(whole)]
    return sorted(clones, key=lambda view: view.preset.data.train_share)


def slope_of(store: RunStore, run_id: str) -> Slope | None:
    """The slope of a run and its clones on parts, as far as they are evaluated; None with fewer than two points.

    Clones that were judged by other rows or another metric do not count. Raises `RunError` for an unknown run.
    """
    whole = store.get(run_id)
    found = _judged(whole)
    if found is None:
        return None
    metric, prompts, part = found
    parts = [part]
    for clone in clones_on_parts(store, run_id):
        judged = _judged(clone)
        if judged is not None and judged[:2] == (metric, prompts):
            parts.append(judged[2])
    return learning_slope(parts, metric, whole.preset.training.seed) if len(parts) > 1 else None


def learning_slope(parts: list[Part], metric: str, seed: int) -> Slope:
    """The slope through parts that were judged by the same rows, two at least."""
    parts = sorted(parts, key=lambda part: part.rows)
    scores = np.stack([part.scores for part in parts], axis=1)
    means = Resamples(len(scores), seed).means(scores)
    points = [Point(part.run_id, part.rows, float(part.scores.mean()), share_interval(means[:, index], len(scores)))
              for index, part in enumerate(parts)]
    low, high = share_interval(means[:, -1] - means[:, -2], len(scores), least=-1.0)
    course = (Course.FEW if len(scores) < MIN_ROWS else Course.RISING if low > 0 else Course.FALLING if high < 0
              else Course.LEVEL if low >= -MARGIN and high <= MARGIN else Course.UNSURE)
    return Slope(metric, points, points[-1].value - points[-2].value, [low, high], course, len(scores))


def _training(preset: Preset) -> tuple[Section, ...]:
    """All that decides what is learned but for the share of the rows."""
    return (preset.model, preset.method, preset.lora, preset.training,
            preset.data.model_copy(update={"train_share": 1.0}))


def _judged(view: RunView) -> tuple[str, list[str], Part] | None:
    """Metric, prompts and scores of a run; None where it is not evaluated, or not by single answers."""
    report, environment = view.report, view.environment
    if report is None or environment is None:
        return None
    try:
        with open(view.run_dir / "predictions.jsonl", "rb") as file:
            rows: list[dict[str, Any]] = [orjson.loads(line) for line in file]
        scores = np.array([row["tuned_score"] for row in rows], float)
        if not len(scores):
            return None
        return report["metric"], [row["prompt"] for row in rows], Part(
            view.run_id, environment["rows"]["train"], scores)
    except (FileNotFoundError, KeyError, TypeError, ValueError):  # written by another version of the studio
        return None

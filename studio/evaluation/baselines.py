"""Tried without tuning: what the untouched model reaches with each prompt, before anybody pays for a training.

`baselines.json` holds: `n` (rows), `metric` (the one that decides), `refused_metric` and `notes` (see report.py),
`ways`: for each way its `metrics` (`value` and 95 % `interval`) and its costs by request; `best`, the way that reaches
most; `samples`: first rows with all answers.
"""

import json
from pathlib import Path
from typing import Any

from studio.evaluation.summary import WayRow, metric_name, way_name, way_row, with_interval
from studio.evaluation.verdict import LOWER_IS_BETTER, MIN_ROWS
from studio.texts import text

FILE = "baselines.json"
# a prompt that surely reaches so much leaves a training little to gain
ENOUGH = 0.8


def read_baselines(run_dir: Path) -> dict[str, Any] | None:
    """What a run without training found, None where there is nothing (yet) or it cannot be read.

    One of an earlier studio gets the parts that it knew nothing of.
    """
    try:
        return {"refused_metric": "", "notes": []} | json.loads((run_dir / FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def baselines_words(found: dict[str, Any]) -> str:
    """What follows from the figures, in two sentences."""
    figure = found["ways"][found["best"]]["metrics"][found["metric"]]
    low, _ = figure["interval"]
    key = ("few" if found["n"] < MIN_ROWS else "foresees" if found["metric"] in LOWER_IS_BETTER
           else "enough" if low >= ENOUGH else "room")
    return text(f"evaluation.baselines.{key}", way=way_name(found["best"]), metric=metric_name(found["metric"]),
                value=with_interval(figure, found["metric"]), rows=MIN_ROWS)


def baseline_rows(found: dict[str, Any]) -> list[WayRow]:
    """The ways as lines of a table, in words."""
    return [way_row(found | {"against": {}}, way) for way in found["ways"]]

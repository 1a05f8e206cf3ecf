"""The report of a run as it lies in its folder; one of an earlier studio gets the parts that it knew nothing of."""

import json
from pathlib import Path
from typing import Any

from studio.errors import RunError
from studio.evaluation.summary import summarise
from studio.texts import text

LATER = {"refused_metric": "", "notes": [], "best": [], "worst": [], "labels": None, "wanted_words": 0.0,
         "wanted_tokens": 0.0, "guard": None, "judge": None}
NO_COSTS = {"training_wh": None, "training_wh_of": "", "training_price_per_hour": None, "price_per_hour": None,
            "training_money": None, "ways": {}, "now": None, "break_even": None}
NO_PLAN = {"use_case": "", "good_answer": "", "requests_per_month": 0}


def read_report(run_dir: Path) -> dict[str, Any] | None:
    """The report with all its parts (see report.py), None where there is none.

    Raises `RunError` where it is torn or of a form that cannot be read.
    """
    try:
        content = (run_dir / "report.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        report = json.loads(content)
        report = LATER | {"costs": NO_COSTS, "plan": NO_PLAN, "training_seconds": 0.0, "data": ""} | report
        # one price was that of both machines
        report["costs"] = {"training_price_per_hour": report["costs"]["price_per_hour"]} | report["costs"]
        if "verdict" in report:
            for found in report["ways"].values():
                found.setdefault("answer_words", 0.0)
                found.setdefault("answer_words_interval", None)
        _check(report)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise RunError(text("evaluation.damaged"), text("evaluation.damaged_hint")) from None
    return report


def _check(report: dict[str, Any]) -> None:
    """Raises whatever reading the report in full raises."""
    summarise(report)
    "".join(report["notes"])
    for name in ("n", "wins", "ties", "losses"):
        int(report[name])
    for figures in report["metrics"].values():
        for side in ("base", "tuned", "difference"):
            low, high = figures[side]["interval"]
            float(figures[side]["value"] + low + high)
    for row in report["best"] + report["worst"]:
        words = [row["prompt"], row["expected"], *(row[way] for way in report["ways"])]
        "".join(words)
        sum(row[f"{way}_score"] for way in report["ways"]) + row["row"]

"""The report of a run (see evaluation/report.py) as a table of before and after."""

from dataclasses import dataclass
from typing import Any

from studio import words
from studio.evaluation.summary import metric_name, rows_words, signed, sure_tone, with_interval
from studio.texts import text

VERDICTS = {"better": "runs-better", "worse": "runs-worse", "": ""}


@dataclass(frozen=True)
class Measure:
    """One row of the table, in words; `verdict` is the CSS class of the difference, "" where it may be chance."""

    name: str
    base: str
    tuned: str
    difference: str
    verdict: str


def measures(report: dict[str, Any]) -> list[Measure]:
    """Each measure with its interval, the deciding one first."""
    return [
        Measure(
            name=metric_name(name), base=with_interval(figures["base"], name),
            tuned=with_interval(figures["tuned"], name), difference=signed(figures["difference"]["value"], name),
            verdict=VERDICTS[sure_tone(figures["difference"], figures["higher_is_better"], report["n"])])
        for name, figures in report["metrics"].items()]


def sentence(report: dict[str, Any]) -> str:
    """How many rows were compared, and on how many of them the tuned model did better."""
    return text("runs.results.sentence", rows=rows_words(report), wins=words.count(report["wins"]),
                ties=words.count(report["ties"]), losses=words.count(report["losses"]))

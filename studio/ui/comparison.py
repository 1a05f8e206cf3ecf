"""The report of a run (`report.json`, see evaluation/report.py) as a table of before and after."""

from dataclasses import dataclass
from typing import Any

from studio import words
from studio.ui.texts import table, text

# measures that are no share of rows
PLAIN = frozenset({"perplexity", "loss"})


@dataclass(frozen=True)
class Measure:
    """One row of the table, in words; `verdict` is the CSS class of the difference, "" where it may be chance."""

    name: str
    base: str
    tuned: str
    difference: str
    verdict: str


def measures(report: dict[str, Any]) -> list[Measure]:
    """Each measure with its interval, the deciding one first. Raises `KeyError` on a report of another format."""
    return [
        Measure(
            name=table("runs").get(f"metric.{name}", name),
            base=_with_interval(figures["base"], name), tuned=_with_interval(figures["tuned"], name),
            difference=_signed(figures["difference"]["value"], name), verdict=_verdict(figures))
        for name, figures in report["metrics"].items()]


def sentence(report: dict[str, Any]) -> str:
    """How many rows were compared, and on how many of them the tuned model did better."""
    return text("runs.results.sentence", rows=words.count(report["n"]), wins=words.count(report["wins"]),
                ties=words.count(report["ties"]), losses=words.count(report["losses"]))


def _verdict(figures: dict[str, Any]) -> str:
    """Better or worse only where the whole interval of the difference says so."""
    low, high = figures["difference"]["interval"]
    if not figures["higher_is_better"]:
        low, high = -high, -low
    return "runs-better" if low > 0 else "runs-worse" if high < 0 else ""


def _with_interval(figure: dict[str, Any], name: str) -> str:
    value, low, high = (_value(number, name) for number in (figure["value"], *figure["interval"]))
    return text("runs.results.interval", value=value, low=low, high=high)


def _value(value: float, name: str) -> str:
    return words.figure(value) if name in PLAIN else words.percent(value)


def _signed(value: float, name: str) -> str:
    amount = words.figure(abs(value)) if name in PLAIN else text("runs.results.points", value=f"{100 * abs(value):.0f}")
    return f"{'+' if value >= 0 else '−'}{amount}"

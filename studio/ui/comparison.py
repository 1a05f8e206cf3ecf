"""The report of a run (`report.json`, see evaluation/report.py) as a table of before and after."""

from dataclasses import dataclass
from typing import Any

from studio import words
from studio.ui.texts import table, text


@dataclass(frozen=True)
class Measure:
    """One row of the table, in words; `verdict` is the CSS class of the difference, "" where it may be chance."""

    name: str
    base: str
    tuned: str
    difference: str
    verdict: str


def measures(report: dict[str, Any]) -> list[Measure]:
    """The metric the run is judged by with its intervals, then the other scores.

    Raises `KeyError` on a report of another format.
    """
    base, tuned, difference = report["base"], report["tuned"], report["difference"]
    as_share = report["metric"] != "perplexity"
    low, high = difference["interval"]
    better = low > 0 if report["higher_is_better"] else high < 0
    worse = high < 0 if report["higher_is_better"] else low > 0
    rows = [Measure(
        _name(report["metric"]), _with_interval(base, as_share), _with_interval(tuned, as_share),
        _signed(difference["score"], as_share), "runs-better" if better else "runs-worse" if worse else "")]
    for name in base["scores"]:
        if name != report["metric"]:
            share = as_share and name != "loss"
            before, after = base["scores"][name], tuned["scores"][name]
            change = _signed(after - before, share)
            rows.append(Measure(_name(name), _value(before, share), _value(after, share), change, ""))
    return rows


def sentence(report: dict[str, Any]) -> str:
    """How many rows were compared, and on how many of them the tuned model did better."""
    return text("runs.results.sentence", rows=words.count(report["rows"]), wins=words.count(report["wins"]),
                ties=words.count(report["ties"]), losses=words.count(report["losses"]))


def _with_interval(model: dict[str, Any], as_share: bool) -> str:
    low, high = model["interval"]
    return text("runs.results.interval", value=_value(model["score"], as_share), low=_value(low, as_share),
                high=_value(high, as_share))


def _value(value: float, as_share: bool) -> str:
    return words.percent(value) if as_share else words.figure(value)


def _signed(value: float, as_share: bool) -> str:
    amount = text("runs.results.points", value=f"{100 * abs(value):.0f}") if as_share else words.figure(abs(value))
    return f"{'+' if value >= 0 else '−'}{amount}"


def _name(metric: str) -> str:
    return table("runs").get(f"metric.{metric}", metric)

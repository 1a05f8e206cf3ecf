"""The report as one page, `report.html`, that opens without a server: verdict, ways, measures, costs, rows."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import words
from studio.evaluation.summary import METRICS, WAYS, summarise, with_interval

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)


def render_page(report: dict[str, Any], name: str, purpose: str, model: str) -> str:
    """The page for a run of that name; `purpose` is the person's own sentence, "" for none. All texts are escaped."""
    ways = list(report["ways"])
    measures = [(METRICS.get(metric, metric),
                 [with_interval(report["ways"][way]["metrics"][metric], metric) for way in ways])
                for metric in report["metrics"]]
    return _templates.get_template("report.html").render(
        name=name, purpose=purpose, model=model, report=report, summary=summarise(report), measures=measures,
        ways=ways, names=[WAYS[way] for way in ways], words=words)

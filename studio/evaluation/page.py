"""The report as one page, `report.html`, that opens without a server: verdict, ways, changes, costs, measures, rows."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import words
from studio.evaluation.marking import mark
from studio.evaluation.summary import (
    length_words,
    metric_name,
    rows_words,
    score_words,
    summarise,
    way_name,
    with_interval,
)
from studio.texts import text

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)
_templates.globals.update(text=text, words=words, mark=mark, rows_words=rows_words, score_words=score_words)


def render_page(report: dict[str, Any], name: str, purpose: str, model: str) -> str:
    """The page for a run of that name; `purpose` is the person's own sentence, "" for none. All texts are escaped."""
    ways = list(report["ways"])
    measures = [(metric_name(metric), [with_interval(report["ways"][way]["metrics"][metric], metric) for way in ways])
                for metric in report["metrics"]]
    if report["wanted_words"]:
        measures.append((text("evaluation.page.words", wanted=words.figure(report["wanted_words"])),
                         [length_words(report["ways"][way]) for way in ways]))
    return _templates.get_template("report.html").render(
        name=name, purpose=purpose, model=model, report=report, summary=summarise(report), measures=measures,
        ways=ways, names=[way_name(way) for way in ways])

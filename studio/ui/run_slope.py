"""The learning slope on the page of a run: what its clones on parts of the rows have shown so far."""

import html

from studio import words
from studio.evaluation.predictions import file_mark
from studio.evaluation.slope import Point, Slope, clones_on_parts, may_have_slope, slope_of
from studio.evaluation.summary import with_interval
from studio.evaluation.verdict import MIN_ROWS
from studio.runs.store import RunStore, RunView
from studio.texts import text
from studio.ui import run_words


def slope_html(store: RunStore, view: RunView, max_age_s: float) -> str:
    """The slope in words and as a table, and the clones still at work; "" where there are no clones."""
    clones = clones_on_parts(store, view.run_id, max_age_s)
    if not clones:
        return ""
    slope = slope_of(store, view.run_id)
    coming = may_have_slope(view) and any(clone.is_live for clone in clones)
    said = f"<p>{html.escape(sentence(slope, coming))}</p>{_table(slope) if slope else ''}"
    working = [_note(text("slope.working", n=words.percent(clone.preset.data.train_share), stage=_stage(clone)),
                     _link(clone.run_id, text("slope.open"))) for clone in clones if clone.report is None]
    return f"<h4>{html.escape(text('slope.title'))}</h4>{said}{''.join(working)}{_note(text('slope.explain'))}"


def slope_mark(store: RunStore, view: RunView, max_age_s: float) -> str:
    """Changes when the slope may look different: also when one of the runs was compared again."""
    clones = clones_on_parts(store, view.run_id, max_age_s)
    return " ".join(f"{run.run_id} {file_mark(run.run_dir / 'report.json')} {_stage(run)}"
                    for run in ([view, *clones] if clones else []))


def sentence(slope: Slope | None, coming: bool = False) -> str:
    """What the last step says about more rows; `coming`: a run is at work that may bring the slope."""
    if slope is None:
        return text("slope.one_missing" if coming else "slope.none")
    figures = {"gain": slope.gain, "low": slope.gain_interval[0], "high": slope.gain_interval[1]}
    signed = {name: f"{100 * value:+.0f}".replace("-", "−") for name, value in figures.items()}
    return text(f"slope.course.{slope.course.value}", before=words.count(slope.points[-2].rows),
                after=words.count(slope.points[-1].rows), judged=words.count(slope.judged), least=MIN_ROWS,
                **signed)


def _table(slope: Slope) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_link(point.run_id, text("slope.part", n=words.count(point.rows)))}</th>'
        f'<td class="runs-number">{_score(point, slope.metric)}</td></tr>' for point in slope.points)
    head = (f'<tr><th scope="col">{html.escape(text("slope.rows"))}</th>'
            f'<th scope="col" class="runs-number">{html.escape(text("slope.score"))}</th></tr>')
    return (f'<div class="runs-scroll"><table class="runs-table"><thead>{head}</thead><tbody>{rows}</tbody></table>'
            "</div>")


def _score(point: Point, metric: str) -> str:
    return html.escape(with_interval({"value": point.value, "interval": point.interval}, metric))


def _stage(clone: RunView) -> str:
    return ", ".join(part for part in (run_words.stage_word(clone), run_words.progress_words(clone)) if part)


def _link(run_id: str, label: str) -> str:
    return f'<a href="?run={html.escape(run_id)}" data-run="{html.escape(run_id)}">{html.escape(label)}</a>'


def _note(said: str, link: str = "") -> str:
    return f'<p class="runs-note">{html.escape(said)} {link}</p>'

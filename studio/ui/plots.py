"""The four charts of a run: loss, learning rate, throughput, memory. What they show is worked out in `curves`."""

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from studio.runs.events import RunState
from studio.texts import text
from studio.ui import curves

HEIGHT = 270
ACCENT, FAINT, SECOND = "#0d9488", "#14b8a659", "#d97706"


# Vega marks every point as an image without a name; what a chart says stands in its label, for a screen reader too
HIDE_MARKS_JS = """
const hide = () => {
  const charts = document.querySelectorAll('[id^="runs-plot-"] .vega-embed');
  charts.forEach((chart) => chart.setAttribute('aria-hidden', 'true'));
};
new MutationObserver(hide).observe(
  element.closest('#run-curves'), {childList: true, subtree: true, attributes: true, attributeFilter: ['class']});
"""


@dataclass(frozen=True)
class _Chart:
    name: str
    curve: Callable[[RunState], curves.Curve]
    y_format: str
    from_zero: bool
    series: tuple[str, ...]


CHARTS = (
    _Chart("loss", curves.loss_curve, "f", False, (curves.EACH_STEP, curves.SMOOTHED, curves.HELD_OUT)),
    _Chart("learning_rate", curves.learning_rate_curve, "~e", True, (curves.SMOOTHED,)),
    _Chart("throughput", curves.throughput_curve, ",f", True, (curves.EACH_STEP, curves.SMOOTHED)),
    _Chart("memory", curves.memory_curve, "f", True, (curves.SMOOTHED,)),
)
COLOURS = {curves.EACH_STEP: FAINT, curves.SMOOTHED: ACCENT, curves.HELD_OUT: SECOND}


def build_plots() -> list[gr.LinePlot]:
    """Four charts of fixed height, empty, two beside each other where there is room."""
    plots = []
    for pair in (CHARTS[:2], CHARTS[2:]):
        with gr.Row():
            plots += [_plot(chart) for chart in pair]
    return plots


@dataclass(frozen=True)
class Drawing:
    """What one chart shows: Gradio's plot data, the label with the newest value, the limits of the y axis."""

    value: dict
    label: str
    y_lim: list[float | None]

    def update(self) -> dict:
        """The update that shows it; a new one each time, since Gradio takes it apart."""
        return gr.update(value=self.value, label=self.label, y_lim=self.y_lim)


def draw_charts(state: RunState) -> list[Drawing]:
    """What `build_plots()`'s charts show of a run."""
    drawings = []
    for chart in CHARTS:
        curve = chart.curve(state)
        limits = [0, curves.axis_end(curve)] if chart.from_zero else [None, None]
        drawings.append(Drawing(_value(chart, curve), _label(chart, curve.last), limits))
    return drawings


def watermark(state: RunState) -> str:
    """Changes whenever a chart would look different."""
    last_step = state.logs[-1][0] if state.logs else 0
    return f"{len(state.logs)}-{last_step}-{len(state.evals)}"


def _plot(chart: _Chart) -> gr.LinePlot:
    return gr.LinePlot(
        None, x="step", y="value", color="series", label=_label(chart, ""),
        height=HEIGHT, min_width=300,
        x_title=text("runs.axis.step"), y_title=text(f"runs.axis.{chart.name}"), y_axis_format=chart.y_format,
        color_title="", color_map={text(f"runs.series.{name}"): COLOURS[name] for name in chart.series},
        colors_in_legend=None if len(chart.series) > 2 else [], tooltip="axis", elem_id=f"runs-plot-{chart.name}")


def _value(chart: _Chart, curve: curves.Curve) -> dict:
    # a chart knows only the series it was first drawn with, so each is named even where it has no point yet
    rows = [(None, None, text(f"runs.series.{name}")) for name in chart.series] + curve.rows
    return {"columns": ["step", "value", "series"], "data": rows, "mark": "line",
            "datatypes": {"step": "quantitative", "value": "quantitative", "series": "nominal"}}


def _label(chart: _Chart, last: str) -> str:
    title = text(f"runs.chart.{chart.name}")
    return f"{title}: {last}" if last else title

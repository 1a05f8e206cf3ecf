"""The answers row by row on the run page: search, filter, order, pages; what differs from the wanted answer is marked.

The browser holds what is searched and which page is shown, the server nothing.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import RunError
from studio.evaluation.predictions import Order, PredictionPage, Turnout, file_mark, read_page
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text
from studio.ui import run_html
from studio.ui.access import may_look

FILE = "predictions.jsonl"
PAGE_ROWS = 10
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class AnswerRows:
    """The components; `page` is the number of the page that is shown."""

    column: gr.Column
    search: gr.Textbox
    turnout: gr.Radio
    order: gr.Dropdown
    rows: gr.HTML
    page: gr.Number
    previous: gr.Button
    next: gr.Button

    @property
    def drawn(self) -> list[gr.blocks.Block]:
        """The components that `draw_answer_rows` may change."""
        return [self.column, self.search, self.turnout, self.order, self.rows, self.page, self.previous, self.next]


def build_answer_rows() -> AnswerRows:
    """Build the part, hidden."""
    with gr.Column(visible=False, elem_id="run-answers") as column:
        gr.HTML(f"<h3>{text('evaluation.rows.title')}</h3>", elem_classes="runs-section")
        with gr.Row(elem_id="run-answers-filter"):
            search = gr.Textbox("", label=text("evaluation.rows.search"), info=text("evaluation.rows.search_info"),
                                max_length=200, min_width=220, scale=1)
            turnout = gr.Radio([(text(f"evaluation.rows.turnouts.{kind.value}"), kind.value) for kind in Turnout],
                               value=Turnout.ALL.value, label=text("evaluation.rows.turnout"), min_width=280, scale=3)
            order = gr.Dropdown([(text(f"evaluation.rows.orders.{kind.value}"), kind.value) for kind in Order],
                                value=Order.FILE.value, label=text("evaluation.rows.order"), filterable=False,
                                info=text("evaluation.rows.order_info"), min_width=220, scale=1)
        rows = gr.HTML("", elem_id="run-answers-rows")
        with gr.Row(elem_id="run-answers-pages"):
            previous = gr.Button(text("evaluation.rows.previous"), scale=0, min_width=120, size="md")
            following = gr.Button(text("evaluation.rows.next"), scale=0, min_width=120, size="md")
    return AnswerRows(column, search, turnout, order, rows, gr.Number(1, visible=False), previous, following)


def answers_mark(view: RunView) -> str:
    """Changes when other answers are to be shown."""
    return f"{view.run_id} {file_mark(view.run_dir / FILE)}"


def draw_answer_rows(part: AnswerRows, view: RunView) -> dict[Any, Any]:
    """Updates that show the first page of all rows; none is shown where the run compared none."""
    try:
        page = read_page(view.run_dir / FILE, "", Turnout.ALL, 1, PAGE_ROWS)
    except FileNotFoundError:
        return {part.column: gr.Column(visible=False), part.rows: ""}
    return {part.column: gr.Column(visible=page.total + page.damaged > 0), part.search: "",
            part.turnout: Turnout.ALL.value, part.order: Order.FILE.value, **_updates(part, page)}


def wire_answer_rows(part: AnswerRows, settings: Settings, store: RunStore, run_id: gr.Textbox) -> None:
    """Searching, filtering and sorting begin at the first page."""

    def look(run: str, search: str, turnout: str, order: str, page: float | None,
             profile: gr.OAuthProfile | None) -> Any:
        if not may_look(settings, profile):
            return gr.skip()
        try:
            path = store.run_dir(run) / FILE
            return _updates(part, read_page(path, search, Turnout(turnout), int(page or 1), PAGE_ROWS, Order(order)))
        except (FileNotFoundError, RunError):  # deleted, or trained anew, while it was looked at
            return {part.column: gr.Column(visible=False)}

    def first(run: str, search: str, turnout: str, order: str, profile: gr.OAuthProfile | None) -> Any:
        return look(run, search, turnout, order, 1, profile)

    shown = [part.column, part.rows, part.page, part.previous, part.next]
    chosen = [run_id, part.search, part.turnout, part.order]
    gr.on([part.search.input, part.turnout.input, part.order.input], first, chosen, shown,
          trigger_mode="always_last", **QUIET)

    def back(run: str, search: str, turnout: str, order: str, page: float | None,
             profile: gr.OAuthProfile | None) -> Any:
        return look(run, search, turnout, order, (page or 1) - 1, profile)

    def forth(run: str, search: str, turnout: str, order: str, page: float | None,
              profile: gr.OAuthProfile | None) -> Any:
        return look(run, search, turnout, order, (page or 1) + 1, profile)

    for button, act in ((part.previous, back), (part.next, forth)):
        button.click(act, [*chosen, part.page], shown, **QUIET)


def _updates(part: AnswerRows, page: PredictionPage) -> dict[Any, Any]:
    return {part.rows: run_html.answer_rows(page), part.page: page.page,
            part.previous: gr.Button(interactive=page.page > 1, visible=page.pages > 1),
            part.next: gr.Button(interactive=page.page < page.pages, visible=page.pages > 1)}

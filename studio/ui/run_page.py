"""The page of one run: its components, and what each of them shows for a run in its present stage."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import RunError
from studio.runs.events import RunStage
from studio.runs.store import RunStore, RunView
from studio.texts import text
from studio.ui import run_html, run_words
from studio.ui.answer_rows import AnswerRows, answers_mark, build_answer_rows, draw_answer_rows
from studio.ui.compare_again import (
    CompareAgain,
    Keys,
    asks_services,
    build_compare_again,
    build_keys,
    hide_compare_again,
)
from studio.ui.deploy_part import DeployPart, build_deploy, deploy_mark
from studio.ui.log_view import build_log, empty_log, log_tail
from studio.ui.plots import HIDE_MARKS_JS, build_plots
from studio.ui.run_data import data_html
from studio.ui.run_slope import slope_html, slope_mark
from studio.ui.votes_view import VotesPart, build_votes, draw_votes, votes_mark

ACTIONS = ("stop", "stop_now", "resume", "talk", "publish", "evaluate", "compare_with", "slope", "merge",
           "clone", "delete")
LIVE_S, PLOT_S, LOG_S = 1.5, 4, 1
# viewers of a run share one look at it for so long
LOOK_AGE_S = 0.5
Updates = dict[Any, Any]


@dataclass(frozen=True)
class RunPage:
    """The components of the run page: `buttons` by action; the timers run while their part can change."""

    column: gr.Column
    head: gr.HTML
    buttons: dict[str, gr.Button]
    delete_box: gr.Group
    delete_sure: gr.Button
    delete_keep: gr.Button
    keys: Keys
    again: CompareAgain
    body: gr.Column
    plots: list[gr.LinePlot]
    plots_mark: gr.Textbox
    results: gr.HTML
    answers: AnswerRows
    slope: gr.HTML
    log_fold: gr.Accordion
    log_open: gr.Checkbox
    log: gr.HTML
    data: gr.HTML
    files: gr.HTML
    preset: gr.HTML
    environment: gr.HTML
    live_timer: gr.Timer
    plot_timer: gr.Timer
    log_timer: gr.Timer
    votes: VotesPart
    deploy: DeployPart

    @property
    def drawn(self) -> list[gr.blocks.Block]:
        """The components that `close_page` and `draw_page` may change."""
        return [self.votes.html, self.votes.button, self.votes.note, self.deploy.mark,
                self.column, self.head, *self.buttons.values(), self.delete_box, self.keys.part, self.keys.endpoint,
                self.keys.judge, self.again.box, self.body,
                self.results,
                *self.answers.drawn, self.slope, self.log_fold, self.log_open, self.log, self.data, self.files,
                self.preset, self.environment, self.live_timer, self.plot_timer, self.log_timer]


def build_run_page() -> RunPage:
    """Build the page, hidden."""
    with gr.Column(visible=False, elem_id="run-page") as column:
        head = gr.HTML("", elem_id="run-head")
        with gr.Row(elem_id="run-actions"):
            buttons = {action: _button(action) for action in ACTIONS}
        with gr.Group(visible=False, elem_id="run-delete-box") as delete_box:
            gr.Markdown(text("runs.delete.question"))
            with gr.Row():
                delete_sure = gr.Button(text("runs.button.delete_sure"), variant="stop", scale=0, min_width=140,
                                        elem_id="run-delete-sure")
                delete_keep = gr.Button(text("runs.button.keep"), scale=0, min_width=140)
        keys = build_keys("run-keys", visible=False)
        again = build_compare_again()
        with gr.Column(elem_id="run-body") as body:
            with gr.Column(elem_id="run-curves"):
                _title("curves", HIDE_MARKS_JS)
                plots = build_plots()
            _title("results")
            results = gr.HTML("", elem_id="run-results")
            answers = build_answer_rows()
            slope = gr.HTML("", elem_id="run-slope")
            with gr.Column(elem_id="run-votes-part"):
                votes = build_votes()
            deploy = build_deploy()
            with gr.Accordion(text("runs.section.log"), open=False, elem_id="run-log-fold") as log_fold:
                log = build_log()
            with gr.Accordion(text("runs.section.data"), open=False):
                data = gr.HTML("", elem_id="run-data")
            with gr.Accordion(text("runs.section.files"), open=False):
                files = gr.HTML("", elem_id="run-files")
            with gr.Accordion(text("runs.section.preset"), open=False):
                preset = gr.HTML("", elem_id="run-preset")
            with gr.Accordion(text("runs.section.environment"), open=False):
                environment = gr.HTML("", elem_id="run-environment")
    return RunPage(
        column, head, buttons, delete_box, delete_sure, delete_keep, keys, again, body, plots,
        gr.Textbox("", visible=False), results, answers, slope, log_fold, gr.Checkbox(False, visible=False), log, data,
        files, preset, environment, *(gr.Timer(seconds, active=False) for seconds in (LIVE_S, PLOT_S, LOG_S)), votes,
        deploy)


def close_page(page: RunPage) -> Updates:
    """Updates that leave nothing of the run shown before."""
    return {page.delete_box: gr.Group(visible=False), **hide_compare_again(page.again),
            page.keys.endpoint: "", page.keys.judge: "",
            page.log_fold: gr.Accordion(open=False), page.log_open: False, page.log: empty_log(),
            page.live_timer: gr.Timer(active=False), page.log_timer: gr.Timer(active=False)}


def draw_page(page: RunPage, store: RunStore, run_id: str, marks: dict[str, str], may_act: bool,
              log_open: bool) -> Updates:
    """Updates for what looks different from `marks`, which are brought up to date."""
    try:
        view = store.get(run_id, LOOK_AGE_S)
    except RunError as error:
        may_delete = may_act and run_id in store.unreadable(LOOK_AGE_S)
        return _draw_problem(page, error, may_delete) if changed(marks, "head", str(error)) else {}
    updates: Updates = {}
    if changed(marks, "head", html := run_html.head(store, view)):
        updates[page.head] = html
    if changed(marks, "stage", f"{view.state.stage.value} {view.state.phase} {may_act}"):
        updates |= _draw_actions(page, view, may_act) | _draw_stage(page, store, view, log_open)
    # these change with the phases and checkpoints, not with each step
    if changed(marks, "facts", _facts_mark(view)):
        updates |= {page.results: run_html.results(view), page.data: data_html(view),
                    page.files: run_html.file_list(view), page.preset: run_html.preset(view),
                    page.environment: run_html.environment(view)}
    if changed(marks, "answers", answers_mark(view)):
        updates |= draw_answer_rows(page.answers, view)
    if changed(marks, "votes", votes_mark(view)):
        updates |= draw_votes(page.votes, store, view)
    if changed(marks, "deploy", mark := deploy_mark(view)):
        updates[page.deploy.mark] = mark
    if changed(marks, "slope", f"{run_id} {slope_mark(store, view, LOOK_AGE_S)}"):
        updates[page.slope] = slope_html(store, view, LOOK_AGE_S)
    return updates


def changed(marks: dict[str, str], part: str, mark: str) -> bool:
    """Whether a part's mark is new; notes it. Long marks are kept as their hash."""
    short = mark if len(mark) < 200 else str(hash(mark))
    if marks.get(part) == short:
        return False
    marks[part] = short
    return True


def _draw_problem(page: RunPage, error: RunError, may_delete: bool) -> Updates:
    hidden = {button: gr.Button(visible=may_delete and action == "delete", interactive=may_delete)
              for action, button in page.buttons.items()}
    return {page.head: run_html.problem(error), page.body: gr.Column(visible=False),
            page.keys.part: gr.Column(visible=False),
            page.live_timer: gr.Timer(active=False), **hidden}


def _draw_actions(page: RunPage, view: RunView, may_act: bool) -> Updates:
    step = run_words.next_step(view)
    wants_keys = may_act and "resume" in step.actions and asks_services(view)
    updates: Updates = {page.body: gr.Column(visible=True), page.delete_box: gr.Group(visible=False),
                        page.keys.part: gr.Column(visible=wants_keys), **hide_compare_again(page.again)}
    for action, button in page.buttons.items():
        label = step.resume_label if action == "resume" and step.resume_label else \
            run_words.action_label(view, action)
        updates[button] = gr.Button(
            label, visible=action in step.actions, interactive=may_act or action in ("talk", "clone"),
            variant="primary" if action == step.primary else "stop" if action == "stop_now" else "secondary")
    return updates


def _draw_stage(page: RunPage, store: RunStore, view: RunView, log_open: bool) -> Updates:
    """Timers for a run that lives; the log opens by itself when a run failed."""
    # the charts' timer and the log's end themselves when nothing more can come
    updates: Updates = {page.live_timer: gr.Timer(active=view.is_live), page.plot_timer: gr.Timer(active=True)}
    if log_open:
        updates[page.log_timer] = gr.Timer(active=True)
    if view.state.stage is RunStage.FAILED:
        updates |= {page.log_fold: gr.Accordion(open=True), page.log_open: True, page.log: log_tail(store, view.run_id)}
    return updates


def _facts_mark(view: RunView) -> str:
    state = view.state
    ended = [name for name, phase in state.phases.items() if phase.ended_at]
    return f"{view.run_id} {state.stage.value} {state.phase} {ended} {len(state.checkpoints)} {len(state.samples)} " \
           f"{view.environment is not None}"


def _button(action: str) -> gr.Button:
    return gr.Button(text(f"runs.button.{action}"), visible=False, size="md", scale=0, min_width=120,
                     elem_id=f"run-{action.replace('_', '-')}")


def _title(section: str, script: str | None = None) -> None:
    gr.HTML(f"<h3>{text(f'runs.section.{section}')}</h3>", elem_classes="runs-section", js_on_load=script)

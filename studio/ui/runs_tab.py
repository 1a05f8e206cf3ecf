"""The Runs tab: the list, the page of one run, the address that leads to it, and the timers that keep both fresh.

The server keeps nothing per viewer: the open run's id, and what the page shows already, live in hidden components.
"""

from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Any

import gradio as gr

from studio.runs.store import RunStore
from studio.settings import Settings
from studio.texts import text
from studio.ui import run_html
from studio.ui.access import is_owner, may_look
from studio.ui.deploy_part import wire_deploy
from studio.ui.run_events import QUIET, wire_actions, wire_live_parts
from studio.ui.run_page import LOOK_AGE_S, build_run_page, changed, close_page, draw_page

IDLE_S = 3

# links with data-run open a run without loading the page anew; a changed click (new tab) stays the browser's
_ROUTER = """
const go = (run) => trigger('navigate', {run});
document.addEventListener('click', (event) => {
  const link = event.target.closest('a[data-run]');
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go(link.dataset.run);
});
window.addEventListener('popstate', () => go(new URL(location).searchParams.get('run') || ''));
"""
_ADDRESS = """(run) => {
  const url = new URL(location);
  if ((url.searchParams.get('run') || '') === run) return;
  if (run) url.searchParams.set('run', run); else url.searchParams.delete('run');
  history.pushState(history.state, '', url);
  window.scrollTo(0, 0);
}"""
# the list is drawn in place, so after a new run the focus would sit on another row
_KEEP_FOCUS = """
let focused = '';
element.addEventListener('focusin', (event) => { focused = event.target.dataset.run || ''; });
element.addEventListener('focusout', () => { if (document.hasFocus()) focused = ''; });
watch('value', () => {
  const row = focused && element.querySelector(`a[data-run="${focused}"]`);
  if (row && document.activeElement !== row) row.focus();
});
"""


@dataclass(frozen=True)
class RunsTab:
    """What other tabs need: the open run, and the buttons that lead from it to them (each takes `run_id` as input).

    Writing an id into `run_id` shows that run, "" the list; `timer` rests until the page has been opened with either.
    """

    run_id: gr.Textbox
    timer: gr.Timer
    talk_button: gr.Button
    publish_button: gr.Button
    clone_button: gr.Button
    votes_button: gr.Button


def build_runs_tab(settings: Settings, store: RunStore, hub_key: gr.Textbox) -> RunsTab:
    """Build list and page into the present tab and wire their events. `hub_key` holds a pasted Hub token."""
    # hidden by the style sheet: what Gradio hides itself it shows again, or leaves out, in a tab opened later
    with gr.Column(elem_id="runs-unseen"):
        run_id = gr.Textbox("", elem_id="runs-open", show_label=False)
        router = gr.HTML("", js_on_load=_ROUTER)
    seen = gr.JSON({}, visible=False)
    with gr.Column(elem_id="runs-list-view") as list_column:
        board = gr.HTML(f'<p class="lead">{text("runs.loading")}</p>', elem_id="runs-board", js_on_load=_KEEP_FOCUS)
    page = build_run_page()
    # a tick beside the event that opens a run would draw it a second time, over what was typed or chosen by then
    idle_timer = gr.Timer(IDLE_S, active=False)

    def draw(run: str, marks: dict[str, str] | None, log_open: bool, profile: gr.OAuthProfile | None) -> Any:
        marks = dict(marks or {})
        if not may_look(settings, profile):
            return {board: run_html.private()} if changed(marks, "board", "private") else gr.skip()
        updates = {}
        if changed(marks, "run", run):
            marks = {"run": run}
            updates = {list_column: gr.Column(visible=not run), page.column: gr.Column(visible=bool(run))}
        if run:
            updates |= draw_page(page, store, run, marks, is_owner(settings, profile), log_open)
        elif changed(marks, "board", html := _list_html(store, int(monotonic()))):
            updates[board] = html
        return {**updates, seen: marks} if updates else gr.skip()

    def turn_to(run: str, profile: gr.OAuthProfile | None) -> Any:
        return close_page(page) | draw(run, {}, False, profile) | {idle_timer: gr.Timer(active=True)}

    parts = [seen, list_column, board, *page.drawn]
    shown_now = {"fn": draw, "inputs": [run_id, seen, page.log_open], "outputs": parts}
    gr.on([idle_timer.tick, page.live_timer.tick], **shown_now, **QUIET)
    # only turning to another run folds the log: an answer to a tick may come late
    run_id.change(turn_to, run_id, [*parts, idle_timer], trigger_mode="always_last", **QUIET)
    run_id.change(None, run_id, None, js=_ADDRESS)
    router.navigate(_run_of, None, run_id, **QUIET)
    wire_live_parts(page, settings, store, run_id)
    wire_deploy(page.deploy, settings, store, run_id, page.live_timer)
    wire_actions(page, settings, store, run_id, shown_now, hub_key)
    return RunsTab(run_id, idle_timer, page.buttons["talk"], page.buttons["publish"], page.buttons["clone"],
                   page.votes.button)


@lru_cache(maxsize=1)
def _list_html(store: RunStore, second: int) -> str:
    """The list is the same for everybody: twenty pages that look at it have it built once a second."""
    return run_html.run_list(store.list(LOOK_AGE_S), store.unreadable(LOOK_AGE_S))


def _run_of(event: gr.EventData) -> str:
    return event.run

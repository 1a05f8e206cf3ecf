"""The page as a whole: header, four tabs, and the events that lead from one tab to another.

What a tab offers to the others is in the frozen dataclass that its `build_<name>_tab(settings, store, page)` returns:
- `run_id` of the Runs, Playground and Publish tabs: a hidden text box; writing a run's id into it (its `.change`
  fires) shows that run there.
"""

from collections.abc import Callable
from typing import Any

import gradio as gr

from studio.runs.store import RunStore
from studio.settings import Settings
from studio.texts import text
from studio.ui.access import may_look, sign_in_offered
from studio.ui.header import OPEN_JS, header_html
from studio.ui.playground_tab import build_playground_tab
from studio.ui.publish_tab import build_publish_tab
from studio.ui.runs_tab import build_runs_tab
from studio.ui.train_tab import build_train_tab

TABS = ("train", "runs", "playground", "publish")
TICK_S = 3
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}
# a reload lands on the tab one was at; only once the page stands, since loading selects tabs too
READY_JS = "() => { window.studioReady = true }"
# Gradio 6.31 tells of an edit on key presses only: not of pasting, cutting or deleting
EVERY_EDIT_JS = """() => {
  let told = false;
  document.addEventListener('keypress', event => { told = event.isTrusted }, true);
  document.addEventListener('input', event => {
    if (!told && event.target.matches('textarea, input[type=text], input[type=password]'))
      event.target.dispatchEvent(new Event('keypress'));
    told = false;
  });
}"""
REMEMBER_TAB_JS = """() => {
  if (!window.studioReady) return;
  const address = new URL(location); address.searchParams.set('tab', '%s'); history.replaceState(null, '', address);
}"""


def build_layout(settings: Settings, store: RunStore, page: gr.Blocks, open_run: str = "") -> None:
    """Build header and tabs into `page`. `open_run` is shown where the address names no run and no tab."""
    open_to_all = may_look(settings, None)
    with gr.Row(elem_classes="header-row"):
        header = gr.HTML(
            header_html(settings, store, open_to_all), js_on_load=OPEN_JS, elem_id="header", elem_classes="flush")
        if sign_in_offered(settings):
            gr.LoginButton(size="sm", scale=0, min_width=180)
    private = gr.HTML(_private_html(settings), visible=not open_to_all)
    tab_of: dict[str, gr.Tab] = {}
    with gr.Tabs(elem_id="tabs", visible=open_to_all) as tabs:
        with gr.Tab(text("app.tabs.train"), id="train") as tab_of["train"]:
            train = build_train_tab(settings, store, page)
        with gr.Tab(text("app.tabs.runs"), id="runs") as tab_of["runs"]:
            runs = build_runs_tab(settings, store, train.hub_key)
        with gr.Tab(text("app.tabs.playground"), id="playground") as tab_of["playground"]:
            playground = build_playground_tab(settings, store, page, train.hub_key)
        with gr.Tab(text("app.tabs.publish"), id="publish") as tab_of["publish"]:
            publish = build_publish_tab(settings, store, page)

    def tick(shown_now: str, profile: gr.OAuthProfile | None) -> Any:
        html = header_html(settings, store, may_look(settings, profile))
        return gr.skip() if html == shown_now else html

    def arrive(request: gr.Request, profile: gr.OAuthProfile | None) -> list[Any]:
        allowed = may_look(settings, profile)
        wanted, tab = request.query_params.get("run", ""), request.query_params.get("tab", "")
        if not wanted and not tab:
            wanted = open_run
        selected = tab if tab in TABS else "runs" if wanted else "train"
        opened = wanted if allowed else ""
        return [gr.Tabs(selected=selected, visible=allowed), gr.HTML(visible=not allowed), opened,
                gr.Timer(active=not opened)]

    def lead_to(tab: str) -> Callable[[str], list[Any]]:
        return lambda run: [gr.Tabs(selected=tab), run]

    def open_in_header(event: gr.EventData) -> list[Any]:
        return lead_to("runs")(event.run)

    gr.Timer(TICK_S).tick(tick, header, header, **QUIET)
    page.load(arrive, None, [tabs, private, runs.run_id, runs.timer], **QUIET).then(js=READY_JS, **QUIET)
    page.load(js=EVERY_EDIT_JS, **QUIET)
    header.select(open_in_header, None, [tabs, runs.run_id], **QUIET)
    train.started.change(lead_to("runs"), train.started, [tabs, runs.run_id], **QUIET)
    runs.talk_button.click(lead_to("playground"), runs.run_id, [tabs, playground.run_id], **QUIET)
    runs.publish_button.click(lead_to("publish"), runs.run_id, [tabs, publish.run_id], **QUIET)
    runs.clone_button.click(lambda: gr.Tabs(selected="train"), None, tabs, **QUIET).then(
        train.clone, runs.run_id, train.taken, show_progress="hidden", **CLICK)
    runs.votes_button.click(train.take_votes, runs.run_id, train.taken, show_progress="hidden", **CLICK).success(
        lambda: gr.Tabs(selected="train"), None, tabs, **QUIET)
    for name, tab in tab_of.items():
        tab.select(js=REMEMBER_TAB_JS % name, **QUIET)


def _private_html(settings: Settings) -> str:
    key = "private" if sign_in_offered(settings) or not settings.on_space else "private_no_sign_in"
    return f'<p class="private" role="note">{text(f"app.{key}")}</p>'

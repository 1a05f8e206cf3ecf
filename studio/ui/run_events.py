"""What happens on the run page: charts and log that follow a live run, and the buttons that act on it."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import gradio as gr

from studio import start
from studio.errors import RunError
from studio.runs import launcher
from studio.runs.events import RunStage
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.ui import pasted_tokens
from studio.ui.access import hub_token, may_look, require_owner
from studio.ui.answer_rows import wire_answer_rows
from studio.ui.compare_again import pasted_keys, wire_compare_again
from studio.ui.log_view import log_delta, log_tail
from studio.ui.messages import shown
from studio.ui.plots import Drawing, draw_charts, watermark
from studio.ui.run_page import LOOK_AGE_S, RunPage

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}


def wire_live_parts(page: RunPage, settings: Settings, store: RunStore, run_id: gr.Textbox) -> None:
    """Charts on their own slow timer, the log on a fast one; each ends itself when nothing more can come."""

    def draw_plots(run: str, mark: str, profile: gr.OAuthProfile | None) -> Any:
        view = store.get(run, LOOK_AGE_S) if may_look(settings, profile) and _exists(store, run) else None
        if view is None:
            return {page.plot_timer: gr.Timer(active=False)}
        new_mark = f"{run} {watermark(view.state)}"
        if mark == new_mark:
            return gr.skip() if view.is_live else {page.plot_timer: gr.Timer(active=False)}
        charts = [drawing.update() for drawing in _charts(store, run, watermark(view.state))]
        return {page.plots_mark: new_mark, **dict(zip(page.plots, charts, strict=True))}

    def next_lines(run: str, value: dict[str, Any], profile: gr.OAuthProfile | None) -> Any:
        if not may_look(settings, profile) or not _exists(store, run):
            return {page.log_timer: gr.Timer(active=False)}
        new_value = log_delta(store, run, value)
        if new_value is None:
            return gr.skip() if store.get(run, LOOK_AGE_S).is_live else {page.log_timer: gr.Timer(active=False)}
        return {page.log: new_value}

    def open_log(run: str, profile: gr.OAuthProfile | None) -> Any:
        if not may_look(settings, profile) or not _exists(store, run):
            return gr.skip()
        return {page.log: log_tail(store, run), page.log_open: True, page.log_timer: gr.Timer(active=True)}

    gr.on([page.plot_timer.tick, run_id.change], draw_plots, [run_id, page.plots_mark],
          [page.plots_mark, page.plot_timer, *page.plots], **QUIET)
    wire_answer_rows(page.answers, settings, store, run_id)
    log_parts = [page.log, page.log_open, page.log_timer]
    page.log_timer.tick(next_lines, [run_id, page.log], [page.log, page.log_timer], **QUIET)
    page.log_fold.expand(open_log, run_id, log_parts, **QUIET)
    page.log.resync(open_log, run_id, log_parts, **QUIET)
    page.log_fold.collapse(lambda: [False, gr.Timer(active=False)], None, [page.log_open, page.log_timer], **QUIET)


def wire_actions(page: RunPage, settings: Settings, store: RunStore, run_id: gr.Textbox,
                 redraw: dict[str, Any], hub_key: gr.Textbox) -> None:
    """Buttons that change a run. Each asks who presses it, acts, and has the page drawn by `redraw`.

    A token pasted for the run, now in `hub_key` or when it was started, serves what follows on it too.
    """

    def handler(act: Callable[[str, str | None], Any]) -> Callable:
        @shown
        def acted(run: str, pasted: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> gr.Timer:
            require_owner(settings, profile)
            act(run, hub_token(settings, token, pasted_tokens.of_run(run, pasted)))
            store.get(run)  # so that no earlier look is drawn next
            return gr.Timer(active=True)

        return acted

    def stop(run: str, hub: str | None) -> None:
        # a second stop ends the run at once: that is the other button's
        if store.get(run).state.stage is not RunStage.STOPPING:
            launcher.stop(store, run)

    def again(phase: str) -> Callable[[str, str | None], None]:
        return lambda run, hub: launcher.run_phases(store, run, [phase], start.child_environment(hub))

    def slope(run: str, hub: str | None) -> None:
        for clone in start.start_slope(store, run, token=hub):
            pasted_tokens.keep(clone, pasted_tokens.kept(run))

    acts: dict[str, Callable[[str, str | None], Any]] = {
        "stop": stop, "stop_now": lambda run, hub: launcher.stop(store, run),
        "evaluate": lambda run, hub: start.evaluate(store, run, token=hub), "merge": again("merge"),
        "slope": slope,
    }
    for action, act in acts.items():
        page.buttons[action].click(handler(act), [run_id, hub_key], page.live_timer, **CLICK).then(**redraw, **QUIET)

    @shown
    def resume(run: str, pasted: str, endpoint_key: str, judge_key: str, profile: gr.OAuthProfile | None,
               token: gr.OAuthToken | None) -> list[Any]:
        require_owner(settings, profile)
        hub = hub_token(settings, token, pasted_tokens.of_run(run, pasted))
        start.resume(store, run, hub, pasted_keys(endpoint_key, judge_key))
        store.get(run)
        return [gr.Timer(active=True), "", ""]

    keys = [page.keys.endpoint, page.keys.judge]
    page.buttons["resume"].click(resume, [run_id, hub_key, *keys], [page.live_timer, *keys], **CLICK).then(
        **redraw, **QUIET)
    wire_compare_again(page.again, page.buttons["compare_with"], settings, store, run_id, page.live_timer, redraw,
                       hub_key)

    @shown
    def delete(run: str, profile: gr.OAuthProfile | None) -> str:
        require_owner(settings, profile)
        store.delete(run)
        pasted_tokens.forget(run)
        return ""

    page.buttons["delete"].click(lambda: gr.Group(visible=True), None, page.delete_box, **QUIET)
    page.delete_keep.click(lambda: gr.Group(visible=False), None, page.delete_box, **QUIET)
    page.delete_sure.click(delete, run_id, run_id, **CLICK)


@lru_cache(maxsize=16)
def _charts(store: RunStore, run: str, mark: str) -> list[Drawing]:
    """The charts of a run at one moment are the same for everybody who looks at it."""
    return draw_charts(store.get(run, LOOK_AGE_S).state)


def _exists(store: RunStore, run: str) -> bool:
    try:
        store.run_dir(run)
    except RunError:
        return False
    return True

"""Forms of the model: the part of the Publish tab that shows a run's exports and makes more. Wiring only."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import start
from studio.errors import RunError
from studio.runs import launcher
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.texts import text
from studio.ui import exports_view as view
from studio.ui.access import is_owner, may_look, require_owner
from studio.ui.deploy_view import COPY_JS
from studio.ui.messages import shown
from studio.ui.parity_view import parity_html

PART = "exports-part"
TICK_S = 1.5
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class ExportsPart:
    """The part's components; `table` changes whenever the forms of the chosen run may have changed."""

    column: gr.Column
    table: gr.HTML
    parity: gr.HTML
    kinds: gr.CheckboxGroup
    make: gr.Button
    merge: gr.Button
    stop: gr.Button
    seen: gr.JSON


def build_exports() -> ExportsPart:
    """Build the part, hidden until a run is chosen."""
    with gr.Column(visible=False, elem_id="publish-exports") as column:
        gr.HTML(f'<h3>{text("exports.title")}</h3><p class="publish-note">{text("exports.lead")}</p>',
                elem_classes=["publish-part", PART])
        table = gr.HTML("", js_on_load=COPY_JS, elem_id="publish-forms", elem_classes=["publish-part", PART])
        kinds = gr.CheckboxGroup([], label=text("exports.kinds.label"), info=text("exports.kinds.info"))
        with gr.Row():
            make = gr.Button(text("exports.button.make"))
            merge = gr.Button(text("exports.button.merge"))
            stop = gr.Button(text("exports.button.stop"), visible=False)
        parity = gr.HTML("", elem_id="publish-parity", elem_classes=["publish-part", PART])
        seen = gr.JSON({}, visible=False)
    return ExportsPart(column, table, parity, kinds, make, merge, stop, seen)


def wire_exports(part: ExportsPart, settings: Settings, store: RunStore, run: gr.Dropdown) -> None:
    """Draw the part for the run chosen in `run`, keep it up to date, and let owners make forms."""

    def draw(run_id: str, owner: bool) -> dict[Any, Any]:
        opened = store.get(run_id)
        making = view.is_making(opened)
        return {part.column: gr.Column(visible=True), part.table: view.table_html(opened, owner),
                part.parity: parity_html(opened),
                part.make: gr.Button(interactive=not opened.is_live),
                part.merge: gr.Button(view.merge_label(opened), interactive=not opened.is_live,
                                      visible=opened.has_adapter),
                part.stop: gr.Button(visible=making), part.seen: {"mark": view.mark(opened)}}

    def open_run(run_id: str | None, profile: gr.OAuthProfile | None) -> dict[Any, Any]:
        if not run_id or not may_look(settings, profile):
            return {part.column: gr.Column(visible=False)}
        offered, marked = view.kinds_offered(store.get(run_id))
        owner = is_owner(settings, profile)
        return draw(run_id, owner) | {part.kinds: gr.CheckboxGroup(offered, value=marked, visible=owner)}

    def tick(run_id: str | None, seen: dict | None, profile: gr.OAuthProfile | None) -> dict[Any, Any]:
        if not run_id or not may_look(settings, profile) or (seen or {}).get("mark") == view.mark(store.get(run_id)):
            return gr.skip()
        return draw(run_id, is_owner(settings, profile))

    @shown
    def make_gguf(run_id: str | None, kinds: list[str], profile: gr.OAuthProfile | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        start.export_gguf(store, _chosen(run_id), kinds)
        return draw(_chosen(run_id), owner=True)

    @shown
    def merge(run_id: str | None, profile: gr.OAuthProfile | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        launcher.run_phases(store, _chosen(run_id), ["merge"], start.child_environment())
        return draw(_chosen(run_id), owner=True)

    @shown
    def stop_making(run_id: str | None, profile: gr.OAuthProfile | None) -> None:
        require_owner(settings, profile)
        launcher.stop(store, _chosen(run_id))

    drawn = [part.column, part.table, part.parity, part.make, part.merge, part.stop, part.seen]
    run.change(open_run, run, [*drawn, part.kinds], **QUIET)
    gr.Timer(TICK_S).tick(tick, [run, part.seen], drawn, **QUIET)
    part.make.click(make_gguf, [run, part.kinds], drawn, **CLICK)
    part.merge.click(merge, run, drawn, **CLICK)
    part.stop.click(stop_making, run, None, **CLICK)


def _chosen(run_id: str | None) -> str:
    if not run_id:
        raise RunError("No run is chosen.", "Choose the run whose model you want.")
    return run_id

"""The box on the run page that compares once more: with another model beside the ways, or on other rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio import start
from studio.evaluation.other import other_choices
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.texts import text
from studio.ui import pasted_tokens
from studio.ui.access import hub_token, require_owner
from studio.ui.messages import shown
from studio.ui.uploads import store_uploads

CLICK: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class CompareAgain:
    """The components: the box, what to choose in it, and its buttons."""

    box: gr.Column
    other: gr.Dropdown
    data: gr.Textbox
    upload: gr.UploadButton
    start: gr.Button
    close: gr.Button


def build_compare_again() -> CompareAgain:
    """Build the box, hidden."""
    with gr.Column(visible=False, elem_id="run-compare-box") as box:
        with gr.Row(equal_height=False):
            other = gr.Dropdown([_none()], value="", label=text("evaluation.again.other"), min_width=260,
                                info=text("evaluation.again.other_info"), elem_id="run-compare-other")
            data = gr.Textbox("", label=text("evaluation.again.data"), info=text("evaluation.again.data_info"),
                              min_width=260, elem_id="run-compare-data")
        with gr.Row():
            upload = gr.UploadButton(text("evaluation.again.upload"), file_count="multiple", scale=0, min_width=160,
                                     size="md", elem_id="run-compare-upload")
            begin = gr.Button(text("evaluation.again.start"), variant="primary", scale=0, min_width=160, size="md",
                              elem_id="run-compare-start")
            close = gr.Button(text("evaluation.again.close"), scale=0, min_width=120, size="md")
    return CompareAgain(box, other, data, upload, begin, close)


def hide_compare_again(part: CompareAgain) -> dict[Any, Any]:
    """Updates that close the box."""
    return {part.box: gr.Column(visible=False)}


def wire_compare_again(part: CompareAgain, opener: gr.Button, settings: Settings, store: RunStore,
                       run_id: gr.Textbox, live_timer: gr.Timer, redraw: dict[str, Any],
                       hub_key: gr.Textbox) -> None:
    """`opener` opens the box; its start draws the page by `redraw`. `hub_key` holds a pasted Hub token."""

    @shown
    def opened(run: str, profile: gr.OAuthProfile | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        choices = [_none(), *other_choices(store, store.get(run))]
        return {part.box: gr.Column(visible=True), part.other: gr.Dropdown(choices, value=""), part.data: ""}

    @shown
    def uploaded(paths: list[str], profile: gr.OAuthProfile | None) -> str:
        require_owner(settings, profile)
        return store_uploads(settings, [Path(path) for path in paths])

    @shown
    def begun(run: str, other: str | None, data: str, hub_key: str, profile: gr.OAuthProfile | None,
              token: gr.OAuthToken | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        hub = hub_token(settings, token, pasted_tokens.of_run(run, hub_key))
        start.evaluate(store, run, data.strip(), hub, other or "")
        store.get(run)  # so that no earlier look is drawn next
        return {live_timer: gr.Timer(active=True), **hide_compare_again(part)}

    opener.click(opened, run_id, [part.box, part.other, part.data], **CLICK)
    part.close.click(lambda: gr.Column(visible=False), None, part.box, **CLICK)
    part.upload.upload(uploaded, part.upload, part.data, **CLICK)
    part.start.click(begun, [run_id, part.other, part.data, hub_key], [live_timer, part.box], **CLICK).then(
        **redraw, queue=False, show_progress="hidden", api_visibility="private")


def _none() -> tuple[str, str]:
    return text("evaluation.again.none"), ""

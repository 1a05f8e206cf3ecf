"""The box on the run page that compares once more: with another model, on other rows, by other settings; and the keys
of other services, which a run forgets with its processes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from studio import start
from studio.evaluation.endpoint import ENDPOINT_KEY, JUDGE_KEY, pasted
from studio.evaluation.other import other_choices
from studio.evaluation.request import read_assignments, read_request
from studio.preset.flatten import flatten
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text
from studio.ui import pasted_tokens
from studio.ui.access import hub_token, require_owner
from studio.ui.messages import shown
from studio.ui.uploads import store_uploads

CLICK: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Keys:
    """The boxes for the keys of the two services; `part` holds both."""

    part: gr.Column
    endpoint: gr.Textbox
    judge: gr.Textbox


@dataclass(frozen=True)
class CompareAgain:
    """The components: the box, what to choose in it, and its buttons."""

    box: gr.Column
    other: gr.Dropdown
    data: gr.Textbox
    settings: gr.Textbox
    keys: Keys
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
        settings = gr.Textbox("", label=text("evaluation.again.settings"), info=text("evaluation.again.settings_info"),
                              lines=2, elem_id="run-compare-settings")
        keys = build_keys("run-compare-keys")
        with gr.Row():
            upload = gr.UploadButton(text("evaluation.again.upload"), file_count="multiple", scale=0, min_width=160,
                                     size="md", elem_id="run-compare-upload")
            begin = gr.Button(text("evaluation.again.start"), variant="primary", scale=0, min_width=160, size="md",
                              elem_id="run-compare-start")
            close = gr.Button(text("evaluation.again.close"), scale=0, min_width=120, size="md")
    return CompareAgain(box, other, data, settings, keys, upload, begin, close)


def build_keys(elem_id: str, visible: bool = True) -> Keys:
    """Build the boxes for the keys: shown as dots, kept by no browser."""
    with gr.Column(visible=visible, elem_id=elem_id) as part, gr.Row(equal_height=False):
        boxes = [gr.Textbox("", label=text(f"train.start.{name}"), info=text(f"train.start.{name}_help"),
                            type="password", min_width=260,
                            html_attributes=gr.InputHTMLAttributes(autocomplete="off"))
                 for name in ("endpoint_key", "judge_key")]
    return Keys(part, *boxes)


def asks_services(view: RunView) -> bool:
    """Whether the run's comparison asks another service, which may want a key."""
    fields = flatten(view.preset) | read_request(view.run_dir).settings
    return bool(fields["evaluation.endpoint_url"] or fields["evaluation.judge_url"])


def hide_compare_again(part: CompareAgain) -> dict[Any, Any]:
    """Updates that close the box."""
    return {part.box: gr.Column(visible=False)}


def pasted_keys(endpoint: str, judge: str) -> dict[str, str]:
    """The keys by the variables in which they travel."""
    return {pasted(ENDPOINT_KEY): endpoint, pasted(JUDGE_KEY): judge}


def wire_compare_again(part: CompareAgain, opener: gr.Button, settings: Settings, store: RunStore,
                       run_id: gr.Textbox, live_timer: gr.Timer, redraw: dict[str, Any],
                       hub_key: gr.Textbox) -> None:
    """`opener` opens the box; its start draws the page by `redraw`. `hub_key` holds a pasted Hub token."""

    @shown
    def opened(run: str, profile: gr.OAuthProfile | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        choices = [_none(), *other_choices(store, store.get(run))]
        return {part.box: gr.Column(visible=True), part.other: gr.Dropdown(choices, value=""),
                **dict.fromkeys(written, "")}

    @shown
    def uploaded(paths: list[str], profile: gr.OAuthProfile | None) -> str:
        require_owner(settings, profile)
        return store_uploads(settings, [Path(path) for path in paths])

    @shown
    def begun(run: str, other: str | None, data: str, otherwise: str, endpoint_key: str, judge_key: str,
              hub_key: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        hub = hub_token(settings, token, pasted_tokens.of_run(run, hub_key))
        start.evaluate(store, run, data.strip(), hub, other or "", read_assignments(otherwise),
                       pasted_keys(endpoint_key, judge_key))
        store.get(run)  # so that no earlier look is drawn next
        return {live_timer: gr.Timer(active=True), **hide_compare_again(part), **dict.fromkeys(written[2:], "")}

    written = [part.data, part.settings, part.keys.endpoint, part.keys.judge]
    opener.click(opened, run_id, [part.box, part.other, *written], **CLICK)
    part.close.click(lambda: gr.Column(visible=False), None, part.box, **CLICK)
    part.upload.upload(uploaded, part.upload, part.data, **CLICK)
    part.start.click(
        begun, [run_id, part.other, *written, hub_key], [live_timer, part.box, *written[2:]], **CLICK).then(
        **redraw, queue=False, show_progress="hidden", api_visibility="private")


def _none() -> tuple[str, str]:
    return text("evaluation.again.none"), ""

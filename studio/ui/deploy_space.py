"""The demo part of "Use it": a chat demo of the pushed model as a Space. Wiring only.

A token typed for the Space lives in its box and in the environment of the process that sends it, nowhere else.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from huggingface_hub import get_token

from studio import start
from studio.errors import HubError
from studio.publishing import space
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text
from studio.ui import deploy_space_view as view_of
from studio.ui.access import hub_token, may_look, require_owner
from studio.ui.messages import shown

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK: dict[str, Any] = {"concurrency_limit": None, "show_progress": "hidden", "api_visibility": "private"}
PART = "deploy-part"


@dataclass(frozen=True)
class SpacePart:
    """The part's components; `form` is hidden where no demo can be made."""

    status: gr.HTML
    form: gr.Column
    repo: gr.Textbox
    private: gr.Checkbox
    hardware: gr.Dropdown
    confirm: gr.CheckboxGroup
    examples: gr.Checkbox
    questions: gr.HTML
    with_secret: gr.Checkbox
    secret: gr.Textbox
    token: gr.Textbox
    make: gr.Button

    @property
    def drawn(self) -> list[gr.blocks.Block]:
        """What drawing may change."""
        return [self.status, self.form, self.repo, self.private, self.hardware, self.confirm, self.examples,
                self.questions, self.with_secret, self.secret, self.token, self.make]

    @property
    def asked(self) -> list[gr.components.Component]:
        return [self.repo, self.private, self.hardware, self.confirm, self.examples, self.with_secret, self.secret,
                self.token]


def build_space() -> SpacePart:
    """Build the part."""
    with gr.Accordion(text("deploy.space.title"), open=False, elem_id="run-space"):
        status = gr.HTML("", elem_id="run-space-status", elem_classes=PART)
        with gr.Column(visible=False) as form:
            repo = gr.Textbox("", label=text("deploy.space.repo"), info=text("deploy.space.repo_info"), max_lines=1)
            private = gr.Checkbox(
                True, label=text("deploy.space.private_label"), info=text("deploy.space.private_info"))
            hardware = gr.Dropdown([], label=text("deploy.space.hardware"), info=text("deploy.space.hardware_info"))
            # its value names the hardware, so that a yes to one price is none to another
            confirm = gr.CheckboxGroup([], label=text("deploy.space.confirm"), info=text("deploy.space.confirm_info"),
                                       visible=False)
            examples = gr.Checkbox(False, label=text("deploy.space.examples"), info=text("deploy.space.examples_info"))
            questions = gr.HTML("", elem_classes=PART)
            with_secret = gr.Checkbox(False, label=text("deploy.space.secret"), info=text("deploy.space.secret_info"))
            secret = _token_box("secret_token", visible=False)
            token = _token_box("token")
            make = gr.Button(text("deploy.space.make"), variant="primary", scale=0, min_width=160)
    return SpacePart(status, form, repo, private, hardware, confirm, examples, questions, with_secret, secret, token,
                     make)


def draw_space_form(part: SpacePart, view: RunView) -> dict[Any, Any]:
    """The form as it starts for a run."""
    form = view_of.form(view)
    if form is None:
        return {part.form: gr.Column(visible=False)}
    return {part.form: gr.Column(visible=True), part.repo: form.repo_id, part.private: True, part.examples: False,
            part.hardware: gr.Dropdown(form.hardware, value=form.chosen), part.confirm: _confirm(form.chosen),
            part.questions: "", part.with_secret: False, part.secret: gr.Textbox("", visible=False),
            part.token: gr.Textbox("", visible=get_token() is None)}


def draw_space_status(part: SpacePart, view: RunView) -> dict[Any, Any]:
    """How the demo stands."""
    stands = view_of.standing(view)
    label = text("deploy.space.again" if stands in ("done", "failed") else "deploy.space.make")
    return {part.status: view_of.status_html(view),
            part.make: gr.Button(label, interactive=stands not in ("busy", "making"))}


def wire_space(part: SpacePart, settings: Settings, store: RunStore, run_id: gr.Textbox,
               live_timer: gr.Timer) -> None:
    """The button makes the demo; the ticks show what they bring along."""

    @shown
    def make(run: str, repo: str, private: bool, hardware: str | None, confirmed: list[str], examples: bool,
             with_secret: bool, secret: str, token: str, profile: gr.OAuthProfile | None,
             oauth: gr.OAuthToken | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        if with_secret and not secret.strip():
            raise HubError(text("deploy.space.no_secret"))
        view = store.get(run)
        request = space.plan(view, repo, private=private, hardware=hardware or "",
                             examples=view_of.questions(view) if examples else ())
        start.make_space(store, run, request, hub_token(settings, oauth, token), secret if with_secret else "",
                         confirmed=request.hardware in confirmed)
        store.get(run)  # so that no earlier look is drawn next
        return {part.secret: "", part.make: gr.Button(interactive=False), live_timer: gr.Timer(active=True)}

    def show_questions(run: str, wanted: bool, profile: gr.OAuthProfile | None) -> Any:
        if not run or not may_look(settings, profile):
            return gr.skip()
        return view_of.questions_html(store.get(run), wanted)

    part.make.click(make, [run_id, *part.asked], [part.secret, part.make, live_timer], **CLICK)
    part.hardware.input(_confirm, part.hardware, part.confirm, trigger_mode="always_last", **QUIET)
    part.examples.input(show_questions, [run_id, part.examples], part.questions, trigger_mode="always_last", **QUIET)
    part.with_secret.input(lambda wanted: gr.Textbox(visible=wanted), part.with_secret, part.secret,
                           trigger_mode="always_last", **QUIET)


def _confirm(hardware: str | None) -> gr.CheckboxGroup:
    """The box to say yes to a price, not ticked; hidden where nothing is paid."""
    options = view_of.to_confirm(hardware)
    return gr.CheckboxGroup(options, value=[], visible=bool(options))


def _token_box(name: str, visible: bool = True) -> gr.Textbox:
    return gr.Textbox("", label=text(f"deploy.space.{name}"), info=text(f"deploy.space.{name}_info"), type="password",
                      html_attributes=gr.InputHTMLAttributes(autocomplete="off"), placeholder="hf_...",
                      visible=visible)

"""The endpoint part of "Use it": a machine of the Hub rented to serve the pushed model. Wiring only."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr
from huggingface_hub import get_token

from studio.errors import RunError
from studio.publishing import endpoints
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text
from studio.ui import deploy_endpoint_view as view_of
from studio.ui.access import hub_token, require_owner
from studio.ui.deploy_view import COPY_JS
from studio.ui.messages import shown

CLICK: dict[str, Any] = {"concurrency_limit": None, "api_visibility": "private"}
PART = "deploy-part"
ACTIONS = ("refresh", "pause", "resume", "delete")


@dataclass(frozen=True)
class EndpointPart:
    """The part's components; `form` is for renting, `buttons` are for what is rented."""

    status: gr.HTML
    form: gr.Column
    token: gr.Textbox
    look_up: gr.Button
    machine: gr.Dropdown
    confirm: gr.Checkbox
    create: gr.Button
    row: gr.Row
    buttons: dict[str, gr.Button]

    @property
    def drawn(self) -> list[gr.blocks.Block]:
        """What drawing may change."""
        return [self.status, self.form, self.token, self.machine, self.confirm, self.create, self.row]


def build_endpoint() -> EndpointPart:
    """Build the part."""
    with gr.Accordion(text("deploy.endpoint.title"), open=False, elem_id="run-endpoint"):
        gr.HTML(f'<p class="deploy-note">{text("deploy.endpoint.what")}</p>'
                f'<p class="deploy-note"><strong>{text("deploy.endpoint.stand_in")}</strong></p>', elem_classes=PART)
        status = gr.HTML("", js_on_load=COPY_JS, elem_id="run-endpoint-status", elem_classes=PART)
        token = gr.Textbox("", label=text("deploy.space.token"), info=text("deploy.space.token_info"), type="password",
                           html_attributes=gr.InputHTMLAttributes(autocomplete="off"), placeholder="hf_...",
                           visible=False)
        with gr.Column(visible=False) as form:
            look_up = gr.Button(text("deploy.endpoint.look_up"), scale=0, min_width=160)
            machine = gr.Dropdown([], label=text("deploy.endpoint.machine"), info=text("deploy.endpoint.machine_info"),
                                  visible=False)
        # beside the form, since a paused endpoint costs again once it is resumed
        confirm = gr.Checkbox(False, label=text("deploy.endpoint.confirm"), info=text("deploy.endpoint.confirm_info"),
                              visible=False)
        create = gr.Button(text("deploy.endpoint.create"), variant="primary", scale=0, min_width=160, visible=False)
        with gr.Row(visible=False) as row:
            buttons = {action: gr.Button(text(f"deploy.endpoint.{action}"), scale=0, min_width=110,
                                         variant="stop" if action == "delete" else "secondary") for action in ACTIONS}
    return EndpointPart(status, form, token, look_up, machine, confirm, create, row, buttons)


def draw_endpoint(part: EndpointPart, view: RunView) -> dict[Any, Any]:
    """The part as it starts for a run."""
    return _shown(part, view) | {part.token: gr.Textbox("", visible=view_of.is_possible(view) and get_token() is None)}


def _shown(part: EndpointPart, view: RunView) -> dict[Any, Any]:
    """The form for renting, or the buttons for what is rented; a token that was typed stays for the next button."""
    has_one = view_of.record_of(view) is not None
    return {part.status: view_of.status_html(view),
            part.form: gr.Column(visible=view_of.is_possible(view) and not has_one),
            part.machine: gr.Dropdown([], value=None, visible=False), part.confirm: gr.Checkbox(False, visible=has_one),
            part.create: gr.Button(visible=False), part.row: gr.Row(visible=has_one)}


def wire_endpoint(part: EndpointPart, settings: Settings, store: RunStore, run_id: gr.Textbox) -> None:
    """Each button asks who presses it, then the service, and shows what that says."""

    @shown
    def look_up(run: str, token: str, profile: gr.OAuthProfile | None, oauth: gr.OAuthToken | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        view = store.get(run)
        machines = endpoints.list_machines(hub_token(settings, oauth, token), endpoints.owner(view))
        options, first = view_of.choices(view, machines)
        return {part.machine: gr.Dropdown(options, value=first, visible=True), part.confirm: gr.Checkbox(visible=True),
                part.create: gr.Button(visible=True)}

    @shown
    def create(run: str, token: str, chosen: str | None, confirmed: bool, profile: gr.OAuthProfile | None,
               oauth: gr.OAuthToken | None) -> dict[Any, Any]:
        require_owner(settings, profile)
        view, hub = store.get(run), hub_token(settings, oauth, token)
        machines = {machine.id: machine for machine in endpoints.list_machines(hub, endpoints.owner(view))}
        named = (chosen or "").partition("@")[0]
        if named not in machines:
            raise RunError(text("deploy.endpoint.none"))
        rented = endpoints.create(view, machines[named], hub, confirmed=chosen if confirmed else "")
        return _shown(part, view) | {part.status: view_of.status_html(view, rented)}

    def act(name: str) -> Callable:
        @shown
        def acted(run: str, token: str, confirmed: bool, profile: gr.OAuthProfile | None,
                  oauth: gr.OAuthToken | None) -> dict[Any, Any]:
            require_owner(settings, profile)
            view, hub = store.get(run), hub_token(settings, oauth, token)
            rented = endpoints.act(name, view.run_dir, hub, confirmed=confirmed)
            said = view_of.status_html(view, rented) if rented else view_of.deleted_html()
            return _shown(part, view) | {part.status: said}

        return acted

    # a refusal covers what shows the progress, so that must be nothing that is pressed next
    click = CLICK | {"show_progress_on": part.status}
    part.look_up.click(look_up, [run_id, part.token], [part.machine, part.confirm, part.create], **click)
    # a yes was to another machine's price
    part.machine.input(lambda: False, None, part.confirm, queue=False, show_progress="hidden",
                       api_visibility="private")
    part.create.click(create, [run_id, part.token, part.machine, part.confirm], part.drawn, **click)
    for name, button in part.buttons.items():
        button.click(act(name), [run_id, part.token, part.confirm], part.drawn, **click)

"""Use it: the part of the run page beneath the results that says how the model is put to use."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text
from studio.ui import deploy_endpoint_view, deploy_space_view, deploy_view
from studio.ui.access import may_look
from studio.ui.deploy_endpoint import EndpointPart, build_endpoint, draw_endpoint, wire_endpoint
from studio.ui.deploy_space import SpacePart, build_space, draw_space_form, draw_space_status, wire_space

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
PART = "deploy-part"
MARKS = {"ways": deploy_view.mark, "space_form": deploy_space_view.form_mark, "space": deploy_space_view.status_mark,
         "endpoint": deploy_endpoint_view.mark}


@dataclass(frozen=True)
class DeployPart:
    """The part's components; `column` is hidden for a run without a model.

    The page's tick writes `mark` alone; what changes with it is drawn by an event of its own: a tick stays small.
    """

    mark: gr.Textbox
    seen: gr.JSON
    column: gr.Column
    place: gr.Radio
    way: gr.Radio
    shown: gr.HTML
    space: SpacePart
    endpoint: EndpointPart

    @property
    def drawn(self) -> list[gr.blocks.Block]:
        """What a change of the mark may change."""
        return [self.seen, self.column, self.place, self.way, self.shown, *self.space.drawn, *self.endpoint.drawn]


def build_deploy() -> DeployPart:
    """Build the part, hidden."""
    mark, seen = gr.Textbox("", visible=False), gr.JSON({}, visible=False)
    with gr.Column(visible=False, elem_id="run-deploy") as column:
        gr.HTML(f'<h3>{text("deploy.title")}</h3><p class="deploy-note">{text("deploy.lead")}</p>',
                elem_classes=["runs-section", PART])
        way = gr.Radio(deploy_view.ways(), value="transformers", label=text("deploy.way.label"),
                       info=text("deploy.way.info"), elem_id="run-deploy-way")
        place = gr.Radio([], label=text("deploy.place.label"), info=text("deploy.place.info"), visible=False,
                         elem_id="run-deploy-place")
        shown = gr.HTML("", js_on_load=deploy_view.COPY_JS, elem_id="run-deploy-shown", elem_classes=PART)
        space, endpoint = build_space(), build_endpoint()
    return DeployPart(mark, seen, column, place, way, shown, space, endpoint)


def deploy_mark(view: RunView) -> str:
    """Changes when any of the part may look different."""
    return " ".join(mark(view) for mark in MARKS.values())


def _draw(part: DeployPart, view: RunView, seen: dict[str, str]) -> dict[Any, Any]:
    """What looks different from what was seen: what is chosen or typed stays until the run's model changes."""
    now = {name: mark(view) for name, mark in MARKS.items()}
    draws = {"ways": lambda: _draw_ways(part, view), "space_form": lambda: draw_space_form(part.space, view),
             "space": lambda: draw_space_status(part.space, view),
             "endpoint": lambda: draw_endpoint(part.endpoint, view)}
    # without a model all of it is hidden, and nothing but that has been drawn
    looked_at = list(draws) if deploy_view.has_model(view) else ["ways"]
    updates: dict[Any, Any] = {part.seen: {name: now[name] for name in looked_at}}
    for name in looked_at:
        if now[name] != seen.get(name):
            updates |= draws[name]()
    return updates


def _draw_ways(part: DeployPart, view: RunView) -> dict[Any, Any]:
    """Opened at the way that suits what there is; hidden without a model, or while it is trained."""
    if not deploy_view.has_model(view) or (view.is_live and view.state.phase == "train"):
        return {part.column: gr.Column(visible=False)}
    places, way = deploy_view.places(view), deploy_view.first_way(view)
    place = places[-1][1]
    return {part.column: gr.Column(visible=True), part.way: way,
            part.place: gr.Radio(places, value=place, visible=len(places) > 1),
            part.shown: deploy_view.way_html(view, way, place)}


def wire_deploy(part: DeployPart, settings: Settings, store: RunStore, run_id: gr.Textbox,
                live_timer: gr.Timer) -> None:
    """Choosing a way or a place shows its commands; demo and endpoint have buttons of their own."""

    def choose(run: str, way: str, place: str | None, profile: gr.OAuthProfile | None) -> Any:
        if not run or not may_look(settings, profile):
            return gr.skip()
        try:
            return deploy_view.way_html(store.get(run), way, place or "here")
        except StudioError as error:  # the run was deleted meanwhile
            return deploy_view.render("publish_missing.html", error=error)

    def draw(run: str, seen: dict[str, str] | None, profile: gr.OAuthProfile | None) -> Any:
        if not run or not may_look(settings, profile):
            return gr.skip()
        try:
            return _draw(part, store.get(run), seen or {})
        except StudioError:  # the run was deleted meanwhile, which the page tells
            return gr.skip()

    part.mark.change(draw, [run_id, part.seen], part.drawn, trigger_mode="always_last", **QUIET)
    gr.on([part.way.input, part.place.input], choose, [run_id, part.way, part.place], part.shown,
          trigger_mode="always_last", **QUIET)
    wire_space(part.space, settings, store, run_id, live_timer)
    wire_endpoint(part.endpoint, settings, store, run_id)

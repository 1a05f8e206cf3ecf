"""Use it: the part of the run page beneath the results that says how the model is put to use."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import StudioError
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text
from studio.ui import deploy_view
from studio.ui.access import may_look

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
PART = "deploy-part"


@dataclass(frozen=True)
class DeployPart:
    """The part's components; `column` is hidden for a run without a model."""

    column: gr.Column
    place: gr.Radio
    way: gr.Radio
    shown: gr.HTML

    @property
    def drawn(self) -> list[gr.blocks.Block]:
        """What `draw_deploy` may change."""
        return [self.column, self.place, self.way, self.shown]


def build_deploy() -> DeployPart:
    """Build the part, hidden."""
    with gr.Column(visible=False, elem_id="run-deploy") as column:
        gr.HTML(f'<h3>{text("deploy.title")}</h3><p class="deploy-note">{text("deploy.lead")}</p>',
                elem_classes=["runs-section", PART])
        way = gr.Radio(deploy_view.ways(), value="transformers", label=text("deploy.way.label"),
                       info=text("deploy.way.info"), elem_id="run-deploy-way")
        place = gr.Radio([], label=text("deploy.place.label"), info=text("deploy.place.info"), visible=False,
                         elem_id="run-deploy-place")
        shown = gr.HTML("", js_on_load=deploy_view.COPY_JS, elem_id="run-deploy-shown", elem_classes=PART)
    return DeployPart(column, place, way, shown)


def draw_deploy(part: DeployPart, view: RunView) -> dict[Any, Any]:
    """The part for a run as it is now, opened at the way that suits what there is."""
    if view.is_live or not deploy_view.has_model(view):
        return {part.column: gr.Column(visible=False)}
    places, way = deploy_view.places(view), deploy_view.first_way(view)
    place = places[-1][1]
    return {part.column: gr.Column(visible=True), part.way: way,
            part.place: gr.Radio(places, value=place, visible=len(places) > 1),
            part.shown: deploy_view.way_html(view, way, place)}


def wire_deploy(part: DeployPart, settings: Settings, store: RunStore, run_id: gr.Textbox) -> None:
    """Choosing a way or a place shows its commands."""

    def choose(run: str, way: str, place: str | None, profile: gr.OAuthProfile | None) -> Any:
        if not run or not may_look(settings, profile):
            return gr.skip()
        try:
            return deploy_view.way_html(store.get(run), way, place or "here")
        except StudioError as error:  # the run was deleted meanwhile
            return deploy_view.render("publish_missing.html", error=error)

    gr.on([part.way.input, part.place.input], choose, [run_id, part.way, part.place], part.shown, **QUIET)

"""The widgets of the Publish tab: left the push, right the card. What a push can be told comes from the schema."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.preset.schema import PublishSection
from studio.texts import text
from studio.ui import publish_view as view
from studio.ui.exports_part import ExportsPart, build_exports
from studio.ui.replaced_part import ReplacedPart, build_replaced

PART = "publish-part"
BASIC = ("what", "hub_model_id", "hub_private_repo")


@dataclass(frozen=True)
class PublishForm:
    """The tab's components; `fields` are those of the request, by their names in the schema, in order.

    A card that is drawn anew goes into `card`, and from there into `edit` unless that holds other text than was drawn
    last (`drawn`): what a person types is not overwritten.
    """

    run: gr.Dropdown
    body: gr.Row
    empty: gr.HTML
    fields: dict[str, gr.components.Component]
    owner: gr.Dropdown
    token: gr.Textbox
    account: gr.HTML
    word: ReplacedPart
    licence: gr.Textbox
    files: gr.HTML
    card: gr.Textbox
    drawn: gr.Textbox
    edit: gr.Textbox
    preview: gr.Markdown
    head: gr.HTML
    note: gr.HTML
    status: gr.HTML
    exports: ExportsPart
    publish: gr.Button
    pause: gr.Button
    cancel: gr.Button
    anew: gr.Button

    @property
    def request(self) -> list[gr.components.Component]:
        return list(self.fields.values())

    @property
    def sheet(self) -> list[gr.components.Component]:
        """What is drawn anew when request or card change."""
        return [self.files, self.card, self.preview, self.head, self.note]

    @property
    def typed(self) -> list[gr.components.Component]:
        """What is drawn too where the person has asked for the card as it is drawn."""
        return [self.edit, self.drawn]

    @property
    def standing(self) -> list[gr.components.Component]:
        """What is drawn anew while a push runs."""
        return [self.status, self.files, self.publish, self.pause, self.cancel]


def build_publish_form() -> PublishForm:
    """All components, in the order of the page."""
    gr.HTML(f'<p class="lead">{text("publish.lead")}</p>', elem_classes=PART)
    run = gr.Dropdown(label=text("publish.run.label"), info=text("publish.run.info"), visible=False,
                      elem_id="publish-run")
    empty = gr.HTML(view.empty_html(), elem_classes=PART)
    status = gr.HTML("", elem_id="publish-status", elem_classes=PART)
    exports = build_exports()
    licence, card, drawn = (gr.Textbox("", visible=False) for _ in range(3))
    with gr.Row(visible=False, elem_id="publish-body") as body:
        with gr.Column(scale=2, min_width=300):
            fields = {name: _field(name) for name in BASIC[:1]}
            owner = gr.Dropdown([], label=text("publish.owner.label"), info=text("publish.owner.info"), visible=False,
                                elem_id="publish-owner")
            fields |= {name: _field(name) for name in BASIC[1:]}
            token = gr.Textbox("", label=text("publish.token.label"), info=text("publish.token.info"),
                               type="password", html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
                               placeholder=text("publish.token.placeholder"), visible=False)
            account = gr.HTML("", elem_classes=PART)
            with gr.Accordion(text("publish.more"), open=False, elem_id="publish-more"):
                fields |= {name: _field(name) for name in view.FIELDS if name not in BASIC}
            word = build_replaced("publish")
            with gr.Row():
                publish = gr.Button(text("publish.button.publish"), variant="primary")
                pause = gr.Button(text("publish.button.pause"), visible=False)
                cancel = gr.Button(text("publish.button.cancel"), visible=False)
            files = gr.HTML("", elem_id="publish-files", elem_classes=PART)
        with gr.Column(scale=3, min_width=300):
            gr.HTML(f'<h3>{text("publish.card.title")}</h3>', elem_classes=PART)
            note = gr.HTML("", elem_classes=PART)
            with gr.Tabs():
                with gr.Tab(text("publish.card.preview")):
                    head = gr.HTML("", elem_classes=PART)
                    preview = gr.Markdown("", elem_id="publish-card", latex_delimiters=[])
                with gr.Tab(text("publish.card.edit")):
                    edit = gr.Textbox("", label=text("publish.card.text"), info=text("publish.card.text_info"),
                                      lines=24, max_lines=40, elem_id="publish-card-text")
                    anew = gr.Button(text("publish.card.anew"), size="sm")
    return PublishForm(run, body, empty, fields, owner, token, account, word, licence, files, card, drawn, edit,
                       preview, head, note, status, exports, publish, pause, cancel, anew)


def forms_offered(offered: list[str], chosen: list[str]) -> gr.CheckboxGroup:
    """The forms that a run can publish."""
    return gr.CheckboxGroup([(text(f"publish.what.{form}"), form) for form in offered], value=chosen)


def _field(name: str) -> gr.components.Component:
    """The widget of one field, with title and help from the schema."""
    field = PublishSection.model_fields[name]
    common: dict[str, Any] = {"label": field.title, "info": field.description, "elem_id": f"publish-field-{name}"}
    if name == "what":
        return gr.CheckboxGroup([], **common | {"info": text("publish.what.info")})
    if field.annotation is bool:
        return gr.Checkbox(field.default, **common)
    info = {"info": text("publish.repo.info")} if name == "hub_model_id" else {}
    return gr.Textbox(field.default, max_lines=1, **common | info)

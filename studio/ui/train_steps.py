"""The five steps of the Train tab as components only; `train_tab` wires them."""

from dataclasses import dataclass

import gradio as gr

from studio.data.files import EXTENSIONS, SPREADSHEET_EXTENSIONS
from studio.settings import Settings
from studio.texts import text
from studio.ui.access import may_look
from studio.ui.doctor_export import ExportPart, build_export
from studio.ui.doctor_mapping import MAPPING_FIELDS, MappingPart, build_mapping
from studio.ui.doctor_report import ReportPart, build_report
from studio.ui.doctor_rows import RowsPart, build_rows
from studio.ui.findings_view import FIX_JS
from studio.ui.form import build_fields, group_title
from studio.ui.gallery import CHOOSE_JS, cards_html, list_cards
from studio.ui.hub_browser import BrowserPart, build_browser
from studio.ui.progress_bar import build_progress
from studio.ui.replaced_part import ReplacedPart, build_replaced

# which sections of the schema each step shows; "" stands for the preset's own fields
PLAN_GROUPS = ("plan",)
DATA_GROUPS = ("data",)
METHOD_GROUPS = ("model", "method", "lora", "training", "evaluation", "export")
START_GROUPS = ("", "publish")
YAML_LINES = 24
# the editor would take Tab for indenting and hold a keyboard's user in it for good
LEAVE_EDITOR_JS = """
document.addEventListener('keydown', event => {
  if (event.key === 'Tab' && event.target.closest('#yaml')) event.stopPropagation();
}, true);
"""


@dataclass(frozen=True)
class WhatStep:
    """Step 1: cards, a preset file, or a run to clone; and the plan that the result will be judged by."""

    step: gr.Step
    fields: dict[str, gr.components.Component]
    gallery: gr.HTML
    open_button: gr.UploadButton
    clone_choice: gr.Dropdown
    chosen: gr.HTML
    next_button: gr.Button


@dataclass(frozen=True)
class DataStep:
    """Step 2: the data set and how the model will read it."""

    step: gr.Step
    fields: dict[str, gr.components.Component]
    upload: gr.File
    browser: BrowserPart
    bundled_button: gr.Button
    look_button: gr.Button
    mapping: MappingPart
    report: ReportPart
    rows: RowsPart
    export: ExportPart
    back_button: gr.Button
    next_button: gr.Button


@dataclass(frozen=True)
class MethodStep:
    """Step 3: the form, and the YAML beside it."""

    step: gr.Step
    browser: BrowserPart
    fields: dict[str, gr.components.Component]
    yaml: gr.Code
    status: gr.HTML
    back_button: gr.Button
    next_button: gr.Button


@dataclass(frozen=True)
class CheckStep:
    """Step 4: findings and estimates."""

    step: gr.Step
    progress: gr.HTML
    findings: gr.HTML
    again_button: gr.Button
    back_button: gr.Button
    next_button: gr.Button


@dataclass(frozen=True)
class StartStep:
    """Step 5: name, publishing, and the one button; `word` asks before the push replaces something."""

    step: gr.Step
    fields: dict[str, gr.components.Component]
    word: ReplacedPart
    endpoint_key: gr.Textbox
    judge_key: gr.Textbox
    try_button: gr.Button
    progress: gr.HTML
    back_button: gr.Button
    start_button: gr.Button


def build_token() -> gr.Textbox:
    """The box for a Hub token, in a fold below the steps: data, model, check and push all need the same one."""
    with gr.Accordion(text("train.token.title"), open=False, elem_id="hub-token"):
        return _secret("token.label")


def build_what_step(settings: Settings) -> WhatStep:
    with gr.Step(text("train.what.step"), id=1) as step:
        _heading("what")
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                # what stands here is served to everybody; who may look gets the cards when the page loads
                cards = list_cards(settings) if may_look(settings, None) else []
                gallery = gr.HTML(
                    cards_html(cards), js_on_load=CHOOSE_JS, elem_id="gallery", elem_classes="flush")
            with gr.Column(scale=1, min_width=240, elem_classes="beside"):
                gr.HTML(f"<h3>{text('train.what.elsewhere')}</h3>", elem_classes="flush")
                open_button = gr.UploadButton(text("train.what.open"), file_types=[".yaml", ".yml"], size="md")
                clone_choice = gr.Dropdown(
                    [], value=None, label=text("train.what.clone"), info=text("train.what.clone_help"), elem_id="clone")
                chosen = gr.HTML(elem_id="chosen", elem_classes="flush")
        with gr.Accordion(text("train.what.plan"), open=False, elem_id="plan"):
            gr.HTML(f'<p class="lead">{text("train.what.plan_help")}</p>', elem_classes="flush")
            fields = build_fields(PLAN_GROUPS)
        _, next_button = _actions(text("train.what.next"), back=False)
    return WhatStep(step, fields, gallery, open_button, clone_choice, chosen, next_button)


def build_data_step() -> DataStep:
    with gr.Step(text("train.data.step"), id=2) as step:
        _heading("data")
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                # a spreadsheet is refused after all, in words that help
                upload = gr.File(
                    label=text("train.data.upload"), file_types=[*EXTENSIONS, *SPREADSHEET_EXTENSIONS],
                    file_count="multiple", height=170, elem_id="upload")
                browser = build_browser("datasets")
                fields = build_fields(DATA_GROUPS, MAPPING_FIELDS)
                mapping = build_mapping()
                fields |= mapping.fields
                with gr.Row():
                    bundled_button = gr.Button(text("train.data.bundled"), size="md")
                    look_button = gr.Button(text("train.data.look"), size="md")
            with gr.Column(scale=3, min_width=320):
                report = build_report()
        rows = build_rows()
        export = build_export()
        back_button, next_button = _actions(text("train.data.next"))
    return DataStep(step, fields, upload, browser, bundled_button, look_button, mapping, report, rows, export,
                    back_button, next_button)


def build_method_step() -> MethodStep:
    with gr.Step(text("train.method.step"), id=3) as step:
        _heading("method")
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                browser = build_browser("models")
                fields = build_fields(METHOD_GROUPS)
            with gr.Column(scale=2, min_width=320):
                yaml = gr.Code(
                    language="yaml", label=text("train.yaml.title"), interactive=True, lines=YAML_LINES,
                    max_lines=YAML_LINES, wrap_lines=True, buttons=["copy", "download"],
                    elem_id="yaml")
                status = gr.HTML(elem_id="yaml-status", elem_classes="flush", js_on_load=LEAVE_EDITOR_JS)
        back_button, next_button = _actions(text("train.method.next"))
    return MethodStep(step, browser, fields, yaml, status, back_button, next_button)


def build_check_step() -> CheckStep:
    with gr.Step(text("train.check.step"), id=4) as step:
        _heading("check")
        progress = build_progress(text("train.check.progress_label"), "check-progress")
        findings = gr.HTML(js_on_load=FIX_JS, elem_id="findings", elem_classes="flush")
        again_button = gr.Button(text("train.check.again"), size="md", elem_classes="narrow")
        back_button, next_button = _actions(text("train.check.next"), ready=False)
    return CheckStep(step, progress, findings, again_button, back_button, next_button)


def build_start_step() -> StartStep:
    with gr.Step(text("train.start.step"), id=5) as step:
        _heading("start")
        with gr.Column(elem_classes="narrow-form"):
            fields: dict[str, gr.components.Component] = {}
            for group in START_GROUPS:
                if group:
                    gr.HTML(f"<h3>{group_title(group)}</h3>", elem_classes="flush")
                fields |= build_fields([group])
            word = build_replaced("start")
            with gr.Accordion(text("train.start.keys"), open=False, elem_id="keys"):
                endpoint_key, judge_key = _secret("start.endpoint_key"), _secret("start.judge_key")
            gr.HTML(f'<p class="lead">{text("train.start.try_help")}</p>', elem_classes="flush")
            try_button = gr.Button(text("train.start.try"), size="md", elem_classes="narrow")
        progress = build_progress(text("train.check.progress_label"), "start-progress")
        back_button, start_button = _actions(text("train.start.button"))
    return StartStep(step, fields, word, endpoint_key, judge_key, try_button, progress, back_button, start_button)


def _secret(name: str) -> gr.Textbox:
    """A box for what nobody else may read: shown as dots, kept by no browser."""
    return gr.Textbox(
        "", label=text(f"train.{name}"), info=text(f"train.{name}_help"), type="password",
        html_attributes=gr.InputHTMLAttributes(autocomplete="off"))


def _heading(step: str) -> None:
    title, lead = text(f"train.{step}.title"), text(f"train.{step}.lead")
    gr.HTML(f'<h2>{title}</h2><p class="lead">{lead}</p>', elem_classes="flush")


def _actions(next_label: str, back: bool = True, ready: bool = True) -> tuple[gr.Button | None, gr.Button]:
    """The row that ends each step: back on the left, the one next action on the right."""
    with gr.Row(elem_classes="actions"):
        back_button = gr.Button(text("train.back"), scale=0, min_width=120) if back else None
        next_button = gr.Button(next_label, variant="primary", scale=0, min_width=220, interactive=ready)
    return back_button, next_button

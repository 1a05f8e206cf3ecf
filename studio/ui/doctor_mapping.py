"""The column mapper of the Data step: what the columns are, what part each plays most likely, and templates.

The choice itself is made in the form's own fields; what is proposed is one button away from them.
"""

import html
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import words
from studio.data import templates
from studio.data.columns import Proposal
from studio.data.detection import FIELD_OF
from studio.data.rows_client import Mapping, propose_mapping
from studio.errors import DataError, StudioError
from studio.preset.flatten import leaves
from studio.settings import Settings
from studio.texts import text
from studio.ui.access import hub_token, is_owner, require_owner
from studio.ui.draft import preset_from
from studio.ui.findings_view import FIX_JS, fix_html
from studio.ui.form import build_widget, column_choices, names_column
from studio.ui.preview_view import error_html

TEMPLATES = ("data.prompt_template", "data.completion_template")
MAPPING_FIELDS = (
    "data.format", "data.messages_column", "data.prompt_column", "data.completion_column", "data.text_column",
    "data.rejected_column", "data.label_column", *TEMPLATES)
COLUMNS_SHOWN, EXAMPLE_CHARACTERS = 30, 100
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class MappingPart:
    """The components; `examples` is hidden: {"data": name, "columns": {column: beginning of an example}}."""

    fold: gr.Accordion
    proposed: gr.HTML
    fields: dict[str, gr.components.Component]
    built: gr.HTML
    examples: gr.JSON


def build_mapping() -> MappingPart:
    """A fold with the proposals, the fields that name columns and hold templates, and what a template builds."""
    titles = dict(leaves())
    with gr.Accordion(text("doctor.mapping.title"), open=False, elem_id="columns") as fold:
        gr.HTML(f"<p>{text('doctor.mapping.lead')}</p>", elem_classes="flush")
        proposed = gr.HTML(js_on_load=FIX_JS, elem_id="mapping", elem_classes="flush")
        with gr.Column(elem_classes="field-grid"):
            fields = {name: build_widget(name, titles[name]) for name in MAPPING_FIELDS}
        built = gr.HTML(elem_id="template-preview", elem_classes="flush")
    return MappingPart(fold, proposed, fields, built, gr.JSON(visible=False))


def wire_mapping(settings: Settings, part: MappingPart, fields: dict[str, Any], unsure: gr.Textbox,
                 hub_key: gr.Textbox) -> None:
    """Look at the columns of each data set once, and open the fold when `unsure` says that they had to be guessed.

    `hub_key` holds a pasted token.
    """
    named = [fields[name] for name in fields if names_column(name)]

    def look(known: dict[str, Any] | None, pasted: str, profile: gr.OAuthProfile | None,
             token: gr.OAuthToken | None, **values: Any) -> list[Any]:
        try:
            require_owner(settings, profile)
            preset = preset_from(values)
            if known and known["data"] == preset.data.dataset_name:
                return [gr.skip()] * (3 + len(named))
            mapping = propose_mapping(preset, settings, hub_token(settings, token, pasted))
        except StudioError as error:
            return [error_html(error), None, "", *[gr.skip()] * len(named)]
        choices = gr.Dropdown(choices=column_choices(mapping.columns))
        built = template_html(preset.data.prompt_template, preset.data.completion_template, mapping.columns)
        known = {"data": preset.data.dataset_name, "columns": mapping.columns}
        return [mapping_html(mapping), known, built, *[choices] * len(named)]

    def build(prompt: str, completion: str, known: dict[str, Any] | None, profile: gr.OAuthProfile | None) -> str:
        if not known or not is_owner(settings, profile):
            return ""
        # they come back from the browser, and a template may name a column as often as it likes
        examples = {column: example[:EXAMPLE_CHARACTERS] for column, example in known["columns"].items()}
        return template_html(prompt, completion, examples)

    def open_where_guessed(unsure: str) -> Any:
        return gr.Accordion(open=True) if unsure.endswith("guessed") else gr.skip()

    # the fold may stand open already when other data comes
    gr.on([part.fold.expand, unsure.change], look, [part.examples, hub_key],
          [part.proposed, part.examples, part.built, *named], inputs_kwargs=fields, show_progress="hidden",
          trigger_mode="always_last", **CLICK)
    unsure.change(open_where_guessed, unsure, part.fold, **QUIET)
    written = [fields[name] for name in TEMPLATES]
    gr.on([field.input for field in written], build, [*written, part.examples], part.built,
          trigger_mode="always_last", **QUIET)


def mapping_html(mapping: Mapping) -> str:
    """The proposals, surest first, with a button that takes them, and an example of each column."""
    columns = "".join(
        f"<dt>{html.escape(words.plain(column, 40))}</dt>"
        f"<dd>{html.escape(words.plain(example, EXAMPLE_CHARACTERS))}</dd>"
        for column, example in list(mapping.columns.items())[:COLUMNS_SHOWN])
    return (f'<div class="mapping">{_proposals_html(mapping.proposals)}<h3>{_t("examples")}</h3>'
            f'<dl class="facts">{columns}</dl></div>')


def template_html(prompt: str, completion: str, examples: dict[str, str]) -> str:
    """What the templates build from the examples, or what is wrong with one; "" where there is none."""
    shown = ""
    for name, written in zip(TEMPLATES, (prompt, completion), strict=True):
        if not written or not examples:
            continue
        part = _t("parts.prompt" if name == TEMPLATES[0] else "parts.completion")
        try:
            said = templates.check(written, list(examples), name).fill(examples) or ""
            shown += f"<dt>{part}</dt><dd><pre>{html.escape(said)}</pre></dd>"
        except DataError as error:
            shown += f"<dt>{part}</dt><dd>{html.escape(str(error))}</dd>"
    title = f"<h3>{_t('template')}</h3>" if shown else ""
    return f'<div class="mapping" role="status">{title}<dl class="facts">{shown}</dl></div>' if shown else ""


def _proposals_html(proposals: Iterable[Proposal]) -> str:
    rows, fix = "", {}
    for proposal in proposals:
        if proposal.part in FIELD_OF:
            fix.setdefault(f"data.{FIELD_OF[proposal.part]}", proposal.column)
        rows += (f"<tr><td>{_t(f'parts.{proposal.part}')}</td><td>{html.escape(words.plain(proposal.column, 40))}</td>"
                 f"<td>{html.escape(words.percent(proposal.confidence))}</td><td>{html.escape(proposal.reason)}</td></tr>")
    if not rows:
        return f"<p>{_t('none')}</p>"
    head = "".join(f"<th scope='col'>{_t(key)}</th>" for key in ("part", "column", "sure", "why"))
    return (f'<div class="scroll" tabindex="0" role="region" aria-label="{_t("title")}"><table><thead><tr>{head}</tr>'
            f"</thead><tbody>{rows}</tbody></table></div>{fix_html(fix, text('doctor.mapping.use'))}")


def _t(key: str) -> str:
    return html.escape(text(f"doctor.mapping.{key}"))

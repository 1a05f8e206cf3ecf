"""Wires the rows of the Data step: search, pages, ten at random, and edits by hand, which are kept beside the data."""

import time
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.data import overlay
from studio.data.rows_client import find_rows
from studio.errors import DataError, StudioError
from studio.preset.files import override
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings
from studio.texts import text
from studio.ui.access import hub_token, is_owner, require_owner
from studio.ui.doctor_rows_view import PAGE_ROWS, ROWS_JS, rows_html
from studio.ui.draft import preset_from
from studio.ui.messages import shown
from studio.ui.preview_view import empty_html, error_html
from studio.ui.sheet import filled

CHOICES = ("all", "problem", "edited", "excluded", "masked")
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class RowsPart:
    """The components; `edits` is hidden and changes with the list of edits."""

    search: gr.Textbox
    only: gr.Dropdown
    draw_button: gr.Button
    rows: gr.HTML
    edits: gr.Textbox


def build_rows() -> RowsPart:
    """What finds rows, and the rows."""
    gr.HTML(f"<h3>{text('doctor.rows.title')}</h3>", elem_classes="flush")
    with gr.Row(elem_classes="row-finder"):
        search = gr.Textbox(label=text("doctor.rows.search"), info=text("doctor.rows.search_help"), scale=3,
                            min_width=220, submit_btn=True, elem_id="row-search")
        only = gr.Dropdown([(text(f"doctor.rows.choices.{name}"), name) for name in CHOICES], value="all",
                           label=text("doctor.rows.only"), info=text("doctor.rows.only_help"), filterable=False,
                           scale=2, min_width=220, elem_id="row-filter")
        draw_button = gr.Button(text("doctor.rows.random"), scale=0, min_width=160, size="md")
    rows = gr.HTML(empty_html(), js_on_load=ROWS_JS, elem_id="preview", elem_classes="flush")
    return RowsPart(search, only, draw_button, rows, gr.Textbox(visible=False))


def wire_rows(settings: Settings, part: RowsPart, stored: gr.BrowserState, fields: dict[str, Any],
              sheet: list[Any], hub_key: gr.Textbox) -> dict[str, Any]:
    """Wire pages and edits; `hub_key` holds a pasted token. Returns the event that shows the first ten rows found.

    All that triggers it must be triggers of one `gr.on`, so that the last answer is that of the last question.
    """

    def found(preset: Preset, query: str, only: str, offset: int, seed: str, token: str | None) -> str:
        page = find_rows(
            preset, settings, query.strip(), only, order="random" if seed else "file", seed=int(seed or 0),
            offset=offset, limit=PAGE_ROWS, token=token)
        return rows_html(page, preset.data, offset, seed)

    def show_rows(query: str, only: str, pasted: str, profile: gr.OAuthProfile | None,
                  token: gr.OAuthToken | None, **values: Any) -> str:
        try:
            require_owner(settings, profile)
            return found(preset_from(values), query, only, 0, "", hub_token(settings, token, pasted))
        except StudioError as error:
            return error_html(error)

    @shown
    def draw_rows(query: str, only: str, pasted: str, profile: gr.OAuthProfile | None,
                  token: gr.OAuthToken | None, **values: Any) -> str:
        require_owner(settings, profile)
        seed = str(time.time_ns() % 2**31)
        return found(preset_from(values), query, only, 0, seed, hub_token(settings, token, pasted))

    @shown
    def act(event: gr.EventData, query: str, only: str, pasted: str, draft: dict[str, Any],
            profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, **values: Any) -> list[Any]:
        require_owner(settings, profile)
        preset, hub = preset_from(values), hub_token(settings, token, pasted)
        offset, seed = max(0, int(event.offset)), str(int(event.seed)) if event.seed else ""
        if event.act == "turn":
            return [found(preset, query, only, offset, seed, hub), *[gr.skip()] * len(sheet)]
        if event.data != preset.data.dataset_name:
            raise DataError("The rows shown are those of another data set.", "Press Examine again, then edit.")
        if not preset.data.edits:
            preset = override(preset, {"data.edits": overlay.name_for(preset.data)})
        _edit(preset, settings, event.act, int(event.row), event.text)
        return [found(preset, query, only, offset, seed, hub), *filled(preset, draft["origin"])]

    def edits_mark(name: str, profile: gr.OAuthProfile | None) -> str:
        if not name or not is_owner(settings, profile):
            return ""
        return f"{name} {overlay.stamp(DataSection(edits=name), settings)}"

    asked = {"inputs": [part.search, part.only, hub_key], "outputs": part.rows, "inputs_kwargs": fields, **CLICK}
    show = {"fn": show_rows, "show_progress": "minimal", "trigger_mode": "always_last", **asked}
    part.draw_button.click(draw_rows, show_progress="minimal", **asked)
    part.rows.select(act, [part.search, part.only, hub_key, stored], [part.rows, *sheet], inputs_kwargs=fields,
                     show_progress="hidden", **CLICK).success(
        edits_mark, fields["data.edits"], part.edits, **QUIET)
    return show


def _edit(preset: Preset, settings: Settings, act: str, row: int, text: str) -> None:
    if act == "exclude":
        overlay.exclude(preset.data, settings, row)
    elif act == "replace":
        overlay.replace(preset.data, settings, row, text)
    elif act == "restore":
        overlay.restore(preset.data, settings, row)
    else:
        raise DataError("That cannot be done with a row.", "Reload the page.")

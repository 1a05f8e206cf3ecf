"""The form: one widget per leaf of the schema, grouped by its sections. No parameter is named here."""

from collections.abc import Collection, Iterable
from typing import Literal, get_args, get_origin

import gradio as gr
from annotated_types import MaxLen
from pydantic.fields import FieldInfo

from studio.preset.flatten import leaves, level, sections
from studio.preset.schema import BASIC, EXPERT
from studio.texts import text
from studio.ui.draft import choices_of_list, widget_value

TEXT_LINES = 6
# a text that may be so long is written over several lines, in which Enter begins a new one
LONG_TEXT, LONG_LINES = 1000, 3


def build_fields(groups: Iterable[str], apart: Collection[str] = ()) -> dict[str, gr.components.Component]:
    """The widgets of some sections ("" for the fields outside any): basic ones first, expert ones folded by section.

    Those named in `apart` are left to the caller. Returns {dotted name: widget}.
    """
    groups = list(groups)
    chosen = {name: field for name, field in leaves() if group_of(name) in groups and name not in apart}
    widgets: dict[str, gr.components.Component] = {}
    with gr.Column(elem_classes="field-grid"):
        widgets |= {name: build_widget(name, field) for name, field in chosen.items() if level(field) == BASIC}
    for group in groups:
        expert = {n: f for n, f in chosen.items() if group_of(n) == group and level(f) == EXPERT}
        if not any(_has_choice(field) for field in expert.values()):
            widgets |= {name: build_widget(name, field) for name, field in expert.items()}
            continue
        label = text("form.more", section=group_title(group), count=len(expert))
        with gr.Accordion(label, open=False), gr.Column(elem_classes="field-grid"):
            widgets |= {name: build_widget(name, field) for name, field in expert.items()}
    return widgets


def build_widget(name: str, field: FieldInfo) -> gr.components.Component:
    """The widget for one leaf, by its type; bounds are checked by the schema, so that messages name the field."""
    kind, default = field.annotation, widget_value(field, field.default)
    common = {"label": field.title, "info": field.description, "elem_id": widget_id(name), "min_width": 200}
    if get_origin(kind) is Literal:
        shown = level(field) == BASIC or _has_choice(field)
        return gr.Dropdown(list(get_args(kind)), value=default, filterable=False, visible=shown, **common)
    if several := choices_of_list(field):
        return gr.Dropdown(list(several), value=default, multiselect=True, filterable=False, **common)
    if kind is bool:
        return gr.Checkbox(value=default, **common)
    if kind in (int, float):
        return gr.Number(value=default, **common)
    if names_column(name):
        return gr.Dropdown(column_choices([]), value=default, allow_custom_value=True, **common)
    return gr.Textbox(value=default, lines=LONG_LINES if _is_long(field) else 1, max_lines=TEXT_LINES, **common)


def names_column(name: str) -> bool:
    """Whether a leaf holds the name of a column: it is chosen among those of the data set, once they are known."""
    return name.endswith("_column")


def column_choices(columns: Iterable[str]) -> list[tuple[str, str]]:
    """What a widget for a column offers: to leave it to the studio, and each column."""
    return [(text("form.by_itself"), ""), *((column, column) for column in columns)]


def is_choice(field: FieldInfo) -> bool:
    """Whether a leaf is set by one click, as a choice or a switch is."""
    return get_origin(field.annotation) is Literal or field.annotation is bool or bool(choices_of_list(field))


def group_of(name: str) -> str:
    """The section a leaf belongs to, "" for those of the preset itself."""
    return name.partition(".")[0] if "." in name else ""


def group_title(group: str) -> str:
    """A section's title: its docstring in the schema."""
    return dict(sections())[group].__doc__ if group else text("form.preset")


def widget_id(name: str) -> str:
    """The element id of a leaf's widget."""
    return "field-" + name.replace(".", "-")


def _is_long(field: FieldInfo) -> bool:
    return any(isinstance(bound, MaxLen) and bound.max_length >= LONG_TEXT for bound in field.metadata)


def _has_choice(field: FieldInfo) -> bool:
    return get_origin(field.annotation) is not Literal or len(get_args(field.annotation)) > 1

"""The preset while it is being edited: widget values to preset and back, and what is wrong with them, by field.

Knows nothing of widgets beyond what they hold: a list of words is one line of text, a list of choices is itself, an
empty number is None.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from studio.errors import PresetError
from studio.preset import files
from studio.preset.flatten import flatten, leaves, level, nest
from studio.preset.schema import BASIC, Preset
from studio.texts import text


@dataclass(frozen=True)
class Draft:
    """What the browser keeps over a reload: the preset as YAML and where it came from.

    `origin` is a preset's file name, "run:<run_id>" for a clone, "" otherwise. Never holds a token.
    """

    yaml: str
    origin: str = ""

    @classmethod
    def read(cls, stored: Any) -> "Draft | None":
        """The draft from browser storage; None where there is none or it no longer fits the schema."""
        try:
            draft = cls(**stored)
            files.loads(draft.yaml)
            return draft
        except (TypeError, ValueError, AttributeError, PresetError):
            return None

    def to_json(self) -> dict[str, Any]:
        return {"yaml": self.yaml, "origin": self.origin}


def widget_value(field: FieldInfo, value: Any) -> Any:
    """A field's value as its widget holds it."""
    return " ".join(value) if get_origin(field.annotation) is list and not choices_of_list(field) else value


def widget_values(preset: Preset) -> list[Any]:
    """All values of a preset as the widgets hold them, in schema order."""
    return [widget_value(field, value) for (_, field), value in zip(leaves(), flatten(preset).values(), strict=True)]


def choices_of_list(field: FieldInfo) -> tuple[Any, ...]:
    """What a field may hold several of; () for a field that is no list of given choices."""
    if get_origin(field.annotation) is not list:
        return ()
    (item,) = get_args(field.annotation)
    return get_args(item) if get_origin(item) is Literal else ()


def preset_from(values: dict[str, Any]) -> Preset:
    """The preset that {dotted name: widget value} describes. Raises `PresetError` with one problem per field."""
    return files.validate(nest(values))


def problems(values: dict[str, Any]) -> dict[str, str]:
    """What is wrong with the widgets' values, as {dotted name: sentence}; empty when all is well."""
    try:
        preset_from(values)
    except PresetError as error:
        return {problem.field: _sentence(problem, values) for problem in error.problems}
    return {}


def problem_list(found: dict[str, str]) -> list[str]:
    """The problems as lines that name the field by its title."""
    titles = {name: field.title for name, field in leaves()}
    return [f"{titles[name]}: {sentence}" for name, sentence in found.items()]


def folded(found: dict[str, str]) -> dict[str, str]:
    """Those problems whose fields lie in a fold, which may be closed."""
    basic = {name for name, field in leaves() if level(field) == BASIC}
    return {name: sentence for name, sentence in found.items() if name not in basic}


def _sentence(problem: PresetError, values: dict[str, Any]) -> str:
    """The problem as it reads below its own field, where the name need not be said again."""
    if values[problem.field] is None:
        return text("form.enter_value")
    sentence = str(problem).removeprefix(f"{problem.field} ")
    return sentence[0].upper() + sentence[1:]

"""What is wrong with a preset's values, as sentences with line, field, cause and next step."""

import difflib
import math
import re
from collections.abc import Iterable
from typing import Any

from pydantic.fields import FieldInfo

from studio.errors import PresetError
from studio.preset.flatten import leaves, sections
from studio.preset.schema import SCHEMA_VERSION

NUMBER_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
MOST_SHOWN = 60


def problem_of(item: dict[str, Any], lines: dict[str, int]) -> PresetError:
    """One of pydantic's errors as a `PresetError`; `lines` maps dotted names to line numbers of the file."""
    name = ".".join(part for part in item["loc"] if isinstance(part, str))
    kind, value = item["type"], item["input"]
    if kind in ("extra_forbidden", "invalid_key"):
        return _unknown_key(".".join(str(part) for part in item["loc"]), lines)
    where = f"Line {lines[name]}: " if name in lines else ""
    if kind == "value_error":
        return PresetError(f"{where}{item['ctx']['error']}.", field=_home(name))
    if name == "version":
        return _other_version(where, value)
    if kind == "model_type":
        return _not_a_section(where, name, value)
    finite = not isinstance(value, float) or math.isfinite(value)
    reason = _in_our_words(item["msg"]) if finite else "must be an ordinary number"
    return PresetError(f"{where}{name} {reason}; {_given(value)}.", _next_step(kind, value, dict(leaves())[name]), name)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest known name, comparing the whole name first and then its last part."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not close:
        leaf = name.rsplit(".", 1)[-1]
        by_leaf = {candidate.rsplit(".", 1)[-1]: candidate for candidate in known}
        close = [by_leaf[match] for match in difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=0.6)]
    return f'Did you mean "{close[0]}"?' if close else "Remove it, or run `python -m studio schema` for the list."


def _unknown_key(name: str, lines: dict[str, int]) -> PresetError:
    where = f"Line {lines[name]}: " if name in lines else ""
    known = [leaf for leaf, _ in leaves()] + [section for section, _ in sections()]
    return PresetError(f'{where}"{name}" is not a preset field.', did_you_mean(name, known), name)


def _other_version(where: str, value: Any) -> PresetError:
    newer = isinstance(value, int) and value > SCHEMA_VERSION
    hint = "It was made by a newer studio: update this one." if newer else f"Write version: {SCHEMA_VERSION}."
    return PresetError(f"{where}This studio reads presets of version {SCHEMA_VERSION}; {_given(value)}.", hint,
                       "version")


def _not_a_section(where: str, name: str, value: Any) -> PresetError:
    first = next(leaf for leaf, _ in leaves(dict(sections())[name]))
    return PresetError(f"{where}{name} must be a section with fields such as {name}.{first}; {_given(value)}.",
                       f'Write "{name}:" alone on a line, and "{first}: ..." indented below it.', name)


def _in_our_words(message: str) -> str:
    """What pydantic says, as the end of a sentence that begins with the field."""
    message = re.sub(r"^(Input should be|(String|List) should have)",
                     lambda found: "must have" if found[2] else "must be", message)
    if message.startswith("Unable to parse input string as an integer"):
        return "is far out of range"
    message = re.sub(r" after validation|, (unable to|got) .*", "", message)
    return message.replace("must be a valid string", "must be a text")


def _given(value: Any) -> str:
    return "it is empty" if value is None else f"it is {str(value)[:MOST_SHOWN]!r}"


def _next_step(kind: str, value: Any, field: FieldInfo) -> str:
    """What to write instead, after the type of pydantic's error."""
    match kind:
        case "string_type" if value is None:
            return "Write a text, or remove the line."
        case "string_type" if isinstance(value, list | dict):
            return "Write a text in one line."
        case "string_type":
            return "Put it in quotes."
        case "string_too_long":
            return "Shorten it."
        case "too_short" | "too_long" | "list_type":
            return f"Write a list such as [{', '.join(field.default) or 'one, two'}]."
        case "bool_type" | "bool_parsing":
            return "Write true or false."
        case "literal_error":
            return "Write one of these words."
    whole = "whole " if field.annotation is int else ""
    number = field.annotation in (int, float) or kind in NUMBER_BOUNDS
    return f"Write a {whole}number such as {field.default}." if number else f'Write a text such as "{field.default}".'


def _home(name: str) -> str:
    """The field a section-level error is shown at: the section's own name has no widget."""
    return "publish.hub_model_id" if name == "publish" else name

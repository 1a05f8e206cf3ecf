"""The reference page of preset fields from the schema: `python -m studio.preset.reference > docs/presets.md`."""

import json
from typing import Any

from pydantic import BaseModel

from studio.preset.flatten import sections
from studio.preset.schema import Preset

OPENING = """\
# Preset fields

<!-- Written by `python -m studio.preset.reference > docs/presets.md`; change studio/preset/schema.py instead. -->

A preset is one YAML file that holds a whole run. Every field has a default, so a preset may hold only what differs;
an unknown field is refused with the nearest known name. Names are those of TRL, transformers, PEFT and the Hub.
On the command line a field is changed with its full name: `--set training.learning_rate=1e-4`.
**Bold** fields are on the form's basic level, the others on its expert level.
"""
TYPES = {
    "integer": "whole number", "number": "number", "string": "text", "boolean": "true or false",
    "array": "list of words",
}
BOUNDS = {
    "minimum": "{:,} or more", "exclusiveMinimum": "more than {:,}", "maximum": "{:,} at most",
    "minLength": "not empty", "minItems": "not empty", "maxLength": "{} characters at most",
}


def reference() -> str:
    """The whole page as Markdown, one table per section in the schema's order."""
    names = {name for name, _ in sections()}
    top = {name: field for name, field in Preset.model_json_schema()["properties"].items() if name not in names}
    parts = [OPENING, "## Top of the file", _table("", top)]
    for name, model in sections():
        parts += [f"## {model.__doc__}: `{name}`", _table(f"{name}.", _properties(model))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _properties(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    return model.model_json_schema()["properties"]


def _table(prefix: str, properties: dict[str, dict[str, Any]]) -> str:
    rows = ["| field | default | allowed | what it does |", "| --- | --- | --- | --- |"]
    for name, field in properties.items():
        full = f"**`{prefix}{name}`**" if field["level"] == "basic" else f"`{prefix}{name}`"
        help = f"{field['title']}. {field['description']}".replace("|", "\\|")
        rows.append(f"| {full} | {_default(field['default'])} | {_allowed(field)} | {help} |")
    return "\n".join(rows)


def _default(value: Any) -> str:
    return "empty" if value in ("", []) else f"`{json.dumps(value, ensure_ascii=False).strip(chr(34))}`"


def _allowed(field: dict[str, Any]) -> str:
    """Type and bounds in words, from the field's JSON schema."""
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    bounds = [words.format(field[key]) for key, words in BOUNDS.items() if key in field]
    return ", ".join([TYPES[field["type"]], *bounds])


if __name__ == "__main__":
    print(reference(), end="")

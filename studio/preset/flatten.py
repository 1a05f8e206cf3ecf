"""A preset as flat dotted names (`lora.r`), the form that widgets, `--set` and tests share."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from studio.preset.schema import Preset


def leaves(model: type[BaseModel] = Preset, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield every parameter as (dotted name, field), in the order of the schema."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the schema's sections as (name, model), in order; the section's docstring is its title."""
    for name, field in Preset.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def level(field: FieldInfo) -> str:
    """The form's level on which a field is shown: "basic" or "expert"."""
    return field.json_schema_extra["level"]


# fields that may name a file or a folder of this machine
PATHS = ("data.dataset_name", "data.dataset_test_split", "model.model_name_or_path", "evaluation.embedding_model")


def flatten(preset: Preset) -> dict[str, Any]:
    """Turn a preset into {dotted name: value}, one entry per leaf, in schema order."""
    return {name: _value(preset, name) for name, _ in leaves()}


def nest(values: dict[str, Any]) -> dict[str, Any]:
    """Turn {dotted name: value} into the nested mapping that a YAML file holds."""
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *path, leaf = name.split(".")
        target = nested
        for part in path:
            target = target.setdefault(part, {})
        target[leaf] = value
    return nested


def _value(preset: Preset, name: str) -> Any:
    value: Any = preset
    for part in name.split("."):
        value = getattr(value, part)
    return value

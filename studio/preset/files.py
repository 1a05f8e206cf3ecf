"""Presets as YAML: load with errors that name field, line and nearest known name; save with comments; compare.

Reads hostile files: no tags, no aliases, no duplicate keys, at most 256 kB.
"""

import math
import os
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from studio.errors import PresetError
from studio.preset.flatten import flatten, leaves, nest, sections
from studio.preset.problems import did_you_mean, problem_of
from studio.preset.schema import Preset
from studio.settings import Settings

MAX_PRESET_BYTES = 256 * 1024


class _Loader(yaml.SafeLoader):
    """Safe loader that refuses aliases and reads `1e-4` as a number, as YAML 1.2 does."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise PresetError(f"Line {mark.line + 1} refers to another line with *.", "Write the value out.")
        return super().compose_node(parent, index)


# YAML 1.1 also reads yes, no, on and off as true and false; here "no" is a word like any other
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


class _Dumper(yaml.SafeDumper):
    """Safe dumper that quotes what `_Loader` would read as a number."""


for _yaml in (_Loader, _Dumper):
    _yaml.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789"))


@dataclass(frozen=True)
class Difference:
    """One parameter that two presets disagree on."""

    field: str
    before: Any
    after: Any


def load(path: Path) -> Preset:
    """Read and check a preset file. Raises `PresetError` naming file, line, field and the nearest known name."""
    try:
        if path.stat().st_size > MAX_PRESET_BYTES:
            raise PresetError(f"{path.name} is larger than a preset can be (256 kB).", "Choose the preset's YAML file.")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise PresetError(f"There is no file {path}.",
                          "Check the name; `presets` lists those that come with the studio.") from None
    except UnicodeDecodeError:
        raise PresetError(f"{path.name} is not UTF-8 text.", "Save the preset as UTF-8.") from None
    except OSError as error:
        raise PresetError(f"{path} cannot be read: {error.strerror}.", "Check the name and its permissions.") from None
    try:
        return loads(text)
    except PresetError as error:
        problems = () if error.problems == (error,) else error.problems
        raise PresetError(f"{path.name}: {error.message}", error.hint, error.field, problems) from None


def loads(text: str) -> Preset:
    """Read and check a preset from YAML text. Raises `PresetError`."""
    if len(text) > MAX_PRESET_BYTES:
        raise PresetError("The text is larger than a preset can be (256 kB).", "Paste only the preset.")
    values, lines = _parse(text)
    return validate(values, lines)


def validate(values: dict[str, Any], lines: dict[str, int] | None = None) -> Preset:
    """Check nested values against the schema.

    `lines` maps dotted names to line numbers for the messages. Raises `PresetError` with one problem per field.
    """
    try:
        return Preset.model_validate(values)
    except ValidationError as error:
        problems = tuple(problem_of(item, lines or {}) for item in error.errors())
    text = " ".join(str(problem) for problem in problems[:5])
    if len(problems) > 5:
        text += f" And {len(problems) - 5} more."
    raise PresetError(text, field=problems[0].field, problems=problems)


def override(preset: Preset, assignments: dict[str, Any]) -> Preset:
    """Return the preset with `{dotted name: value}` replaced. Raises `PresetError` on an unknown name or bad value."""
    known = flatten(preset)
    for name in assignments:
        if name not in known:
            raise PresetError(f'"{name}" is not a preset field.', did_you_mean(name, known), field=name)
    return validate(nest(known | assignments))


def dumps(preset: Preset, comments: bool = True) -> str:
    """Write a preset as YAML, complete and in schema order; `loads(dumps(p)) == p`.

    With `comments` every field carries the schema's title and help on the line above.
    """
    fields, values = dict(leaves()), flatten(preset)
    lines: list[str] = []
    for name in (n for n in fields if "." not in n):
        lines += _entry(name, fields[name], values[name], "", comments)
    for section, model in sections():
        lines += ["", f"{section}:"]
        for name, field in leaves(model):
            lines += _entry(name, field, values[f"{section}.{name}"], "  ", comments)
    return "\n".join(lines) + "\n"


def save(preset: Preset, path: Path) -> None:
    """Write the preset with comments, replacing the file in one step."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(dumps(preset), encoding="utf-8")
    os.replace(partial, path)


def diff(before: Preset, after: Preset) -> list[Difference]:
    """List the parameters in which two presets differ, in schema order."""
    old, new = flatten(before), flatten(after)
    return [Difference(name, old[name], new[name]) for name in old if old[name] != new[name]]


def list_presets(settings: Settings) -> list[Path]:
    """The presets that come with the studio, then the person's own, each in order of name."""
    return sorted(settings.presets_dir.glob("*.yaml")) + sorted(settings.user_presets_dir.glob("*.yaml"))


def list_readable(settings: Settings) -> tuple[dict[Path, Preset], list[PresetError]]:
    """The presets of `list_presets` that can be read, and what is wrong with each of the others."""
    readable, broken = {}, []
    for path in list_presets(settings):
        try:
            readable[path] = load(path)
        except PresetError as error:
            broken.append(error)
    return readable, broken


def header(path: Path) -> str:
    """The comment block that opens a preset file and ends at an empty line: what it needs and how to start it.

    "" where the file opens with a key, or with the comment of one, as presets that the studio saved do.
    """
    block = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if line.strip() and not line.startswith("#"):
            return ""
        if not line.strip():
            break
        block.append(line.lstrip("# ").rstrip())
    return "\n".join(block)


def _entry(name: str, field: Any, value: Any, indent: str, comments: bool) -> list[str]:
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    written = yaml.dump(
        value, Dumper=_Dumper, allow_unicode=True, width=math.inf, default_flow_style=True, default_style=style)
    lines = [f"{indent}{name}: {written.removesuffix('...' + chr(10)).rstrip()}"]
    if not comments:
        return lines
    comment = textwrap.wrap(f"{field.title}: {field.description}", width=110 - len(indent))
    return [f"{indent}# {line}" for line in comment] + lines


def _parse(text: str) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[str, int] = {}
            _note_lines(node, "", lines)
            values = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        where = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise PresetError(f"The preset is not readable YAML{where}: {error.problem}.", "Mend that line.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise PresetError(f"The preset is not readable YAML: {reason}.", "Use plain keys and values.") from None
    if not isinstance(values, dict):
        raise PresetError("The preset holds no fields.", "Start from one of the presets that come with the studio.")
    return values, lines


def _note_lines(node: yaml.Node | None, prefix: str, lines: dict[str, int]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        name = f"{prefix}{key.value}"
        if name in lines:
            raise PresetError(f"Line {key.start_mark.line + 1} sets {name} a second time.", "Keep one of the two.",
                              field=name)
        lines[name] = key.start_mark.line + 1
        _note_lines(value, f"{name}.", lines)

"""What several commands take: a run, a preset with changed fields, `--json`, `--follow` or `--detach`."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.errors import PresetError
from studio.preset import files
from studio.preset.flatten import PATHS, flatten
from studio.preset.schema import Preset
from studio.settings import Settings


def command(commands: Any, name: str, function: Callable, help: str) -> argparse.ArgumentParser:
    """Add a command to `commands`, what `add_subparsers` returns; `function` takes the store and the arguments."""
    sub = commands.add_parser(name, help=help, description=help)
    sub.set_defaults(command=function)
    sub.add_argument("--json", action="store_true", help="print facts as JSON")
    return sub


def on_run(commands: Any, name: str, function: Callable, help: str) -> argparse.ArgumentParser:
    """Add a command on one run."""
    sub = command(commands, name, function, help)
    sub.add_argument("run", metavar="RUN", help='id, start of an id, name, or "last"')
    return sub


def working(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The command starts work, and follows it unless told otherwise."""
    wait = sub.add_mutually_exclusive_group()
    wait.add_argument("--follow", dest="detach", action="store_false", help="show progress to the end (default)")
    wait.add_argument("--detach", dest="detach", action="store_true", help="return at once; the run goes on")
    sub.set_defaults(detach=False)
    return sub


def on_preset(sub: argparse.ArgumentParser, metavar: str = "PRESET") -> argparse.ArgumentParser:
    """The command takes a preset, which `read_preset` reads."""
    also = "" if metavar == "PRESET" else "; or a file with rows, or owner/name on the Hub"
    sub.add_argument("preset", metavar=metavar, help=f"a YAML file, or the name of a preset from `presets`{also}")
    return with_changes(sub, "change a field, e.g. lora.r=8")


def with_changes(sub: argparse.ArgumentParser, help: str) -> argparse.ArgumentParser:
    """The command takes changed fields, which `assignment` reads."""
    sub.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help=help)
    return sub


def read_preset(settings: Settings, arguments: argparse.Namespace) -> tuple[Preset, Preset]:
    """The preset a command names, with its `--set` changes, and the preset as it was in the file."""
    path = Path(arguments.preset)
    if not path.suffix:
        path = next((p for p in files.list_presets(settings) if p.stem == arguments.preset), path)
    origin = files.load(path)
    preset = files.override(origin, changes(arguments))
    return files.override(preset, dict(located(*field) for field in flatten(preset).items())), origin


def changes(arguments: argparse.Namespace) -> dict[str, Any]:
    """The `--set` changes as {field: text}. Raises `PresetError` for what is no assignment."""
    return dict(assignment(text) for text in arguments.set)


def assignment(text: str) -> tuple[str, Any]:
    """One change, as (field, text). Raises `PresetError`."""
    name, sign, value = text.partition("=")
    if not sign:
        raise PresetError(f'"{text}" is no assignment.', "Write --set training.learning_rate=1e-4.")
    return name.strip(), value  # the schema reads numbers, switches and lists from text


def located(name: str, value: Any) -> tuple[str, Any]:
    """The assignment with a path that is there made absolute: the run must find it from any folder."""
    is_path = name in PATHS and value and Path(value).exists()
    return name, str(Path(value).resolve()) if is_path else value

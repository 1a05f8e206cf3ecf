"""What a push was asked to do: `publish.json` in the run folder, a preset's publish section of its own; and where to.

Written by the page or the command line, never with a token.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from studio.preset.schema import Form, Preset, PublishSection

FILE = "publish.json"
# the form that a repository opens with when it holds several; the others lie in folders of their names
ORDER: tuple[Form, ...] = ("merged", "adapter", "gguf")
# as people on the Hub name them
SUFFIXES: dict[Form, str] = {"merged": "", "adapter": "-adapter", "gguf": "-GGUF"}
# fields by the names that an earlier studio gave them
RENAMED = {"repo_id": "hub_model_id", "private": "hub_private_repo"}


@dataclass(frozen=True)
class Target:
    """One repository of a push: its name, the forms it gets, the first at its top, and the repository it stems from.

    `stems_from` is the repository of the merged model, where that is pushed to another one; "" elsewhere.
    """

    repo_id: str
    forms: tuple[Form, ...]
    stems_from: str = ""


def targets(request: PublishSection) -> list[Target]:
    """The repositories that a request names, the most important first."""
    forms = tuple(form for form in ORDER if form in request.what)
    if not request.separate_repos:
        return [Target(request.hub_model_id, forms)]
    merged = request.hub_model_id if "merged" in forms else ""
    return [Target(f"{request.hub_model_id}{SUFFIXES[form]}", (form,), merged if form != "merged" else "")
            for form in forms]


def write_request(run_dir: Path, request: PublishSection) -> None:
    """Note the request, in place of an earlier one."""
    partial = run_dir / f".{FILE}.{os.getpid()}"
    partial.write_text(request.model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / FILE)


def read_request(run_dir: Path, preset: Preset) -> PublishSection:
    """The last request, or what the preset asks for where there was none."""
    return last_request(run_dir) or preset.publish


def last_request(run_dir: Path) -> PublishSection | None:
    """What was asked last, None where nothing was, or it was cancelled."""
    try:
        asked = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return PublishSection.model_validate({RENAMED.get(name, name): value for name, value in asked.items()})


def forget_request(run_dir: Path) -> None:
    """Forget what was asked; the next push is asked for anew."""
    (run_dir / FILE).unlink(missing_ok=True)

"""What a push was asked to do: `publish.json` in the run folder, a preset's publish section of its own; and where to.

Written by the page or the command line, never with a token.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from studio.preset.schema import Form, Preset, PublishSection

FILE = "publish.json"
# in place of a request
CANCELLED = {"cancelled": True}
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
    _replace(run_dir, request.model_dump(mode="json"))


def cancel_request(run_dir: Path) -> None:
    """Note that nothing shall be pushed, what the preset asks for neither, until somebody asks again."""
    _replace(run_dir, CANCELLED)


def is_cancelled(run_dir: Path) -> bool:
    """Whether the last word on publishing was to cancel it."""
    return _read(run_dir) == CANCELLED


def read_request(run_dir: Path, preset: Preset) -> PublishSection:
    """The last request, or what the preset asks for where there was none, or it was cancelled."""
    return last_request(run_dir) or preset.publish


def last_request(run_dir: Path) -> PublishSection | None:
    """What was asked last, None where nothing was, or it was cancelled."""
    asked = _read(run_dir)
    if asked in (None, CANCELLED):
        return None
    return PublishSection.model_validate({RENAMED.get(name, name): value for name, value in asked.items()})


def forget_request(run_dir: Path) -> None:
    """Forget what was asked, and that it was cancelled; what the preset asks for holds again."""
    (run_dir / FILE).unlink(missing_ok=True)


def _read(run_dir: Path) -> dict | None:
    try:
        return json.loads((run_dir / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _replace(run_dir: Path, values: dict) -> None:
    partial = run_dir / f".{FILE}.{os.getpid()}"
    partial.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / FILE)

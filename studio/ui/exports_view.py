"""What the part "Forms of the model" says: what a run has, what can be made, how that stands. No Gradio here."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import words
from studio.errors import ModelError
from studio.publishing.exports import GGUF_KINDS, Export, commands, expected_sizes, list_exports, weights_print
from studio.runs.events import PhaseState
from studio.runs.store import RunView
from studio.texts import text

PHASES = ("merge", "gguf")
# pressed first in a new run: what most people want for Ollama
USUAL = "q4_k_m"

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)
_templates.globals.update(text=text, words=words)


@dataclass(frozen=True)
class Row:
    """One form: its name in the texts, the finished export or None, and the size it will have, 0 for unknown."""

    name: str
    export: Export | None
    expected_bytes: int

    @property
    def state(self) -> str:
        if self.export is None:
            return text("exports.table.missing")
        if not self.export.fresh:
            return text("exports.table.stale")
        return text("exports.table.made", age=words.age(datetime.fromtimestamp(self.export.made_at, UTC).isoformat()))

    @property
    def size(self) -> str:
        if self.export is not None:
            return words.size(self.export.size_bytes)
        return text("exports.table.about", size=words.size(self.expected_bytes)) if self.expected_bytes else ""


def rows(view: RunView) -> list[Row]:
    """All forms, those a run cannot have left out: a model trained whole has no adapter."""
    there = {export.name: export for export in list_exports(view.run_dir)}
    sizes = _expected(view.run_dir / "merged", weights_print(view.run_dir / "merged")) if "merged" in there else {}
    names = [name for name in ("adapter", "merged") if name in there or "adapter" in there]
    return [Row(name, there.get(name), sizes.get(name, 0)) for name in (*names, *GGUF_KINDS)]


def kinds_offered(view: RunView) -> tuple[list[tuple[str, str]], list[str]]:
    """The GGUF kinds as (label with size, kind), and those marked at first: the preset's, else the usual one."""
    labels = [(f"{row.name.upper()} {row.size}".strip(), row.name) for row in rows(view) if row.name in GGUF_KINDS]
    return labels, list(view.preset.export.gguf) or [USUAL]


def table_html(view: RunView, owner: bool) -> str:
    """The forms with state, size and what each is for, and how a step that makes one stands; owners get links."""
    made = [(export, export.modelfile.read_text(encoding="utf-8"), commands(export))
            for export in list_exports(view.run_dir) if export.modelfile is not None]
    return _templates.get_template("exports.html").render(
        view=view, rows=rows(view), made=made, owner=owner, **_standing(view))


def mark(view: RunView) -> list[Any]:
    """Changes when the part may look different."""
    return [view.run_id, view.state.updated_at, view.state.stage.value, view.is_live]


def merge_label(view: RunView) -> str:
    """What the button says that merges."""
    return text("exports.button.merge_again" if view.has_merged else "exports.button.merge")


def is_making(view: RunView) -> bool:
    """Whether one of these steps is at work."""
    return view.is_live and view.state.phase in PHASES


def _standing(view: RunView) -> dict[str, Any]:
    """The step at work with its share, else how the last one ended."""
    last = max((name for name in PHASES if name in view.state.phases),
               key=lambda name: view.state.phases[name].started_at, default="")
    phase = view.state.phases[last] if last else PhaseState()
    stopped = bool(phase.started_at) and phase.result is None and not phase.error and not view.is_live
    return {"making": is_making(view), "last": last, "phase": phase, "share": view.progress, "stopped": stopped,
            "failed": bool(phase.error) and not view.is_live}


@lru_cache(maxsize=16)
def _expected(merged: Path, _weights: str) -> dict[str, int]:
    try:
        return expected_sizes(merged, list(GGUF_KINDS))
    except ModelError:  # a size is only a help; making the file says what is wrong
        return {}

"""What "Use it" says on the run page: the commands of a way with copy buttons. No Gradio here.

Names are hostile text: everything goes through a template that escapes it.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import words
from studio.publishing import deploy, deploy_model
from studio.publishing.deploy import WAYS
from studio.publishing.deploy_model import Model
from studio.publishing.exports import list_exports
from studio.publishing.pushed import pushed_mark
from studio.runs.store import RunView
from studio.texts import text

Place = Literal["here", "hub"]

COPY_JS = """
element.addEventListener('click', async (event) => {
  const button = event.target.closest('button[data-copy]');
  if (!button) return;
  const code = button.closest('.deploy-block').querySelector('pre');
  const say = (word) => { const before = button.dataset.copy; button.textContent = word;
    setTimeout(() => { button.textContent = before; }, 1500); };
  try {
    await navigator.clipboard.writeText(code.textContent);
    say(button.dataset.copied);
  } catch {
    const range = document.createRange(); range.selectNodeContents(code);
    const selected = getSelection(); selected.removeAllRanges(); selected.addRange(range);
    say(document.execCommand('copy') ? button.dataset.copied : button.dataset.failed);
  }
});
"""

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)
_templates.globals.update(text=text, words=words)


def has_model(view: RunView) -> bool:
    """Whether there is anything to use."""
    return view.has_adapter or view.has_merged


def ways() -> list[tuple[str, str]]:
    """The ways as (title, name)."""
    return [(text(f"deploy.{name.replace('.', '_')}.title"), name) for name in WAYS]


def places(view: RunView) -> list[tuple[str, Place]]:
    """Where the model can be taken from, as (label, place)."""
    on_hub = deploy_model.model_on_hub(view)
    here: list[tuple[str, Place]] = [(text("deploy.place.here"), "here")]
    if on_hub is None:
        return here
    named = on_hub.merged or on_hub.adapter or on_hub.ggufs[0].place.split(":")[0]
    return [*here, (text("deploy.place.hub", repo=named), "hub")]


def first_way(view: RunView) -> str:
    """What is shown first: Ollama for a run with GGUF files, else Python."""
    return "ollama" if any(export.form == "gguf" for export in list_exports(view.run_dir)) else "transformers"


def way_html(view: RunView, name: str, place: str) -> str:
    """One way: when to choose it, what it needs, what to copy. Raises `RunError` without a model."""
    model = _model(view, place)
    return render("deploy_way.html", way=deploy.way(name, model))


def mark(view: RunView) -> str:
    """Changes when the part may look different."""
    forms = [f"{export.name} {export.made_at} {export.fresh}" for export in list_exports(view.run_dir)]
    trains = view.is_live and view.state.phase == "train"
    return f"{view.run_id} {trains} {forms} {pushed_mark(view)}"


def _model(view: RunView, place: str) -> Model:
    return (deploy_model.model_on_hub(view) if place == "hub" else None) or deploy_model.model_here(view)


def render(template: str, **values: Any) -> str:
    """A template of this folder with its values, escaped."""
    return _template(template).render(**values)


@lru_cache
def _template(name: str) -> Any:
    return _templates.get_template(name)

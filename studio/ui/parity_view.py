"""The parity check on the page: the run's exports, how near each is to the trained model, and the verdict."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio.publishing.parity_words import parity_words
from studio.runs.store import RunView
from studio.texts import text

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)
_templates.globals.update(text=text)


def parity_html(view: RunView) -> str:
    """What is known of each export of a run; "" where it has none."""
    said = parity_words(view.run_dir)
    return _templates.get_template("parity.html").render(said=said) if said.rows else ""

"""What the browser shows: rows, details and reasons as HTML. No Gradio here.

Names, tags and cards are anybody's text: all of it goes through templates that escape.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import words
from studio.preset.schema import Preset
from studio.publishing.browse import ModelDetails, ModelResult
from studio.publishing.browse_choices import Found, Kind
from studio.publishing.browse_datasets import DatasetDetails, best_split
from studio.publishing.browse_fit import Fit, fit_of
from studio.publishing.browse_shelf import Shelf
from studio.runs.device import probe_device
from studio.runs.estimates import GIB
from studio.runs.model_shape import ModelShape
from studio.texts import text

FILES_SHOWN, LANGUAGES_SHOWN = 30, 4

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)
_templates.globals.update(text=text, words=words, best_split=best_split)


@dataclass(frozen=True)
class Row:
    """One result: its facts as short texts in order, and what fits here as (mark, words), "" where not known."""

    result: Found
    facts: list[str]
    minor: list[str]
    mark: str
    fit: str


def shelf_html(kind: Kind, shelf: Shelf, preset: Preset | None, starred: Collection[str], may_star: bool) -> str:
    """What was found, or why nothing; models with how they fit this machine by `preset` (None: not told)."""
    device = probe_device() if kind == "models" and preset else None
    rows = [_row(result, fit_of(result, None, preset, device) if device else None) for result in shelf.results]
    return _templates.get_template("hub_results.html").render(
        kind=kind, shelf=shelf, rows=rows, starred=starred, may_star=may_star)


def model_html(details: ModelDetails, preset: Preset | None) -> str:
    """One model looked at closely."""
    row = _row(details.result, fit_in(details.result, details.shape, preset))
    return _templates.get_template("hub_model.html").render(
        details=details, row=row, files=details.files[:FILES_SHOWN], total=_total(details.files))


def dataset_html(details: DatasetDetails) -> str:
    """One data set looked at closely."""
    return _templates.get_template("hub_dataset.html").render(
        details=details, row=_row(details.result, None), files=details.files[:FILES_SHOWN], total=_total(details.files))


def problem_html(problem: Exception) -> str:
    """Why there are no details."""
    return _templates.from_string('<p class="hub-problem" role="alert">{{ said }}</p>').render(said=str(problem))


def fit_in(result: Found, shape: ModelShape | None, preset: Preset | None) -> Fit | None:
    """How a model fits this machine by `preset`."""
    return fit_of(result, shape, preset, probe_device()) if preset else None


def fit_words(fit: Fit | None) -> str:
    """"✓ fits, about 4.1 GB with the present settings"; "" where nothing is known."""
    if fit is None:
        return ""
    said = text(f"train.what.{fit.mark}")  # as on the cards of the gallery
    if fit.bytes is None:
        return said
    about = "" if fit.exact else text("hub.fit.about")
    return text("hub.fit.memory", fit=said, about=about, size=f"{fit.bytes / GIB:.1f}")


def _facts(result: Found) -> list[str]:
    """The main facts of a result, each as a few words."""
    facts = [text(f"hub.row.source.{result.source}")] if result.source != "hub" else []
    if isinstance(result, ModelResult):
        facts += [text("hub.row.parameters", n=words.compact(result.parameters))] if result.parameters else []
    elif result.rows is not None:
        facts.append(text("hub.row.rows", n=words.count(result.rows)))
    elif result.size_category:
        facts.append(text("hub.row.rows", n=_range(result.size_category)))
    facts += [words.size(result.size_bytes)] if result.size_bytes else []
    if result.source == "hub" or result.licence:
        facts.append(result.licence or text("hub.row.no_licence"))
    if isinstance(result, ModelResult):
        facts += [text(f"hub.row.{result.kind}")] if result.kind else []
    else:
        facts += [", ".join(result.languages[:LANGUAGES_SHOWN])] if result.languages else []
        facts += [text("hub.row.configs", n=len(result.configs))] if len(result.configs) > 1 else []
    return facts + ([text("hub.row.private")] if result.private else [])


def _range(category: str) -> str:
    """"10K to 100K" for the Hub's "10K<n<100K"."""
    low, _, high = category.partition("<n<")
    return f"{low} to {high}" if high else category.replace("n<", "under ").replace("n>", "over ")


def _row(result: Found, fit: Fit | None) -> Row:
    minor = []
    if result.updated:
        minor.append(text("hub.row.updated", date=result.updated))
    if result.downloads is not None:
        minor.append(text("hub.row.downloads", n=words.compact(result.downloads)))
    if result.likes is not None:
        minor.append(text("hub.row.likes", n=words.compact(result.likes)))
    if isinstance(result, ModelResult):
        minor += [fact for fact in (result.pipeline_tag, result.library) if fact]
    return Row(result, _facts(result), minor, fit.mark if fit else "", fit_words(fit))


def _total(files: list[tuple[str, int | None]]) -> str:
    return words.size(sum(size or 0 for _, size in files))

"""The data preview as HTML: what was found, what is wrong, and rows as the model reads them, the learned part marked.

Everything from the data set is escaped here; nothing else of it reaches the page as HTML.
"""

import html
from typing import Any

from studio import words
from studio.errors import StudioError
from studio.ui.texts import text


def preview_html(preview: dict[str, Any]) -> str:
    """The answer of the preview process, laid out."""
    legend = f'<p class="legend"><mark class="trained">{_t("learned")}</mark> {_t("legend")}</p>'
    rows = "".join(_row_html(number, row) for number, row in enumerate(preview["rows"], 1))
    problems = problems_html(preview["problems"])
    return (f'<section class="preview" aria-label="{_t("title")}">{_facts_html(preview)}{problems}{legend}'
            f'<ol class="rows" tabindex="0" aria-label="{_t("rows_label")}">{rows}</ol></section>')


def error_html(error: StudioError) -> str:
    """A data set that cannot be shown: cause and next step."""
    return (f'<div class="finding error" role="alert"><span class="mark" aria-hidden="true">✕</span><div>'
            f"<strong>{html.escape(error.message)}</strong> {html.escape(error.hint)}</div></div>")


def empty_html() -> str:
    """Keeps the room of the preview before there is one."""
    return f'<div class="preview empty"><p>{_t("empty")}</p></div>'


def problems_html(problems: list[str]) -> str:
    """The data set's problems, worst first, as a short list; "" where there are none."""
    if not problems:
        return ""
    items = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    return f'<ul class="problems" aria-label="{_t("problems")}">{items}</ul>'


def _facts_html(preview: dict[str, Any]) -> str:
    facts = [text("train.preview.rows", rows=words.count(preview["n_rows"])),
             text("train.preview.format", format=preview["format"])]
    return '<p class="facts">' + "".join(f"<span>{html.escape(fact)}</span>" for fact in facts) + "</p>"


def _row_html(number: int, row: dict[str, Any]) -> str:
    pieces = "".join(
        f'<mark class="trained">{html.escape(part["text"])}</mark>' if part["trained"] else html.escape(part["text"])
        for part in row["segments"])
    note = text("train.preview.tokens", tokens=words.count(row["tokens"]), trained=words.count(row["trained_tokens"]))
    return f'<li><pre>{pieces}</pre><small>{html.escape(note)}</small></li>'


def _t(key: str) -> str:
    return html.escape(text(f"train.preview.{key}"))

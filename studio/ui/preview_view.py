"""The data preview as HTML: what was found, what is wrong, and rows as the model reads them, the learned part marked.

Everything from the data set is escaped here; nothing else of it reaches the page as HTML.
"""

import html
from typing import Any

from studio import words
from studio.data.preview_client import Preview, Problem
from studio.errors import StudioError
from studio.ui.texts import text

MARKS = {"error": "✕", "warning": "!"}


def preview_html(preview: Preview) -> str:
    """Facts, problems (worst first) and the first rows."""
    problems = sorted(preview.problems, key=lambda problem: list(MARKS).index(problem.level))
    listed = "".join(_problem_html(problem) for problem in problems)
    cut = any(part["cut"] for row in preview.rows for part in row["segments"])
    legend = (f'<p class="legend"><mark class="trained">{_t("learned")}</mark> {_t("legend")}'
              + (f' <s class="cut">{_t("cut")}</s> {_t("cut_legend")}' if cut else "") + "</p>")
    rows = "".join(_row_html(row) for row in preview.rows)
    return (f'<section class="preview" aria-label="{_t("title")}">{_facts_html(preview)}{listed}{legend}'
            f'<ol class="rows" tabindex="0" aria-label="{_t("rows_label")}">{rows}</ol></section>')


def error_html(error: StudioError) -> str:
    """A data set that cannot be shown: cause and next step."""
    return f'<div role="alert">{_problem_html(Problem("error", error.message, error.hint, error.field))}</div>'


def empty_html() -> str:
    """Keeps the room of the preview before there is one."""
    return f'<div class="preview empty"><p>{_t("empty")}</p></div>'


def _facts_html(preview: Preview) -> str:
    train, heldout = words.count(preview.train_rows), words.count(preview.heldout_rows)
    facts = {
        "source": preview.source,
        "rows": text("train.preview.rows_value", train=train, heldout=heldout),
        "format": text("train.preview.format_value", format=text(f"train.preview.formats.{preview.format}"),
                       columns=", ".join(preview.columns.values())),
        "tokens": text("train.preview.tokens_value", mean=words.count(round(preview.mean_tokens)),
                       longest=words.count(preview.longest_tokens)),
    }
    return '<dl class="facts">' + "".join(
        f"<dt>{_t(f'facts.{key}')}</dt><dd>{html.escape(value)}</dd>" for key, value in facts.items()) + "</dl>"


def _problem_html(problem: Problem) -> str:
    return (f'<div class="finding {problem.level}"><span class="mark" aria-hidden="true">{MARKS[problem.level]}</span>'
            f"<div><strong>{html.escape(problem.message)}</strong> {html.escape(problem.hint)}</div></div>")


def _row_html(row: dict[str, Any]) -> str:
    pieces = "".join(_piece_html(part) for part in row["segments"]) + (" …" if row["shortened"] else "")
    tokens, trained = words.count(row["tokens"]), words.count(row["trained_tokens"])
    note = text("train.preview.row_tokens", tokens=tokens, trained=trained)
    return f'<li value="{row["number"]}"><pre>{pieces}</pre><small>{html.escape(note)}</small></li>'


def _piece_html(part: dict[str, Any]) -> str:
    escaped = html.escape(part["text"])
    if part["cut"]:
        return f'<s class="cut">{escaped}</s>'
    return f'<mark class="trained">{escaped}</mark>' if part["trained"] else escaped


def _t(key: str) -> str:
    return html.escape(text(f"train.preview.{key}"))

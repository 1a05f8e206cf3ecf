"""Rows as the model reads them, as HTML: the learned part marked, what is cut off struck out.

Everything from the data set is escaped here; nothing else of it reaches the page as HTML.
"""

import html
from typing import Any

from studio.errors import StudioError
from studio.texts import text


def legend_html(cut: bool) -> str:
    """What the marks mean; with `cut` also what is struck out."""
    struck = f' <s class="cut">{_t("cut")}</s> {_t("cut_legend")}' if cut else ""
    return f'<p class="legend"><mark class="trained">{_t("learned")}</mark> {_t("legend")}{struck}</p>'


def pieces_html(row: dict[str, Any]) -> str:
    """The text of a rendered row; "" for one that cannot be rendered."""
    return "".join(_piece_html(part) for part in row["segments"]) + (" …" if row["shortened"] else "")


def error_html(error: StudioError) -> str:
    """Rows that cannot be shown: cause and next step."""
    return (f'<div role="alert"><div class="finding error"><span class="mark" aria-hidden="true">✕</span>'
            f"<div><strong>{html.escape(error.message)}</strong> {html.escape(error.hint)}</div></div></div>")


def empty_html() -> str:
    """Keeps the room of the rows before there are any."""
    return f'<div class="preview empty"><p>{_t("empty")}</p></div>'


def _piece_html(part: dict[str, Any]) -> str:
    escaped = html.escape(part["text"])
    if part["cut"]:
        return f'<s class="cut">{escaped}</s>'
    return f'<mark class="trained">{escaped}</mark>' if part["trained"] else escaped


def _t(key: str) -> str:
    return html.escape(text(f"train.preview.{key}"))

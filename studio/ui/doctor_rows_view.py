"""A page of rows as HTML: as the model reads them, what is wrong with each, and what can be done with it by hand.

Everything from the data set is escaped here.
"""

import html
from typing import Any

from studio import words
from studio.data.rows_client import RowsPage
from studio.data.sources import HUB_ROWS, has_own_heldout
from studio.preset.schema import DataSection
from studio.texts import text
from studio.ui.preview_view import legend_html, pieces_html

PAGE_ROWS = 10
# each button says what it does and with which row; the page around it says which rows are shown
ROWS_JS = """
let last = null;
element.addEventListener('click', event => {
  const button = event.target.closest('button[data-act]');
  if (!button) return;
  const page = element.querySelector('.row-page'), row = button.closest('li');
  last = {act: button.dataset.act, row: row ? row.dataset.row : ''};
  trigger('select', {
    act: button.dataset.act, row: Number(last.row), text: row?.querySelector('textarea')?.value ?? '',
    offset: Number(button.dataset.offset ?? page.dataset.offset), seed: page.dataset.seed, data: page.dataset.name});
});
watch('value', () => requestAnimationFrame(() => {
  if (!last) return;
  const row = last.row && element.querySelector(`li[data-row="${last.row}"]`);
  const list = element.querySelector('.rows');
  (row ? row.querySelector('button, summary') : list)?.focus({preventScroll: Boolean(row)});
  last = null;
}));
"""


def rows_html(page: RowsPage, section: DataSection, offset: int, seed: str) -> str:
    """The rows of a data set from `offset` on, or drawn at random with `seed`, and the way to other pages."""
    cut = any(part["cut"] for row in page.rows for part in row["segments"])
    items = "".join(_row_html(row) for row in page.rows)
    listed = (f'<ol class="rows" tabindex="0" aria-label="{_t("list")}">{items}</ol>' if page.rows
              else f'<p class="no-rows">{html.escape(_none(page))}</p>')
    return (f'<section class="preview row-page" aria-label="{_t("title")}" data-offset="{offset}" '
            f'data-seed="{html.escape(seed)}" data-name="{html.escape(section.dataset_name)}">'
            f'{_first_html(page)}{_apart_html(section)}{legend_html(cut)}{listed}'
            f'{_pager_html(page, offset, seed)}</section>')


def _first_html(page: RowsPage) -> str:
    """That only the first rows are here, where the data set is on the Hub and may have more."""
    if not page.only_first or page.searched < HUB_ROWS:
        return ""
    return f'<p class="apart">{html.escape(text("doctor.rows.hub_first", n=words.count(page.searched)))}</p>'


def _apart_html(section: DataSection) -> str:
    """That the rows to judge by are not among these, where they come from a source of their own."""
    if not has_own_heldout(section):
        return ""
    name = words.plain(section.dataset_test_split or section.dataset_name, 60)
    return f'<p class="apart">{html.escape(text("doctor.rows.heldout_apart", name=name))}</p>'


def _none(page: RowsPage) -> str:
    return text("doctor.rows.none_searched", searched=words.count(page.searched))


def _pager_html(page: RowsPage, offset: int, seed: str) -> str:
    total = words.count(page.total)
    if seed:
        said = text("doctor.rows.drawn", n=words.count(len(page.rows)), total=total)
        return f'<nav class="pager" aria-label="{_t("list")}"><span role="status">{html.escape(said)}</span></nav>'
    said = "" if not page.rows else text(
        "doctor.rows.range", first=words.count(offset + 1), last=words.count(offset + len(page.rows)), total=total)
    before, after = max(0, offset - PAGE_ROWS), offset + PAGE_ROWS
    return (f'<nav class="pager" aria-label="{_t("list")}">{_turn_html("previous", before, offset > 0)}'
            f'<span role="status">{html.escape(said)}</span>{_turn_html("next", after, after < page.total)}</nav>')


def _turn_html(key: str, offset: int, possible: bool) -> str:
    off = "" if possible else " disabled"
    return f'<button type="button" class="fix" data-act="turn" data-offset="{offset}"{off}>{_t(key)}</button>'


def _row_html(row: dict[str, Any]) -> str:
    pieces = pieces_html(row)
    if pieces:
        note = text("train.preview.row_tokens", tokens=words.count(row["tokens"]),
                    trained=words.count(row["trained_tokens"]))
        body = f'<pre>{pieces}</pre><small>{html.escape(note)}</small>'
    else:
        said = text("doctor.rows.not_used", detail=words.plain(row["detail"], 300)) if row["detail"] else text(
            "doctor.rows.not_used_plain")
        body = f'<p class="not-used">{html.escape(said)}</p>' + (f'<pre>{html.escape(row["source"])}</pre>'
                                                                 if row["source"] else "")
    kind = " excluded" if row["excluded"] else ""
    return (f'<li class="row{kind}" data-row="{row["number"]}">{_head_html(row)}{body}'
            f'{_actions_html(row) if row["number"] else ""}</li>')


def _head_html(row: dict[str, Any]) -> str:
    place = row["file"]
    if row["line"]:
        place = text("doctor.rows.place", file=words.plain(row["file"], 60), line=words.count(row["line"]))
    number = f'<strong>{html.escape(text("doctor.rows.row", row=words.count(row["number"])))}</strong> ' if row[
        "number"] else ""
    signs = [(text("doctor.rows.left_out"), "done")] if row["excluded"] else []
    signs += [(text("doctor.rows.edited"), "done")] if row["edited"] else []
    signs += [(_problem(name), "problem") for name in row["problems"]]
    signs += [(kind, "problem") for kind in row["masked"]]
    shown = "".join(f'<span class="sign {kind}">{html.escape(words.plain(said))}</span>' for said, kind in signs)
    return f'<p class="row-head">{number}<span class="place">{html.escape(place)}</span>{shown}</p>'


def _actions_html(row: dict[str, Any]) -> str:
    buttons = ""
    if not row["excluded"]:
        buttons += _action_html("exclude", "leave_out", row)
    if row["excluded"] or row["edited"]:
        buttons += _action_html("restore", "undo", row)
    if row["excluded"]:
        return f'<div class="row-actions">{buttons}</div>'
    if row["is_long"]:
        return f'<div class="row-actions">{buttons}<small>{_t("too_long")}</small></div>'
    number = words.count(row["number"])
    label = html.escape(text("doctor.rows.edit_label", row=number))
    lines = min(16, 1 + row["source"].count("\n"))
    before = f'<p>{_t("source")}</p><pre>{html.escape(row["original"])}</pre>' if row["edited"] else ""
    # HTML takes away one line break at the beginning
    return (f'<div class="row-actions">{buttons}<details><summary>{_t("edit")}</summary>'
            f'<textarea aria-label="{label}" rows="{lines}" spellcheck="false">\n'
            f'{html.escape(row["source"])}</textarea>'
            f'{_action_html("replace", "save", row)}{before}</details></div>')


def _action_html(act: str, key: str, row: dict[str, Any]) -> str:
    label = html.escape(text("doctor.rows.for_row", action=text(f"doctor.rows.{key}"), row=words.count(row["number"])))
    return f'<button type="button" class="fix" data-act="{act}" aria-label="{label}">{_t(key)}</button>'


def _problem(name: str) -> str:
    return text(f"doctor.problems.{name}")


def _t(key: str) -> str:
    return html.escape(text(f"doctor.rows.{key}"))

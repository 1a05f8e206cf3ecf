"""The data doctor's report as HTML: verdict, facts, findings with places and fixes. Everything is escaped here."""

import html
from typing import Any

from studio import words
from studio.data.languages import UNKNOWN
from studio.errors import StudioError
from studio.preset.schema import Preset
from studio.texts import text
from studio.ui.doctor_figures import figures_html
from studio.ui.findings_view import MARKS, fix_html

UNSURE = 0.9
PLACES_SHOWN, FILES_SHOWN, LANGUAGES_SHOWN = 10, 5, 4
# errors that data.bad_rows does not settle: of the whole file, the held-out rows, all rows' shape
UNSETTLED = {"unreadable_file", "heldout_unusable", "not_trained_yet"}
# finding -> the preset field and value that settle it, and the text of the button
SETTLING = {
    "duplicates": ("drop_duplicates", True, "drop_duplicates"),
    "secrets": ("mask", "secrets", "mask_secrets"),
    "personal_data": ("mask", "all", "mask_all"),
}
# columns are opened by the page itself; all else is for the server to do
REPORT_JS = """
element.addEventListener('click', event => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.fix) trigger('select', {fix: JSON.parse(button.dataset.fix)});
  if (button.dataset.exact !== undefined) trigger('submit');
  if (button.dataset.open !== undefined) {
    const fold = document.querySelector('#columns'), opener = fold.querySelector('button');
    if (!fold.querySelector('#mapping')?.offsetParent) opener.click();
    fold.scrollIntoView({block: 'start', behavior: 'smooth'});
    opener.focus({preventScroll: true});
  }
});
"""


def empty_html() -> str:
    """Keeps the room of the report before there is one."""
    return f'<div class="report preview empty"><p>{_t("report.empty")}</p></div>'


def error_html(error: StudioError) -> str:
    """A data set that cannot be examined: cause, next step, and the field to empty where that settles it."""
    fix, label = {}, ""
    if error.field == "data.edits":
        fix, label = {"data.edits": ""}, text("doctor.findings.no_edits")
    elif error.field.startswith("data.") and error.field.endswith("_column"):
        fix, label = {error.field: ""}, text("doctor.findings.find_column")
    opener = _open_html() if error.field == "data.format" or error.field.endswith(("_column", "_template")) else ""
    box = _box("error", error.message, error.hint, fix_html(fix, label) + opener)
    return f'<div class="report" role="alert">{box}</div>'


def report_html(report: dict[str, Any], preset: Preset, is_first: bool) -> str:
    """The whole report, or what of it is known of the first rows; `preset` says what is settled already."""
    longer = report["tokens"]["suggested_max_length"] if report["tokens"] else 0
    findings = [_settled(finding, preset, report["shape"]["format"], longer) for finding in report["findings"]]
    findings.sort(key=lambda finding: list(MARKS).index(finding["level"]))
    listed = "".join(_finding_html(finding) for finding in findings) or _box("ok", text("doctor.findings.none"))
    return (f'<section class="report" aria-label="{_t("report.title")}">{_verdict_html(report, findings, is_first)}'
            f'{_facts_html(report)}<h3>{_t("findings.title")}</h3>{listed}{figures_html(report, preset)}</section>')


def _verdict_html(report: dict[str, Any], findings: list[dict[str, Any]], is_first: bool) -> str:
    """One sentence, and below it what it is true of. The mark says whether a run would start."""
    stops = any(finding["level"] == "error" for finding in findings)
    learns = report["usable_rows"] and (report["tokens"] is None or report["tokens"]["mean_trained"])
    level = "error" if stops or not learns else "ok"
    note = ""
    if is_first:
        key = "report.tokens_follow" if report["complete"] else "report.first"
        note = text(f"doctor.{key}", rows=words.count(report["rows"]))
    elif not report["complete"]:
        note = text("doctor.report.stopped", rows=words.count(report["rows"]))
    state = ("not_ready" if level == "error" else "so_far" if is_first and not report["complete"]
             else "ready" if report["may_train"] else "settled")
    return (f'<div class="verdict {level}" role="status"><p><strong>{html.escape(report["verdict"])}</strong></p>'
            f'<p><span aria-hidden="true">{"✕" if level == "error" else "✓"}</span> {_t(f"report.{state}")}</p>'
            + (f"<p><small>{html.escape(note)}</small></p>" if note else "") + "</div>")


def _facts_html(report: dict[str, Any]) -> str:
    shape, rows, usable = report["shape"], words.count(report["rows"]), words.count(report["usable_rows"])
    kind = text(f"train.preview.formats.{shape['format']}")
    columns = ", ".join(words.plain(column, 40) for column in shape["columns"].values())
    shown = html.escape(text("doctor.facts.format_value", format=kind, columns=columns) if columns
                        else text("doctor.facts.format_templates", format=kind))
    if shape["confidence"] < UNSURE:
        guess = text("doctor.facts.guessed", confidence=words.percent(shape["confidence"]), reason=shape["reason"])
        shown += f"<br><small>{html.escape(guess)}</small>"
    facts = {
        "source": html.escape(words.plain(report["source"].rpartition("/")[2] or report["source"])),
        "rows": html.escape(text("doctor.facts.rows_all", rows=rows) if rows == usable
                            else text("doctor.facts.rows_some", usable=usable, rows=rows)),
        "format": f"{shown} {_open_html()}",
    }
    if len(report["files"]) > 1:
        names = ", ".join(words.plain(file["name"], 60) for file in report["files"][:FILES_SHOWN])
        more = " …" if len(report["files"]) > FILES_SHOWN else ""
        facts["files"] = html.escape(text("doctor.facts.files_value", n=words.count(len(report["files"])),
                                          names=names + more))
    encodings = list(dict.fromkeys(file["encoding"] for file in report["files"] if file["encoding"]))
    if encodings not in ([], ["UTF-8"]):
        facts["encoding"] = html.escape(", ".join(encodings))
    if report["languages"]:
        facts["languages"] = html.escape(_languages(report["languages"]))
    listed = "".join(f"<dt>{_t(f'facts.{key}')}</dt><dd>{value}</dd>" for key, value in facts.items())
    return f'<dl class="facts">{listed}</dl>'


def _languages(counts: dict[str, int]) -> str:
    total = sum(counts.values())
    most = sorted(counts.items(), key=lambda item: -item[1])[:LANGUAGES_SHOWN]
    named = ", ".join(f"{text('doctor.facts.unknown_language') if code == UNKNOWN else code} {_share(n, total)}"
                      for code, n in most)
    return text("doctor.facts.languages_value", named=named, rows=words.count(total))


def _share(n: int, total: int) -> str:
    return words.percent(n / total) if n * 100 >= total else "< 1 %"


def _settled(finding: dict[str, Any], preset: Preset, format: str, longer: int) -> dict[str, Any]:
    """The finding with its buttons; one that the preset settles is information, and says how.

    `format` is that of the rows' shape; `longer` the length (tokens) that is suggested for the longest row, 0 where
    there is none.
    """
    name = finding["name"]
    raising = ""
    if name in ("truncated", "all_labels_masked") and longer > preset.training.max_length:
        raising = fix_html({"training.max_length": longer}, text("doctor.findings.raise", n=words.count(longer)))
    if name in SETTLING:
        field, value, label = SETTLING[name]
        if finding["outcome"]:
            return finding | {"level": "info", "fix": finding["outcome"], "buttons": ""}
        return finding | {"buttons": fix_html({f"data.{field}": value}, text(f"doctor.findings.{label}"))}
    if finding["level"] == "error" and name not in UNSETTLED:
        if finding["outcome"]:
            undo = fix_html({"data.bad_rows": "stop"}, text("doctor.findings.stop"))
            return finding | {"level": "info", "fix": finding["outcome"], "buttons": undo}
        # a file in another encoding is not left out row by row, and no mend gives a row something to learn
        ways = {"encoding": ("fix",), "all_labels_masked": ("drop",)}.get(name, ("drop", "fix"))
        return finding | {"buttons": raising + "".join(
            fix_html({"data.bad_rows": way}, text(f"doctor.findings.{way}"))
            for way in ways if way != preset.data.bad_rows)}
    if name == "not_trained_yet" and format == "preference":
        return finding | {"buttons": fix_html({"data.format": "prompt_completion"})}
    return finding | {"buttons": _open_html() if name == "guessed_columns" else raising}


def _finding_html(finding: dict[str, Any]) -> str:
    return _box(finding["level"], finding["message"], finding["fix"], finding["buttons"], _places_html(finding))


def _box(level: str, message: str, hint: str = "", buttons: str = "", more: str = "") -> str:
    word = f'<span class="unseen">{html.escape(text(f"train.check.{level}"))}: </span>' if level in MARKS else ""
    said = f'<div class="fixes">{buttons}</div>' if buttons else ""
    return (f'<div class="finding {level}"><span class="mark" aria-hidden="true">{(MARKS | {"ok": "✓"})[level]}</span>'
            f"<div>{word}<strong>{html.escape(message)}</strong> {html.escape(hint)}{more}{said}</div></div>")


def _places_html(finding: dict[str, Any]) -> str:
    """The first places, folded where there are several."""
    places = [_place(place) for place in finding["places"] if place["file"]][:PLACES_SHOWN]
    if not places:
        return ""
    if len(places) == 1:
        return f'<div class="places">{html.escape(text("doctor.findings.places", first=places[0]))}</div>'
    rest = words.count(max(finding["count"], len(places)) - 1)
    summary = text("doctor.findings.places_more", first=places[0], n=rest)
    cut = text("doctor.findings.only_first", n=len(places), count=words.count(finding["count"]))
    note = f"<small>{html.escape(cut)}</small>" if finding["count"] > len(places) else ""
    items = "".join(f"<li>{html.escape(place)}</li>" for place in places)
    return f'<details class="places"><summary>{html.escape(summary)}</summary><ul>{items}</ul>{note}</details>'


def _place(place: dict[str, Any]) -> str:
    file = words.plain(place["file"], 60)
    if place["line"]:
        said = text("doctor.findings.place", file=file, line=words.count(place["line"]))
    elif place["in_file"]:
        said = text("doctor.findings.place_row", file=file, row=words.count(place["in_file"]))
    else:
        said = file
    return f"{said}: {words.plain(place['detail'], 200)}" if place["detail"] else said


def _open_html() -> str:
    return f'<button type="button" class="fix" data-open>{_t("findings.columns")}</button>'


def _t(key: str) -> str:
    return html.escape(text(f"doctor.{key}"))

"""What a run's page tells of its data: the doctor's report kept with the run, and the rows left out or changed."""

import html
import json
from itertools import islice
from pathlib import Path
from typing import Any

from studio import words
from studio.data.account import ACCOUNT_FILE
from studio.runs.store import RunView
from studio.start import DATA_REPORT_FILE
from studio.texts import text
from studio.ui.doctor_view import report_html

ROWS_SHOWN = 50


def data_html(view: RunView) -> str:
    """The report as the Data step showed it, and the first rows of the account with their reasons."""
    said = [_report_html(view), _account_html(view.run_dir / ACCOUNT_FILE)]
    return "".join(said) or f'<p class="runs-note">{_t("none")}</p>'


def _report_html(view: RunView) -> str:
    try:
        report = json.loads((view.run_dir / DATA_REPORT_FILE).read_text())
        return report_html(report, view.preset, is_first=False)
    except FileNotFoundError:
        return ""
    except (AttributeError, KeyError, TypeError, ValueError):  # a folder written by another version of the studio
        return f'<p class="runs-note">{_t("unknown")}</p>'


def _account_html(path: Path) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            entries = [json.loads(line) for line in islice(file, ROWS_SHOWN + 1)]
        items = "".join(f"<li>{html.escape(_entry(entry))}</li>" for entry in entries[:ROWS_SHOWN])
    except FileNotFoundError:
        return ""
    except (KeyError, TypeError, ValueError):
        return f'<p class="runs-note">{_t("unknown")}</p>'
    if not entries:
        return f'<p class="runs-note">{_t("all_rows")}</p>'
    note = f'<p class="runs-note">{_t("more", n=ROWS_SHOWN, file=path.name)}</p>' if len(entries) > ROWS_SHOWN else ""
    return f'<h4>{_t("account")}</h4><ul class="runs-rows">{items}</ul>{note}'


def _entry(entry: dict[str, Any]) -> str:
    place = text("doctor.findings.place", file=words.plain(entry["file"], 60), line=words.count(entry["line"])) \
        if entry["line"] else text("doctor.findings.place_row", file=words.plain(entry["file"], 60),
                                   row=words.count(entry["row"]))
    done = text(f"runs.data.{'left_out' if entry['left_out'] else 'changed'}")
    detail = f" ({words.plain(entry['detail'], 200)})" if entry["detail"] else ""
    reason = text(f"doctor.problems.{entry['reason']}")
    return f"{place}: {done}, {reason}{detail}"


def _t(key: str, **values: Any) -> str:
    return html.escape(text(f"runs.data.{key}", **values))

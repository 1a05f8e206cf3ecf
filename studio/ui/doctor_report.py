"""Wires the report of the Data step: an examination starts with the data set, is watched by a tick, and can be ended.

What a page watches is remembered here by a hash of its preset and of the page, so a tick costs one look into a table:
it reads no preset, no file and no data.
"""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.data import doctor_client
from studio.data.doctor_client import Examination
from studio.errors import StudioError
from studio.preset.files import dumps, override
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.texts import text
from studio.ui.access import hub_token, is_owner, require_owner
from studio.ui.doctor_progress import progress_of
from studio.ui.doctor_view import REPORT_JS, UNSURE, empty_html, error_html, report_html
from studio.ui.draft import preset_from
from studio.ui.messages import shown
from studio.ui.progress_bar import build_progress
from studio.ui.sheet import filled

TICK_S = 0.5
WATCHED = 64
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class ReportPart:
    """The components. Hidden: `asked` is the key of the examination wanted, `seen` "<key> <what of it is shown>",
    `unsure` "<key> guessed" or "<key> known" of the columns, and `changed` says that a button changed the preset."""

    progress: gr.HTML
    report: gr.HTML
    asked: gr.Textbox
    seen: gr.Textbox
    changed: gr.Textbox
    unsure: gr.Textbox
    timer: gr.Timer


@dataclass
class _Watched:
    """An examination, the preset it is shown for, and when it was asked for (seconds of the monotonic clock)."""

    examination: Examination
    preset: Preset
    began: float


_watched: OrderedDict[str, _Watched] = OrderedDict()


def build_report() -> ReportPart:
    """The bar and the report, into the present column."""
    progress = build_progress(text("doctor.report.progress_label"), "examination", text("doctor.report.cancel"))
    report = gr.HTML(empty_html(), js_on_load=REPORT_JS, elem_id="doctor", elem_classes="flush")
    asked, seen, changed, unsure = (gr.Textbox(visible=False) for _ in range(4))
    return ReportPart(progress, report, asked, seen, changed, unsure, gr.Timer(TICK_S, active=False))


def wire_report(settings: Settings, part: ReportPart, proposed: gr.HTML, stored: gr.BrowserState,
                fields: dict[str, Any], sheet: list[Any], hub_key: gr.Textbox) -> dict[str, Any]:
    """Wire tick, cancel and the buttons of fixes, also those of `proposed` columns. `hub_key` holds a pasted token.

    Returns the event that starts an examination. All that starts one must be triggers of one `gr.on`, so that the last
    answer is that of the last question.
    """
    outputs = [part.progress, part.report, part.seen, part.unsure, part.timer]

    def examine(
        pasted: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, request: gr.Request, **values: Any
    ) -> list[Any]:
        try:
            require_owner(settings, profile)
            preset = preset_from(values)
            examination = doctor_client.examination(preset, settings, hub_token(settings, token, pasted))
        except StudioError as error:
            return ["", {}, error_html(error), "", _asks_columns(error, "refused"), gr.Timer(active=False)]
        # one page's Cancel is not another's
        key = hashlib.sha256(f"{request.session_hash} {dumps(preset, comments=False)}".encode()).hexdigest()
        _watch(key, preset, examination)
        return [key, *_shown(key, "")]

    @shown
    def count_every_row(key: str, pasted: str, profile: gr.OAuthProfile | None,
                        token: gr.OAuthToken | None) -> list[Any]:
        require_owner(settings, profile)
        if key not in _watched:  # so old that it is forgotten: the next look at the data starts anew
            return [gr.skip()] * len(outputs)
        preset = _watched[key].preset
        _watch(key, preset, doctor_client.examination(
            preset, settings, hub_token(settings, token, pasted), exact=True))
        return _shown(key, "")

    def watch(key: str, seen: str, profile: gr.OAuthProfile | None) -> list[Any]:
        if key not in _watched or not is_owner(settings, profile):
            return [gr.skip()] * 4 + [gr.Timer(active=False)]
        return _shown(key, seen)

    @shown
    def cancel(key: str, profile: gr.OAuthProfile | None) -> None:
        require_owner(settings, profile)
        watched = _watched.get(key)
        if watched is not None:
            watched.examination.cancel()

    @shown
    def mend(event: gr.EventData, draft: dict[str, Any], profile: gr.OAuthProfile | None, **values: Any) -> list[Any]:
        require_owner(settings, profile)
        return filled(override(preset_from(values), event.fix), draft["origin"])

    # the answer to a tick may come after that to a newer question: what it shows is then shown anew
    gr.on([part.timer.tick, part.seen.change], watch, [part.asked, part.seen], outputs, **QUIET)
    part.progress.select(cancel, part.asked, None, **CLICK)
    part.report.submit(count_every_row, [part.asked, hub_key], outputs, show_progress="hidden", **CLICK)
    mended = gr.on([part.report.select, proposed.select], mend, stored, sheet, inputs_kwargs=fields,
                   show_progress="hidden", **CLICK)
    mark_changed(mended, part)
    return {"fn": examine, "inputs": hub_key, "outputs": [part.asked, *outputs], "inputs_kwargs": fields,
            "show_progress": "hidden", "trigger_mode": "always_last", **CLICK}


def mark_changed(event: Any, part: ReportPart) -> None:
    """Let `changed` tell of an event that changes the sheet, once it has: among its outputs it would tell too early."""
    event.success(lambda: str(time.time_ns()), None, part.changed, **QUIET)


def _watch(key: str, preset: Preset, examination: Examination) -> None:
    _watched[key] = _Watched(examination, preset, time.monotonic())
    while len(_watched) > WATCHED:
        _watched.popitem(last=False)


def _shown(key: str, seen: str) -> list[Any]:
    """Updates of bar, report, what is shown, unsure columns and timer; the report only where it is another."""
    watched = _watched[key]
    state = watched.examination.state()
    bar = progress_of(state, time.monotonic() - watched.began)
    known, _, seen = seen.partition(" ")
    seen = seen if known == key else ""
    has = "error" if state.error else "none" if state.report is None else "first" if state.is_first else "report"
    if has == "first":
        has += str(state.report["rows"])
    page, unsure = gr.skip(), gr.skip()
    if state.error is not None and has != seen:
        page, unsure = error_html(state.error), _asks_columns(state.error, key)
    elif state.report is not None and has != seen:
        page = report_html(state.report, watched.preset, state.is_first)
        unsure = f"{key} {'guessed' if state.report['shape']['confidence'] < UNSURE else 'known'}"
    elif has == "none" and not seen:
        page = empty_html()
    return [bar, page, f"{key} {has}", unsure, gr.Timer(active=not state.done)]


def _asks_columns(error: StudioError, key: str) -> str:
    asks = error.field == "data.format" or error.field.endswith(("_column", "_template"))
    return f"{key} {'guessed' if asks else 'known'}"

"""The header that every tab shares: where one is, the device, and the run that is working, which is a link to it."""

import html
from functools import lru_cache
from time import monotonic

from studio import words
from studio.runs.device import Device, probe_device
from studio.runs.events import RunStage
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text

# twenty open pages ask as often as one: what they are told may be this old
DEVICE_AGE_S, RUN_AGE_S = 10, 1
# without this the link reloads the page; with it the run opens in place (middle click still opens a new page)
OPEN_JS = """
element.addEventListener('click', event => {
  const link = event.target.closest('a[data-run]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  event.stopPropagation();
  trigger('select', {run: link.dataset.run});
});
"""


def header_html(settings: Settings, store: RunStore, shows_runs: bool = True) -> str:
    """Title, running run, device chip, and on a disk that a restart empties a line that says so."""
    run = _working(store, int(monotonic() / RUN_AGE_S)) if shows_runs else None
    lost = "" if settings.data_is_lasting else f'<p class="lost" role="note">{_t("data_is_lost")}</p>'
    return (f'<header class="studio-header"><h1>{_t("title")}</h1><div class="header-facts">{_run_html(run)}'
            f'{_device_html(_device(int(monotonic() / DEVICE_AGE_S)))}</div></header>{lost}')


def _run_html(run: RunView | None) -> str:
    if run is None:
        return f'<span class="chip quiet">{_t("idle")}</span>'
    facts = [words.percent(run.progress)] if run.progress is not None else []
    facts += [text("app.left", time=words.rough_duration(run.eta_s))] if run.eta_s else []
    waits = run.state.stage is RunStage.QUEUED
    state = text("app.queued") if waits else text(f"app.phases.{run.state.phase or 'train'}")
    run_id, name = html.escape(run.run_id), html.escape(f"{state}: {run.name}")
    return (f'<a class="chip run" href="?run={run_id}" data-run="{run_id}"><span class="dot" aria-hidden="true"></span>'
            f'<span class="run-name">{name}</span><span class="run-facts">{html.escape(", ".join(facts))}</span></a>')


def _device_html(device: Device) -> str:
    used = text("app.used", used=words.size(device.memory_used_bytes), total=words.size(device.memory_bytes))
    return (f'<span class="chip device" title="{_t("device_help")}">{html.escape(device.name)} '
            f'<span class="run-facts">{html.escape(used)}</span></span>')


def _working(store: RunStore, moment: int) -> RunView | None:
    """The run that uses the device, else the first that waits for it, else None."""
    live = _live(store, moment)
    busy = [view for view in live if view.state.stage is not RunStage.QUEUED]
    return (busy or live or [None])[-1]


@lru_cache(maxsize=2)
def _live(store: RunStore, moment: int) -> tuple[RunView, ...]:
    return tuple(view for view in store.list(RUN_AGE_S) if view.is_live)


@lru_cache(maxsize=1)
def _device(moment: int) -> Device:
    return probe_device()


def _t(key: str) -> str:
    return html.escape(text(f"app.{key}"))

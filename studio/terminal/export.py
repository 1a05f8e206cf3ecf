"""An export in a terminal: what was written, what was left out, and a push with a line that shows how far it is."""

import os
import sys

from studio import words
from studio.data.export import ACCOUNT, Exported
from studio.errors import StudioError
from studio.preset.schema import Preset
from studio.publishing import hub
from studio.publishing.dataset import push_dataset
from studio.publishing.push import Watchdog
from studio.publishing.upload import Progress, PushResult
from studio.settings import Settings
from studio.terminal.line import LiveLine

EXIT_SILENT = 2


def push(
    exported: Exported, preset: Preset, settings: Settings, repo_id: str, *, private: bool, quiet: bool
) -> PushResult:
    """Push as the machine's token may; ends the program where the Hub is silent too long. Raises `HubError`."""
    line = LiveLine(quiet)
    watchdog = Watchdog(settings.push_silence_s, _end_silent)

    def show(progress: Progress) -> None:
        doing = f"{progress.doing} {progress.file}".strip()
        watchdog.alive(doing[0].lower() + doing[1:])
        line.show(doing)

    watchdog.start()
    try:
        return push_dataset(exported, preset, repo_id, hub.resolve_token(), private=private, on_progress=show)
    finally:
        watchdog.stop()
        line.clear()


def print_export(exported: Exported, pushed: PushResult | None) -> None:
    """Rows, where they are, and what was left out or changed."""
    heldout = f", {exported.heldout_rows:,} held back" if exported.heldout_rows else ""
    print(f"{exported.train_rows:,} rows to learn from{heldout}, from {exported.source}")
    for name in exported.files:
        path = exported.folder / name
        print(f"  {path}  {words.size(path.stat().st_size)}")
    if exported.left_out:
        print(f"  left out: {exported.left_out}")
    if exported.changed:
        print(f"  changed: {exported.changed}")
    if exported.left_out or exported.changed:
        print(f"  {exported.folder / ACCOUNT} lists them")
    if pushed is not None:
        sent = f"{words.size(pushed.sent_bytes)} sent" if pushed.sent_bytes else "nothing was new"
        print(f"Pushed to {pushed.url} ({'private' if pushed.private else 'public'}, {sent})")


def _end_silent(error: StudioError) -> None:
    """The thread that waits for the Hub cannot be interrupted."""
    print(error, file=sys.stderr, flush=True)
    os._exit(EXIT_SILENT)

"""The publish phase of a run: card, files, push, and how it ended. One process, killable at any moment, repeatable.

The Hub's client waits for ever on a server that takes a file and never answers. A watchdog therefore ends the whole
process once nothing has moved for the silence limit, after writing the reason into the journal.
"""

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from studio import words
from studio.errors import HubError, RunError, StudioError
from studio.preset import files
from studio.publishing import card, hub, hub_errors
from studio.publishing.release import stage
from studio.publishing.request import PublishRequest, read_request
from studio.runs.events import EventWriter, RunStage

EXIT_DEFECT, EXIT_STUDIO_ERROR = 1, 3
PROGRESS_EVERY_S = 0.5


def publish(run_dir: Path, silence_s: float) -> int:
    """Push the run's model as `publish.json`, or else the preset, asks; returns the exit code.

    `silence_s` is how long nothing may move, in seconds, before the push ends with an error.
    """
    journal = EventWriter(run_dir)
    watchdog = Watchdog(silence_s, lambda error: _end_silent(journal, error))
    try:
        journal.stage(RunStage.RUNNING, "publish")
        watchdog.start()
        journal.done("publish", _push(run_dir, journal, watchdog))
        return 0
    except StudioError as error:
        print(error, file=sys.stderr)
        journal.error("publish", error.message, error.hint)
        return EXIT_STUDIO_ERROR
    except Exception as error:
        traceback.print_exc()
        journal.error("publish", f"The push failed with {type(error).__name__}.",
                      f"The log holds the whole traceback. {hub_errors.AGAIN}")
        return EXIT_DEFECT
    finally:
        watchdog.stop()
        journal.close()


def _push(run_dir: Path, journal: EventWriter, watchdog: "Watchdog") -> dict:
    """Do the work of the phase and return its facts."""
    started = time.monotonic()
    preset = files.load(run_dir / "preset.yaml")
    request = read_request(run_dir, preset)
    if not request.repo_id:
        raise RunError("The push has no repository.", "Name one: owner/name on the Hub.", "publish.hub_model_id")
    watchdog.alive("checking the token and the repository")
    token = hub.resolve_token()
    check = hub.check_push(request.repo_id, token, private=request.private, limit_s=watchdog.limit_s)
    request = PublishRequest(check.repo_id, request.private, request.what)
    watchdog.alive("writing the model card")
    text = card.write(run_dir, request, hub.stated_licence(preset.model.model_name_or_path, token))
    release = stage(run_dir, request.what, preset, text)
    report = _Reporter(journal, watchdog)
    result = hub.push_files(release, request.repo_id, token, private=request.private,
                            message=f"{preset.name}: {request.what}", on_progress=report)
    if result.private and not request.private:
        journal.warning(f"{result.repo_id} was there as a private repository and stays private. "
                        "Its settings on the Hub can make it public.")
    print(f"Published {words.size(result.total_bytes)} at {result.url}", flush=True)
    return vars(result) | {"what": request.what, "seconds": round(time.monotonic() - started, 1)}


class _Reporter:
    """Writes the push's progress to the journal, at most twice a second, and tells the watchdog that it moves."""

    def __init__(self, journal: EventWriter, watchdog: "Watchdog"):
        self.journal, self.watchdog = journal, watchdog
        self.lock = threading.Lock()
        self.told_at = 0.0
        self.told = ("", "")

    def __call__(self, progress: hub.Progress) -> None:
        file = f" {progress.file}" if progress.file else ""
        self.watchdog.alive(progress.doing[0].lower() + progress.doing[1:] + file)
        with self.lock:
            step = (progress.doing, progress.file)
            if step == self.told and time.monotonic() - self.told_at < PROGRESS_EVERY_S:
                return
            if step != self.told:
                print(f"{progress.doing}{file}", flush=True)
            self.told, self.told_at = step, time.monotonic()
            number = f" ({progress.file_number} of {progress.files})" if progress.file else ""
            self.journal.progress("publish", progress.done_bytes, progress.total_bytes, "bytes",
                                  f"{progress.doing}{file}{number}")


class Watchdog(threading.Thread):
    """Calls `on_silence` with the error to report when `alive` was not called for `limit_s` seconds.

    The Hub client's warnings (a failed try that it will repeat) count as signs of life and are quoted in the error.
    """

    def __init__(self, limit_s: float, on_silence: Callable[[HubError], None]):
        super().__init__(name="push-watchdog", daemon=True)
        self.limit_s, self.on_silence = limit_s, on_silence
        self.doing, self.last_words = "starting", ""
        self.alive_at = time.monotonic()
        self.stopped = threading.Event()
        self.listener = _Listener(self)

    def alive(self, doing: str) -> None:
        """Something moved; `doing` names it for the error ("sending model.safetensors")."""
        self.doing, self.alive_at = doing, time.monotonic()

    def warned(self, text: str) -> None:
        """The Hub client has given a warning."""
        self.last_words, self.alive_at = text, time.monotonic()

    def run(self) -> None:
        logging.getLogger("huggingface_hub").addHandler(self.listener)
        while not self.stopped.wait(min(1.0, self.limit_s / 10)):
            if time.monotonic() - self.alive_at > self.limit_s:
                self.on_silence(hub_errors.silent(self.doing, self.limit_s, self.last_words))
                return

    def stop(self) -> None:
        self.stopped.set()
        logging.getLogger("huggingface_hub").removeHandler(self.listener)


class _Listener(logging.Handler):
    def __init__(self, watchdog: Watchdog):
        super().__init__(logging.WARNING)
        self.watchdog = watchdog

    def emit(self, record: logging.LogRecord) -> None:
        self.watchdog.warned(record.getMessage())


def _end_silent(journal: EventWriter, error: HubError) -> None:
    """End the process at once: the thread that waits for the Hub cannot be interrupted."""
    print(error, file=sys.stderr, flush=True)
    journal.error("publish", error.message, error.hint)
    os._exit(EXIT_STUDIO_ERROR)

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
from typing import Any

from studio import words
from studio.errors import HubError, RunError, StudioError
from studio.preset import files
from studio.preset.schema import Preset, PublishSection
from studio.publishing import calls, card, hub, hub_errors, licences
from studio.publishing.cancelling import NewRepositories
from studio.publishing.card_doubts import doubts
from studio.publishing.collection import add_to_collection
from studio.publishing.licences import Licence
from studio.publishing.load_test import clear_download, load_test
from studio.publishing.names import hub_dataset
from studio.publishing.parity import forms_of, require_parity
from studio.publishing.release import ReleaseFile, stage
from studio.publishing.repositories import check_request, complete, require_confirmed
from studio.publishing.request import Target, is_cancelled, read_request, targets
from studio.publishing.run_facts import RunFacts
from studio.publishing.upload import Destination, Progress, PushResult, push_files
from studio.runs.events import EventWriter, RunStage

EXIT_DEFECT, EXIT_STUDIO_ERROR = 1, 3
PROGRESS_EVERY_S = 0.5
# who warns of a failed try that will be repeated
WARNING = ("huggingface_hub", calls.__name__)
SUMMED = ("files", "total_bytes", "sent_bytes")


def publish(run_dir: Path, silence_s: float) -> int:
    """Push the run's model as `publish.json`, or else the preset, asks; returns the exit code.

    `silence_s` is how long nothing may move, in seconds, before the push ends with an error.
    """
    return run_phase(run_dir, "publish", silence_s, _push)


def run_phase(run_dir: Path, phase: str, silence_s: float,
              work: Callable[[Path, EventWriter, "Watchdog"], dict]) -> int:
    """Do a phase's work under the watchdog and write into the journal how it ended; returns the exit code."""
    journal = EventWriter(run_dir)
    watchdog = Watchdog(silence_s, lambda error: _end_silent(journal, phase, error))
    try:
        journal.stage(RunStage.RUNNING, phase)
        watchdog.start()
        journal.done(phase, work(run_dir, journal, watchdog))
        return 0
    except StudioError as error:
        print(error, file=sys.stderr)
        journal.error(phase, error.message, error.hint)
        return EXIT_STUDIO_ERROR
    except Exception as error:
        if full := hub_errors.disk_error(error):
            journal.error(phase, full.message, full.hint)
            return EXIT_STUDIO_ERROR
        traceback.print_exc()
        journal.error(phase, f"The push failed with {type(error).__name__}.",
                      f"The log holds the whole traceback. {hub_errors.AGAIN}")
        return EXIT_DEFECT
    finally:
        watchdog.stop()
        journal.close()


def _push(run_dir: Path, journal: EventWriter, watchdog: "Watchdog") -> dict:
    """Do the work of the phase and return its facts."""
    started = time.monotonic()
    clear_download(run_dir)
    preset = files.load(run_dir / "preset.yaml")
    if is_cancelled(run_dir):
        raise RunError("This push was cancelled.", "Ask for it again on the Publish tab, or with `publish`.")
    request = read_request(run_dir, preset)
    if not request.hub_model_id:
        raise RunError("The push has no repository.", "Name one: owner/name on the Hub.", "publish.hub_model_id")
    watchdog.alive("checking the token and the repository")
    token = hub.resolve_token()
    checks = check_request(request, token, run_dir, limit_s=watchdog.limit_s)
    request = complete(request, checks)
    watchdog.alive("writing the model card")
    goals = targets(request)
    licence = hub.stated_licence(preset.model.model_name_or_path, token)
    cards = card.write(run_dir, goals, licence)
    for doubt in [*_licence_conflicts(preset, cards[0], licence, token),
                  *doubts(run_dir, goals[0], RunFacts.read(run_dir).trained_at)]:
        journal.warning(doubt)
    releases = [stage(run_dir, goal, preset, text) for goal, text in zip(goals, cards, strict=True)]
    # the last moment at which nothing has been sent
    require_parity(run_dir, forms_of(run_dir, request.what))
    require_confirmed(run_dir, request, checks)
    report, new = Reporter(journal, watchdog, releases), NewRepositories(run_dir, token)
    new.watch()
    pushed = []
    for goal, release, check in zip(goals, releases, checks, strict=True):
        if not check.exists:
            new.repo_ids.append(goal.repo_id)
        pushed.append(_pushed(goal, release, request, preset, token, report))
        new.repo_ids.clear()
    if any(result.private for result in pushed) and not request.hub_private_repo:
        journal.warning(f"{pushed[0].repo_id} was there as a private repository and stays private. "
                        "Its settings on the Hub can make it public.")
    facts = _facts(pushed, goals, request)
    if request.hub_collection:
        watchdog.alive("adding to the collection")
        facts["collection"] = add_to_collection(
            request.hub_collection, [goal.repo_id for goal in goals], token, private=request.hub_private_repo)
    if request.load_test:
        loaded = [_loaded(run_dir, goal, result, lambda name, done=done: report.loading(name, done, len(goals)))
                  for done, (goal, result) in enumerate(zip(goals, pushed, strict=True))]
        facts["load_test"] = {"seconds": round(sum(each["seconds"] for each in loaded), 1), "loaded": loaded}
    print(f"Published {words.size(facts['total_bytes'])} at {facts['url']}", flush=True)
    return facts | {"seconds": round(time.monotonic() - started, 1)}


def _pushed(goal: Target, release: list[ReleaseFile], request: PublishSection, preset: Preset, token: str | None,
            report: "Reporter") -> PushResult:
    to = Destination(goal.repo_id, request.hub_private_repo, request.hub_revision, request.hub_tag, request.create_pr)
    result = push_files(release, to, token, message=f"{preset.name}: {', '.join(goal.forms)}", on_progress=report)
    report.is_done(release)
    # what is there stays there, also when the next repository, the collection or the load test fails
    report.journal.pushed("publish", _repository(result, goal) | {"revision": request.hub_revision})
    return result


def _facts(pushed: list[PushResult], goals: list[Target], request: PublishSection) -> dict[str, Any]:
    """What the journal notes of a push: the first repository's facts, sums over all, and each by itself."""
    repositories = [_repository(result, goal) for result, goal in zip(pushed, goals, strict=True)]
    sums = {name: sum(repository[name] for repository in repositories) for name in SUMMED}
    return vars(pushed[0]) | sums | {
        "what": request.what, "repositories": repositories, "revision": request.hub_revision, "tag": request.hub_tag,
        "collection": "", "load_test": None}


def _repository(result: PushResult, goal: Target) -> dict[str, Any]:
    return vars(result) | {"what": list(goal.forms)}


def _licence_conflicts(preset: Preset, text: str, licence: Licence, token: str | None) -> list[str]:
    base, dataset = preset.model.model_name_or_path, hub_dataset(preset)
    return licences.conflicts(
        licences.stated_in(text), base, licence,
        dataset, hub.stated_licence(dataset, token, kind="dataset") if dataset else licences.NONE)


def _loaded(run_dir: Path, goal: Target, result: PushResult, on_alive: Callable[[str], None]) -> dict[str, Any]:
    """What the load test of a repository found. Raises `HubError` where what was loaded answers otherwise."""
    on_alive(goal.repo_id)
    tried = load_test(run_dir, goal, result.commit, on_alive=lambda: on_alive(goal.repo_id))
    if tried["same"] is False:
        raise HubError(f"What was loaded from {goal.repo_id} answers otherwise than the model here.",
                       "Both answers are in the log. Merge again, then push again.", "publish.load_test")
    return tried


class Reporter:
    """Writes the push's progress over all repositories to the journal, at most twice a second, and tells the watchdog
    that it moves."""

    def __init__(self, journal: EventWriter, watchdog: "Watchdog", releases: list[list[ReleaseFile]],
                 phase: str = "publish"):
        self.journal, self.watchdog, self.phase = journal, watchdog, phase
        self.lock = threading.Lock()
        self.told_at = 0.0
        self.told = ("", "")
        self.files = sum(map(len, releases))
        self.total_bytes = sum(file.size_bytes for release in releases for file in release)
        self.files_behind = self.bytes_behind = 0

    def is_done(self, release: list[ReleaseFile]) -> None:
        """One repository is complete; the next one's progress counts on from here."""
        self.files_behind += len(release)
        self.bytes_behind += sum(file.size_bytes for file in release)

    def loading(self, repo_id: str, number: int, repositories: int) -> None:
        """The load test of a repository is still at work, `number` of all are done; bytes say nothing of how long."""
        doing = f"Loading {repo_id} from the Hub"
        self.watchdog.alive(f"l{doing[1:]}")
        with self.lock:
            if self.told == ("loading", repo_id):
                return
            self.told = ("loading", repo_id)
            print(doing, flush=True)
            self.journal.progress(self.phase, number, repositories, "repositories", doing)

    def __call__(self, progress: Progress) -> None:
        file = f" {progress.file}" if progress.file else ""
        self.watchdog.alive(progress.doing[0].lower() + progress.doing[1:] + file)
        with self.lock:
            step = (progress.doing, f"{self.files_behind}{progress.file}")
            if step == self.told and time.monotonic() - self.told_at < PROGRESS_EVERY_S:
                return
            if step != self.told:
                print(f"{progress.doing}{file}", flush=True)
            self.told, self.told_at = step, time.monotonic()
            number = f" ({self.files_behind + progress.file_number} of {self.files})" if progress.file else ""
            self.journal.progress(self.phase, self.bytes_behind + progress.done_bytes, self.total_bytes, "bytes",
                                  f"{progress.doing}{file}{number}")


class Watchdog(threading.Thread):
    """Calls `on_silence` with the error to report when `alive` was not called for `limit_s` seconds.

    A failed try that the Hub's client, or calls.py, will repeat is warned of: that counts as a sign of life, and the
    error says so where the Hub had asked to slow down.
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
        for name in WARNING:
            logging.getLogger(name).addHandler(self.listener)
        while not self.stopped.wait(min(1.0, self.limit_s / 10)):
            if time.monotonic() - self.alive_at > self.limit_s:
                self.on_silence(hub_errors.silent(self.doing, self.limit_s, self.last_words))
                return

    def stop(self) -> None:
        self.stopped.set()
        for name in WARNING:
            logging.getLogger(name).removeHandler(self.listener)


class _Listener(logging.Handler):
    def __init__(self, watchdog: Watchdog):
        super().__init__(logging.WARNING)
        self.watchdog = watchdog

    def emit(self, record: logging.LogRecord) -> None:
        self.watchdog.warned(record.getMessage())


def _end_silent(journal: EventWriter, phase: str, error: HubError) -> None:
    """End the process at once: the thread that waits for the Hub cannot be interrupted."""
    print(error, file=sys.stderr, flush=True)
    journal.error(phase, error.message, error.hint)
    os._exit(EXIT_STUDIO_ERROR)

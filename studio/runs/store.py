"""Run folders: create, list, read, delete. A reader needs nothing but the folder."""

import codecs
import json
import os
import re
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio import __version__
from studio.errors import PresetError, RunError
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.events import AFTERWARDS, TERMINAL_STAGES, PhaseState, RunStage, RunState, read_events
from studio.runs.liveness import is_watched, lost_reason
from studio.settings import PROJECT_DIR, Settings

RUN_ID = re.compile(r"\d{8}-\d{6}-[a-z0-9-]{1,40}-[0-9a-f]{4}")
# begins the name of a folder that is on its way out
DELETED = ".deleted-"
NEWCOMER_GRACE_S = 15
TRAINING, BASELINES = "training", "baselines"


@dataclass(frozen=True)
class RunView:
    """One run as a reader sees it now: the fold of its journal, corrected by whether its processes live."""

    run_id: str
    name: str
    run_dir: Path
    info: dict[str, Any]
    preset: Preset
    state: RunState

    @property
    def is_live(self) -> bool:
        return self.state.stage not in TERMINAL_STAGES

    @property
    def has_adapter(self) -> bool:
        return (self.run_dir / "adapter" / "adapter_config.json").is_file()

    @property
    def has_merged(self) -> bool:
        return (self.run_dir / "merged" / "config.json").is_file()

    @property
    def kind(self) -> str:
        """`TRAINING`, or `BASELINES` for a run that only tries what the untouched model reaches."""
        return self.info.get("kind", TRAINING)  # runs of an earlier studio do not say

    @property
    def report(self) -> dict[str, Any] | None:
        """What `evaluate` wrote, or None."""
        return _read_json(self.run_dir / "report.json")

    @property
    def environment(self) -> dict[str, Any] | None:
        """What the training worker recorded about versions, hardware and chosen settings, or None."""
        return _read_json(self.run_dir / "environment.json")

    @property
    def progress(self) -> float | None:
        """Share of the present phase that is done, 0 to 1; None where it is not known yet."""
        phase = self.state.phases.get(self.state.phase)
        return min(1.0, phase.done / phase.total) if phase and phase.total else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until the present phase ends at the pace so far; None while it cannot be said."""
        phase = self.state.phases.get(self.state.phase)
        if not self.is_live or not phase or not phase.done or not phase.total or not phase.paced_from:
            return None
        since, done_then = phase.paced_from
        moved = phase.done - done_then
        if moved <= 0:
            return None
        spent = (datetime.fromisoformat(phase.paced_at) - datetime.fromisoformat(since)).total_seconds()
        return spent / moved * (phase.total - phase.done)

    @property
    def best_eval_loss(self) -> float | None:
        losses = [metrics["eval_loss"] for _, metrics in self.state.evals if "eval_loss" in metrics]
        return min(losses) if losses else None

    @property
    def origin(self) -> Preset | None:
        """The preset this run's preset came from, or None where it was written from scratch."""
        path = self.run_dir / "origin.yaml"
        return files.load(path) if path.is_file() else None


@dataclass
class _Folded:
    offset: int = 0
    state: RunState = field(default_factory=RunState)
    lock: threading.Lock = field(default_factory=threading.Lock)


class RunStore:
    """All runs below `settings.runs_dir`. Keeps only a memory of how far each journal was read."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._folded: dict[str, _Folded] = {}
        self._looked: dict[str, tuple[float, RunView]] = {}
        self._fixed: dict[str, tuple[dict[str, Any], Preset]] = {}

    def create(self, preset: Preset, *, name: str = "", origin: Preset | None = None, parent: str = "",
               kind: str = TRAINING) -> str:
        """Write a new run folder (preset, facts) and return its id; nothing is started.

        `origin` is the preset it came from, `parent` the run it was cloned from. Raises `RunError` without disk space.
        """
        title = name or preset.name
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-") or "run"
        now = datetime.now(UTC)
        run_id = f"{now:%Y%m%d-%H%M%S}-{slug}-{secrets.token_hex(2)}"
        run_dir = self.settings.runs_dir / run_id
        # built under a hidden name first: a reader never meets half a run
        building = self.settings.runs_dir / f".{run_id}"
        info = {
            "run_id": run_id, "name": title, "kind": kind, "created_at": now.isoformat(timespec="milliseconds"),
            "origin": origin.name if origin else "", "parent": parent,
            "studio_version": __version__, "git_revision": _git_revision(),
        }
        try:
            building.mkdir(parents=True)
            files.save(preset, building / "preset.yaml")
            if origin is not None:
                files.save(origin, building / "origin.yaml")
            (building / "run.json").write_text(json.dumps(info, indent=2, ensure_ascii=False))
            os.rename(building, run_dir)
        except OSError as error:
            shutil.rmtree(building, ignore_errors=True)
            raise RunError(f"The run folder cannot be written: {error.strerror}.",
                           "Free disk space, then start again.") from None
        return run_id

    def unreadable(self, max_age_s: float = 0) -> list[str]:
        """Ids of the folders whose run cannot be read; `get` says why."""
        return [run_id for run_id, run in self._each(max_age_s) if isinstance(run, RunError)]

    def list(self, max_age_s: float = 0) -> list[RunView]:
        """All readable runs, newest first; `max_age_s` as in `get`."""
        return [run for _, run in self._each(max_age_s) if isinstance(run, RunView)]

    def _each(self, max_age_s: float = 0) -> Iterator[tuple[str, RunView | RunError]]:
        ids = (entry.name for entry in os.scandir(self.settings.runs_dir) if RUN_ID.fullmatch(entry.name))
        for run_id in sorted(ids, reverse=True):
            try:
                yield run_id, self.get(run_id, max_age_s)
            except RunError as error:
                yield run_id, error

    def get(self, run_id: str, max_age_s: float = 0) -> RunView:
        """Read one run; with `max_age_s` a look that is no older will do, which many viewers share.

        Raises `RunError` if there is none of that id.
        """
        looked = self._looked.get(run_id)
        if looked and time.monotonic() - looked[0] < max_age_s:
            return looked[1]
        view = self._read(run_id, self.run_dir(run_id))
        self._looked[run_id] = (time.monotonic(), view)
        return view

    def _read(self, run_id: str, run_dir: Path) -> RunView:
        if run_id not in self._fixed:
            info = _read_json(run_dir / "run.json")
            if info is None:
                raise RunError(f"The run {run_id} cannot be read: run.json is missing or broken.", "Delete its folder.")
            try:
                self._fixed[run_id] = (info, files.load(run_dir / "preset.yaml"))
            except PresetError as error:
                raise RunError(f"The preset of {run_id} cannot be read: {error.message}",
                               "Mend preset.yaml in its folder, or delete the folder.") from None
        info, preset = self._fixed[run_id]
        return RunView(run_id, info["name"], run_dir, info, preset, self._state(run_id, run_dir))

    def find(self, text: str) -> RunView:
        """The run whose id or name is `text`, or whose id begins with it; "last" is the newest. Raises `RunError`."""
        views = self.list()
        if text == "last" and views:
            return views[0]
        matches = [view for view in views if view.run_id == text] or [
            view for view in views if view.name == text or view.run_id.startswith(text)]
        if not matches:
            raise RunError(f'There is no run "{text}".', "`python -m studio runs` lists them.")
        if len(matches) > 1:
            some = ", ".join(view.run_id for view in matches[:5])
            raise RunError(f'"{text}" fits {len(matches)} runs.', f"Name one: {some}.")
        return matches[0]

    def run_dir(self, run_id: str) -> Path:
        """The folder of a run. Raises `RunError` on an id that is unknown or not an id at all."""
        path = self.settings.runs_dir / run_id
        if not RUN_ID.fullmatch(run_id) or not path.is_dir():
            raise RunError(f'There is no run "{run_id[:80]}".',
                           "It may have been deleted; the list shows those that exist.")
        return path

    def delete(self, run_id: str) -> None:
        """Remove a run with all it holds, readable or not. Raises `RunError` while it is live."""
        run_dir = self.run_dir(run_id)
        if self._state(run_id, run_dir).stage not in TERMINAL_STAGES:
            raise RunError(f"The run {run_id} is still working.", "Stop it first, then delete it.")
        doomed = self.settings.runs_dir / f"{DELETED}{run_id}"
        os.rename(run_dir, doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        for memory in (self._folded, self._fixed, self._looked):
            memory.pop(run_id, None)

    def clear_deleted(self) -> None:
        """Remove what deletions left behind that were interrupted."""
        for doomed in self.settings.runs_dir.glob(f"{DELETED}*"):
            shutil.rmtree(doomed, ignore_errors=True)

    def log_size(self, run_id: str) -> int:
        """Size of the run's log in bytes; 0 before there is one."""
        try:
            return (self.run_dir(run_id) / "worker.log").stat().st_size
        except FileNotFoundError:
            return 0

    def log_chunk(self, run_id: str, offset: int, limit: int = 64 * 1024) -> tuple[str, int]:
        """Log text from byte `offset` on, at most `limit` bytes and whole lines; returns it and the next offset."""
        size = self.log_size(run_id)
        offset = min(max(offset, 0), size)
        if offset == size:
            return "", size
        with open(self.run_dir(run_id) / "worker.log", "rb") as log:
            log.seek(offset)
            data = log.read(limit)
        end = data.rfind(b"\n") + 1 or len(data)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data[:end])
        cut_off = len(decoder.getstate()[0])  # bytes of a character whose rest is still to come
        return text, offset + end - cut_off

    def _state(self, run_id: str, run_dir: Path) -> RunState:
        folded = self._folded.setdefault(run_id, _Folded())
        with folded.lock:
            events, offset = read_events(run_dir, folded.offset)
            if offset < folded.offset:
                folded.state = RunState()
            folded.offset = offset
            for event in events:
                folded.state.apply(event)
            state = folded.state.copy()
        return _corrected(state, run_dir)


def _corrected(state: RunState, run_dir: Path) -> RunState:
    """Bring the journal's stage in line with what lives: a dead run is FAILED or LOST, a stopping one STOPPING."""
    if state.stage in TERMINAL_STAGES:
        return state
    if not is_watched(run_dir, NEWCOMER_GRACE_S):
        # the supervisor may have written its last line between the two looks
        for event in read_events(run_dir)[0][-1:]:
            if event.type == "stage" and RunStage(event.values["stage"]) in TERMINAL_STAGES:
                state.apply(event)
                return state
        state.stage, state.error, state.hint = lost_reason(run_dir, state.error, state.phase)
        state.ended_at = state.updated_at
        if state.settled is RunStage.COMPLETED and state.phase in AFTERWARDS:
            step = state.phases.setdefault(state.phase, PhaseState())
            step.error, step.hint, state.stage = state.error, state.hint, RunStage.COMPLETED
    elif (run_dir / "stop_request").exists():
        state.stage = RunStage.STOPPING
    return state


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _git_revision() -> str:
    """The studio's own commit, "" outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "-C", PROJECT_DIR, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip()

"""The playground's inference process seen from outside: start it, reuse it, talk to it, end it; imports no torch.

One data folder has one such process. Whoever loads last owns it: the key to talk to it is kept in memory only, so
another process (a second server, the command line) ends it and starts its own. `process.json` lets anyone end it.
"""

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from studio.errors import ModelError, RunError, StudioError
from studio.runs.events import DEVICE_PHASES
from studio.runs.processes import ProcessMark, terminate_group
from studio.runs.store import RunStore, RunView
from studio.settings import PROJECT_DIR, Settings

KEY_VARIABLE = "STUDIO_INFER_KEY"
RELEASE_GRACE_S = 3
IDLE_MINUTES = 30
POLL_S = 0.1
STATUS_AGE_S = 0.5


@dataclass(frozen=True)
class Target:
    """What to talk to: a run (its final weights, or one checkpoint such as "checkpoint-50"), or a base model alone.

    `rival` is a second run to compare the first with, "" for none; see `rivals`.
    """

    run_id: str = ""
    checkpoint: str = ""
    model: str = ""
    rival: str = ""


class PlaygroundStage(StrEnum):
    """Where the inference process is; BUSY means that a run uses the device, so nothing can be loaded."""

    EMPTY = "EMPTY"
    LOADING = "LOADING"
    READY = "READY"
    FAILED = "FAILED"
    BUSY = "BUSY"


@dataclass(frozen=True)
class PlaygroundStatus:
    """The inference process now. `seconds` counts since loading began; `facts` is what the process said when ready."""

    stage: PlaygroundStage
    target: Target | None = None
    seconds: float = 0
    message: str = ""
    hint: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Delta:
    """A piece of an answer. The last one has no text but `usage` (tokens) and `timings` (seconds, tokens a second)."""

    text: str
    usage: dict[str, int] | None = None
    timings: dict[str, float] | None = None
    finish_reason: str = ""


@dataclass
class _Process:
    """The child this object started, and what it was started for."""

    popen: subprocess.Popen
    mark: ProcessMark
    key: str
    target: Target
    weights: int
    started: float


class Playground:
    """Loads a target into one inference process and talks to it."""

    def __init__(self, settings: Settings, store: RunStore | None = None, idle_minutes: float = IDLE_MINUTES):
        self._settings = settings
        self._store = store or RunStore(settings)
        self._idle_minutes = idle_minutes
        self._mark_file = _mark_file(settings)
        self._process: _Process | None = None
        self._lock = threading.Lock()

    def start(self, target: Target, environment: dict[str, str] | None = None) -> None:
        """Begin to load `target`, or keep the process that has it; returns at once, `status()` tells how it goes.

        `environment` reaches the child only (a Hub token belongs there). Raises `RunError` for a target that does not
        exist and while a run uses the device.
        """
        with self._lock:
            weights = self._weights(target)
            self._refuse_while_busy()
            process = self._process
            if process and process.popen.poll() is None and (process.target, process.weights) == (target, weights):
                return
            self._end()
            release(self._settings)
            self._spawn(target, weights, environment or {})
            try:
                # a run that queued in this moment has not seen our mark, or we see it now
                self._refuse_while_busy()
            except RunError:
                self._end()
                raise

    def loading(self, target: Target, environment: dict[str, str] | None = None) -> Iterator[PlaygroundStatus]:
        """Start `target` and yield how loading goes, until it is ready.

        Raises `StudioError` with the child's own cause where it fails, `RunError` as `start` does.
        """
        self.start(target, environment)
        while (status := self.status()).stage is PlaygroundStage.LOADING:
            yield status
            time.sleep(POLL_S)
        if status.stage is not PlaygroundStage.READY:
            raise ModelError(status.message or "The model was unloaded while it was loading.", status.hint)
        yield status

    def load(self, target: Target, environment: dict[str, str] | None = None) -> dict[str, Any]:
        """Load `target`, wait until it can answer, and return what the process says of itself. Raises as `loading`."""
        *_, ready = self.loading(target, environment)
        return ready.facts

    def status(self) -> PlaygroundStatus:
        """Where the process is now; reads files only."""
        process = self._process
        if process is None:
            return self._without_process()
        # in this order: once the process has ended, its last word is written
        code = process.popen.poll()
        said = _read_json(self._settings.playground_dir / "status.json")
        seconds = time.time() - process.started
        if said.get("stage") == "failed":
            return PlaygroundStatus(
                PlaygroundStage.FAILED, process.target, seconds, said["message"], said["hint"])
        if code is not None:
            return self._without_process(process, code, said)
        if said.get("stage") == "ready":
            return PlaygroundStatus(PlaygroundStage.READY, process.target, seconds, facts=said)
        return PlaygroundStatus(PlaygroundStage.LOADING, process.target, seconds, said.get("message", ""))

    def chat(self, model: str, messages: list[dict[str, str]], *, temperature: float = 0.0, top_p: float = 1.0,
             max_tokens: int = 256, seed: int = 0) -> Iterator[Delta]:
        """Answer as "base" or "tuned"; yields deltas, the last with counts. Closing the generator stops the model.

        Raises `RunError` where nothing is loaded, `StudioError` with the child's cause where it cannot answer.
        """
        body = {"model": model, "messages": messages, "temperature": temperature, "top_p": top_p,
                "max_tokens": max_tokens, "seed": seed, "stream": True}
        process, whole = self._process, False
        for line in self._post("/v1/chat/completions", body):
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[len(b"data: "):])
            _raise_error(chunk)
            choice, whole = chunk["choices"][0], chunk["usage"] is not None
            yield Delta(choice["delta"]["content"], chunk["usage"], chunk["timings"], choice["finish_reason"] or "")
        # http.client takes a stream that breaks off for one that ends
        if not whole:
            raise self._hung_up(process)

    def prompt_text(self, messages: list[dict[str, str]]) -> str:
        """The exact text the loaded model reads for `messages`. Raises `RunError` where nothing is loaded."""
        return json.loads(b"".join(self._post("/render", {"messages": messages})))["prompt"]

    def stop(self) -> None:
        """Unload the model and end the process; nothing happens where there is none."""
        with self._lock:
            self._end()

    def busy_run(self, max_age_s: float = 0) -> RunView | None:
        """The run that uses the device or is about to, or None. One that only talks to the Hub leaves it free.

        With `max_age_s` a look that is no older will do.
        """
        live = [view for view in self._store.list(max_age_s) if view.is_live]
        # a run that has only just been created is in no phase yet
        busy = [view for view in live if view.state.phase in DEVICE_PHASES or not view.state.phase]
        return busy[-1] if busy else None

    def _refuse_while_busy(self) -> None:
        if view := self.busy_run():
            raise RunError(f"The run {view.name} is using the device.",
                           "Load the model when it has ended, or stop the run first.")

    def _weights(self, target: Target) -> int:
        """A stamp that changes when what the target names is trained again; 0 for a base model. Raises `RunError`."""
        if not target.run_id:
            if not target.model.strip():
                raise RunError("No model is chosen.", "Pick a run, or name a base model.")
            return 0
        view = self._store.get(target.run_id)
        folder = weights_folder(view, target.checkpoint)
        if folder is None:
            what = target.checkpoint or "trained weights"
            raise RunError(f"{view.name} has no {what}.", "Pick another checkpoint, or resume the run.")
        folders = [folder]
        if target.rival:
            rival = self._store.get(target.rival)
            if rival not in rivals(view, [rival]):
                raise RunError(f"{rival.name} cannot be loaded beside {view.name}: both need an adapter on the same"
                               " base model.", "Compare with the base model, or with another run.")
            folders.append(rival.run_dir / "adapter")
        return max(entry.stat().st_mtime_ns for each in folders for entry in os.scandir(each))

    def _spawn(self, target: Target, weights: int, environment: dict[str, str]) -> None:
        folder = self._settings.playground_dir
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "status.json").unlink(missing_ok=True)
        key = secrets.token_urlsafe(32)
        command = [sys.executable, "-m", self._settings.worker_module, "infer", str(folder / "status.json"),
                   "--idle-minutes", str(self._idle_minutes), "--parent", str(os.getpid())]
        if target.run_id:
            command += ["--run-dir", str(self._store.run_dir(target.run_id)), "--checkpoint", target.checkpoint]
            if target.rival:
                command += ["--rival-dir", str(self._store.run_dir(target.rival))]
        else:
            command += ["--model", target.model]
        child_environment = os.environ | environment | {
            "STUDIO_DATA_DIR": str(self._settings.data_dir), KEY_VARIABLE: key, "PYTHONUNBUFFERED": "1"}
        with open(folder / "worker.log", "wb") as log:
            popen = subprocess.Popen(command, cwd=PROJECT_DIR, env=child_environment, stdin=subprocess.DEVNULL,
                                     stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        mark = ProcessMark.of(popen.pid)
        partial = folder / ".process.json"
        partial.write_text(json.dumps(mark.to_json()))
        os.replace(partial, self._mark_file)
        self._process = _Process(popen, mark, key, target, weights, time.time())

    def _end(self) -> None:
        if self._process is None:
            return
        if self._process.popen.poll() is None:
            terminate_group(self._process.popen.pid, RELEASE_GRACE_S)
            self._process.popen.wait()
        self._process = None

    def _without_process(
        self, process: _Process | None = None, code: int = 0, said: dict[str, Any] | None = None,
    ) -> PlaygroundStatus:
        """The status when no child lives: a run uses the device, the child ended as asked, or it died."""
        if view := self.busy_run(STATUS_AGE_S):
            return PlaygroundStatus(PlaygroundStage.BUSY, message=f"The run {view.name} is using the device.",
                                    hint="The model can be loaded when it has ended.")
        if process is None:
            return PlaygroundStatus(PlaygroundStage.EMPTY)
        if said and said.get("stage") == "ended":
            return PlaygroundStatus(PlaygroundStage.EMPTY, message=said["message"])
        # whoever frees the device takes the mark away, also of a process that did not listen and was killed
        if code in (0, -signal.SIGTERM) or _read_json(self._mark_file) != process.mark.to_json():
            return PlaygroundStatus(PlaygroundStage.EMPTY, message="The model was unloaded to free the device.")
        error = self._death(code)
        return PlaygroundStatus(PlaygroundStage.FAILED, process.target, message=error.message, hint=error.hint)

    def _death(self, code: int) -> ModelError:
        """What an exit code and the end of the log say."""
        if code == -signal.SIGKILL:
            return ModelError("The model's process was killed by the system, most often because memory ran out.",
                              "Load it again; if it dies again, choose a smaller model.")
        log = (self._settings.playground_dir / "worker.log").read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in log[-8192:].splitlines() if line.strip()]
        said = f": {lines[-1][:300]}" if lines else f" with exit code {code}."
        return ModelError(f"The model's process ended unexpectedly{said}", "Load it again.")

    def _post(self, path: str, body: dict[str, Any]) -> Iterator[bytes]:
        """Send a request to the process and yield the lines of its answer; closing the generator hangs up."""
        process, status = self._process, self.status()
        if process is None or status.stage is not PlaygroundStage.READY:
            raise RunError(status.message or "No model is loaded.", status.hint or "Load a model first.")
        connection = http.client.HTTPConnection("127.0.0.1", status.facts["port"])
        try:
            headers = {"Authorization": f"Bearer {process.key}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            if response.status != http.HTTPStatus.OK:
                _raise_error(json.loads(response.read()))
            yield from response
        except (OSError, http.client.HTTPException):
            raise self._hung_up(process) from None
        finally:
            connection.close()

    def _hung_up(self, process: _Process) -> StudioError:
        """Why an answer broke off: the process is given a moment to be gone, then its exit code speaks."""
        try:
            process.popen.wait(RELEASE_GRACE_S)
        except subprocess.TimeoutExpired:
            return ModelError("The connection to the model broke off.", "Ask again.")
        status = self.status()
        return ModelError(status.message or "The model was unloaded while it answered.",
                          status.hint or "Load it again.")


def weights_folder(view: RunView, checkpoint: str = "") -> Path | None:
    """The folder whose weights a run's target means: a checkpoint, the adapter, the merged model; None if missing."""
    if checkpoint:
        folder = view.run_dir / "checkpoints" / checkpoint
        return folder if checkpoint in checkpoints(view) else None
    if view.has_adapter:
        return view.run_dir / "adapter"
    return view.run_dir / "merged" if view.has_merged else None


def rivals(view: RunView, others: list[RunView]) -> list[RunView]:
    """Which of the other runs can be loaded beside this one: adapters on the same base model, with its template."""

    def stands_on(run: RunView) -> tuple[str, str, str]:
        model = run.preset.model
        return model.model_name_or_path, model.model_revision, model.chat_template

    return [other for other in others if view.has_adapter and other.has_adapter and other.run_id != view.run_id
            and stands_on(other) == stands_on(view)]


def checkpoints(view: RunView) -> list[str]:
    """Names of the checkpoints of a run that hold weights, newest first."""
    names = [path.parent.name for path in view.run_dir.glob("checkpoints/checkpoint-*/*.safetensors")]
    return sorted(set(names), key=lambda name: int(name.rsplit("-", 1)[1]), reverse=True)


def chat_once(store: RunStore, run_id: str, prompt: str, *, base: bool = False, checkpoint: str = "",
              system_prompt: str | None = None, temperature: float = 0.0, top_p: float = 1.0,
              max_tokens: int | None = None, seed: int | None = None) -> str:
    """Load a run, answer one prompt as the tuned (or the base) model, unload it, and return the answer.

    What is None comes from the run's preset. A model loaded in the page's playground is unloaded for this.
    Raises `StudioError`.
    """
    preset = store.get(run_id).preset
    system = preset.data.system_prompt if system_prompt is None else system_prompt
    messages = [{"role": "system", "content": system}] if system else []
    playground = Playground(store.settings, store)
    try:
        playground.load(Target(run_id, checkpoint))
        deltas = playground.chat(
            "base" if base else "tuned", [*messages, {"role": "user", "content": prompt}],
            temperature=temperature, top_p=top_p,
            max_tokens=preset.evaluation.max_new_tokens if max_tokens is None else max_tokens,
            seed=preset.training.seed if seed is None else seed)
        return "".join(delta.text for delta in deltas)
    finally:
        playground.stop()


def release(settings: Settings, grace_s: float = RELEASE_GRACE_S) -> None:
    """End whatever inference process this data folder has, from any process; nothing happens where there is none."""
    path = _mark_file(settings)
    values = _read_json(path)
    if not values:
        return
    mark = ProcessMark(**values)
    if mark.is_alive():
        terminate_group(mark.pid, grace_s)
    path.unlink(missing_ok=True)


def _mark_file(settings: Settings) -> Path:
    """Names the process for whoever has to end it."""
    return settings.playground_dir / "process.json"


def _raise_error(answer: dict[str, Any]) -> None:
    if "error" in answer:
        raise ModelError(answer["error"]["message"], answer["error"]["hint"])


def _read_json(path: Path) -> dict[str, Any]:
    """A small JSON file that another process replaces atomically; empty before it is first written."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}

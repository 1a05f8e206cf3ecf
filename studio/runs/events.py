"""The journal of a run (`events.jsonl`): write a line, read from an offset, fold the lines into a state.

At any time one process writes: the supervisor, or the worker it is waiting for. Readers skip a torn last line and
types they do not know, so a newer studio's folder can be read by an older one.
"""

import contextlib
import json
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

PHASES = ("train", "baselines", "evaluate", "merge", "gguf", "parity", "publish", "space")
# the others only talk to the Hub
DEVICE_PHASES = frozenset({"train", "baselines", "evaluate", "merge", "gguf", "parity"})
# repeated on a run that is complete, they leave it complete however they end; that is told with the step
AFTERWARDS = frozenset({"evaluate", "merge", "gguf", "parity", "publish", "space"})


class RunStage(StrEnum):
    """Where a run is; LOST means its machine restarted or went away while it ran."""

    QUEUED = "QUEUED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    COMPLETED = "COMPLETED"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    LOST = "LOST"


TERMINAL_STAGES = frozenset({RunStage.COMPLETED, RunStage.STOPPED, RunStage.FAILED, RunStage.LOST})


@dataclass(frozen=True)
class Event:
    """One line of the journal; `values` holds what the type carries besides sequence number, time and type."""

    seq: int
    time: str
    type: str
    values: dict[str, Any]


class EventWriter:
    """Appends events to a run's journal, one `write()` a line, continuing its sequence numbers."""

    def __init__(self, run_dir: Path):
        self._path = run_dir / "events.jsonl"
        events, _ = read_events(run_dir)
        self._seq = events[-1].seq if events else 0
        self._file = open(self._path, "ab", buffering=0)
        if self._path.stat().st_size and not self._path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")

    def stage(self, stage: RunStage, phase: str = "", message: str = "") -> None:
        """The run enters a stage; `phase` is one of PHASES while something is worked on."""
        self.write("stage", stage=stage.value, phase=phase, message=message)

    def queued(self, phases: list[str]) -> None:
        """The run waits for its turn; `phases` are those that were asked for in one go."""
        self.write("stage", stage=RunStage.QUEUED.value, phase=phases[0], message="", phases=phases)

    def progress(self, phase: str, done: float, total: float, unit: str, message: str = "") -> None:
        """How far a phase is: `done` of `total` in `unit` (steps, rows, files, bytes)."""
        self.write("progress", phase=phase, done=done, total=total, unit=unit, message=message)

    def log(self, step: int, metrics: dict[str, float]) -> None:
        """Training metrics of a step, by TRL's names (loss, learning_rate, grad_norm, num_tokens, ...)."""
        self.write("log", step=step, metrics=metrics)

    def eval(self, step: int, metrics: dict[str, float]) -> None:
        """Held-out metrics of a step (eval_loss, ...)."""
        self.write("eval", step=step, metrics=metrics)

    def checkpoint(self, step: int, path: str) -> None:
        """A checkpoint was written; `path` is relative to the run folder."""
        self.write("checkpoint", step=step, path=path)

    def sample(self, prompt: str, expected: str, base: str, tuned: str) -> None:
        """A held-out prompt with the wanted, the base model's and the tuned model's answer."""
        self.write("sample", prompt=prompt, expected=expected, base=base, tuned=tuned)

    def warning(self, message: str) -> None:
        """Something the person should know that does not end the run."""
        self.write("warning", message=message)

    def error(self, phase: str, message: str, hint: str = "") -> None:
        """A phase failed: its cause and the next step. The supervisor ends the run as FAILED."""
        self.write("error", phase=phase, message=message, hint=hint)

    def done(self, phase: str, result: dict[str, Any]) -> None:
        """A phase ended well, with its facts (sizes in bytes, times in seconds, paths relative to the run)."""
        self.write("done", phase=phase, result=result)

    def pushed(self, phase: str, repository: dict[str, Any]) -> None:
        """A repository of a push is complete on the Hub, whatever becomes of the rest of the phase."""
        self.write("pushed", phase=phase, repository=repository)

    def write(self, type: str, **values: Any) -> None:
        """Append one event."""
        self._seq += 1
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"seq": self._seq, "time": time, "type": type, **values}, ensure_ascii=False, default=str)
        self._file.write(line.encode() + b"\n")

    def close(self) -> None:
        self._file.close()


def read_events(run_dir: Path, offset: int = 0) -> tuple[list[Event], int]:
    """Read the events from byte `offset` on; returns them and the offset behind the last whole line."""
    try:
        with open(run_dir / "events.jsonl", "rb") as file:
            file.seek(0, os.SEEK_END)
            if offset > file.tell():
                offset = 0
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], 0
    whole = data.rfind(b"\n") + 1
    events = [event for line in data[:whole].splitlines() if (event := _parse(line))]
    return events, offset + whole


def _parse(line: bytes) -> Event | None:
    try:
        values = json.loads(line)
        return Event(values.pop("seq"), values.pop("time"), values.pop("type"), values)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass
class PhaseState:
    """What the journal says of one phase; times are ISO 8601 in UTC, "" when not reached.

    `paced_from` is the time and amount of the first progress, `paced_at` the time of the last: the pace lies between,
    free of the start-up. `result` is that of the present attempt; `earlier` that of the last one before it that ended
    well, and `earlier_at` when. `pushed` are the repositories that the present attempt has completed, `asked` the
    phases that were asked for in one go with it.
    """

    started_at: str = ""
    ended_at: str = ""
    done: float = 0
    total: float = 0
    unit: str = ""
    message: str = ""
    paced_from: tuple[str, float] | None = None
    paced_at: str = ""
    result: dict[str, Any] | None = None
    earlier: dict[str, Any] | None = None
    earlier_at: str = ""
    pushed: list[dict[str, Any]] = field(default_factory=list)
    asked: tuple[str, ...] = PHASES
    error: str = ""
    hint: str = ""

    @property
    def good(self) -> dict[str, Any] | None:
        """The last result there is: what an attempt has made stays when the next one fails or is stopped."""
        return self.earlier if self.result is None else self.result

    @property
    def good_at(self) -> str:
        """When that was reached."""
        return self.earlier_at if self.result is None else self.ended_at


@dataclass
class RunState:
    """The fold of a run's events; `settled` is the stage in which it ended last, None before it did.

    `asked` are the phases that were asked for in the present go; an earlier studio did not say which, so all.
    """

    stage: RunStage = RunStage.QUEUED
    asked: tuple[str, ...] = PHASES
    phase: str = ""
    message: str = ""
    created_at: str = ""
    started_at: str = ""
    updated_at: str = ""
    ended_at: str = ""
    step: int = 0
    phases: dict[str, PhaseState] = field(default_factory=dict)
    logs: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    evals: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    checkpoints: list[tuple[int, str]] = field(default_factory=list)
    samples: list[dict[str, str]] = field(default_factory=list)
    noted: list[tuple[str, str]] = field(default_factory=list)  # phase and warning
    error: str = ""
    hint: str = ""
    settled: RunStage | None = None

    def copy(self) -> "RunState":
        """A state of its own for a reader: the lists are new, their entries are never changed in place."""
        return replace(self, phases={name: replace(phase, pushed=list(phase.pushed))
                                     for name, phase in self.phases.items()}, logs=list(self.logs),
                       evals=list(self.evals), checkpoints=list(self.checkpoints), samples=list(self.samples),
                       noted=list(self.noted))

    @property
    def warnings(self) -> list[str]:
        """What is worth knowing, in order; of a phase that was done again only the last time counts."""
        return [message for _, message in self.noted]

    @property
    def pushes(self) -> bool:
        """Whether the present phase is a push, or the check of the exports ahead of one."""
        return self.phase == "publish" or (self.phase == "parity" and "publish" in self.asked)

    def apply(self, event: Event) -> None:
        """Take one event into the state; what an older studio does not know only moves `updated_at`."""
        self.updated_at = event.time
        handler = getattr(self, f"_on_{event.type}", None)
        if handler:
            # a stage or a field of a newer studio
            with contextlib.suppress(KeyError, ValueError, TypeError):
                handler(event)

    def _on_stage(self, event: Event) -> None:
        self.stage = RunStage(event.values["stage"])
        self.phase, self.message = event.values["phase"], event.values["message"]
        self.created_at = self.created_at or event.time
        self.ended_at = event.time if self.stage in TERMINAL_STAGES else ""
        self.settled = self.stage if self.stage in TERMINAL_STAGES else self.settled
        # a training goes on where it was
        if self.stage in (RunStage.QUEUED, RunStage.STARTING) and self.phase != "train":
            self.noted = [(phase, message) for phase, message in self.noted if phase != self.phase]
        if self.stage is RunStage.QUEUED:
            self.error = self.hint = ""
            self.asked = tuple(event.values.get("phases", PHASES))
            if self.phase in self.phases:  # how far it came the time before says nothing of this one
                before = self.phases[self.phase]
                before.done, before.total, before.message, before.paced_from = 0, 0, "", None
            if self.phase == "train":
                self.settled = None  # what follows is not done on a complete run
        if self.stage is RunStage.STARTING:
            self.started_at = self.started_at or event.time
            before = self.phases.get(self.phase, PhaseState())
            self.phases[self.phase] = PhaseState(started_at=event.time, earlier=before.good, earlier_at=before.good_at,
                                                  asked=self.asked)
            if self.phase == "train":
                self.phases["train"].earlier = None  # its weights are on their way to others
                self.samples.clear()

    def _on_progress(self, event: Event) -> None:
        phase = self.phases.setdefault(event.values["phase"], PhaseState(started_at=event.time))
        if phase.unit != event.values["unit"] or phase.paced_from is None:
            phase.paced_from = (event.time, event.values["done"])
        phase.paced_at = event.time
        phase.done, phase.total = event.values["done"], event.values["total"]
        phase.unit, phase.message = event.values["unit"], event.values["message"]
        if phase.unit == "steps":
            self.step = int(phase.done)

    def _on_log(self, event: Event) -> None:
        self._forget_later_steps(self.logs, event.values["step"])
        self.logs.append((event.values["step"], event.values["metrics"]))

    def _on_eval(self, event: Event) -> None:
        self._forget_later_steps(self.evals, event.values["step"])
        self.evals.append((event.values["step"], event.values["metrics"]))

    def _on_checkpoint(self, event: Event) -> None:
        self._forget_later_steps(self.checkpoints, event.values["step"])
        self.checkpoints.append((event.values["step"], event.values["path"]))

    def _on_sample(self, event: Event) -> None:
        self.samples.append(event.values)

    def _on_warning(self, event: Event) -> None:
        self.noted.append((self.phase, event.values["message"]))

    def _on_error(self, event: Event) -> None:
        self.error, self.hint = event.values["message"], event.values["hint"]
        phase = self.phases.setdefault(event.values["phase"], PhaseState())
        phase.error, phase.hint, phase.ended_at = self.error, self.hint, event.time

    def _on_done(self, event: Event) -> None:
        phase = self.phases.setdefault(event.values["phase"], PhaseState())
        phase.result, phase.ended_at = event.values["result"], event.time
        # a training that was stopped, or saw nothing more to gain, has fewer steps than were planned
        if phase.unit != "steps":
            phase.done = phase.total

    def _on_pushed(self, event: Event) -> None:
        phase = self.phases.setdefault(event.values["phase"], PhaseState())
        phase.pushed.append(event.values["repository"])

    @staticmethod
    def _forget_later_steps(history: list, step: int) -> None:
        """After a resume from a checkpoint the steps behind it are trained, and written, again."""
        while history and history[-1][0] >= step:
            history.pop()

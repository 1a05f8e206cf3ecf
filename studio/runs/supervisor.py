"""One small process per run: waits for the device, works through the phases, and writes how each one ended.

`python -m studio.runs.supervisor RUN_DIR --phases train,merge`. It lives in a session of its own, so it outlives the
page and the server; it holds no run state, only the journal does. It never imports training code.
"""

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from studio.runs.device import DeviceSlot
from studio.runs.events import AFTERWARDS, DEVICE_PHASES, PHASES, Event, EventWriter, RunStage, RunState, read_events
from studio.runs.liveness import AGAIN, write_marks
from studio.runs.playground import release
from studio.runs.processes import ProcessMark, beat, terminate_group
from studio.settings import Settings

POLL_S = 0.2
BEAT_S = 5
KILL_GRACE_S = 5
# a later phase may still be useful after these failed: a model without its report can be merged
OPTIONAL_PHASES = frozenset({"evaluate"})
# these push, and need neither the device nor torch
HUB_PHASES = {"publish": ["studio.publishing"], "space": ["studio.publishing", "--space"]}
ERROR_LINE = re.compile(r"^[\w.]*(Error|Exception|Interrupt|Killed)\b.*")


@dataclass
class Supervisor:
    """Runs the phases of one run, one worker at a time."""

    run_dir: Path
    settings: Settings

    def __post_init__(self):
        self.mark = ProcessMark.of(os.getpid())
        write_marks(self.run_dir, supervisor=self.mark)
        self._last_beat = 0.0
        self._beat()
        self.before = RunState()
        for event in read_events(self.run_dir)[0]:
            self.before.apply(event)

    def run(self, phases: list[str]) -> RunStage:
        """Wait for the device, work through `phases`, and return how the run ended."""
        slot = DeviceSlot(self.settings)
        try:
            # the end is noted before the device is free, so that no other run has started by then
            return self._end(*self._through(phases, slot))
        finally:
            slot.give_back()

    def _through(self, phases: list[str], slot: DeviceSlot) -> tuple[RunStage, str, str]:
        """Work through `phases`; returns stage, phase and message of the run's end."""
        failed = ""
        for phase in phases:
            if phase in DEVICE_PHASES and not slot.held:
                if not self._take(slot):
                    return RunStage.STOPPED, phase, "Stopped while it waited."
                release(self.settings)
            elif phase not in DEVICE_PHASES:
                slot.give_back()
            ended = self._work(phase, slot)
            if ended is RunStage.STOPPED:
                return RunStage.STOPPED, phase, ""
            if ended is RunStage.FAILED:
                failed = failed or phase
                if phase not in OPTIONAL_PHASES:
                    break
        return (RunStage.FAILED, failed, "") if failed else (RunStage.COMPLETED, "", "")

    def _take(self, slot: DeviceSlot) -> bool:
        """Wait for the device; False when a stop was asked for meanwhile."""
        while not slot.take(self.run_dir.name):
            if self._asked():
                return False
            self._beat()
            time.sleep(POLL_S)
        return True

    def _work(self, phase: str, slot: DeviceSlot) -> RunStage:
        """Run one phase in a fresh worker; returns COMPLETED, STOPPED or FAILED."""
        self._write(lambda journal: journal.stage(RunStage.STARTING, phase))
        module = HUB_PHASES.get(phase) or [self.settings.worker_module, phase]
        # the worker inherits the slot: should this process be killed, the device stays taken while it trains
        worker = subprocess.Popen([sys.executable, "-m", *module, str(self.run_dir)], start_new_session=True,
                                  stdin=subprocess.DEVNULL, pass_fds=slot.descriptors)
        write_marks(self.run_dir, supervisor=self.mark, worker=ProcessMark.of(worker.pid))
        ended_here = False
        while worker.poll() is None:
            asked = self._asked()
            # only a training has something to save, and that from its first step on
            if asked == "kill" or (asked and (phase != "train" or not self._trains())):
                terminate_group(worker.pid, KILL_GRACE_S)
                ended_here = True
            self._beat()
            time.sleep(POLL_S)
        write_marks(self.run_dir, supervisor=self.mark)
        if worker.returncode != 0 and not ended_here:
            self._explain(phase, worker.returncode)
            return RunStage.FAILED
        return RunStage.STOPPED if self._asked() else RunStage.COMPLETED

    def _explain(self, phase: str, returncode: int) -> None:
        """Write the cause of a failure, unless the worker has done so itself."""
        if any(event.type == "error" for event in self._events_of_phase()):
            return
        message, hint = _cause(phase, returncode, self.run_dir / "worker.log")
        self._write(lambda journal: journal.error(phase, message, hint))

    def _trains(self) -> bool:
        """Whether the worker counts steps already; before that it loads the model."""
        return any(event.type == "progress" and event.values["unit"] == "steps" for event in self._events_of_phase())

    def _events_of_phase(self) -> list[Event]:
        """What the journal holds of the phase that was started last."""
        events, _ = read_events(self.run_dir)
        starts = [i for i, event in enumerate(events) if event.type == "stage" and event.values["stage"] == "STARTING"]
        return events[starts[-1]:]

    def _end(self, stage: RunStage, phase: str = "", message: str = "") -> RunStage:
        if phase in AFTERWARDS and self.before.settled is RunStage.COMPLETED:
            stage = RunStage.COMPLETED
        self._write(lambda journal: journal.stage(stage, phase, message))
        return stage

    def _asked(self) -> str:
        """"stop" or "kill" when a stop was asked for, else ""."""
        try:
            return (self.run_dir / "stop_request").read_text().strip()
        except FileNotFoundError:
            return ""

    def _write(self, action) -> None:
        """Open the journal only while no worker has it open."""
        journal = EventWriter(self.run_dir)
        action(journal)
        journal.close()

    def _beat(self) -> None:
        if time.monotonic() - self._last_beat > BEAT_S:
            self._last_beat = time.monotonic()
            with contextlib.suppress(OSError):  # a full disk must not end the run's watch
                beat(self.run_dir / "heartbeat")


def _cause(phase: str, returncode: int, log: Path) -> tuple[str, str]:
    """What an exit code and the end of the log say of a phase that failed: cause and next step."""
    if returncode == -signal.SIGKILL:
        smaller = "Lower the batch size or the longest row, or take a smaller model, then resume."
        return ("The worker was killed by the system, most often because memory ran out.",
                smaller if phase == "train" else f"End what else fills the memory of this machine. {AGAIN[phase]}")
    if returncode < 0:
        return f"The worker was ended by signal {signal.Signals(-returncode).name}.", AGAIN[phase]
    with open(log, "rb") as file:
        file.seek(max(0, log.stat().st_size - 8192))
        lines = [line.strip() for line in file.read().decode("utf-8", errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if ERROR_LINE.match(line)] or lines or [f"exit code {returncode}"]
    return f"The worker failed: {named[-1][:300]}.", "The log shows what led to it."


def main(argv: list[str] | None = None) -> int:
    """Entry point; exit code 0 when the run ended COMPLETED or STOPPED."""
    parser = argparse.ArgumentParser(prog="studio.runs.supervisor")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--phases", required=True, type=lambda text: text.split(","))
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.phases) - set(PHASES):
        parser.error(f"unknown phases: {', '.join(sorted(unknown))}")
    settings = Settings.from_environment()
    stage = Supervisor(arguments.run_dir.resolve(), settings).run(arguments.phases)
    return 0 if stage in (RunStage.COMPLETED, RunStage.STOPPED) else 1


if __name__ == "__main__":
    sys.exit(main())

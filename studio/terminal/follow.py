"""A run that works, in a terminal: one line that says where it is, to its end."""

import sys
import time

from studio import words
from studio.runs.store import RunStore, RunView
from studio.terminal.line import LiveLine
from studio.terminal.run import last

TICK_S = 0.5


def follow(store: RunStore, run_id: str, quiet: bool = False) -> RunView:
    """Show progress until the run ends; returns its last view. Ctrl-C leaves the run working."""
    line = LiveLine(quiet)
    said: set[str] = set()
    try:
        while True:
            view = store.get(run_id)
            for warning in view.state.warnings:
                if warning not in said:
                    line.say(f"! {warning}")
            said |= set(view.state.warnings)
            line.show(progress_line(view))
            if not view.is_live:
                line.end()
                return view
            time.sleep(TICK_S)
    except KeyboardInterrupt:
        line.end()
        print(f"\n{view.name} goes on working. Follow it again:  python -m studio follow {run_id}\n"
              f"Stop it:  python -m studio stop {run_id}", file=sys.stderr)
        raise SystemExit(130) from None


def progress_line(view: RunView) -> str:
    """Where a live run is, in one line: stage, phase, how far, what it does, the last loss, the time left."""
    state = view.state
    phase = state.phases.get(state.phase)
    parts = [state.stage.value.lower(), state.phase]
    if phase and phase.total:
        parts.append(f"{words.size(phase.done)} of {words.size(phase.total)}" if phase.unit == "bytes"
                     else f"{phase.done:g} of {phase.total:g} {phase.unit}")
    if phase and phase.message:
        parts.append(phase.message)
    if state.phase == "train" and (loss := last(state.logs, "loss")) is not None:
        parts.append(f"loss {words.figure(loss)}")
    if view.eta_s is not None:
        parts.append(f"{words.rough_duration(view.eta_s)} left")
    return "  ".join(part for part in parts if part)

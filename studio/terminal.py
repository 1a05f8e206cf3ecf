"""A run in a terminal: a live line while it works, plain tables and figures afterwards."""

import sys
import time
from dataclasses import asdict
from typing import Any

from studio import words
from studio.errors import RunError
from studio.evaluation.baselines import baseline_rows, baselines_words, read_baselines
from studio.evaluation.saved import read_report
from studio.evaluation.summary import metric_name, reservations, rows_words, summarise
from studio.publishing.deploy import last_push
from studio.publishing.exports import list_exports
from studio.publishing.parity_words import ParityWords, parity_words
from studio.runs.events import RunStage
from studio.runs.store import RunStore, RunView
from studio.start import Outlook
from studio.texts import text

TICK_S = 0.5
# without a terminal to redraw, a line now and then is enough
PLAIN_LINE_S = 10
MARKS = {"error": "✗", "warning": "!", "info": "·"}


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


def ended_well(view: RunView) -> bool:
    """Whether the run is complete, and so is the step that was repeated on it last: a push may have been paused."""
    state = view.state
    # a complete run names a step only where that step ended it early
    return state.stage is RunStage.COMPLETED and not state.error and not state.phase


def facts(view: RunView) -> dict[str, Any]:
    """What `--json` says of a run."""
    state = view.state
    return {
        "run_id": view.run_id, "name": view.name, "stage": state.stage.value, "phase": state.phase,
        "progress": view.progress, "eta_s": view.eta_s, "step": state.step, "created_at": view.info["created_at"],
        "ended_at": state.ended_at, "error": state.error, "hint": state.hint, "warnings": state.warnings,
        "loss": _last(state.logs, "loss"), "eval_loss": _last(state.evals, "eval_loss"),
        "checkpoints": [path for _, path in state.checkpoints], "report": view.report, "run_dir": str(view.run_dir),
        "phases": {name: phase.result for name, phase in state.phases.items()},
        "exports": [{"name": export.name, "path": str(export.path), "size_bytes": export.size_bytes,
                     "fresh": export.fresh} for export in list_exports(view.run_dir)],
        "parity": [asdict(row) for row in parity_words(view.run_dir).rows],
    }


def print_run(view: RunView) -> None:
    """A finished or present run in words: how it ended, figures, where everything is."""
    state = view.state
    print(f"\n{view.name}  {state.stage.value}  ({view.run_id})")
    if state.error and state.stage in (RunStage.FAILED, RunStage.LOST, RunStage.COMPLETED):
        print(f"  {state.error} {state.hint}".rstrip())
    for name, phase in state.phases.items():
        if phase.ended_at and phase.started_at:
            print(f"  {name:10} {words.duration(words.seconds_between(phase.started_at, phase.ended_at))}")
    if state.logs:
        first = state.logs[0][1]
        if "loss" in first and (loss := _last(state.logs, "loss")) is not None:
            print(f"  loss       {words.figure(first['loss'])} → {words.figure(loss)} over {last_step(view)} steps")
    if (loss := _last(state.evals, "eval_loss")) is not None:
        print(f"  held out   loss {words.figure(loss)}")
    if found := read_baselines(view.run_dir):
        print_baselines(found)
    try:
        report = read_report(view.run_dir)
        skipped = (state.phases["evaluate"].result or {}).get("skipped") if "evaluate" in state.phases else None
        if skipped:
            print(f"  {text('runs.results.earlier', reason=skipped) if report else skipped}")
        if report:
            print_report(report)
    except RunError as error:
        print(f"  {error}")
    print(f"\n  folder     {view.run_dir}")
    if view.report is not None:
        print(f"  report     {view.run_dir / 'report.json'}")
    for export in list_exports(view.run_dir):
        older = "" if export.fresh else "  (of earlier weights)"
        print(f"  {export.name:10} {export.path}  {words.size(export.size_bytes)}{older}")
    pushed = last_push(view) or {}
    for repository in pushed.get("repositories", []):
        print(f"  on the Hub {repository['pull_request'] or repository['url']}")
    print_parity(parity_words(view.run_dir))


def print_parity(said: ParityWords) -> None:
    """How near each export is to the trained model; nothing before the first check."""
    if not said.asked:
        return
    print(f"\n  {said.asked} {said.changed}".rstrip())
    print_table([[f"  {row.name}", row.verdict, row.kl, row.answers and f"{row.answers} equal answers"]
                 for row in said.rows])
    for row in said.rows:
        if row.sentence:
            print(f"  {row.sentence} {row.hint}")


def print_report(report: dict[str, Any]) -> None:
    """Base against tuned, as `evaluate` measured them, with the verdict."""
    print(f"\n  base against tuned on {rows_words(report)}")
    for name, metric in report["metrics"].items():
        base, tuned = metric["base"], metric["tuned"]
        print(f"    {metric_name(name):34} {words.figure(base['value']):>8}  →  {words.figure(tuned['value']):>8}")
    summary = summarise(report)
    if summary is not None:
        print(f"\n  {summary.headline}")
        for line in [*summary.grounds, *summary.notes]:
            print(f"    {line}")
        print()
        print_table([[row.name, row.figure, row.prompt_tokens and f"{row.prompt_tokens} tokens in",
                      row.answer_tokens and f"{row.answer_tokens} out", row.seconds] for row in summary.rows])


def print_baselines(found: dict[str, Any]) -> None:
    """What the untouched model reached with each prompt."""
    print(f"\n  {baselines_words(found)}")
    for note in reservations(found):
        print(f"    {note}")
    print()
    print_table([[f"  {row.name}", row.figure, f"{row.prompt_tokens} tokens in", f"{row.answer_tokens} out",
                  row.seconds] for row in baseline_rows(found)])


def print_runs(views: list[RunView]) -> None:
    """The list of runs, newest first."""
    if not views:
        print("No runs yet. Start with:  python -m studio run quickstart")
        return
    print_table([
        [view.run_id, view.name, view.state.stage.value, _progress(view), words.age(view.info["created_at"])]
        for view in views])


def print_started(view: RunView) -> None:
    print(f"{view.name} is working: {view.run_id}\nFollow it:  python -m studio follow {view.run_id}")


def print_outlook(outlook: Outlook, say_clear: bool = False) -> None:
    """Errors, warnings and notes of the preflight, worst first, then what the run will need."""
    if say_clear and not outlook.findings:
        print("Nothing speaks against starting this run.")
    for finding in outlook.findings:
        print(f"{MARKS[finding.level]} {finding.message} {finding.hint}".rstrip())
        if finding.fix:
            print("    " + "  ".join(f"--set {name}={value}" for name, value in finding.fix.items()))
    needs = [outlook.device.name]
    if outlook.memory:
        needs.append(f"about {words.size(outlook.memory.total)} of {words.size(outlook.device.memory_bytes)} memory")
    if outlook.time:
        low, high = words.rough_duration(outlook.time.low_s), words.rough_duration(outlook.time.high_s)
        needs.append(f"{words.count(outlook.time.steps)} steps in {low} to {high}")
    if outlook.money is not None:
        needs.append(f"about {words.money(outlook.money)}")
    print(", ".join(needs))


def print_table(rows: list[list[str]]) -> None:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def last_step(view: RunView) -> int:
    return view.state.logs[-1][0]


def _last(history: list[tuple[int, dict[str, float]]], name: str) -> float | None:
    return next((metrics[name] for _, metrics in reversed(history) if name in metrics), None)


def _progress(view: RunView) -> str:
    if not view.is_live or view.progress is None:
        return ""
    eta = f", {words.rough_duration(view.eta_s)} left" if view.eta_s is not None else ""
    return f"{view.state.phase} {words.percent(view.progress)}{eta}"


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
    if state.phase == "train" and (loss := _last(state.logs, "loss")) is not None:
        parts.append(f"loss {words.figure(loss)}")
    if view.eta_s is not None:
        parts.append(f"{words.rough_duration(view.eta_s)} left")
    return "  ".join(part for part in parts if part)


class LiveLine:
    """One line redrawn in a terminal; elsewhere a line now and then, when it changed."""

    def __init__(self, quiet: bool):
        self._quiet = quiet
        self._redraws = sys.stderr.isatty()
        self._shown, self._shown_at = "", 0.0

    def show(self, text: str) -> None:
        if self._quiet or text == self._shown:
            return
        if self._redraws:
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._shown_at >= PLAIN_LINE_S or text.split("  ")[:2] != self._shown.split("  ")[:2]:
            print(text, file=sys.stderr, flush=True)
            self._shown_at = time.monotonic()
        else:
            return
        self._shown = text

    def say(self, text: str) -> None:
        if not self._quiet:
            print(("\r\033[K" if self._redraws else "") + text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave no line behind."""
        if self._redraws and not self._quiet:
            print("\r\033[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._redraws and not self._quiet:
            print(file=sys.stderr)

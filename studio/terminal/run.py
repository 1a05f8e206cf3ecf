"""Runs in a terminal: one with its figures, exports and verdict, or a list of them; and what `--json` says of one."""

from dataclasses import asdict
from typing import Any

from studio import words
from studio.errors import RunError
from studio.evaluation.baselines import baseline_rows, baselines_words, read_baselines
from studio.evaluation.saved import read_report
from studio.evaluation.summary import metric_name, reservations, rows_words, summarise
from studio.publishing.exports import list_exports
from studio.publishing.parity_words import ParityWords, parity_words
from studio.publishing.pushed import last_push
from studio.runs.events import RunStage
from studio.runs.store import RunView
from studio.terminal.layout import print_table
from studio.texts import text


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
        "loss": last(state.logs, "loss"), "eval_loss": last(state.evals, "eval_loss"),
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
        if "loss" in first and (loss := last(state.logs, "loss")) is not None:
            print(f"  loss       {words.figure(first['loss'])} → {words.figure(loss)} over {state.logs[-1][0]} steps")
    if (loss := last(state.evals, "eval_loss")) is not None:
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


def last(history: list[tuple[int, dict[str, float]]], name: str) -> float | None:
    """The last value of a metric among (step, metrics), None where there is none."""
    return next((metrics[name] for _, metrics in reversed(history) if name in metrics), None)


def _progress(view: RunView) -> str:
    if not view.is_live or view.progress is None:
        return ""
    eta = f", {words.rough_duration(view.eta_s)} left" if view.eta_s is not None else ""
    return f"{view.state.phase} {words.percent(view.progress)}{eta}"

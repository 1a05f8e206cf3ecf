"""The parts of the Runs tab as HTML. Every value goes through a template that escapes it: names, logs, presets and
metrics are hostile text."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import words
from studio.errors import RunError, StudioError
from studio.evaluation.baselines import baseline_rows, baselines_words, read_baselines
from studio.evaluation.marking import mark
from studio.evaluation.predictions import SCORE, Prediction, PredictionPage
from studio.evaluation.saved import read_report
from studio.evaluation.summary import metric_name, reservations, score_words, summarise, way_name
from studio.preset import files
from studio.runs.events import RunStage
from studio.runs.store import BASELINES, RunStore, RunView
from studio.texts import text
from studio.ui import comparison, run_words
from studio.ui.downloads import FILES

LIST_LIMIT = 100
LOG_END_BYTES, LOG_END_LINES = 6000, 12
SAMPLES_SHOWN = 10
TEXT_SHOWN = 4000

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)
_templates.globals.update(text=text, words=words)


def run_list(views: list[RunView], unreadable: Sequence[str] = ()) -> str:
    """The list of runs, newest first, or what to do where there is none. Rows are links to `?run=<id>`.

    `unreadable` are the ids of those whose folder is damaged: their pages say how and offer to delete them.
    """
    rows = [{"view": view, "stage": run_words.stage_look(view), "eta": run_words.eta_words(view),
             "loss": words.figure(view.best_eval_loss) if view.best_eval_loss is not None else "",
             "age": words.age(view.info["created_at"])} for view in views[:LIST_LIMIT]]
    return _render("run_list.html", rows=rows, total=len(views), unreadable=unreadable)


def head(store: RunStore, view: RunView) -> str:
    """Top of the run page: the failure if there is one, name and stage, progress, what to do next."""
    state, info = view.state, view.info
    # a complete run stays complete; how a file or a push failed is told with these
    repeated = state.stage is RunStage.COMPLETED and state.phase in ("evaluate", "merge") and bool(state.error)
    failed = repeated or state.stage in (RunStage.FAILED, RunStage.LOST)
    return _render(
        "run_head.html", view=view, state=state, stage=run_words.stage_look(view),
        progress=run_words.progress_words(view), message=_message(view), phases=run_words.phase_marks(view),
        next=run_words.next_step(view).sentence, age=words.age(info["created_at"]), took=_took(view),
        failure=run_words.failed_where(view) if failed else "", log_end=log_end(store, view.run_id) if failed else "")


def problem(error: StudioError) -> str:
    """The page of a run that cannot be shown."""
    return _render("run_problem.html", error=error)


def private() -> str:
    """What somebody sees who may not look."""
    return _render("run_private.html")


def results(view: RunView) -> str:
    """Verdict, ways, what got better and worse, costs, and measures before and after; a sentence where none can be.

    A run that only tried the untouched model shows what that reached.
    """
    if view.kind == BASELINES:
        return _baselines(view)
    try:
        report = read_report(view.run_dir)
    except RunError as error:
        return _render("run_no_results.html", sentence=str(error), samples=[])
    result = view.state.phases["evaluate"].result if "evaluate" in view.state.phases else None
    skipped = result["skipped"] if result and "skipped" in result else ""
    if report is None:
        key = "skipped" if view.preset.evaluation.compare_rows == 0 else "none" if view.is_live else "ended"
        sentence = skipped or text(f"runs.results.{key}")
        return _render("run_no_results.html", sentence=sentence, samples=view.state.samples[:SAMPLES_SHOWN])
    page_link = f"download/{view.run_id}/report.html" if (view.run_dir / "report.html").is_file() else ""
    extremes = {name: [_card(_extreme(report, row)) for row in report[name]] for name in ("best", "worst")}
    earlier = text("runs.results.earlier", reason=skipped) if skipped else ""
    return _render("run_results.html", report=report, earlier=earlier, summary=summarise(report), page_link=page_link,
                   extremes=extremes, measures=comparison.measures(report), sentence=comparison.sentence(report),
                   names=[way_name(way) for way in report["ways"]] if "ways" in report else [])


def _baselines(view: RunView) -> str:
    found = read_baselines(view.run_dir)
    if found is None:
        return _render("run_baselines.html", found=None)
    return _render("run_baselines.html", found=found, sentence=baselines_words(found), rows=baseline_rows(found),
                   notes=reservations(found), metric=metric_name(found["metric"]))


def answer_rows(page: PredictionPage) -> str:
    """Some of the rows with the answers of all ways side by side; what differs from the wanted answer is marked."""
    sorted_by = text("evaluation.rows.sorted", way=way_name(page.rival)) if page.rival else ""
    return _render("answer_rows.html", page=page, rows=[_card(row) for row in page.rows], sorted_by=sorted_by)


def file_list(view: RunView) -> str:
    """The run's files and folders with their sizes; small files are links."""
    entries = [entry for path in sorted(view.run_dir.iterdir()) if (entry := _entry(path)) is not None]
    return _render("run_files.html", view=view, entries=entries, total=sum(entry["bytes"] for entry in entries))


def preset(view: RunView) -> str:
    """The preset's YAML and what differs from the preset it came from."""
    origin = view.origin
    differences = [
        {"field": change.field, "before": str(change.before), "after": str(change.after)}
        for change in files.diff(origin, view.preset)] if origin else []
    return _render("run_preset.html", origin=origin, differences=differences,
                   yaml=files.dumps(view.preset, comments=False))


def environment(view: RunView) -> str:
    """Versions, hardware, seed and data fingerprint, as recorded."""
    facts = [(text(f"runs.environment.{name}"), view.info[name]) for name in
             ("run_id", "created_at", "studio_version", "git_revision", "parent") if view.info[name]]
    return _render("run_environment.html", facts=facts, recorded=list(_leaves(view.environment or {})))


def log_end(store: RunStore, run_id: str) -> str:
    """The last lines of the log."""
    chunk, _ = store.log_chunk(run_id, store.log_size(run_id) - LOG_END_BYTES, LOG_END_BYTES)
    return "\n".join(chunk.rstrip().splitlines()[-LOG_END_LINES:])


def _render(template: str, **values: Any) -> str:
    return _templates.get_template(template).render(**values)


def _card(row: Prediction) -> dict[str, Any]:
    """A row with its answers, ready to be shown."""
    return {"row": row, "answers": [_answer(way, said, score, row.expected) for way, said, score in row.answers],
            "asked": _long(row.prompt), "wanted": _long(row.expected)}


def _extreme(report: dict[str, Any], row: dict[str, Any]) -> Prediction:
    """One of the best or worst rows of a report."""
    return Prediction(row["row"] + 1, row["prompt"], row["expected"],
                      [(way, row[way], row[way + SCORE]) for way in report["ways"]])


def _answer(way: str, said: str, score: float, expected: str) -> dict[str, Any]:
    """One way's answer in marked pieces; a score between right and wrong is a percentage."""
    shown, note = _long(said)
    sign, word = score_words(score)
    return {"name": way_name(way), "pieces": [("same", shown)] if note else mark(said, expected), "note": note,
            "sign": sign, "score": word, "empty": not said.strip()}


def _long(said: str) -> tuple[str, str]:
    """A text as far as it is shown, and a note where it is cut."""
    if len(said) <= TEXT_SHOWN:
        return said, ""
    return said[:TEXT_SHOWN], text("evaluation.rows.long", shown=words.count(TEXT_SHOWN), length=words.count(len(said)))


def _message(view: RunView) -> str:
    """What the phase says it is doing while there is nothing to count."""
    phase = view.state.phases.get(view.state.phase)
    return (phase.message if view.is_live and phase else "") or view.state.message


def _took(view: RunView) -> str:
    state = view.state
    if view.is_live or not state.started_at or not state.ended_at:
        return ""
    spent = datetime.fromisoformat(state.ended_at) - datetime.fromisoformat(state.started_at)
    return words.duration(spent.total_seconds())


def _entry(path: Path) -> dict[str, Any] | None:
    if path.name.startswith(".") or path.is_symlink():
        return None
    if path.is_dir():
        sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
        return {"name": f"{path.name}/", "link": False, "bytes": sum(sizes), "count": len(sizes)}
    return {"name": path.name, "link": path.name in FILES, "bytes": path.stat().st_size, "count": 0}


def _leaves(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)

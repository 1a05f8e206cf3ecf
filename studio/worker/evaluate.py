"""Have the same held-out rows answered in every way that is compared, and write the report."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.data.render import render_rows
from studio.errors import DataError
from studio.evaluation.answers import AnswerFile
from studio.evaluation.costs import price_report
from studio.evaluation.guard import guard_words
from studio.evaluation.judge import Pair
from studio.evaluation.other import read_other
from studio.evaluation.page import render_page
from studio.evaluation.perplexity import METRIC as PERPLEXITY
from studio.evaluation.perplexity import RowLosses
from studio.evaluation.report import WayAnswers, compare_answers, compare_perplexity
from studio.evaluation.request import PLAN, read_request
from studio.evaluation.scores import read_rules
from studio.evaluation.summary import rows_words
from studio.evaluation.verdict import weigh_costs
from studio.evaluation.ways import (
    BASE,
    ENDPOINT,
    TUNED,
    Example,
    last_words,
    planned_ways,
    transcript,
)
from studio.preset import files
from studio.runs.estimates import price_per_hour
from studio.runs.trainings import training_effort
from studio.worker.answer_losses import AnswerLosses
from studio.worker.embedding import measure_similarities
from studio.worker.guard import Guard
from studio.worker.other_model import answer_by_other
from studio.worker.phase import Phase
from studio.worker.row_answers import DOING, plan_answers
from studio.worker.row_losses import measure_losses
from studio.worker.row_prompts import asked_rows, learned_rows, rows_to_compare
from studio.worker.services import answer_by_endpoint, judge_pairs, mean_tokens, note_service_left_out
from studio.worker.weights import Weights, find_trained, on_each_side

SAMPLE_ROWS = 5


def evaluate(phase: Phase) -> dict:
    """Compare the ways on `compare_rows` held-out rows; writes report.json, report.html and predictions.jsonl.

    Chats and prompts are answered and judged by the metric; plain text is judged by perplexity. Answers that
    answers.jsonl holds are not given again, and losses not measured again. Returns the phase's facts. Raises `RunError`
    where there is no trained model, `DataError` where no row can be asked.
    """
    request = read_request(phase.run_dir)
    if request.settings:
        phase = replace(phase, preset=files.override(phase.preset, request.settings))
        # the plan changes no answer and no score, and the report shows it
        if names := ", ".join(name for name in request.settings if not name.startswith(PLAN)):
            phase.note(f"Compared otherwise than the run's preset says: {names}.")
    data, rows = request.data, rows_to_compare(phase, request.data)
    if not rows:
        return {"skipped": "There are no rows to compare on. Compare with rows of your own (--on DATA), or train again "
                           "with a tenth of the rows held out (data.test_size)."}
    weights, seed = find_trained(phase), phase.preset.training.seed
    guard, effort = _guard(phase, weights), training_effort(phase.run_dir)
    if "text" in rows[0]:
        if request.against:
            phase.note(f"{request.against} is left out of the comparison: another model is compared by its answers, "
                       "and plain text asks nothing.")
        base, tuned = _row_losses(phase, weights, rows, guard)
        report, predictions = compare_perplexity(base, tuned, seed, effort.seconds) | {"judge": None}, []
    else:
        asked = asked_rows(phase, rows)
        if not asked:
            return {"skipped": "No row holds a question with an answer in words; the call of a tool is not judged. "
                               "Compare with rows of your own that do (--on DATA)."}
        if data and (seen := learned_rows(phase.run_dir, asked)):
            phase.note(f"This run was trained on {seen} of the {len(asked)} compared rows, so its figures promise more "
                       "than it reaches on new ones.")
        kept = AnswerFile(phase.run_dir / "answers.jsonl")
        asked, answers, losses = _answers(phase, weights, asked, guard, kept)
        own: frozenset[str] = frozenset()
        if request.against and losses:
            phase.note(f"{request.against} is left out of the comparison: perplexity is measured for the ways of this "
                       "run alone.")
        elif request.against:
            named = read_other(request.against)
            other = answer_by_other(phase, named, asked, kept)
            if other:
                answers = _before_tuned(answers, *other)
                own = frozenset({other[0]}) if named.run_id == phase.run_dir.name else own
        prompts, expected = [last_words(row.question) for row in asked], [row.answer for row in asked]
        texts = {way: [answer.text for answer in said.answers] for way, said in answers.items()}
        rules = replace(read_rules(phase.preset.evaluation, [row.question for row in asked]),
                        measured=measure_similarities(phase, texts, expected), losses=losses)
        report, predictions = compare_answers(prompts, expected, answers, phase.preset.evaluation.metric, seed,
                                              effort.seconds, rules, own)
        report["wanted_tokens"] = mean_tokens(weights.tokenizer(phase), expected)
        report["judge"] = _judged(phase, asked, answers, kept)
    report["data"] = Path(data).name if Path(data).is_absolute() else data.removeprefix("upload:")
    if report["refused_metric"]:
        phase.journal.warning(f"The metric {report['refused_metric']} does not apply to these rows; "
                              f"{report['metric']} decides instead.")
    report["notes"] = phase.notes
    report |= price_report(report, phase.preset.plan, price_per_hour(phase.settings), effort.wh, effort.wh_of)
    report["verdict"] = weigh_costs(report)
    report["guard"] = guard.compare() if guard else None
    if guard and report["guard"]["forgotten"]:
        phase.journal.warning(guard_words(report["guard"]))
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in predictions]
    _write(phase.run_dir / "predictions.jsonl", "".join(lines))
    _write(phase.run_dir / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    name = json.loads((phase.run_dir / "run.json").read_text(encoding="utf-8"))["name"]
    page = render_page(report, name, phase.preset.description, phase.preset.model.model_name_or_path)
    _write(phase.run_dir / "report.html", page)
    for row in predictions[:SAMPLE_ROWS]:
        phase.journal.sample(row["prompt"], row["expected"], row["base"], row["tuned"])
    figures = report["metrics"][report["metric"]]
    base, tuned = figures["base"]["value"], figures["tuned"]["value"]
    print(f"{report['metric']} on {rows_words(report)}: base {base:.3f}, tuned {tuned:.3f}", flush=True)
    return {"metric": report["metric"], "rows": report["n"], "base": base, "tuned": tuned}


def _answers(phase: Phase, weights: Weights, asked: list[Example],
             guard: Guard | None, answers: AnswerFile
             ) -> tuple[list[Example], dict[str, WayAnswers], dict[str, RowLosses]]:
    """The rows that fit the model, what was answered to them in each way, and where perplexity shall decide how well
    the wanted answers are foreseen; the guard's questions are asked too.
    """
    tokenizer = weights.tokenizer(phase)
    rows = plan_answers(phase, weights, tokenizer, asked, planned_ways(phase.preset.evaluation), answers)
    for note in rows.notes:
        phase.note(note)

    losses = AnswerLosses(phase, weights, tokenizer, rows) if phase.preset.evaluation.metric == PERPLEXITY else None

    def work(side: str, model: Any) -> None:
        rows.work(side, model)
        if guard:
            guard.work(side, model)
        if losses:
            losses.work(side, model)

    sides = rows.sides | (guard.sides if guard else set()) | (losses.sides if losses else set())
    on_each_side(phase, weights, sides, rows.longest, work)
    ways = rows.results()
    if losses:
        note_service_left_out(phase)
        return rows.rows, ways, losses.results()
    other = answer_by_endpoint(phase, tokenizer, rows.rows, answers) if phase.preset.evaluation.endpoint_url else None
    if other:
        ways = _before_tuned(ways, ENDPOINT, other)
    return rows.rows, ways, {}


def _before_tuned(ways: dict[str, WayAnswers], name: str, answers: WayAnswers) -> dict[str, WayAnswers]:
    """The ways with one more; the tuned model stays the last."""
    return {way: said for way, said in ways.items() if way != TUNED} | {name: answers, TUNED: ways[TUNED]}


def _judged(phase: Phase, rows: list[Example], ways: dict[str, WayAnswers], kept: AnswerFile) -> dict | None:
    """What the judge says of the tuned model's answers beside those of another way; None where none is asked."""
    evaluation = phase.preset.evaluation
    if not evaluation.judge_url:
        return None
    if evaluation.judge_against not in ways:
        phase.note(f"The judge was to compare with the way {evaluation.judge_against}, which has no answers here: it "
                   "was not asked. Set evaluation.judge_against to a way that is compared.")
        return None
    answers = zip(rows, ways[TUNED].answers, ways[evaluation.judge_against].answers, strict=True)
    return judge_pairs(phase, [Pair(transcript(row.question), row.answer, tuned.text, other.text)
                               for row, tuned, other in answers], kept)


def _row_losses(phase: Phase, weights: Weights, rows: list[dict], guard: Guard | None) -> list[RowLosses]:
    """How well base and tuned model foresee the held-out texts; the guard's questions are asked too."""
    rendered = [(row.input_ids, row.labels) for row in render_rows(weights.tokenizer(phase), rows, phase.preset)]
    measured: list[RowLosses] = []

    def work(side: str, model: Any) -> None:
        def say(done: int) -> None:
            phase.journal.progress(phase.name, len(measured) * len(rows) + done, 2 * len(rows), "rows", DOING[side])

        measured.append(measure_losses(model, rendered, say))
        if guard:
            guard.work(side, model)

    on_each_side(phase, weights, {BASE, TUNED}, phase.preset.training.max_length, work)
    return measured


def _guard(phase: Phase, weights: Weights) -> Guard | None:
    """The general questions, where they are wanted and the model takes them."""
    if not phase.preset.evaluation.guard:
        return None
    try:
        return Guard(phase, weights, weights.tokenizer(phase), [BASE, TUNED])
    except DataError as error:
        phase.note(f"The general questions are left out: {error.message}")
        return None


def _write(file: Path, text: str) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, file)

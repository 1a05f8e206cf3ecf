"""Have the held-out rows answered without any training: the untouched model with each prompt, and another model."""

import json
import os
from dataclasses import replace
from typing import Any

from studio.data.jsonl import write_jsonl
from studio.data.prepare import prepare
from studio.data.shapes import refusal
from studio.errors import DataError
from studio.evaluation.answers import AnswerFile
from studio.evaluation.baselines import FILE
from studio.evaluation.perplexity import METRIC as PERPLEXITY
from studio.evaluation.scores import read_rules
from studio.evaluation.untuned import compare_baselines
from studio.evaluation.ways import ENDPOINT, TUNED, Example, compared_rows, last_words, planned_ways
from studio.runs.checks import require_device
from studio.runs.device import probe_device
from studio.worker.answer_losses import AnswerLosses
from studio.worker.embedding import measure_similarities
from studio.worker.phase import Phase
from studio.worker.row_answers import plan_answers
from studio.worker.row_prompts import asked_rows
from studio.worker.services import answer_by_endpoint, note_service_left_out
from studio.worker.weights import find_base, on_each_side

ROWS_FILES = ("data/train.jsonl", "data/heldout.jsonl")


def try_baselines(phase: Phase) -> dict:
    """Answer `compare_rows` held-out rows in every way but the tuned one; writes baselines.json, returns the facts.

    A later comparison takes the answers over. Raises `DataError` where nothing can be asked, `ModelError`.
    """
    preset, evaluation = phase.preset, phase.preset.evaluation
    require_device(preset, probe_device())
    phase.say("Reading the data")
    asked = _asked(phase)
    phase.say(f"Finding the base model {preset.model.model_name_or_path}, or downloading it")
    weights = find_base(phase)
    tokenizer, kept = weights.tokenizer(phase), AnswerFile(phase.run_dir / "answers.jsonl")
    rows = plan_answers(phase, weights, tokenizer, asked,
                      [way for way in planned_ways(evaluation) if way != TUNED], kept)
    for note in rows.notes:
        phase.note(note)
    losses = AnswerLosses(phase, weights, tokenizer, rows) if evaluation.metric == PERPLEXITY else None

    def work(side: str, model: Any) -> None:
        rows.work(side, model)
        if losses:
            losses.work(side, model)

    on_each_side(phase, weights, rows.sides | (losses.sides if losses else set()), rows.longest, work)
    ways, other = rows.results(), None
    if losses:
        note_service_left_out(phase)
    elif evaluation.endpoint_url:
        other = answer_by_endpoint(phase, tokenizer, rows.rows, kept)
    if other:
        ways[ENDPOINT] = other
    expected, texts = [row.answer for row in rows.rows], {way: [a.text for a in ways[way].answers] for way in ways}
    rules = replace(read_rules(evaluation, [row.question for row in rows.rows]),
                    measured=measure_similarities(phase, texts, expected), losses=losses.results() if losses else {})
    found = compare_baselines([last_words(row.question) for row in rows.rows], expected, ways, evaluation.metric,
                              preset.training.seed, rules) | {"notes": phase.notes}
    if found["refused_metric"]:
        phase.journal.warning(f"The metric {found['refused_metric']} does not apply to these rows; {found['metric']} "
                              "decides instead.")
    partial = phase.run_dir / f".{FILE}.partial"
    partial.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, phase.run_dir / FILE)
    best = found["ways"][found["best"]]["metrics"][found["metric"]]["value"]
    print(f"{found['metric']} on {found['n']} held-out rows: {found['best']} reaches {best:.3f}", flush=True)
    return {"metric": found["metric"], "rows": found["n"], "best": found["best"], "value": best}


def _asked(phase: Phase) -> list[Example]:
    """The held-out rows that ask something, parted from the others just as a training would; both are kept."""
    prepared = prepare(phase.preset, phase.settings)
    if error := refusal(prepared.source.shape.format):
        raise error
    for name, rows in zip(ROWS_FILES, (prepared.train, prepared.heldout), strict=True):
        write_jsonl(phase.run_dir / name, rows)
    if not prepared.heldout:
        raise DataError("There are no held-out rows to try the untouched model on.", "Hold out a tenth of the rows.",
                        "data.test_size")
    if "text" in prepared.heldout[0]:
        raise DataError("No held-out row holds a question with an answer: plain text asks nothing.",
                        "Train right away; the comparison then measures how well both models foresee the text.",
                        "data.format")
    rows = compared_rows(prepared.heldout, phase.preset.evaluation.compare_rows, phase.preset.training.seed)
    asked = asked_rows(phase, rows)
    if not asked:
        raise DataError("No held-out row holds a question with an answer in words.",
                        "Add rows whose last answer is a text: the call of a tool is not judged.", "data.dataset_name")
    return asked

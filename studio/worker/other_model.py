"""The rows of a comparison answered by one more trained model: another run's, or a checkpoint's."""

import json
from dataclasses import replace

from studio.errors import StudioError
from studio.evaluation.answers import AnswerFile
from studio.evaluation.other import Other
from studio.evaluation.report import WayAnswers
from studio.evaluation.ways import TUNED, Example
from studio.preset import files
from studio.worker.phase import Phase
from studio.worker.row_answers import plan_answers
from studio.worker.row_prompts import learned_rows
from studio.worker.weights import find_trained, on_each_side


def answer_by_other(phase: Phase, other: Other, rows: list[Example],
                    kept: AnswerFile) -> tuple[str, WayAnswers] | None:
    """What the other model is called and what it answers, as its own run trained it; None where it cannot be asked.

    Why not is said as a warning; the comparison goes on without it.
    """
    folder = phase.settings.runs_dir / other.run_id
    own = folder == phase.run_dir
    title = f"The run {other}"
    try:
        preset = files.load(folder / "preset.yaml").model_copy(update={"evaluation": phase.preset.evaluation})
        title = other.title(json.loads((folder / "run.json").read_text(encoding="utf-8"))["name"], own)
        theirs = replace(phase, run_dir=folder, preset=preset)
        weights = find_trained(theirs, other.checkpoint)
        asked = plan_answers(theirs, weights, weights.tokenizer(theirs), rows, [TUNED], kept,
                           {TUNED: f"{title} answers"})
    except StudioError as error:
        phase.note(f"{title} is left out of the comparison: {error.message}",
                   f"{title} is left out of the comparison; the run's log says why.")
        return None
    if len(asked.rows) < len(rows):
        phase.note(f"{title} is left out of the comparison: it cannot be asked {len(rows) - len(asked.rows)} of the "
                   f"{len(rows)} rows.")
        return None
    if not own and (seen := learned_rows(folder, rows)):
        phase.note(f"{title} was trained on {seen} of the {len(rows)} compared rows, so its figures promise more than "
                   "it reaches on new ones.")
    on_each_side(theirs, weights, asked.sides, asked.longest, asked.work)
    return title, asked.results()[TUNED]

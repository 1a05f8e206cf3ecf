"""The rows that a model can be asked, and their prompts in every way that is compared; imports no torch."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import words
from studio.data.jsonl import read_jsonl
from studio.data.prepare import prepare
from studio.data.render import render_prompt
from studio.errors import DataError
from studio.evaluation.examples import choose_examples
from studio.evaluation.summary import way_name
from studio.evaluation.ways import BASE, TUNED, Example, askable, build_prompt, compared_rows, fitting_prompt
from studio.preset import files
from studio.preset.schema import EvaluationSection
from studio.worker.phase import Phase

SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True)
class RowPrompts:
    """`rows` are those that can be asked; by way their prompts as tokens and how many examples each prompt holds.

    A way whose prompts hold no example is missing. `notes` say in words what was left out.
    """

    rows: list[Example]
    prompts: dict[str, list[list[int]]]
    examples: dict[str, list[int]]
    notes: list[str]


def rows_to_compare(phase: Phase, data: str) -> list[dict[str, Any]]:
    """`compare_rows` of the held-out rows, or of all rows of the data set that the person named.

    A preset that asks for none after its training gets as many as usual where a person asks for a comparison. Raises
    `DataError` where the data cannot be read.
    """
    if data:
        # what the run takes of its own data says nothing of this one
        source = files.override(phase.preset, {
            "data.dataset_name": data, "data.dataset_test_split": "", "data.test_size": 0.0, "data.train_share": 1.0,
            "data.max_rows": 0, "data.edits": ""})
        rows = prepare(source, phase.settings).train
    else:
        rows = read_jsonl(phase.run_dir / "data" / "heldout.jsonl")
    count = phase.preset.evaluation.compare_rows or EvaluationSection().compare_rows
    return compared_rows(rows, count, phase.preset.training.seed)


def asked_rows(phase: Phase, rows: list[dict[str, Any]]) -> list[Example]:
    """Those of the rows that can be asked and judged; how many cannot is said."""
    asked = askable(rows)
    if len(asked) < len(rows):
        phase.note(f"{len(rows) - len(asked)} of {len(rows)} rows are left out of the comparison: they ask nothing, or "
                   "their answer has no words, like the call of a tool.")
    return asked


def learned_rows(run_dir: Path, rows: list[Example]) -> int:
    """How many of the rows a run was trained on, told by what they ask, whatever the system prompt."""
    learned = {_key(row) for row in askable(read_jsonl(run_dir / "data" / "train.jsonl"))}
    return sum(_key(row) in learned for row in rows)


def row_prompts(phase: Phase, tokenizer: Any, asked: list[Example], ways: list[str], context: int) -> RowPrompts:
    """The prompts of the rows, of at most `context` tokens. Raises `DataError` where no row can be asked."""
    preset, evaluation = phase.preset, phase.preset.evaluation
    as_chat, system_prompt = tokenizer.chat_template is not None, evaluation.base_system_prompt
    notes: list[str] = []
    refused: list[DataError] = []

    def render(way: str, row: Example, examples: list[Example]) -> list[int] | None:
        prompt = build_prompt(way, row.question, examples, system_prompt, as_chat)
        try:
            return render_prompt(tokenizer, prompt, preset, row.tools)[1]
        except DataError as error:
            refused.append(error)
            return None

    untuned = ways != [TUNED]
    if untuned and system_prompt and not any(render(BASE, row, []) for row in asked):
        system_prompt = ""  # many templates know no system prompt
        notes.append("The model's chat template refuses evaluation.base_system_prompt: the base model is asked "
                     "without it.")
    refused.clear()
    bare = [[render(way, row, []) for way in (TUNED, *([BASE] if untuned else []))] for row in asked]
    taken = [(row, both) for row, both in zip(asked, bare, strict=True) if None not in both]
    if not taken:
        raise DataError(f"No row can be asked: {refused[0].message}", refused[0].hint, refused[0].field)
    if len(taken) < len(asked):
        notes.append(f"{len(asked) - len(taken)} of {len(asked)} rows are left out of the comparison: "
                     f"{refused[0].message}")
    rows = [row for row, both in taken if max(map(len, both)) <= context]
    if not rows:
        raise DataError("No row leaves room for an answer: each question fills what the model can read.",
                        "Lower evaluation.max_new_tokens, or take a model with a longer context.",
                        "evaluation.max_new_tokens")
    if len(rows) < len(taken):
        notes.append(f"{len(taken) - len(rows)} of {len(asked)} rows are longer than the model can read and are "
                     "left out of the comparison.")
    # the ways of another run's model need no example
    train = askable(read_jsonl(phase.run_dir / "data" / "train.jsonl")) if set(ways) - {BASE, TUNED} else []
    prompts, counts = {}, {}
    room = min(context, evaluation.max_prompt_length)
    for way in ways:
        chosen = choose_examples(way, [row.question for row in rows], train, evaluation, preset.training.seed)
        refused.clear()
        fitted = [
            fitting_prompt(lambda count, way=way, row=row, examples=examples: render(way, row, examples[:count]),
                           len(examples), room)
            for row, examples in zip(rows, chosen, strict=True)]
        wanted, held = sum(map(len, chosen)), sum(count for _, count in fitted)
        why = refused[0].message if refused else _too_long(room, context)
        if way not in (BASE, TUNED) and not held:
            why = why if wanted else "No training row asks something and answers it in words."
            notes.append(f"{way_name(way)}: left out of the comparison, since no prompt can hold an example. {why}")
            continue
        if held < wanted:
            notes.append(f"{way_name(way)}: a prompt holds {words.figure(held / len(rows))} of "
                         f"{words.figure(wanted / len(rows))} examples on average. {why}")
        prompts[way], counts[way] = [ids for ids, _ in fitted], [count for _, count in fitted]
    return RowPrompts(rows, prompts, counts, notes)


def _too_long(room: int, context: int) -> str:
    said = f"Longer ones do not fit into {words.count(room)} tokens"
    if room == context:
        return f"{said}, all that the model can read before its answer."
    return f"{said}: raise evaluation.max_prompt_length, if you can wait longer for answers."


def _key(row: Example) -> str:
    turns = [{"role": "user", "content": row.question}] if isinstance(row.question, str) else row.question
    return json.dumps([(turn["role"], turn["content"]) for turn in turns if turn["role"] not in SYSTEM_ROLES])

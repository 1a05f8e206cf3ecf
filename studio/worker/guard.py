"""Asks a loaded model the general questions and measures how well it foresees the general texts."""

from typing import Any

from studio.data.render import render_prompt
from studio.evaluation.guard import MAX_NEW_TOKENS, GuardAnswers, GuardFile, compare_guard, guard_set
from studio.evaluation.ways import TUNED
from studio.preset import files
from studio.worker.generation import answer_batches
from studio.worker.phase import Phase
from studio.worker.row_losses import measure_losses
from studio.worker.weights import Weights

BATCH = 32
DOING = {"base": "The base model answers general questions", "tuned": "The tuned model answers general questions"}


class Guard:
    """The guard set for the models of a run; `sides` are those that were not asked yet.

    Raises `DataError` where the model's chat template takes no plain question.
    """

    def __init__(self, phase: Phase, weights: Weights, tokenizer: Any, sides: list[str]):
        self._phase, self._tokenizer = phase, tokenizer
        self._marks = {side: weights.mark(phase, side) for side in sides}
        self._prompts = _prompts(phase, tokenizer)
        self._file = GuardFile(phase.run_dir / "guard.json")
        self.sides = {side for side in sides if self._file.find(self._marks[side]) is None}

    def work(self, side: str, model: Any) -> None:
        """Measure the model of a side, unless that was done before."""
        if side not in self.sides:
            return
        questions, answers = guard_set().questions, {}
        self._say(side, 0)
        for batch in answer_batches(model, self._tokenizer, self._prompts, BATCH, MAX_NEW_TOKENS):
            answers |= batch
            self._say(side, len(answers))
        texts = [self._tokenizer(text)["input_ids"] for text in guard_set().texts]
        losses = measure_losses(model, [(ids, ids) for ids in texts])
        self._file.add(self._marks[side], GuardAnswers(
            [answers[i].text for i in range(len(questions))], losses.nll, losses.tokens))

    def compare(self) -> dict[str, Any]:
        """The report's `guard`, once both sides were asked."""
        base, tuned = (self._file.find(self._marks[side]) for side in ("base", TUNED))
        assert base is not None and tuned is not None, "both sides were asked"
        return compare_guard(base, tuned, self._phase.preset.training.seed)

    def _say(self, side: str, done: int) -> None:
        # questions are no rows: the pace of these says nothing of those
        self._phase.journal.progress(
            self._phase.name, done, len(guard_set().questions), "questions", DOING[side])


def _prompts(phase: Phase, tokenizer: Any) -> list[list[int]]:
    """The questions as anybody would ask them: without the task's own system prompt."""
    preset = files.override(phase.preset, {"data.system_prompt": ""})
    as_chat = tokenizer.chat_template is not None
    asked = [question.ask if as_chat else f"Question: {question.ask}\nAnswer:" for question in guard_set().questions]
    return [render_prompt(tokenizer, question, preset)[1] for question in asked]

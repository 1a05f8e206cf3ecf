"""Rows answered by base and tuned model in every way that is compared: the answers there are and those missing."""

from collections.abc import Callable, Iterator
from typing import Any

from studio.evaluation.answers import Answer, AnswerFile, answer_key
from studio.evaluation.report import WayAnswers
from studio.evaluation.ways import BASE, TUNED, Example
from studio.worker import vllm_answers
from studio.worker.generation import answer_batches
from studio.worker.phase import Phase
from studio.worker.row_prompts import row_prompts
from studio.worker.weights import Weights

DOING = {
    "base": "The base model answers", "few_shot": "The base model answers with examples in the prompt",
    "retrieval": "The base model answers with rows looked up", "tuned": "The tuned model answers",
}


def plan_answers(phase: Phase, weights: Weights, tokenizer: Any, asked: list[Example], ways: list[str],
                 answers: AnswerFile, doing: dict[str, str] = DOING) -> "RowAnswers":
    """The rows as far as they are answered: by vLLM where that can be used, else as they were before.

    Raises `DataError` where no row can be asked.
    """
    def plan(engine: str) -> RowAnswers:
        return RowAnswers(phase, weights, tokenizer, asked, ways, answers, doing, engine)

    return vllm_answers.answered(phase, weights, tokenizer, plan) or plan("")


class RowAnswers:
    """`rows` are those that can be asked, with their `prompts` by way as tokens; `notes` say what was left out, `sides`
    whose model has still to answer.

    `longest` is the most tokens of prompt and answer together; `doing` says what is done, by way. The `engine`
    that answers is "" for our own batches: another takes another time. Raises `DataError` where no row can be asked.
    """

    def __init__(self, phase: Phase, weights: Weights, tokenizer: Any, asked: list[Example], ways: list[str],
                 answers: AnswerFile, doing: dict[str, str] = DOING, engine: str = ""):
        evaluation = phase.preset.evaluation
        self._phase, self._tokenizer, self._answers, self._doing = phase, tokenizer, answers, doing
        planned = row_prompts(phase, tokenizer, asked, ways, weights.context() - evaluation.max_new_tokens)
        self.rows, self.notes, self.prompts, self._examples = (
            planned.rows, planned.notes, planned.prompts, planned.examples)
        self._ways = ways = list(planned.prompts)
        marks = {side: weights.mark(phase, side) + engine for side in (BASE, TUNED)}
        limits = evaluation.max_new_tokens, evaluation.per_device_eval_batch_size
        self._keys = {way: [answer_key(marks[side_of(way)], ids, *limits) for ids in self.prompts[way]] for way in ways}
        answers.take_over(phase.settings.runs_dir.glob("*/answers.jsonl"),
                          {key: way for way in ways for key in self._keys[way]})
        self._missing = {way: [i for i, key in enumerate(self._keys[way]) if answers.find(key) is None] for way in ways}
        self.sides = {side_of(way) for way in ways if self._missing[way]}
        self.longest = max(len(ids) for way in ways for ids in self.prompts[way]) + evaluation.max_new_tokens
        self._done = len(self.rows) * len(ways) - sum(map(len, self._missing.values()))

    def work(self, side: str, model: Any) -> None:
        """Have the loaded model of a side give its missing answers, noted batch by batch."""
        evaluation = self._phase.preset.evaluation
        self.answer(side, lambda prompts: answer_batches(
            model, self._tokenizer, prompts, evaluation.per_device_eval_batch_size, evaluation.max_new_tokens))

    def answer(self, side: str, batches: Callable[[list[list[int]]], Iterator[dict[int, Answer]]]) -> None:
        """Have the missing answers of a side given by `batches`, which yields them by the prompt's index."""
        for way in self._ways:
            missing = self._missing[way]
            if side_of(way) != side or not missing:
                continue
            self._say(way)
            for batch in batches([self.prompts[way][i] for i in missing]):
                self._answers.add({self._keys[way][missing[i]]: answer for i, answer in batch.items()}, way)
                self._done += len(batch)
                self._say(way)
        self.sides.discard(side)

    def results(self) -> dict[str, WayAnswers]:
        """What was answered to the rows in each way."""
        return {way: WayAnswers([self._found(key) for key in self._keys[way]], self._examples[way])
                for way in self._ways}

    def _found(self, key: str) -> Answer:
        answer = self._answers.find(key)
        assert answer is not None, "every way was answered"
        return answer

    def _say(self, way: str) -> None:
        self._phase.journal.progress(
            self._phase.name, self._done, len(self.rows) * len(self._ways), "rows", self._doing[way])


def side_of(way: str) -> str:
    """Whose model answers in that way."""
    return TUNED if way == TUNED else BASE

"""Rows answered by base and tuned model in every way that is compared: the prompts, and the answers still missing."""

from typing import Any

from studio.data.jsonl import read_jsonl
from studio.data.render import render_prompt
from studio.errors import DataError
from studio.evaluation.answers import Answer, AnswerFile, answer_key
from studio.evaluation.examples import choose_examples
from studio.evaluation.report import WayAnswers
from studio.evaluation.ways import BASE, TUNED, Example, askable, build_prompt, fitting_prompt
from studio.worker.generation import answer_batches
from studio.worker.phase import Phase
from studio.worker.weights import Weights

DOING = {
    "base": "The base model answers", "few_shot": "The base model answers with examples in the prompt",
    "retrieval": "The base model answers with rows looked up", "tuned": "The tuned model answers",
}


def asked_rows(phase: Phase, rows: list[dict[str, Any]]) -> list[Example]:
    """Those of the rows that can be asked and judged; how many cannot is said."""
    asked = askable(rows)
    if len(asked) < len(rows):
        phase.journal.warning(
            f"{len(rows) - len(asked)} of {len(rows)} held-out rows are left out of the comparison: they ask nothing, "
            "or their answer has no words, like the call of a tool.")
    return asked


class RowAnswers:
    """`rows` are those that fit the model; `sides` those whose model still has something to answer.

    `longest` is the most tokens of prompt and answer together. Raises `DataError` where no row fits.
    """

    def __init__(self, phase: Phase, weights: Weights, tokenizer: Any, asked: list[Example], ways: list[str],
                 answers: AnswerFile):
        evaluation = phase.preset.evaluation
        self._phase, self._tokenizer, self._ways, self._answers = phase, tokenizer, ways, answers
        self.rows, self._prompts, self._examples = _prompts(
            phase, tokenizer, asked, ways, weights.context() - evaluation.max_new_tokens)
        marks = {side: weights.mark(phase, side) for side in (BASE, TUNED)}
        self._keys = {way: [answer_key(marks[_side(way)], ids, evaluation.max_new_tokens) for ids in self._prompts[way]]
                      for way in ways}
        answers.take_over(phase.settings.runs_dir.glob("*/answers.jsonl"),
                          {key: way for way in ways for key in self._keys[way]})
        self._missing = {way: [i for i, key in enumerate(self._keys[way]) if answers.find(key) is None] for way in ways}
        self.sides = {_side(way) for way in ways if self._missing[way]}
        self.longest = max(len(ids) for way in ways for ids in self._prompts[way]) + evaluation.max_new_tokens
        self._done = len(self.rows) * len(ways) - sum(map(len, self._missing.values()))

    def work(self, side: str, model: Any) -> None:
        """Have the model of a side give its missing answers, noted batch by batch."""
        evaluation = self._phase.preset.evaluation
        for way in self._ways:
            missing = self._missing[way]
            if _side(way) != side or not missing:
                continue
            self._say(way)
            batches = answer_batches(model, self._tokenizer, [self._prompts[way][i] for i in missing],
                                     evaluation.per_device_eval_batch_size, evaluation.max_new_tokens)
            for batch in batches:
                self._answers.add({self._keys[way][missing[i]]: answer for i, answer in batch.items()}, way)
                self._done += len(batch)
                self._say(way)

    def results(self) -> dict[str, WayAnswers]:
        """What was answered to the rows in each way."""
        return {way: WayAnswers([self._found(key) for key in self._keys[way]], self._examples[way])
                for way in self._ways}

    def _found(self, key: str) -> Answer:
        answer = self._answers.find(key)
        assert answer is not None, "every way was answered"
        return answer

    def _say(self, way: str) -> None:
        self._phase.journal.progress(self._phase.name, self._done, len(self.rows) * len(self._ways), "rows", DOING[way])


def _side(way: str) -> str:
    return TUNED if way == TUNED else BASE


def _prompts(phase: Phase, tokenizer: Any, asked: list[Example], ways: list[str],
             context: int) -> tuple[list[Example], dict[str, list[list[int]]], dict[str, list[int]]]:
    """The rows whose question fits, their prompts in each way as tokens, and how many examples each prompt holds.

    A prompt may have `context` tokens at most. Raises `DataError` where no question fits.
    """
    preset, evaluation = phase.preset, phase.preset.evaluation
    as_chat = tokenizer.chat_template is not None

    def render(way: str, row: Example, examples: list[Example]) -> list[int]:
        prompt = build_prompt(way, row.question, examples, evaluation.base_system_prompt, as_chat)
        return render_prompt(tokenizer, prompt, preset, row.tools)[1]

    fitting = [row for row in asked if max(len(render(way, row, [])) for way in (BASE, TUNED)) <= context]
    if not fitting:
        raise DataError("No held-out row leaves room for an answer: each question fills what the model can read.",
                        "Lower evaluation.max_new_tokens, or take a model with a longer context.",
                        "evaluation.max_new_tokens")
    if len(fitting) < len(asked):
        phase.journal.warning(f"{len(asked) - len(fitting)} of {len(asked)} held-out rows are longer than the model "
                              "can read and are left out of the comparison.")
    # the ways of another run's model need no example
    train = askable(read_jsonl(phase.run_dir / "data" / "train.jsonl")) if set(ways) - {BASE, TUNED} else []
    prompts, counts = {}, {}
    for way in ways:
        chosen = choose_examples(way, [row.question for row in fitting], train, evaluation, preset.training.seed)
        fitted = [
            fitting_prompt(lambda count, way=way, row=row, examples=examples: render(way, row, examples[:count]),
                           len(examples), min(context, evaluation.max_prompt_length))
            for row, examples in zip(fitting, chosen, strict=True)]
        prompts[way], counts[way] = [ids for ids, _ in fitted], [count for _, count in fitted]
    return fitting, prompts, counts

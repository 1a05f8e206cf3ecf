"""How well base and tuned model foresee the wanted answers behind every way's prompts, for perplexity."""

import hashlib
import json
from typing import Any

from studio.data.render import IGNORED, render_answer
from studio.evaluation.figure_file import FigureFile
from studio.evaluation.perplexity import RowLosses
from studio.worker.phase import Phase
from studio.worker.row_answers import RowAnswers, side_of
from studio.worker.row_losses import measure_losses
from studio.worker.weights import Weights

AT_ONCE = 50  # rows between which progress is told and what was found is kept
DOING = {"base": "The base model reads the wanted answers", "tuned": "The tuned model reads the wanted answers"}


class AnswerLosses:
    """The wanted answers of planned rows; `sides` are those whose model has still to read some.

    Of an answer its first `max_new_tokens` tokens count, the same in every way.
    """

    def __init__(self, phase: Phase, weights: Weights, tokenizer: Any, planned: RowAnswers):
        self._phase = phase
        limit = phase.preset.evaluation.max_new_tokens
        parts = [render_answer(tokenizer, row.question, row.answer, phase.preset, row.tools) for row in planned.rows]
        self._tokens = [len(wanted[:limit]) for _, wanted in parts]
        self._texts = {way: [_learned(ids + lead, wanted[:limit])
                             for ids, (lead, wanted) in zip(prompts, parts, strict=True)]
                       for way, prompts in planned.prompts.items()}
        self._keys = {way: [_key(weights.mark(phase, side_of(way)), *text) for text in texts]
                      for way, texts in self._texts.items()}
        self._kept = FigureFile(phase.run_dir / "answer_losses.json")
        self.sides = {side_of(way) for way in self._texts if self._missing(way)}

    def work(self, side: str, model: Any) -> None:
        """Have the loaded model of a side read what it has not read yet."""
        for way, texts in self._texts.items():
            missing = self._missing(way) if side_of(way) == side else []
            if missing:
                self._say(side)
            for start in range(0, len(missing), AT_ONCE):
                rows = missing[start:start + AT_ONCE]
                found = measure_losses(model, [texts[i] for i in rows])
                self._kept.add({self._keys[way][i]: nll for i, nll in zip(rows, found.nll, strict=True)})
                self._say(side)
        self.sides.discard(side)

    def results(self) -> dict[str, RowLosses]:
        """The losses of the rows in each way, once both sides have read them."""
        return {way: RowLosses([self._found(key) for key in keys], self._tokens) for way, keys in self._keys.items()}

    def _missing(self, way: str) -> list[int]:
        return [i for i, key in enumerate(self._keys[way]) if self._kept.find(key) is None]

    def _found(self, key: str) -> float:
        nll = self._kept.find(key)
        assert nll is not None, "every way was read"
        return nll

    def _say(self, side: str) -> None:
        total, missing = (sum(len(counted) for counted in each) for each in (
            self._keys.values(), [self._missing(way) for way in self._keys]))
        self._phase.journal.progress(self._phase.name, total - missing, total, "answers", DOING[side])


def _learned(given: list[int], wanted: list[int]) -> tuple[list[int], list[int]]:
    """Input ids and labels of an answer behind what is given."""
    return given + wanted, [IGNORED] * len(given) + wanted


def _key(weights: str, ids: list[int], labels: list[int]) -> str:
    return hashlib.sha256(json.dumps([weights, ids, labels]).encode()).hexdigest()[:24]

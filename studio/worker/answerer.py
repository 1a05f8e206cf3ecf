"""Answers one chat at a time as the base or as the tuned model, token by token; knows nothing of HTTP."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList, set_seed
from transformers.generation.streamers import BaseStreamer

from studio.data.render import render_prompt
from studio.errors import ModelError
from studio.preset.schema import Preset


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; a temperature of 0 always takes the likeliest."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int


@dataclass(frozen=True)
class Answer:
    """A whole answer with its token counts; times in seconds, speed in tokens a second after the first token."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    finish_reason: str
    first_token_s: float
    total_s: float
    tokens_per_s: float


@dataclass(frozen=True)
class Answerer:
    """The loaded models by name ("base", "tuned", "rival"); with adapters all names mean one model, switched.

    `adapters` names the adapter of each model that is the base with one on it. A tokenizer without a chat template
    takes the prompt as the beginning of a document. `context` is the most tokens that prompt and answer may have
    together.
    """

    models: dict[str, Any]
    tokenizer: Any
    preset: Preset
    adapters: dict[str, str]
    context: int

    def prompt(self, messages: list[dict[str, str]]) -> tuple[str, list[int]]:
        """The exact text the model reads and its token ids.

        Raises `DataError` where the chat template refuses the messages, `ModelError` if they leave no room to answer.
        """
        plain = self.tokenizer.chat_template is None
        chat = "\n\n".join(message["content"] for message in messages) if plain else messages
        text, ids = render_prompt(self.tokenizer, chat, self.preset)
        if len(ids) >= self.context:
            raise ModelError(f"The prompt has {len(ids):,} tokens; the model reads {self.context:,} at most.",
                             "Shorten it, or start a new chat.")
        if not ids:
            raise ModelError("The prompt is empty.", "Write something first.")
        return text, ids

    def answer(self, name: str, ids: list[int], sampling: Sampling, on_text: Callable[[str], None],
               cancelled: threading.Event) -> Answer:
        """Generate after the prompt `ids`, passing text on as it comes, until the end, the limit or `cancelled`.

        Raises `ModelError` when the device's memory runs out.
        """
        started = time.monotonic()
        pieces = _Pieces(self.tokenizer, on_text)
        prompt = torch.tensor([ids], device=self.models[name].device)
        set_seed(sampling.seed)
        try:
            with self._as(name) as model:
                model.generate(
                    input_ids=prompt, attention_mask=torch.ones_like(prompt), streamer=pieces,
                    stopping_criteria=StoppingCriteriaList([_Cancelled(cancelled)]),
                    max_new_tokens=min(sampling.max_tokens, self.context - len(ids)),
                    eos_token_id=self._end_ids(model), pad_token_id=self.tokenizer.pad_token_id,
                    **_drawing(sampling))
        except torch.OutOfMemoryError:
            raise ModelError("The device's memory ran out while answering.",
                             "Shorten the chat or the answer.") from None
        ended = "stop" if pieces.ids and pieces.ids[-1] in self._end_ids(self.models[name]) else "length"
        return Answer(pieces.text, len(ids), len(pieces.ids), ended, *pieces.times(started))

    @contextmanager
    def _as(self, name: str) -> Iterator[Any]:
        model = self.models[name]
        if name in self.adapters:
            model.set_adapter(self.adapters[name])
            yield model
        elif self.adapters:
            with model.disable_adapter():
                yield model
        else:
            yield model

    def _end_ids(self, model: Any) -> list[int]:
        """Tokens that end an answer: the model's own and, for a base model given a template, the tokenizer's."""
        own = model.generation_config.eos_token_id
        ids = own if isinstance(own, list) else [own]
        return sorted({token for token in [*ids, self.tokenizer.eos_token_id] if token is not None})


class _Pieces(BaseStreamer):
    """Collects the generated tokens and passes on the text they add.

    Decodes all tokens each time, so that the pieces put together are exactly what `decode` gives.
    """

    def __init__(self, tokenizer: Any, on_text: Callable[[str], None]):
        self._tokenizer, self._on_text = tokenizer, on_text
        self._prompt_seen = False
        self.ids: list[int] = []
        self.text = ""
        self._first = self._last = 0.0

    def put(self, value: torch.Tensor) -> None:
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        self._last = time.monotonic()
        self._first = self._first or self._last
        self.ids += value.flatten().tolist()
        self._pass_on(whole=False)

    def end(self) -> None:
        self._pass_on(whole=True)

    def _pass_on(self, whole: bool) -> None:
        text = self._tokenizer.decode(self.ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        # a character whose bytes are not all there yet shows as U+FFFD: hold it back
        if text != self.text and (whole or not text.endswith("\ufffd")):
            self._on_text(text[len(self.text):])
            self.text = text

    def times(self, started: float) -> tuple[float, float, float]:
        """Seconds to the first token, in all, and tokens a second after the first one."""
        if not self.ids:
            return 0.0, time.monotonic() - started, 0.0
        total = self._last - started
        decoding = self._last - self._first
        speed = (len(self.ids) - 1) / decoding if decoding > 0 else len(self.ids) / total
        return self._first - started, total, speed


class _Cancelled(StoppingCriteria):
    """Ends generation at the next token once the event is set."""

    def __init__(self, cancelled: threading.Event):
        self._cancelled = cancelled

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        return torch.full((input_ids.shape[0],), self._cancelled.is_set(), dtype=torch.bool, device=input_ids.device)


def _drawing(sampling: Sampling) -> dict[str, Any]:
    if sampling.temperature == 0:
        return {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
    return {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p}

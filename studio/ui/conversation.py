"""One prompt answered by the base and by the tuned model, one after the other with the same seed; knows no Gradio."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from studio.errors import DataError, StudioError
from studio.runs.playground import Playground, PlaygroundStatus, Target
from studio.texts import text
from studio.ui.playground_view import answer_facts

# more often than this the page cannot be redrawn anyway
REDRAW_S = 0.06

Messages = list[dict[str, str]]


@dataclass
class Column:
    """One model's side: its turns so far and the counts under its last answer."""

    messages: Messages
    facts: str = ""


@dataclass
class Conversation:
    """What the page shows while a prompt is answered."""

    columns: dict[str, Column]
    status: PlaygroundStatus | None = None
    prompt_text: str = ""


@dataclass(frozen=True)
class Sampling:
    """How the answers are drawn, in the words of OpenAI's protocol."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int


@dataclass
class _Pace:
    """Says when it is time to redraw."""

    last: float = field(default_factory=time.monotonic)

    def is_due(self) -> bool:
        now = time.monotonic()
        if now - self.last < REDRAW_S:
            return False
        self.last = now
        return True


def converse(playground: Playground, target: Target, prompt: str, system: str, sampling: Sampling,
             histories: dict[str, Messages], environment: dict[str, str]) -> Iterator[Conversation]:
    """Load `target` if it is not loaded, then answer `prompt` after each model's own history; yields what to show.

    The models answer in the order of `histories`. The same object is yielded again, changed. Closing the generator
    stops the model. Raises `StudioError`.
    """
    if not prompt.strip():
        raise DataError("The prompt is empty.", "Write something, or pick an example.")
    shown = Conversation({name: Column(list(messages)) for name, messages in histories.items()})
    for shown.status in playground.loading(target, environment):
        yield shown
    names = [name for name in histories if name in shown.status.facts["models"]]
    for name in names:
        shown.columns[name].messages.append({"role": "user", "content": prompt})
        shown.columns[name].facts = text("playground.facts.waiting")
    shown.prompt_text = playground.prompt_text(with_system(system, shown.columns[names[-1]].messages))
    yield shown
    try:
        for name in names:
            yield from _answer(playground, name, system, sampling, shown)
    except StudioError:
        shown.columns[name].facts = text("playground.facts.broken")
        yield shown
        raise


def _answer(playground: Playground, name: str, system: str, sampling: Sampling, shown: Conversation,
            ) -> Iterator[Conversation]:
    column, pace = shown.columns[name], _Pace()
    deltas = playground.chat(name, with_system(system, column.messages), **vars(sampling))
    column.messages.append({"role": "assistant", "content": ""})
    column.facts = text("playground.facts.answering")
    yield shown
    for delta in deltas:
        column.messages[-1]["content"] += delta.text
        if delta.usage:
            column.facts = answer_facts(delta)
        if delta.usage or pace.is_due():
            yield shown


def with_system(system: str, messages: Messages) -> Messages:
    """The chat as the model gets it: with the system prompt first, unless that is empty."""
    return ([{"role": "system", "content": system}] if system.strip() else []) + messages

"""The ways to have the same question answered: untouched model, with examples, with looked-up rows, tuned model.

Every prompt is built here, and the tuned model never sees an example. Looked-up rows are shown as turns too: small
models follow turns, while rows written into the question got none of the quickstart's 80 rows right. Nothing here knows
a tokenizer: the caller leaves out the last examples until a prompt fits.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studio.data.formats import split_answer
from studio.preset.schema import EvaluationSection

BASE, FEW_SHOT, RETRIEVAL, TUNED = "base", "few_shot", "retrieval", "tuned"
ENDPOINT = "endpoint"  # another model, asked behind its address

Question = str | list[dict[str, Any]]


@dataclass(frozen=True)
class Example:
    """A training row, parted into what is asked and the right answer, and the tools that may be called."""

    question: Question
    answer: str
    tools: list[dict[str, Any]] | None = None


def planned_ways(evaluation: EvaluationSection) -> list[str]:
    """The ways in which the run's own models are asked, in that order; the tuned model last."""
    return [BASE, *([FEW_SHOT] if evaluation.few_shot_examples else []),
            *([RETRIEVAL] if evaluation.retrieval_rows else []), TUNED]


def compared_rows(rows: list[dict[str, Any]], count: int, seed: int) -> list[dict[str, Any]]:
    """At most `count` of the rows, drawn at random and in their order: files are often sorted, by label say.

    The same number of rows and the same seed draw the same places, so that runs can be compared row by row.
    """
    drawn = random.Random(seed).sample(range(len(rows)), min(count, len(rows)))
    return [rows[i] for i in sorted(drawn)]


def askable(rows: list[dict[str, Any]]) -> list[Example]:
    """The rows that ask something and have an answer in words; chats are asked up to their last assistant turn."""
    return [Example(*split_answer(row), row.get("tools")) for row in rows if _asks(row)]


def build_prompt(way: str, question: Question, examples: list[Example], system_prompt: str, as_chat: bool) -> Question:
    """What the model is asked: messages where it speaks in chats (`as_chat`), else the beginning of a document.

    `system_prompt` replaces that of the question for the untouched model, "" keeps it; the tuned model gets the bare
    question, as it was trained.
    """
    if way == TUNED:
        return question
    if isinstance(question, str) and not as_chat:
        shown = [f"{last_words(example.question)}{example.answer}" for example in reversed(examples)]
        return "\n\n".join([*([system_prompt] if system_prompt else []), *shown, question])
    messages = _messages(question)
    system = [message for message in messages if message["role"] == "system"]
    turns = [message for message in messages if message["role"] != "system"]
    if system_prompt:
        system = [{"role": "system", "content": system_prompt}]
    # the best example stands next to the question
    shown = [turn for example in reversed(examples) for turn in _example_turns(example)]
    return system + shown + turns


def fitting_prompt(render: Callable[[int], list[int] | None], examples: int, room: int) -> tuple[list[int], int]:
    """The longest prompt of at most `room` tokens and how many examples it holds; the bare one where none fits.

    `render(count)` gives the tokens of the prompt with the first `count` examples, None where the template refuses it,
    which it must not do for the bare one.
    """
    for count in range(examples, 0, -1):
        ids = render(count)
        if ids is not None and len(ids) <= room:
            return ids, count
    bare = render(0)
    assert bare is not None, "only rows that can be asked are"
    return bare, 0


def last_words(question: Question) -> str:
    """The question as a person would read it: its text, or the last turn of its chat."""
    return question if isinstance(question, str) else question[-1]["content"]


def transcript(question: Question) -> str:
    """The whole question as a person would read it: its text, or every turn of its chat with who speaks."""
    if isinstance(question, str):
        return question
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in question)


def _asks(row: dict[str, Any]) -> bool:
    if "messages" in row:
        turns = [i for i, message in enumerate(row["messages"]) if message["role"] == "assistant"]
        before = row["messages"][:turns[-1]] if turns else []
        return any(message["role"] != "system" for message in before) and bool(split_answer(row)[1].strip())
    return "completion" in row and bool(row["prompt"]) and bool(split_answer(row)[1].strip())


def _example_turns(example: Example) -> list[dict[str, Any]]:
    asked = [message for message in _messages(example.question) if message["role"] != "system"]
    return [*asked, {"role": "assistant", "content": example.answer}]


def _messages(question: Question) -> list[dict[str, Any]]:
    return [{"role": "user", "content": question}] if isinstance(question, str) else question

"""The held-out rows of a run as prompts: examples to begin with, and the next one to vote on. Knows no Gradio.

The file may come from elsewhere: rows that are long or not in form are passed over.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from studio.data.formats import split_answer
from studio.errors import DataError
from studio.evaluation.votes import read_votes
from studio.runs.store import RunView

EXAMPLES = 8
BEGINNING_WORDS = 12
MAX_ROW_BYTES = 100_000
UNREADABLE = (KeyError, IndexError, AttributeError, TypeError, ValueError, DataError)

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Example:
    """A held-out row as a first turn: what to ask, what a good answer would be, and the row's own system prompt."""

    prompt: str
    wanted: str
    system: str = ""


@dataclass(frozen=True)
class Question:
    """A held-out row up to its last question: its number (from 0), the turns before, what to ask, what is wanted."""

    row: int
    history: Messages
    prompt: str
    wanted: str
    system: str = ""


def examples(view: RunView, limit: int = EXAMPLES) -> list[Example]:
    """First turns from the run's held-out rows; empty where the run has none."""
    return list(islice(_examples(view), limit))


def next_question(view: RunView, after: int = -1) -> Question:
    """The next row without a vote, from the one behind row `after` on, then from the first.

    Raises `DataError` where the run has no rows to ask, or none without a vote.
    """
    voted = {_key(vote.messages) for vote in read_votes(view.run_dir).current}
    earlier, rows = None, 0
    for question in _questions(view):
        rows += 1
        if _key([*question.history, {"role": "user", "content": question.prompt}]) in voted:
            continue
        if question.row > after:
            return question
        earlier = earlier or question
    if earlier:
        return earlier
    if not rows:
        raise DataError(f"{view.name} has no held-out rows that can be asked here.", "Type a prompt instead.")
    raise DataError("Every held-out row has a vote.", "Type prompts of your own.")


def _lines(view: RunView) -> Iterator[bytes]:
    """The file's lines, "" for those that are too long to be read."""
    try:
        with open(view.run_dir / "data" / "heldout.jsonl", "rb") as file:
            while line := file.readline(MAX_ROW_BYTES):
                is_whole = line.endswith(b"\n") or len(line) < MAX_ROW_BYTES
                yield line if is_whole else b""
                while not is_whole:
                    rest = file.readline(MAX_ROW_BYTES)
                    is_whole = not rest or rest.endswith(b"\n")
    except FileNotFoundError:
        return


def _rows(view: RunView) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each readable row with its number."""
    for number, line in enumerate(_lines(view)):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            yield number, row


def _examples(view: RunView) -> Iterator[Example]:
    for _, row in _rows(view):
        try:
            example = _example(row)
        except UNREADABLE:
            continue
        if example.prompt:
            yield example


def _questions(view: RunView) -> Iterator[Question]:
    for number, row in _rows(view):
        try:
            question = _question(number, row)
        except UNREADABLE:
            continue
        if question:
            yield question


def _question(number: int, row: dict[str, Any]) -> Question | None:
    if "text" in row:
        begun = _beginning(row["text"])
        return Question(number, [], begun.prompt, begun.wanted)
    asked, wanted = split_answer(row)
    turns = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    system = _text(turns[0]["content"]) if turns[0]["role"] == "system" else ""
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in turns[bool(system):]]
    # a chat that goes on after a tool's result is no question a person could judge
    if not turns or turns[-1]["role"] != "user" or not {turn["role"] for turn in turns} <= {"user", "assistant"}:
        return None
    turns = [turn | {"content": _text(turn["content"])} for turn in turns]
    return Question(number, turns[:-1], turns[-1]["content"], _text(wanted), system)


def _key(messages: Messages) -> str:
    """What was asked, whatever the system prompt."""
    return json.dumps([message for message in messages if message["role"] != "system"])


def _example(row: dict[str, Any]) -> Example:
    if "text" in row:
        return _beginning(row["text"])
    if "messages" in row:
        messages = row["messages"]
    else:
        messages = [*_turns(row["prompt"], "user"), *_turns(row["completion"], "assistant")]
    return Example(_first(messages, "user"), _first(messages, "assistant"), _first(messages, "system"))


def _beginning(text: str) -> Example:
    parts = text.split(" ")
    return Example(" ".join(parts[:BEGINNING_WORDS]), " ".join(parts[BEGINNING_WORDS:]))


def _first(messages: list[dict[str, Any]], role: str) -> str:
    return _text(next((message["content"] for message in messages if message["role"] == role), ""))


def _text(content: Any) -> str:
    """A message's text, "" where it only calls a tool. Raises `TypeError` for anything else."""
    if not isinstance(content, str | None):
        raise TypeError("no text")
    return content or ""


def _turns(value: str | list[dict[str, Any]], role: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": value}] if isinstance(value, str) else value

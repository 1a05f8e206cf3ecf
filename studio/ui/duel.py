"""Two answers to one prompt, from the shuffle to the vote; knows no Gradio.

A duel is kept in the server's memory, the page has its id. Until the vote nothing in a blind one tells the page which
model answered where: neither name nor order nor speed.
"""

import secrets
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from studio.errors import DataError
from studio.evaluation import votes
from studio.evaluation.votes import Choice, Vote, VotedAnswer
from studio.runs.playground import Target
from studio.runs.store import RunStore
from studio.ui.conversation import Column, Conversation, Messages, Sampling, with_system

BASE, TUNED, RIVAL = "base", "tuned", "rival"
# a vote comes within minutes of its answers; older duels make room
KEPT = 500

Order = tuple[str, str]


@dataclass(frozen=True)
class Duel:
    """Two whole answers to the same `messages` (a system prompt first); `order` names the models on sides A and B.

    `row` is the held-out row asked, -1 for none; `choice` is the vote, "" before it.
    """

    id: str
    target: Target
    order: Order
    blind: bool
    messages: Messages
    columns: tuple[Column, Column]
    sampling: Sampling
    row: int = -1
    choice: Choice | Literal[""] = ""

    @property
    def is_open(self) -> bool:
        """Whether the page may know which model answered where."""
        return bool(self.choice) or not self.blind


def opponent(target: Target) -> str:
    """Which model answers beside the tuned one."""
    return RIVAL if target.rival else BASE


def blind_histories(target: Target, history: Messages) -> dict[str, Messages]:
    """The same turns for both models, in an order that nobody can foretell: they stand and answer in it."""
    names = [opponent(target), TUNED]
    secrets.SystemRandom().shuffle(names)
    return {name: list(history) for name in names}


def finished(target: Target, now: Conversation, order: Order, blind: bool, system: str, sampling: Sampling,
             row: int = -1) -> Duel | None:
    """The duel of two answers just given; None where one model answered alone or the chats went different ways."""
    left, right = now.columns[order[0]], now.columns[order[1]]
    if not (left.messages and right.messages) or left.messages[:-1] != right.messages[:-1]:
        return None
    messages = with_system(system, left.messages[:-1])
    return Duel(secrets.token_hex(8), target, order, blind, messages, (left, right), sampling, row)


class Duels:
    """The latest duels by id, until the server ends."""

    def __init__(self, store: RunStore):
        self._store = store
        self._duels: dict[str, Duel] = {}
        self._lock = threading.Lock()

    def add(self, duel: Duel) -> None:
        """Keep a duel for its vote."""
        with self._lock:
            self._duels[duel.id] = duel
            if len(self._duels) > KEPT:
                del self._duels[next(iter(self._duels))]

    def row(self, duel_id: str, run_id: str) -> int:
        """The held-out row of this run that the duel asked, -1 for none."""
        duel = self._duels.get(duel_id)
        return duel.row if duel and duel.target.run_id == run_id else -1

    def vote(self, duel_id: str, choice: Choice) -> Duel:
        """Keep the vote with the run; returns the duel as it stands now. A second vote on one duel changes nothing.

        Raises `DataError` where the duel is not here or its vote cannot be written, `RunError` without the run.
        """
        with self._lock:
            if duel_id not in self._duels:
                raise DataError("There are no two answers to vote on.", "Ask something first.")
            duel = self._duels[duel_id]
            if not duel.choice:
                self._keep(duel, choice)
                duel = self._duels[duel_id] = replace(duel, choice=choice)
            return duel

    def _keep(self, duel: Duel, choice: Choice) -> None:
        a, b = (VotedAnswer(model=voted_model(duel.target, name), text=column.messages[-1]["content"])
                for name, column in zip(duel.order, duel.columns, strict=True))
        vote = Vote(id=duel.id, time=datetime.now(UTC).isoformat(timespec="milliseconds"), messages=duel.messages,
                    a=a, b=b, sampling=vars(duel.sampling), choice=choice, blind=duel.blind)
        try:
            votes.add_vote(self._store.run_dir(duel.target.run_id), vote)
        except OSError as error:
            raise DataError(f"The vote cannot be written: {error.strerror or error}.",
                            "Free disk space, then vote again.") from None


def voted_model(target: Target, name: str) -> str:
    """How votes name the model that answers as `name` ("base", "tuned" or "rival")."""
    if name == BASE:
        return votes.BASE
    if name == RIVAL:
        return target.rival
    return f"{target.run_id}/{target.checkpoint}" if target.checkpoint else target.run_id

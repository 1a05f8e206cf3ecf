"""A person's votes between two answers to one prompt: kept one a line in a run's `votes.jsonl`, and counted.

A model is named "base" (the run's untouched base model), by a run's id, or as "<run id>/checkpoint-N".
"""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.runs.trainings import last_trained_at

VOTES_FILE = "votes.jsonl"
BASE = "base"
CONFIDENCE = 0.95

Choice = Literal["a", "b", "tie", "both_bad"]


class VotedAnswer(BaseModel):
    """One of the two answers and the model it came from."""

    model_config = ConfigDict(frozen=True)
    model: str
    text: str


class Vote(BaseModel):
    """One vote. `messages` is what was asked, a system prompt first; `blind`: no model was named before the vote.

    `id` is the comparison's, so that a button pressed twice counts once; `time` is ISO 8601; `sampling` holds
    temperature, top_p, max_tokens and seed.
    """

    model_config = ConfigDict(frozen=True)
    id: str
    time: str
    messages: list[dict[str, str]]
    a: VotedAnswer
    b: VotedAnswer
    sampling: dict[str, float]
    choice: Choice
    blind: bool

    @property
    def winner(self) -> VotedAnswer | None:
        """The answer preferred, None where neither was."""
        return {"a": self.a, "b": self.b}.get(self.choice)

    @property
    def loser(self) -> VotedAnswer | None:
        """The other answer, None where neither was preferred."""
        return {"a": self.b, "b": self.a}.get(self.choice)


@dataclass(frozen=True)
class Votes:
    """The votes of a run in the order given; `damaged` lines could not be read.

    `current` are those of them that tell of the weights as they are now: a resumed training changes the final ones.
    """

    votes: list[Vote]
    damaged: int = 0
    current: list[Vote] = field(default_factory=list)


@dataclass(frozen=True)
class WinRate:
    """How often `model` was preferred to `against` in blind votes.

    `value` is its share of the votes that preferred one of them, with a 95 % `interval`; None where no vote did.
    """

    model: str
    against: str
    wins: int
    losses: int
    ties: int
    both_bad: int

    @property
    def decided(self) -> int:
        return self.wins + self.losses

    @property
    def value(self) -> float | None:
        return self.wins / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        return wilson(self.wins, self.decided) if self.decided else None


def read_votes(run_dir: Path) -> Votes:
    """The votes kept in a run folder; none without a file."""
    try:
        lines = (run_dir / VOTES_FILE).read_bytes().split(b"\n")
    except FileNotFoundError:
        return Votes([])
    votes: dict[str, Vote] = {}
    damaged = 0
    for line in filter(None, lines):
        try:
            vote = Vote.model_validate_json(line)
            votes.setdefault(vote.id, vote)
        except ValidationError:
            damaged += 1
    trained_at = last_trained_at(run_dir)
    current = [vote for vote in votes.values()
               if vote.time >= trained_at or run_dir.name not in (vote.a.model, vote.b.model)]
    return Votes(list(votes.values()), damaged, current)


def add_vote(run_dir: Path, vote: Vote) -> None:
    """Append one vote in one write. Raises `OSError` where the folder is gone or the disk is full."""
    path = run_dir / VOTES_FILE
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        size = os.fstat(file).st_size
        # a line torn by a full disk or a crash must not swallow this one
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        line = (b"\n" if torn else b"") + vote.model_dump_json().encode() + b"\n"
        if os.write(file, line) != len(line):
            raise OSError("The disk took only a part of the vote.")
    finally:
        os.close(file)


def win_rates(votes: Iterable[Vote], run_id: str) -> list[WinRate]:
    """For each pair of models compared in blind votes how often the run's own was preferred, in order of appearance.

    Votes that named the models are left out: who knows the names does not judge the answers alone.
    """
    counts: dict[tuple[str, str], list[int]] = {}
    for vote in votes:
        if not vote.blind:
            continue
        # final weights before checkpoints, where both models are the run's
        own, other = sorted((vote.a.model, vote.b.model), key=lambda model: (not is_of(model, run_id), model))
        number = 2 if vote.choice == "tie" else 3 if vote.choice == "both_bad" else int(vote.winner.model != own)
        counts.setdefault((own, other), [0] * 4)[number] += 1
    return [WinRate(own, other, *numbers) for (own, other), numbers in counts.items()]


def is_of(model: str, run_id: str) -> bool:
    """Whether a voted model is this run's, final or a checkpoint."""
    return model.partition("/")[0] == run_id


def wilson(wins: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share of `n` votes, n > 0 (Wilson 1927); sound for few votes and at 0 and 1 too.

    A vote for neither may count half a win: the interval is then rather too wide.
    """
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = wins / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # at the ends the sum is exact but for rounding
    return (0.0 if wins == 0 else middle - reach, 1.0 if wins == n else middle + reach)

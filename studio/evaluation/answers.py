"""Answers as they come, one line each in a run's `answers.jsonl`, so that a stopped comparison goes on where it was.

A line is found again by what it answers (`answer_key`): other weights, another prompt or another length limit make
another key, so an answer never passes for one to a different question. Its time counts too, so that another machine or
another batch size makes another key.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a model said to one row; `seconds` is the row's share of its batch, `cut` says the length limit ended it."""

    text: str
    prompt_tokens: int
    tokens: int
    seconds: float
    cut: bool


def answer_key(weights: str, prompt: list[Any], max_new_tokens: int, batch_size: int = 1) -> str:
    """Names an answer by all that it and its time depend on.

    These are the model's mark, the prompt (tokens or messages), the length limit, and how many rows a batch holds.
    """
    said = json.dumps([weights, max_new_tokens, batch_size, prompt])
    return hashlib.sha256(said.encode()).hexdigest()[:24]


def weights_mark(folder: Path) -> str:
    """Tells one set of weights from another: names, sizes and times of the files in `folder`."""
    files = sorted(path for path in folder.iterdir() if path.suffix == ".safetensors")
    return json.dumps([[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files])


class AnswerFile:
    """The answers of one run. Lines torn by a stop are passed over."""

    def __init__(self, path: Path):
        self._path = path
        self._known: dict[str, Answer] = {}
        if path.is_file():
            self._read()

    def find(self, key: str) -> Answer | None:
        """The answer of that key, or None while it has not been given."""
        return self._known.get(key)

    def add(self, answers: dict[str, Answer], way: str) -> None:
        """Append the answers of one batch, by key."""
        lines = "".join(json.dumps({"key": key, "way": way, **asdict(answer)}, ensure_ascii=False) + "\n"
                        for key, answer in answers.items())
        with open(self._path, "ab") as file:
            file.write(lines.encode())
        self._known |= answers

    def take_over(self, others: Iterable[Path], wanted: dict[str, str]) -> None:
        """Copy the answers that are missing of `wanted` (key to way) from the newest of the files of other runs."""
        missing = {key: way for key, way in wanted.items() if key not in self._known}
        for file in sorted((file for file in others if file != self._path), key=_written_at, reverse=True):
            if not missing:
                return
            for key, answer in _readable(file):
                if key in missing:
                    self.add({key: answer}, missing.pop(key))

    def _read(self) -> None:
        content = self._path.read_bytes()
        if content and not content.endswith(b"\n"):
            content = content[:content.rfind(b"\n") + 1]
            self._path.write_bytes(content)
        self._known |= dict(_read_lines(content))


def _read_lines(content: bytes) -> Iterator[tuple[str, Answer]]:
    """The answers with their keys; the last line counts only when it is whole."""
    for line in content[:content.rfind(b"\n") + 1].splitlines():
        values = json.loads(line)
        key, _ = values.pop("key"), values.pop("way")
        yield key, Answer(**values)


def _readable(file: Path) -> list[tuple[str, Answer]]:
    """The answers of another run; none where it was deleted just now, or is of another studio's form."""
    try:
        return list(_read_lines(file.read_bytes()))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return []


def _written_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return 0.0

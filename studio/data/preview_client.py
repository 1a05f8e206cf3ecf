"""Asks a process of its own how many rows a preset's data hold as the model reads them, how long they are and what is
wrong with them, and remembers the answer while nothing has changed.

The server imports this; the tokenizer and what it needs stay in the other process.
"""

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.data import overlay
from studio.data.sources import is_hub, local_path
from studio.errors import DataError, ModelError, PresetError, StudioError
from studio.preset.files import dumps
from studio.preset.schema import Preset
from studio.settings import PROJECT_DIR, Settings

TIME_LIMIT_S = 180
KEPT_ANSWERS = 64
HUB_ANSWER_AGE_S = 600
ERRORS = {error.__name__: error for error in (DataError, ModelError, PresetError)}


@dataclass(frozen=True)
class Problem:
    """Something to know of the data: `level` is error (the run would fail) or warning; `field` the preset's, or "".

    `fix` holds the preset fields that would settle it, as {dotted name: value}.
    """

    level: str
    message: str
    hint: str
    field: str
    fix: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preview:
    """What a run's check has to know of the rows: how many are learned from, how long they are, what is wrong.

    `mean_tokens` and `longest_tokens` are of rows cut at `training.max_length`, over a sample of the rows.
    """

    train_rows: int
    mean_tokens: float
    longest_tokens: int
    problems: list[Problem]


@dataclass
class _Answer:
    """A place in the memory; its lock lets a second asker wait for the first instead of asking again."""

    lock: threading.Lock
    preview: Preview | None = None
    asked_at: float = 0


_answers: OrderedDict[str, _Answer] = OrderedDict()
_answers_lock = threading.Lock()


def preview(preset: Preset, settings: Settings, token: str | None = None) -> Preview:
    """Look at the data; about two seconds for a small file, at once when repeated.

    `token` opens private and gated repositories. Raises `DataError`, `ModelError`.
    """
    answer = _answer_for(data_key(preset, settings, token))
    with answer.lock:
        stale = is_hub(preset.data.dataset_name) and time.monotonic() - answer.asked_at > HUB_ANSWER_AGE_S
        if answer.preview is None or stale:
            answer.preview, answer.asked_at = _ask(preset, settings, token), time.monotonic()
        return answer.preview


def _answer_for(key: str) -> _Answer:
    with _answers_lock:
        answer = _answers.setdefault(key, _Answer(threading.Lock()))
        _answers.move_to_end(key)
        while len(_answers) > KEPT_ANSWERS:
            _answers.popitem(last=False)
        return answer


def data_key(preset: Preset, settings: Settings, token: str | None) -> str:
    """A hash over all that the rows of a preset hang on: parts of the preset, the files' size and time, the token."""
    parts = Preset(model=preset.model, data=preset.data, method=preset.method,
                   training={"max_length": preset.training.max_length, "seed": preset.training.seed})
    text = json.dumps([dumps(parts, comments=False), str(settings.data_dir), token, stamps(preset, settings)])
    return hashlib.sha256(text.encode()).hexdigest()


def stamps(preset: Preset, settings: Settings) -> list[list[int]]:
    """Size and time of each file the rows hang on, [] for one that is not there: data, held-out rows, model, edits."""
    data = local_path(preset.data.dataset_name, settings)
    files = (data, preset.data.dataset_test_split, preset.model.model_name_or_path)
    return [*(_stamp(file) for file in files), overlay.stamp(preset.data, settings)]


def _stamp(file: Path | str | None) -> list[int]:
    try:
        stat = Path(file).expanduser().stat() if file else None
    except (OSError, ValueError):
        return []
    return [stat.st_size, stat.st_mtime_ns] if stat else []


def _ask(preset: Preset, settings: Settings, token: str | None) -> Preview:
    answer = ask_worker("preview", {"preset": dumps(preset, comments=False)}, settings, token)
    return Preview(**answer | {"problems": [Problem(**problem) for problem in answer["problems"]]})


def ask_worker(
    part: str, request: dict[str, Any], settings: Settings, token: str | None, time_limit_s: float = TIME_LIMIT_S
) -> dict[str, Any]:
    """Ask `python -m studio.worker PART`, a process with a tokenizer and without torch: JSON there and back.

    Raises the `StudioError` that the process answers with, and `DataError` where it takes too long or is ended.
    """
    request = request | {"data_dir": str(settings.data_dir), "presets_dir": str(settings.presets_dir)}
    environment = os.environ | ({"HF_TOKEN": token} if token else {})
    try:
        process = subprocess.run(
            [sys.executable, "-m", "studio.worker", part], input=json.dumps(request), capture_output=True,
            encoding="utf-8", timeout=time_limit_s, env=environment, cwd=PROJECT_DIR)
    except subprocess.TimeoutExpired:
        raise DataError(f"Reading the data took longer than {time_limit_s / 60:.0f} minutes.",
                        "Set data.max_rows to look at fewer rows, or try again.", "data.max_rows") from None
    if process.returncode < 0:
        raise DataError("The look at the data was ended by the system, as when memory runs out.",
                        "Set data.max_rows to read fewer rows.", "data.max_rows")
    if process.returncode not in (0, 3):
        said = [line.strip() for line in process.stderr.splitlines() if line.strip()] or ["no message"]
        raise DataError(f"The data could not be looked at: {said[-1][:300]}.",
                        "Try another file; if this one is sound, report it with these words.", "data.dataset_name")
    answer = json.loads(process.stdout)
    if "error" in answer:
        error = answer["error"]
        raise ERRORS.get(error["type"], StudioError)(error["message"], error["hint"], error["field"])
    return answer

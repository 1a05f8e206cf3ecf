"""Loads what was pushed from the Hub in a process of its own, and compares its answer with the model's here.

The download goes into a folder that is removed afterwards. The test runs on the CPU: a training keeps its GPU.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from studio import words
from studio.errors import HubError
from studio.publishing.release import model_files
from studio.publishing.request import Target

QUESTION = "Say in one sentence what you can do."
LOOK_EVERY_S = 0.5
FIELD = "publish.load_test"
FOLDER = "load-test"
EXIT_NO_MEMORY = 5


def load_test(run_dir: Path, target: Target, revision: str, on_alive: Callable[[], None]) -> dict[str, Any]:
    """Let the form at the top of a repository answer a question, as it lies on the Hub and as it lies here; of several
    GGUF files the smallest.

    Returns {"repo_id", "file": that of GGUF files, "same": whether the answers are the same tokens, "answer": text,
    "seconds": float, "reason": ""}; where nothing here reads such a file, "reason" says so and "same" is None.
    `on_alive` is called whenever the test has moved. Raises `HubError` where it does not load, or has no room.
    """
    form = target.forms[0]
    clear_download(run_dir)
    files, name = model_files(run_dir, [form]), ""
    if form == "gguf":
        files = [next(file for file in files if file.path.suffix == ".gguf")]  # the smallest comes first
        name = files[0].path.name
    size_bytes = sum(file.size_bytes for file in files)
    if shutil.disk_usage(run_dir).free < 1.1 * size_bytes:
        raise HubError(f"The push is complete. To load it from the Hub takes {words.size(size_bytes)} of disk, and "
                       "less is left.", "Free some space and push again, or leave the load test out.", FIELD)
    folder = run_dir / FOLDER
    folder.mkdir()
    try:
        words_of = next(place for name in ("merged", "adapter") if (place := run_dir / name).is_dir())
        asked = {"repo_id": target.repo_id, "revision": revision, "form": form, "file": name,
                 "here": str(run_dir / form), "words": str(words_of), "folder": str(folder),
                 "preset": str(run_dir / "preset.yaml"), "question": QUESTION}
        tried = _answered(asked, folder / "answer.json", target.repo_id, on_alive)
        return tried | {"repo_id": target.repo_id, "file": name}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def clear_download(run_dir: Path) -> None:
    """Delete what a test that was killed or paused had downloaded."""
    shutil.rmtree(run_dir / FOLDER, ignore_errors=True)


def _answered(asked: dict[str, Any], answer: Path, repo_id: str, on_alive: Callable[[], None]) -> dict[str, Any]:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    with answer.open("wb") as output:
        # a pipe that stays open: the worker ends with this process
        worker = psutil.Popen([sys.executable, "-m", "studio.worker", "load_test"], env=environment,
                              stdin=subprocess.PIPE, stdout=output)
    try:
        worker.stdin.write(json.dumps(asked).encode() + b"\n")
        worker.stdin.flush()
    except BrokenPipeError:
        pass  # it is gone already; its exit code says so
    life = Life(worker, answer)
    while worker.poll() is None:
        if life.moved():
            on_alive()
        try:
            worker.wait(LOOK_EVERY_S)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            continue
    if worker.returncode == EXIT_NO_MEMORY:
        raise HubError(f"The push is complete, but this machine lacks the memory to load {repo_id}.",
                       "The log says how much it takes. Leave the load test out, or push again when more is free.",
                       FIELD)
    if worker.returncode:
        raise HubError(f"The push is complete, but {repo_id} could not be loaded from the Hub here.",
                       "The log shows why. Push again to try once more, or leave the load test out.", FIELD)
    return json.loads(answer.read_text(encoding="utf-8").splitlines()[-1])


@dataclass
class Life:
    """Tells whether the worker has moved: while it downloads, its folder grows; once it has said that the download is
    done, it computes. A download from a Hub that is silent does neither."""

    worker: psutil.Process
    answer: Path
    seen: tuple[int, int] = (-1, -1)

    def moved(self) -> bool:
        """Whether something has changed since the last look."""
        computed = int(sum(self.worker.cpu_times()[:2])) if self.answer.stat().st_size else 0
        before, self.seen = self.seen, (_size(self.answer.parent), computed)
        return self.seen != before


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; one that is being renamed is counted at the next look."""
    found = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                found += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
    return found

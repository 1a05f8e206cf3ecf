"""Loads what was pushed from the Hub in a process of its own, and compares its answer with the model's here.

The download goes into a folder that is removed afterwards. The test runs on the CPU: a training keeps its GPU.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import words
from studio.errors import HubError
from studio.publishing.release import model_files
from studio.publishing.request import Target

QUESTION = "Say in one sentence what you can do."
TOLD_EVERY_S = 0.5
FIELD = "publish.load_test"


def load_test(run_dir: Path, target: Target, revision: str, system_prompt: str,
              on_alive: Callable[[], None]) -> dict[str, Any]:
    """Let the form at the top of a repository answer a question, as it lies on the Hub and as it lies here.

    Returns {"same": whether the answers are the same tokens, "answer": text, "seconds": float}. `on_alive` is called
    twice a second. Raises `HubError` where it does not load, there is no room for it, or only GGUF files were pushed.
    """
    form = target.forms[0]
    if form == "gguf":
        raise HubError("GGUF files were pushed alone, and these are not loaded here.",
                       "Try them with llama.cpp or Ollama, and leave the load test out.", FIELD)
    size_bytes = sum(file.size_bytes for file in model_files(run_dir, [form]))
    if shutil.disk_usage(run_dir).free < 1.1 * size_bytes:
        raise HubError(f"The push is complete. To load it from the Hub takes {words.size(size_bytes)} of disk; less "
                       "is left.", "Free some space and push again, or leave the load test out.", FIELD)
    folder = run_dir / "load-test"
    shutil.rmtree(folder, ignore_errors=True)  # of a test that was killed
    folder.mkdir()
    try:
        asked = {"repo_id": target.repo_id, "revision": revision, "form": form, "here": str(run_dir / form),
                 "folder": str(folder), "system_prompt": system_prompt, "question": QUESTION}
        return _answered(asked, folder / "answer.json", target.repo_id, on_alive)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answered(asked: dict[str, Any], answer: Path, repo_id: str, on_alive: Callable[[], None]) -> dict[str, Any]:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    with answer.open("wb") as output:
        worker = subprocess.Popen([sys.executable, "-m", "studio.worker", "load_test", json.dumps(asked)],
                                  env=environment, stdin=subprocess.DEVNULL, stdout=output)
    while worker.poll() is None:
        on_alive()
        try:
            worker.wait(TOLD_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
    if worker.returncode:
        raise HubError(f"The push is complete, but {repo_id} could not be loaded from the Hub here.",
                       "The log shows why. Push again to try once more, or leave the load test out.", FIELD)
    return json.loads(answer.read_text(encoding="utf-8").splitlines()[-1])

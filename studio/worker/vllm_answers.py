"""Answers by vLLM instead of our own batches: on a GPU, where somebody installed it. Imports neither torch nor vLLM.

vLLM works in a process of its own (see vllm_process.py), so that the GPU's memory is free when it has answered.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import ModelError
from studio.evaluation.answers import Answer
from studio.evaluation.ways import BASE, TUNED
from studio.preset.schema import Preset
from studio.runs.checks import BFLOAT16_CAPABILITY
from studio.runs.device import Device, probe_device
from studio.settings import PROJECT_DIR
from studio.worker.phase import Phase

if TYPE_CHECKING:
    from studio.worker.row_answers import RowAnswers
    from studio.worker.weights import Weights

ENGINE = "vllm"
AT_ONCE = 256  # vLLM batches by itself; between so many rows progress is told and answers are kept
MEMORY_SHARE = 0.8
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what vLLM holds room for


def is_offered(preset: Preset, device: Device) -> bool:
    """Whether vLLM can answer here: a GPU, vLLM, and weights in 16 bit as they lie on the disk."""
    return device.is_gpu and not preset.model.load_in_4bit and importlib.util.find_spec(ENGINE) is not None


def answered(phase: Phase, weights: Weights, tokenizer: Any, plan: Callable[[str], RowAnswers]) -> RowAnswers | None:
    """The rows with vLLM's answers, None where vLLM cannot be used; where it fails, that is said.

    `plan(engine)` finds out what is still to be answered by that engine.
    """
    device = probe_device()
    if not is_offered(phase.preset, device):
        return None
    rows = plan(ENGINE)
    parts = [(weights.base.folder, {BASE, TUNED})] if weights.adapter else [
        (weights.base.folder, {BASE}), (weights.trained, {TUNED})]
    try:
        for folder, sides in parts:
            if sides & rows.sides:
                phase.say(f"Starting vLLM with {folder.name}")
                adapter = str(weights.trained) if weights.adapter and TUNED in rows.sides else ""
                with Engine(folder, adapter, settings(phase.preset, device, rows.longest, adapter)) as engine:
                    for side in sorted(sides & rows.sides):
                        rows.answer(side, partial(
                            engine.answers, tuned=side == TUNED and weights.adapter, tokenizer=tokenizer,
                            max_new_tokens=phase.preset.evaluation.max_new_tokens,
                            stop_ids=stop_ids(tokenizer, folder, *([weights.trained] if side == TUNED else []))))
    except ModelError as error:
        phase.journal.warning(f"{error.message} {error.hint}")
        return None
    return rows


def settings(preset: Preset, device: Device, longest: int, adapter: str) -> dict[str, Any]:
    """Arguments of `vllm.LLM` for prompt and answer of `longest` tokens; the number format is the one Unsloth takes."""
    native = "bfloat16" if device.capability >= BFLOAT16_CAPABILITY else "float16"
    found: dict[str, Any] = {
        "dtype": native if preset.model.dtype == "auto" else preset.model.dtype, "max_model_len": longest,
        "seed": preset.training.seed, "gpu_memory_utilization": MEMORY_SHARE}
    if adapter:
        rank = json.loads((Path(adapter) / "adapter_config.json").read_text(encoding="utf-8"))["r"]
        found["max_lora_rank"] = next((room for room in LORA_RANKS if room >= rank), rank)
    return found


def stop_ids(tokenizer: Any, *folders: Path) -> list[int]:
    """The tokens that end an answer: the tokenizer's and those that the generation settings in the folders name."""
    ends = {tokenizer.eos_token_id}
    for folder in folders:
        try:
            named = json.loads((folder / "generation_config.json").read_text(encoding="utf-8")).get("eos_token_id")
        except FileNotFoundError:
            continue
        ends.update([named] if isinstance(named, int) else named or [])
    return sorted(ends)


class Engine:
    """The process in which vLLM holds one model. Raises `ModelError` where it does not start or breaks off."""

    def __init__(self, model: Path, adapter: str, settings: dict[str, Any]):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "studio.worker", "vllm"], cwd=PROJECT_DIR,
            env=os.environ | {"VLLM_NO_USAGE_STATS": "1"}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._send({"model": str(model), "adapter": adapter, "settings": settings})

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def answers(self, prompts: list[list[int]], tuned: bool, tokenizer: Any, max_new_tokens: int,
                stop_ids: list[int]) -> Iterator[dict[int, Answer]]:
        """Yield greedy answers by the prompt's index; `seconds` is a prompt's share of those asked at once."""
        for start in range(0, len(prompts), AT_ONCE):
            asked = prompts[start:start + AT_ONCE]
            self._send({"prompts": asked, "tuned": tuned, "max_new_tokens": max_new_tokens, "stop_ids": stop_ids})
            line = self._process.stdout.readline()
            said = json.loads(line) if line else {"error": f"exit code {self._process.wait()}"}
            if "error" in said:
                raise self._failed(said["error"])
            yield {start + i: _answer(prompt, ids, tokenizer, said["seconds"] / len(asked), max_new_tokens, stop_ids)
                   for i, (prompt, ids) in enumerate(zip(asked, said["answers"], strict=True))}

    def _send(self, values: dict[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(values) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:  # what it said last tells why
            line = self._process.stdout.readline()
            raise self._failed(json.loads(line)["error"] if line else f"exit code {self._process.wait()}") from None

    def _failed(self, reason: str) -> ModelError:
        return ModelError(f"vLLM cannot answer here ({reason.splitlines()[0][:300]}).",
                          "The rows are answered without it, which takes longer.")


def _answer(prompt: list[int], ids: list[int], tokenizer: Any, seconds: float, max_new_tokens: int,
            stop_ids: list[int]) -> Answer:
    length = next((i for i, token in enumerate(ids) if token in stop_ids), len(ids))
    text = tokenizer.decode(ids[:length], skip_special_tokens=True).strip()
    return Answer(text, len(prompt), length, seconds, cut=length == max_new_tokens)

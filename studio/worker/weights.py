"""The weights that a comparison sets side by side, base and trained: where they lie, and each loaded once in turn."""

import gc
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# isort: off
import unsloth  # noqa: F401  before anything that imports transformers
# isort: on
import torch
from transformers import AutoConfig
from unsloth import FastLanguageModel

from studio.errors import RunError
from studio.evaluation.answers import weights_mark
from studio.evaluation.ways import BASE, TUNED
from studio.preset import files
from studio.runs.device import probe_device
from studio.worker import base_model
from studio.worker import model as models
from studio.worker.arguments import held_as
from studio.worker.base_model import BaseModel
from studio.worker.phase import Phase
from studio.worker.tokenizer import load_tokenizer

CONTEXT_TOKENS = 32_768


@dataclass(frozen=True)
class Weights:
    """Where base and trained weights lie; `adapter` says that the trained ones are an adapter on the base.

    Without a training `trained` is the base's own folder. A side is `BASE` or `TUNED`.
    """

    base: BaseModel
    trained: Path
    adapter: bool

    def mark(self, phase: Phase, side: str) -> str:
        """Tells the weights of a side, the form they are held in and the device they are used on from all others."""
        held = [weights_mark(self.base.folder), *held_as(phase.preset, probe_device())]
        if side == TUNED:
            held = [weights_mark(self.trained), *(held if self.adapter else held[1:])]
        return json.dumps(held)

    def tokenizer(self, phase: Phase) -> Any:
        """The tokenizer that was trained with, which is the base's."""
        return load_tokenizer(self.trained, phase.preset.model)

    def context(self) -> int:
        """The most tokens that the model reads."""
        config = AutoConfig.from_pretrained(self.base.folder).get_text_config()
        return getattr(config, "max_position_embeddings", CONTEXT_TOKENS)  # models without positions have no limit


def find_trained(phase: Phase, checkpoint: str = "") -> Weights:
    """The final weights of a trained run, or those of a checkpoint such as "checkpoint-50".

    Raises `RunError` where it has none, `ModelError` where the base is gone.
    """
    base = base_model.locate(phase.preset.model, phase.settings)
    folders = [f"checkpoints/{checkpoint}"] * 2 if checkpoint else ["adapter", "merged"]
    for name, config in zip(folders, ("adapter_config.json", "config.json"), strict=True):
        if (phase.run_dir / name / config).is_file():
            return Weights(base, phase.run_dir / name, adapter=config == "adapter_config.json")
    if checkpoint:
        raise RunError(f"The run has no {checkpoint} any more.", "Compare with another checkpoint.")
    raise RunError("The run has no trained model yet.", "Resume the run, then compare again.")


def find_base(phase: Phase) -> Weights:
    """The base model alone, downloaded where needed. Raises `ModelError`."""
    base = base_model.locate(phase.preset.model, phase.settings)
    return Weights(base, base.folder, adapter=False)


def on_each_side(phase: Phase, weights: Weights, sides: set[str], longest: int,
                 work: Callable[[str, Any], None]) -> None:
    """Call `work(side, model)` for each of `sides`, the base first; nothing is loaded for none.

    `longest` is the most tokens of prompt and answer together. With an adapter one loaded model serves both; else one
    model is gone before the next is loaded.
    """
    # Unsloth would not see further than the longest row of the training
    preset = files.override(phase.preset, {"training.max_length": max(phase.preset.training.max_length, longest)})
    device = probe_device()
    if sides and weights.adapter:
        model, _ = models.load_tuned(preset, weights.base, weights.trained, device, phase.settings)
        FastLanguageModel.for_inference(model)
        if BASE in sides:
            with model.disable_adapter():
                work(BASE, model)
        if TUNED in sides:
            work(TUNED, model)
        return
    for side, folder in [(BASE, weights.base.folder), (TUNED, weights.trained)]:
        if side in sides:
            model, _ = models.load_whole(preset, folder, device)
            FastLanguageModel.for_inference(model)
            work(side, model)
            del model
            gc.collect()
            if device.is_gpu:
                torch.cuda.empty_cache()

"""Loads what the playground talks to: a base model alone, or base and tuned model of a run, and of a second run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import unsloth  # noqa: F401  before transformers
from transformers import AutoConfig
from unsloth import FastLanguageModel

from studio.errors import RunError
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.device import Device, probe_device
from studio.settings import Settings
from studio.worker import base_model
from studio.worker import model as models
from studio.worker.answerer import Answerer
from studio.worker.base_model import BaseModel

# a chat that grows longer than this is slow to read on small devices; rows longer than this were trained on purpose
CONTEXT_TOKENS = 8192
RIVAL = "rival"

Say = Callable[[str], None]


def load_model(name: str, settings: Settings, say: Say) -> Answerer:
    """Load a base model by Hub id, folder or .gguf file. Raises `ModelError`."""
    preset = files.override(Preset(), {"model.model_name_or_path": name})
    device = probe_device()
    say(f"Looking for {name}")
    base = base_model.locate(preset.model, settings)
    preset, context = _for_chat(preset, base.folder, device)
    say(f"Loading {base.name}")
    loaded, tokenizer = models.load_base(preset, base, device)
    return _answerer({"base": loaded}, tokenizer, preset, {}, context)


def load_run(run_dir: Path, checkpoint: str, settings: Settings, say: Say, rival_dir: Path | None = None) -> Answerer:
    """Load a run's tuned model (adapter, merged model, or a checkpoint of either) and its base model.

    An adapter is switched off to answer as the base; a whole tuned model needs the base beside it, twice the memory.
    `rival_dir` is a run whose adapter stands on the same base model: it answers as "rival". Raises `ModelError`, and
    `RunError` where a run has no weights or the two do not stand on one base model.
    """
    preset = files.load(run_dir / "preset.yaml")
    device = probe_device()
    say(f"Looking for {preset.model.model_name_or_path}")
    base = base_model.locate(preset.model, settings)
    preset, context = _for_chat(preset, base.folder, device)
    weights = _weights(run_dir, checkpoint)
    is_adapter = (weights / "adapter_config.json").is_file()
    if is_adapter:
        say(f"Loading {base.name} with the adapter")
        tuned, tokenizer = models.load_tuned(preset, base, weights, device, settings)
        loaded, adapters = {"base": tuned, "tuned": tuned}, {"tuned": tuned.active_adapter}
        if rival_dir:
            say("Loading the other run's adapter")
            _add_rival(tuned, rival_dir)
            loaded["rival"], adapters["rival"] = tuned, RIVAL
    else:
        say("Loading the tuned model")
        tuned, tokenizer = models.load_base(preset, BaseModel(weights, f"The tuned model in {weights.name}"), device)
        say(f"Loading {base.name} beside it")
        loaded, adapters = {"base": models.load_base(preset, base, device)[0], "tuned": tuned}, {}
    if _learned_plain_text(run_dir):
        tokenizer.chat_template = None
    return _answerer(loaded, tokenizer, preset, adapters, context)


def _add_rival(model: Any, rival_dir: Path) -> None:
    """Put another run's adapter beside the one that is there; PEFT reads no base model from it."""
    model.load_adapter(_weights(rival_dir, ""), adapter_name=RIVAL)


def _answerer(loaded: dict[str, Any], tokenizer: Any, preset: Preset, adapters: dict[str, str],
              context: int) -> Answerer:
    for model in loaded.values():
        FastLanguageModel.for_inference(model)
    return Answerer(loaded, tokenizer, preset, adapters, context)


def _for_chat(preset: Preset, folder: Path, device: Device) -> tuple[Preset, int]:
    """The preset as chat needs it, and the most tokens of prompt and answer together.

    What only training needs is switched off, so that a run trained on a GPU can be tried on a CPU. The page sends the
    system prompt with every chat. No more tokens than the model knows positions for: Unsloth would stretch them.
    """
    known = getattr(AutoConfig.from_pretrained(folder).get_text_config(), "max_position_embeddings", CONTEXT_TOKENS)
    context = max(preset.training.max_length, min(known, CONTEXT_TOKENS))
    on_gpu = device.is_gpu
    chat = files.override(preset, {
        "data.system_prompt": "", "method.full_finetuning": False, "training.max_length": context,
        "training.packing": False, "training.optim": "adamw_torch", "training.gradient_checkpointing": False,
        "model.load_in_4bit": preset.model.load_in_4bit and on_gpu,
        "model.dtype": preset.model.dtype if on_gpu or preset.model.dtype != "float16" else "auto"})
    return chat, context


def _weights(run_dir: Path, checkpoint: str) -> Path:
    candidates = [run_dir / "checkpoints" / checkpoint] if checkpoint else [run_dir / "adapter", run_dir / "merged"]
    for folder in candidates:
        if any(folder.glob("*.safetensors")):
            return folder
    raise RunError(f"The run has no {checkpoint or 'trained weights'}.", "Pick another checkpoint, or resume the run.")


def _learned_plain_text(run_dir: Path) -> bool:
    """Whether the run learned documents rather than answers: then a prompt is the beginning of one."""
    try:
        with open(run_dir / "data" / "train.jsonl", encoding="utf-8") as rows:
            return "text" in json.loads(next(rows))
    except FileNotFoundError:
        return False

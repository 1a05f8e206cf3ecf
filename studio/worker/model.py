"""Load models through Unsloth: the base for training, or the base with a run's adapter on it."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# isort: off
import unsloth  # noqa: F401  before anything that imports transformers
# isort: on
import torch
from transformers.utils import logging
from unsloth import FastLanguageModel

from studio.errors import ModelError
from studio.preset.schema import Preset
from studio.runs.checks import require_device
from studio.runs.device import Device
from studio.settings import Settings
from studio.worker import arguments, remote_code
from studio.worker.base_model import FIELD, BaseModel
from studio.worker.generation_settings import end_answers, write_generation_settings
from studio.worker.tokenizer import load_tokenizer

logging.disable_progress_bar()
FUSED_MODULES = {"qkv_proj", "gate_up_proj"}


def load_base(preset: Preset, base: BaseModel, device: Device):
    """Load the base model; returns (model, tokenizer) with the preset's chat template.

    Raises `ModelError` where transformers cannot read the model or it would need code of its own.
    """
    require_device(preset, device)
    model = _from_pretrained(arguments.load_arguments(preset, base.folder, device), base)[0]
    tokenizer = load_tokenizer(base.folder, preset.model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer


def add_adapter(model, preset: Preset):
    """Put a fresh LoRA adapter on the model. Raises `ModelError` when no target layer exists in it."""
    linear = {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    if not linear & (set(preset.lora.target_modules) | FUSED_MODULES):
        raise ModelError(
            f"None of the layers {', '.join(preset.lora.target_modules)} exists in this model.",
            f"Its linear layers are: {', '.join(sorted(linear))}.", "lora.target_modules")
    return FastLanguageModel.get_peft_model(model, **arguments.lora_arguments(preset))


def load_whole(preset: Preset, folder: Path, device: Device):
    """Load a model of which all weights lie in `folder`, to use it; returns (model, tokenizer)."""
    values = arguments.load_arguments(preset, folder, device, training=False)
    return _from_pretrained(values, BaseModel(folder, folder.name))[0], load_tokenizer(folder, preset.model)


def load_tuned(preset: Preset, base: BaseModel, adapter: Path, device: Device, settings: Settings, **overrides):
    """Load the base model with a trained adapter on it, as Unsloth itself does; returns (model, tokenizer).

    `overrides` replace arguments of `from_pretrained`.

    Unsloth finds the base through the adapter's config, which names the Hub. A copy of the adapter that names the
    folder on this disk makes it take just the weights that were trained on.
    """
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=settings.cache_dir, prefix=".adapter-") as work:
        copy = Path(work) / "adapter"
        # a checkpoint also holds the optimizer, which nobody needs to answer
        shutil.copytree(adapter, copy, ignore=shutil.ignore_patterns("optimizer.pt", "scheduler.pt", "rng_state*"))
        _name_base(copy, str(base.folder))
        model = _from_pretrained(arguments.load_arguments(preset, copy, device, training=False) | overrides, base)[0]
    end_answers(model, adapter)
    return model, load_tokenizer(adapter, preset.model)


def save_adapter(model, tokenizer, base: BaseModel, adapter: Path, taught_end: int | None) -> None:
    """Write the adapter with tokenizer beside its place, then put it there; it names the base as the Hub does.

    `taught_end` is the token with which the trained rows end their answers, None where they teach none.
    """
    with replaced(adapter) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        write_generation_settings(base.folder, partial, taught_end)
        _name_base(partial, base.name)
        # PEFT's card names a path of this machine; publishing writes the real card
        (partial / "README.md").unlink(missing_ok=True)


def shard_size(preset: Preset) -> str:
    """The largest weights file, in transformers' spelling."""
    return f"{round(preset.export.max_shard_size_gb * 1000)}MB"


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """A fresh folder for a model beside `target`: takes its place when the block ends well, goes away when it fails.

    It names no code of the base model's own, which others may trust.
    """
    partial, old = target.with_name(f".{target.name}.partial"), target.with_name(f".{target.name}.old")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        remote_code.forget(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if target.exists():
        os.rename(target, old)
    os.rename(partial, target)
    shutil.rmtree(old, ignore_errors=True)


def _name_base(adapter: Path, name: str) -> None:
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    config["base_model_name_or_path"] = name
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def _from_pretrained(values: dict, base: BaseModel):
    try:
        return FastLanguageModel.from_pretrained(**values)
    except (ValueError, KeyError, NotImplementedError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{base.name} cannot be loaded: {reason}",
                         "Choose a text model that transformers supports without code of its own.", FIELD) from error

"""Join adapter and base model into one 16-bit model that needs neither Unsloth nor PEFT to run."""

import json
import shutil
import signal
import sys
from pathlib import Path

# isort: off
import unsloth  # noqa: F401  before anything that imports transformers
# isort: on
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from studio.errors import ModelError, RunError
from studio.publishing import exports
from studio.runs.device import free_memory_bytes, probe_device
from studio.worker import base_model, merge_by_shard
from studio.worker import model as models
from studio.worker.base_model import BaseModel
from studio.worker.generation_settings import write_generation_settings
from studio.worker.growth import watched
from studio.worker.parity_prompts import taught_end
from studio.worker.phase import Phase
from studio.worker.stored_weights import count_weights
from studio.worker.tokenizer import add_sentencepiece, load_tokenizer

BYTES_PER_WEIGHT, WRITTEN_BYTES_PER_WEIGHT = 8, 2
BUFFERS = ".merge-buffers"


def merge(phase: Phase) -> dict:
    """Write merged/ from adapter/: safetensors, tokenizer and chat template; replaces an earlier merged/ when whole.

    Returns the phase's facts. Raises `RunError` without a trained model, `ModelError` where the disk lacks room.
    """
    preset, run_dir, device = phase.preset, phase.run_dir, probe_device()
    merged, adapter = run_dir / "merged", run_dir / "adapter"
    if not (adapter / "adapter_config.json").is_file():
        if not (merged / "config.json").is_file():
            raise RunError("The run has no trained model to merge.", "Resume the run, then merge again.")
        phase.say("Checking the merged model")
        parameters, base = _check(merged), base_model.locate(preset.model, phase.settings)
        _write_settings(phase, base, merged)
        add_sentencepiece(base.folder, merged)
        return _facts(merged, parameters)

    base = base_model.locate(preset.model, phase.settings)
    _write_settings(phase, base, adapter)  # an earlier studio wrote none, or none with the end that the rows teach
    needed = WRITTEN_BYTES_PER_WEIGHT * count_weights(base.folder)
    _clean(run_dir)
    base_model.require_space(run_dir, needed, "The merged model needs")
    # a polite end cleans up too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with models.replaced(merged) as partial:
        if not device.is_gpu and _memory_bytes(base.folder) > free_memory_bytes():
            parameters = _merge_by_shard(phase, base, partial)
        else:
            parameters = _merge_with_unsloth(phase, base, partial, needed)
        _write_settings(phase, base, partial)
        add_sentencepiece(base.folder, partial)
        exports.write_record(partial / exports.MERGED_RECORD, adapter)
    return _facts(merged, parameters)


def _write_settings(phase: Phase, base: BaseModel, folder: Path) -> None:
    """Give a folder that holds the training's tokenizer its generation settings."""
    write_generation_settings(base.folder, folder, taught_end(phase, load_tokenizer(folder, phase.preset.model)))


def _clean(run_dir: Path) -> None:
    """Delete what a merge that was killed left: it would count as space that is taken."""
    for leftover in (".merged.partial", ".merged.old", BUFFERS):
        shutil.rmtree(run_dir / leftover, ignore_errors=True)


def _merge_with_unsloth(phase: Phase, base: BaseModel, partial: Path, expected_bytes: int) -> int:
    """Write the merged model as Unsloth does; returns its number of weights."""
    preset, run_dir, device = phase.preset, phase.run_dir, probe_device()
    phase.say("Loading base model and adapter")
    # the CPU merges in bfloat16 whatever it trained in, so that the result does not depend on the machine
    overrides = {} if device.is_gpu else {"dtype": "bfloat16"}
    model, tokenizer = models.load_tuned(preset, base, run_dir / "adapter", device, phase.settings, **overrides)
    # on a GPU Unsloth would buffer in the working directory, and write pickles on hosts of one or two cores
    if device.is_gpu:
        places = {"temporary_location": str(run_dir / BUFFERS), "safe_serialization": None}
    else:
        places = {}
    phase.say("Merging")
    with watched(partial, lambda size: _tell(phase, min(size, expected_bytes), expected_bytes)):
        model.save_pretrained_merged(
            str(partial), tokenizer, save_method="merged_16bit", max_shard_size=models.shard_size(preset), **places)
    del model
    phase.say("Checking the merged model")
    return _check(partial)


def _merge_by_shard(phase: Phase, base: BaseModel, partial: Path) -> int:
    """Write the merged model piece by piece; returns its number of weights."""
    print("The model does not fit into memory twice; it is merged piece by piece.", flush=True)
    load_tokenizer(phase.run_dir / "adapter", phase.preset.model).save_pretrained(partial)
    shard_bytes = round(phase.preset.export.max_shard_size_gb * 1e9)
    return merge_by_shard.merge(base.folder, phase.run_dir / "adapter", partial, shard_bytes,
                                lambda done, total: _tell(phase, done, total))


def _tell(phase: Phase, done_bytes: int, total_bytes: int) -> None:
    phase.journal.progress("merge", done_bytes, total_bytes, "bytes", "Writing the merged model")


def _memory_bytes(base: Path) -> int:
    """What Unsloth's merge on a CPU holds at most: the model in 16 bits, and a copy of it in 32 that becomes 16."""
    return BYTES_PER_WEIGHT * count_weights(base)


def _check(folder: Path) -> int:
    """Load the merged model with plain transformers; returns its number of weights.

    Raises `ModelError` for weights that are missing, left over, or no numbers, and for a missing tokenizer.
    """
    model, found = AutoModelForCausalLM.from_pretrained(
        folder, dtype="auto", use_safetensors=True, output_loading_info=True)
    wrong = sorted(str(key) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in found[kind])
    if wrong:
        raise ModelError(f"The merged model is not whole: {wrong[0]} and {len(wrong) - 1} more do not fit.",
                         "Merge again; if it happens again, report it with the log.")
    broken = [name for name, values in model.named_parameters() if not torch.isfinite(values).all()]
    if broken:
        raise ModelError(f"The merged model holds values that are no numbers, in {broken[0]}.",
                         "Train again with a lower training.learning_rate.", "training.learning_rate")
    AutoTokenizer.from_pretrained(folder)
    return model.num_parameters()


def _facts(merged: Path, parameters: int) -> dict:
    files = [file for file in merged.iterdir() if file.is_file()]
    config = json.loads((merged / "config.json").read_text())
    return {"path": "merged", "size_bytes": sum(file.stat().st_size for file in files), "files": len(files),
            "parameters": parameters, "dtype": config["dtype"]}

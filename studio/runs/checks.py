"""The preflight: what would make a run fail on this machine, said before it starts, each with what to change."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from studio.errors import CheckError, StudioError, UnknownShapeError
from studio.preset.schema import Preset
from studio.runs.device import Device
from studio.runs.estimates import GIB, MemoryEstimate, Verdict, disk_bytes
from studio.runs.model_shape import ModelShape

CUDA_OPTIMIZERS = frozenset({"adamw_8bit", "paged_adamw_8bit"})
# bfloat16 came to NVIDIA cards with this compute capability (Ampere)
BFLOAT16_CAPABILITY = 8.0
OWN_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
DISK_RESERVE_BYTES = 1 * GIB


@dataclass(frozen=True)
class Finding:
    """One thing to know before the start: an error stops the run, a warning and an info do not.

    `fix` holds the preset fields that would settle it, as {dotted name: value}; empty where a person must decide.
    """

    level: Literal["error", "warning", "info"]
    message: str
    hint: str = ""
    field: str = ""
    fix: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, error: StudioError) -> "Finding":
        """The finding that a failed check amounts to."""
        level = "warning" if isinstance(error, UnknownShapeError) else "error"
        return cls(level, error.message, error.hint, error.field)


def check_device(preset: Preset, device: Device) -> list[Finding]:
    """What the preset asks for and this device cannot do. It is refused, never quietly replaced."""
    return _check_cpu(preset) if not device.is_gpu else _check_gpu(preset, device)


def require_device(preset: Preset, device: Device) -> None:
    """Raise `CheckError` for the first thing that cannot work on this device."""
    for finding in check_device(preset, device):
        raise CheckError(finding.message, finding.hint, finding.field)


def _check_cpu(preset: Preset) -> list[Finding]:
    found = []
    if preset.model.load_in_4bit:
        found.append(Finding(
            "error", "Loading in 4 bit needs an NVIDIA GPU, and this machine has none.",
            "Turn off Load in 4 bit, and choose a model small enough for the CPU.",
            "model.load_in_4bit", {"model.load_in_4bit": False}))
    if preset.training.packing:
        found.append(Finding(
            "error", "Packing needs an NVIDIA GPU: on a CPU packed rows would read each other.",
            "Turn off Packing.", "training.packing", {"training.packing": False}))
    if preset.training.optim in CUDA_OPTIMIZERS:
        found.append(Finding(
            "error", f"The optimizer {preset.training.optim} needs an NVIDIA GPU.",
            "Take adamw_torch_fused.", "training.optim", {"training.optim": "adamw_torch_fused"}))
    if preset.model.dtype == "float16":
        found.append(Finding(
            "error", "Training in float16 needs an NVIDIA GPU.", "Set the number format to auto.",
            "model.dtype", {"model.dtype": "auto"}))
    return found


def _check_gpu(preset: Preset, device: Device) -> list[Finding]:
    found = []
    if preset.model.dtype == "bfloat16" and device.capability < BFLOAT16_CAPABILITY:
        found.append(Finding(
            "error", f"{device.name} does not compute bfloat16.",
            "Set the number format to auto; it takes float16 here.",
            "model.dtype", {"model.dtype": "auto"}))
    if preset.model.load_in_4bit and preset.method.full_finetuning:
        found.append(Finding(
            "error", "All weights cannot be trained while the model is held in 4 bit.",
            "Turn off one of the two.", "method.full_finetuning", {"model.load_in_4bit": False}))
    return found


def check_settings(preset: Preset) -> list[Finding]:
    """Combinations of fields that are allowed but rarely meant."""
    found = []
    evaluation, training = preset.evaluation, preset.training
    if evaluation.early_stopping_patience and evaluation.eval_strategy == "no":
        found.append(Finding(
            "error", "Early stopping needs a measurement on held-out rows, and it is switched off.",
            "Measure by epoch, or set the patience to 0.", "evaluation.early_stopping_patience",
            {"evaluation.eval_strategy": "epoch"}))
    judged = evaluation.eval_strategy != "no" or evaluation.compare_rows > 0
    if judged and not _holds_out(preset):
        found.append(Finding(
            "warning", "No rows are held out, so nothing will tell whether the tuned model is better.",
            "Hold out a tenth of the rows.", "data.test_size", {"data.test_size": 0.1}))
    if evaluation.metric == "embedding_similarity" and not evaluation.embedding_model:
        found.append(Finding(
            "error", "Likeness in meaning is to decide, and no encoder is named that could measure it.",
            "Set evaluation.embedding_model, or let the metric be chosen.", "evaluation.embedding_model",
            {"evaluation.metric": "auto"}))
    if preset.method.full_finetuning and training.learning_rate > 1e-4:
        found.append(Finding(
            "warning", f"A learning rate of {training.learning_rate:g} is high for training all weights.",
            "2e-5 is usual.", "training.learning_rate", {"training.learning_rate": 2e-5}))
    return found + _check_services(preset) + _check_push(preset)


def _check_push(preset: Preset) -> list[Finding]:
    """Forms that the planned push is to send, and that this run does not make."""
    found, publish = [], preset.publish
    if not publish.push_to_hub:
        return found
    if "gguf" in publish.what and not preset.export.gguf:
        found.append(Finding(
            "error", "GGUF files are to be published, and the run writes none.",
            "Choose their kinds in export.gguf; q4_k_m suits most.", "publish.what", {"export.gguf": ["q4_k_m"]}))
    if "adapter" in publish.what and preset.method.full_finetuning:
        # all weights are the merged model, and a load test needs more than GGUF files
        forms = ["merged", *(["gguf"] if "gguf" in publish.what else [])]
        found.append(Finding(
            "error", "An adapter is to be published, and training all weights makes none.",
            f"Publish {' and '.join(forms)}.", "publish.what", {"publish.what": forms}))
    return found


def _check_services(preset: Preset) -> list[Finding]:
    """What leaves this machine for another model or a judge, and what they need to be asked."""
    found, evaluation = [], preset.evaluation
    for part, url, model in (("endpoint", evaluation.endpoint_url, evaluation.endpoint_model),
                             ("judge", evaluation.judge_url, evaluation.judge_model)):
        if not url:
            continue
        address, parts = f"evaluation.{part}_url", urlsplit(url)
        if not model:
            field = f"evaluation.{part}_model"
            found.append(Finding("error", f"The service at {parts.netloc} needs the name of a model.",
                                 f"Set {field} to what it calls the model.", field))
        if parts.scheme == "http" and parts.hostname not in OWN_HOSTS:
            found.append(Finding("warning", f"Rows and key travel to {parts.netloc} unprotected.",
                                 "Take its https address if it has one.", address))
        what = "Held-out rows" if part == "endpoint" else "Held-out rows and the answers to them"
        found.append(Finding("info", f"{what} are sent to {parts.netloc}.", "", address))
    if evaluation.judge_url and evaluation.judge_against == "endpoint" and not evaluation.endpoint_url:
        found.append(Finding("error", "The judge is to compare with another model, and none is named.",
                             "Set evaluation.endpoint_url, or judge against the base model.",
                             "evaluation.judge_against", {"evaluation.judge_against": "base"}))
    return found


def _holds_out(preset: Preset) -> bool:
    data = preset.data
    return data.test_size > 0 or bool(data.dataset_test_split) or data.dataset_name.startswith("bundled:")


def check_memory(preset: Preset, estimate: MemoryEstimate, device: Device) -> list[Finding]:
    """Whether the run fits the device, with the settings that save most."""
    verdict = estimate.verdict(device)
    if verdict is Verdict.FITS:
        return []
    needed, there = estimate.total / GIB, device.memory_bytes / GIB
    words = "will not fit" if verdict is Verdict.TOO_BIG else "may not fit"
    return [Finding(
        "error" if verdict is Verdict.TOO_BIG else "warning",
        f"The run needs about {needed:.1f} GB of memory and {words} into the {there:.1f} GB of {device.name}.",
        "Lower the batch size or the longest row, or choose a smaller model.",
        "training.per_device_train_batch_size", _smaller(preset, device))]


def check_disk(preset: Preset, shape: ModelShape, free_bytes: int) -> list[Finding]:
    """Whether checkpoints and the merged model fit the disk that holds the data folder."""
    needed = disk_bytes(preset, shape) + DISK_RESERVE_BYTES
    if free_bytes >= needed:
        return []
    return [Finding(
        "error", f"The run will write about {needed / GIB:.1f} GB and only {free_bytes / GIB:.1f} GB of disk are free.",
        "Delete old runs, keep fewer checkpoints, or set STUDIO_DATA_DIR to a larger disk.",
        "training.save_total_limit", {"training.save_total_limit": 1} if preset.training.save_total_limit > 1 else {})]


def _smaller(preset: Preset, device: Device) -> dict[str, Any]:
    """The one change that saves most memory and keeps the effective batch."""
    training = preset.training
    if device.is_gpu and not preset.model.load_in_4bit and not preset.method.full_finetuning:
        return {"model.load_in_4bit": True}
    if training.per_device_train_batch_size > 1:
        rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
        return {"training.per_device_train_batch_size": 1, "training.gradient_accumulation_steps": rows}
    if not training.gradient_checkpointing:
        return {"training.gradient_checkpointing": True}
    return {"training.max_length": max(16, training.max_length // 2)}

"""The trained model and its exported forms, each loaded from its own files by plain transformers and PEFT.

Unsloth stays out: whoever downloads the model has none either. Nothing but safetensors and GGUF is opened.
"""

import gc
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
from transformers.utils import logging

from studio.errors import ModelError
from studio.preset.schema import Preset
from studio.publishing.exports import tensor_shapes
from studio.publishing.parity import ADAPTER, MERGED
from studio.runs.device import Device
from studio.worker.base_model import BaseModel
from studio.worker.parity_faults import Expected, Fault, Shipped, fault
from studio.worker.parity_gguf import GgufFile, Render

logging.disable_progress_bar()
ADAPTER_WEIGHTS = "adapter_model.safetensors"
TRAIN_AGAIN = "Train again, or put the adapter's files back."
# not of the answers: who wrote the file, and tokens that are compared by themselves
OTHER_SETTINGS = frozenset({"transformers_version", "_from_model_config", "eos_token_id", "bos_token_id",
                            "pad_token_id"})
# what reading files that are torn, missing or of another model raises
BROKEN = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError, NotImplementedError,
          SafetensorError)
HEADROOM, SPARE_BYTES = 1.25, 10**9


@dataclass(frozen=True)
class Place:
    """Where all models are asked, and in which number format: the same for each, so that only the exports differ."""

    device: str
    dtype: torch.dtype

    @property
    def words(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} on {'the GPU' if self.device == 'cuda' else 'the CPU'}"


@dataclass(frozen=True)
class Opened:
    """A form's files, read but for the weights. `kind` is how those are stored; `reason` says why they cannot be read
    here, "" where they can."""

    shipped: Shipped
    kind: str
    quantised: bool = False
    reason: str = ""


def choose_place(folder: Path, device: Device) -> Place:
    """The best place with room for the model: the GPU before the CPU, float32 before 16 bit. Raises `ModelError`."""
    weights = sum(_size(shape) for shape in tensor_shapes(folder).values())
    short = torch.bfloat16 if not device.is_gpu or device.capability >= 8 else torch.float16
    rooms = [("cuda", torch.cuda.mem_get_info()[0])] if device.is_gpu else []
    rooms.append(("cpu", psutil.virtual_memory().available))
    for name, free in rooms:
        for dtype in (torch.float32, torch.bfloat16 if name == "cpu" else short):
            if weights * dtype.itemsize * HEADROOM + SPARE_BYTES <= free:
                return Place(name, dtype)
    needed, free = (weights * 2 * HEADROOM + SPARE_BYTES) / 1e9, rooms[-1][1] / 1e9
    raise ModelError(f"Comparing the exports needs {needed:.1f} GB of memory, and {free:.1f} GB are free.",
                     "Close what else uses memory, then check again.")


def settings_of(folder: Path) -> tuple[frozenset[int], dict[str, Any]]:
    """The tokens that end an answer, and the other generation settings, as transformers takes them from a folder."""
    if (folder / "generation_config.json").is_file():
        settings = GenerationConfig.from_pretrained(folder)
    else:
        settings = GenerationConfig.from_model_config(AutoConfig.from_pretrained(folder))
    ends = settings.eos_token_id
    ids = ends if isinstance(ends, list) else [ends] if ends is not None else []
    return frozenset(ids), {key: value for key, value in settings.to_dict().items()
                            if key not in OTHER_SETTINGS and value is not None}


def vocabulary_rows(folder: Path) -> int:
    """How many tokens a folder's config names weights for."""
    return AutoConfig.from_pretrained(folder).get_text_config().vocab_size


def open_form(run_dir: Path, form: str, base: BaseModel, preset: Preset, expected: Expected, tokenizer: Any,
              render: Render) -> Opened | Fault:
    """Read what a form says of itself, or what is wrong with its files. `tokenizer` is the training's."""
    path = run_dir / form
    try:
        if path.is_file():
            return _open_gguf(path, expected, tokenizer, render)
        return _open_folder(path, form, base, preset, expected, render)
    except BROKEN as error:
        return fault(form, f"cannot be read: {_reason(error)}.")


def load_form(run_dir: Path, form: str, base: BaseModel, place: Place) -> Any:
    """The form's model, or the `Fault` that its weights have."""
    path = run_dir / form
    try:
        if path.is_file():
            model = _load_gguf(path, base, place)
        elif form == ADAPTER:
            model = _load_adapter(base, path, place, PeftConfig.from_pretrained(path))
        else:
            model = _load_whole(path, place)
        return model if isinstance(model, Fault) else _on(model, form, place)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except BROKEN as error:
        return fault(form, f"cannot be loaded: {_reason(error)}.")


def load_reference(run_dir: Path, base: BaseModel, preset: Preset, place: Place) -> Any:
    """The trained model: the adapter's weights on the base with the preset's strength, or all trained weights.

    Raises `ModelError` where the trained weights cannot be loaded.
    """
    adapter = run_dir / ADAPTER
    try:
        if preset.method.full_finetuning:
            model = _load_whole(run_dir / MERGED, place)
        else:
            config = PeftConfig.from_pretrained(adapter)
            config.r, config.lora_alpha, config.use_rslora = (
                preset.lora.r, preset.lora.lora_alpha, preset.lora.use_rslora)
            model = _load_adapter(base, adapter, place, config)
        model = model if isinstance(model, Fault) else _on(model, ADAPTER, place)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except BROKEN as error:
        raise ModelError(f"The trained model cannot be loaded, so nothing can be compared with it: {_reason(error)}.",
                         TRAIN_AGAIN) from error
    if isinstance(model, Fault):
        raise ModelError(model.sentence, TRAIN_AGAIN)
    return model


def free(place: Place) -> None:
    """Give back the memory of a model that nobody holds any more."""
    gc.collect()
    if place.device == "cuda":
        torch.cuda.empty_cache()


def _open_folder(path: Path, form: str, base: BaseModel, preset: Preset, expected: Expected,
                 render: Render) -> Opened | Fault:
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    note, kind = "", "adapter"
    if form == ADAPTER:
        # without a file of its own it answers with its base model's
        own = (path / "generation_config.json").is_file()
        rows, (ends, settings) = expected.rows, settings_of(path if own else base.folder)
        note = _base_note(path, base, preset)
    else:
        rows, (ends, settings) = vocabulary_rows(path), settings_of(path)
        kind = str(AutoConfig.from_pretrained(path).dtype).removeprefix("torch.")
    return Opened(Shipped(
        vocabulary=tokenizer.get_vocab(), rows=rows, eos_id=tokenizer.eos_token_id, stop_ids=ends, settings=settings,
        has_template=tokenizer.chat_template is not None, render=lambda: render(tokenizer), note=note), kind)


def _open_gguf(path: Path, expected: Expected, tokenizer: Any, render: Render) -> Opened:
    file = GgufFile(path)
    known = file.architecture in GGUF_SUPPORTED_ARCHITECTURES
    reason = "" if known else f"transformers does not read weights of the kind {file.architecture} from GGUF."
    return Opened(file.shipped(expected, tokenizer, render), file.kind, file.quantised, reason)


def _base_note(adapter: Path, base: BaseModel, preset: Preset) -> str:
    """Whether the adapter's config names another base model; a path of this machine is replaced when it is sent."""
    named = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    trained_on = preset.model.model_name_or_path
    if named in (base.name, trained_on, str(base.folder)):
        return ""
    if Path(named).is_absolute() and not Path(trained_on).is_absolute():
        return ""
    return f"names {named} as its base model, and was trained on {base.name}."


def _load_whole(folder: Path, place: Place) -> Any:
    model, found = AutoModelForCausalLM.from_pretrained(
        folder, dtype=place.dtype, use_safetensors=True, output_loading_info=True)
    return _whole(model, found) or model


def _load_gguf(path: Path, base: BaseModel, place: Place) -> Any:
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    trained_with = AutoConfig.from_pretrained(base.folder)
    scaled = trained_with.to_dict().get("rope_parameters")
    # the file holds the stretched angles as a tensor, which transformers does not read
    if scaled and scaled.get("rope_type", "default") != "default":
        config.rope_parameters = scaled
    model, found = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, config=config, dtype=place.dtype, output_loading_info=True)
    return _whole(model, found, path.name) or model


def _load_adapter(base: BaseModel, adapter: Path, place: Place, config: PeftConfig) -> Any:
    if not (adapter / ADAPTER_WEIGHTS).is_file():
        return fault(ADAPTER, f"lacks its weights ({ADAPTER_WEIGHTS}).")
    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=place.dtype, use_safetensors=True)
    model = PeftModel.from_pretrained(model, str(adapter), config=config)
    with safe_open(adapter / ADAPTER_WEIGHTS, framework="pt") as file:
        there = set(file.keys())
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    if missing := sorted(wanted - there):
        return fault(ADAPTER, f"lacks weights: {missing[0]} and {len(missing) - 1} more.")
    if more := sorted(key for key in there - wanted if "lora_" in key):
        return fault(ADAPTER, f"has weights that its config does not name: {more[0]} and {len(more) - 1} more.")
    return model


def _whole(model: Any, found: dict[str, Any], form: str = MERGED) -> Fault | None:
    wrong = sorted(str(key) for kind in ("missing_keys", "unexpected_keys", "mismatched_keys") for key in found[kind])
    return fault(form, f"is not whole: {wrong[0]} and {len(wrong) - 1} more weights do not fit.") if wrong else None


def _on(model: Any, form: str, place: Place) -> Any:
    """The model on its device, ready to answer, or the fault that its weights hold no numbers."""
    broken = [name for name, values in model.named_parameters() if not torch.isfinite(values).all()]
    if broken:
        return fault(form, f"holds values that are no numbers, in {broken[0]}.")
    return model.to(place.device).eval()


def _size(shape: list[int]) -> int:
    return torch.Size(shape).numel()


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]

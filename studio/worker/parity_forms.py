"""The trained model and its exported forms, each loaded from its own files by plain transformers and PEFT.

Unsloth stays out: whoever downloads the model has none either. Nothing but safetensors and GGUF is opened.
"""

import errno
import gc
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES
from transformers.utils import logging

from studio import words
from studio.errors import ModelError
from studio.preset.schema import Preset
from studio.publishing.parity import ADAPTER, MERGED, name
from studio.runs.device import Device, free_memory_bytes
from studio.worker.base_model import BaseModel
from studio.worker.parity_faults import Expected, Fault, Shipped, fault
from studio.worker.parity_gguf import GgufFile, Render, head_width
from studio.worker.parity_heads import ADAPTER_WEIGHTS, find_head_fault
from studio.worker.stored_weights import count_weights, is_packed

logging.disable_progress_bar()
TRAIN_AGAIN = "Train again, or put the adapter's files back."
# not of the answers: who wrote the file, and tokens that are compared by themselves
OTHER_SETTINGS = frozenset({"transformers_version", "_from_model_config", "eos_token_id", "bos_token_id",
                            "pad_token_id"})
# what reading files that are torn, missing or of another model raises
BROKEN = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError, NotImplementedError,
          SafetensorError, MemoryError)
# what torch says in a plain RuntimeError when memory or the GPU fails
MEMORY = re.compile(r"allocate memory|out of memory|not enough memory", re.IGNORECASE)
MACHINE = re.compile(r"CUDA|cuBLAS|cuDNN|os error", re.IGNORECASE)
HEADROOM, SPARE_BYTES = 1.25, 10**9


@dataclass(frozen=True)
class Place:
    """Where all models are asked, and in which number format: the same for each, so that only the exports differ."""

    device: str
    dtype: torch.dtype

    @property
    def words(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} on {'the GPU' if self.device == 'cuda' else 'the CPU'}"

    @property
    def loading(self) -> dict[str, Any]:
        """Arguments of `from_pretrained`: straight onto the GPU, so that the machine's memory need not hold it too."""
        return {"dtype": self.dtype} | ({"device_map": {"": 0}} if self.device == "cuda" else {})


@dataclass(frozen=True)
class Opened:
    """A form's files, read but for the weights. `kind` is how those are stored; `reason` says why they cannot be read
    here, "" where they can."""

    shipped: Shipped
    kind: str
    quantised: bool = False
    reason: str = ""


def find_places(folder: Path, device: Device) -> list[Place]:
    """Where there is room for the model, best first: the GPU before the CPU, float32 before 16 bit; none where it fits
    nowhere."""
    weights = count_weights(folder)
    # float16 ends at 65,504, which some models exceed: then the next one is asked
    short = [torch.bfloat16] if device.capability >= 8 else [torch.float16, torch.bfloat16]
    rooms = [("cuda", torch.cuda.mem_get_info()[0], [torch.float32, *short])] if device.is_gpu else []
    rooms.append(("cpu", free_memory_bytes(), [torch.float32, torch.bfloat16]))
    return [Place(name, dtype) for name, free, dtypes in rooms for dtype in dtypes
            if weights * dtype.itemsize * HEADROOM + SPARE_BYTES <= free]


def no_place(folder: Path) -> str:
    """Why no model can be asked here, as part of a sentence."""
    needed = count_weights(folder) * 2 * HEADROOM + SPARE_BYTES
    return (f"they could not be asked here, which needs {words.size(round(needed))} of memory, and "
            f"{words.size(free_memory_bytes())} are free.")


def no_room_to_unpack(folder: Path, place: Place) -> str:
    """Why a GGUF file of the model cannot be asked here, "" where it can: transformers unpacks it to float32 on the
    CPU, wherever it is asked."""
    beside = place.dtype.itemsize if place.device == "cpu" and place.dtype != torch.float32 else 0
    needed, free = count_weights(folder) * (4 + beside) + SPARE_BYTES, free_memory_bytes()
    if needed <= free:
        return ""
    return f"unpacking them needs {words.size(needed)} of memory, and {words.size(free)} are free."


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
        _raise_trouble(error, path)
        return fault(form, f"cannot be read: {_reason(error)}.")


def check_heads(run_dir: Path, form: str, base: BaseModel) -> Fault | None:
    """What is wrong with a form's weights as far as it shows without loading them."""
    path = run_dir / form
    try:
        return find_head_fault(form, path, base.folder)
    except (*BROKEN, ModelError) as error:
        _raise_trouble(error, path)
        return fault(form, f"cannot be loaded: {_reason(error)}.")


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
    except BROKEN as error:
        _raise_trouble(error, path)
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
    except BROKEN as error:
        _raise_trouble(error, run_dir / MERGED if preset.method.full_finetuning else adapter)
        raise ModelError(f"The trained model cannot be loaded, so nothing can be compared with it: {_reason(error)}.",
                         TRAIN_AGAIN) from error
    if isinstance(model, Fault):
        raise ModelError(model.sentence, TRAIN_AGAIN)
    return model


def free() -> None:
    """Give back the memory of a model that nobody holds any more."""
    gc.collect()
    torch.cuda.empty_cache()  # does nothing where no GPU was used


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
        folder, **place.loading, use_safetensors=True, output_loading_info=True)
    return _whole(model, found) or model


def _load_gguf(path: Path, base: BaseModel, place: Place) -> Any:
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    trained_with = AutoConfig.from_pretrained(base.folder)
    scaled = trained_with.to_dict().get("rope_parameters")
    # the file holds the stretched angles as a tensor, which transformers does not read
    if scaled and scaled.get("rope_type", "default") != "default":
        config.rope_parameters = scaled
    # nor does it read of every family how wide a head is
    if width := head_width(path):
        config.head_dim = width
    model, found = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, config=config, dtype=place.dtype, output_loading_info=True)
    return _whole(model, found, path.name) or model


def _load_adapter(base: BaseModel, adapter: Path, place: Place, config: PeftConfig) -> Any:
    if not (adapter / ADAPTER_WEIGHTS).is_file():
        return fault(ADAPTER, f"lacks its weights ({ADAPTER_WEIGHTS}).")
    model = AutoModelForCausalLM.from_pretrained(base.folder, **place.loading, use_safetensors=True)
    if is_packed(base.folder):  # the merge unpacks it too
        model = model.dequantize().to(place.dtype)
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


def _raise_trouble(error: Exception, path: Path) -> None:
    """Raise `ModelError` where the machine failed, not the files: that says nothing of an export."""
    said = str(error) if isinstance(error, RuntimeError | SafetensorError) else ""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or MEMORY.search(said):
        raise ModelError("The memory ran out while the exports were compared.",
                         "Close what else uses memory, then check again.") from error
    # transformers reports a missing file as an OSError without a number
    failed = isinstance(error, OSError) and error.errno not in (None, errno.ENOENT)
    if failed or MACHINE.search(said) or not path.exists():
        raise ModelError(f"{name(path.name)} could not be read just now: {_reason(error)}.",
                         "Look whether the disk and the GPU are well, then check again.") from error


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]

"""What can be told of weights without memory for a model: names, shapes, lengths, from the heads of their files."""

import json
from pathlib import Path

import torch
from safetensors import safe_open
from transformers import AutoConfig

from studio.publishing.exports import tensor_shapes
from studio.publishing.parity import ADAPTER
from studio.worker.merge_by_shard import read_deltas
from studio.worker.parity_faults import Fault, fault
from studio.worker.stored_weights import is_packed

ADAPTER_WEIGHTS = "adapter_model.safetensors"
# models with tied embeddings are stored with and without it
TIED = "lm_head.weight"


def find_head_fault(form: str, path: Path, base: Path) -> Fault | None:
    """What is wrong with a form's weights by their heads. A GGUF file's were read when it was opened.

    Raises what reading files that are torn or missing does.
    """
    if path.is_file():
        return None
    wanted = {} if is_packed(base) else tensor_shapes(base)
    return _adapter_fault(path, wanted) if form == ADAPTER else _whole_fault(form, path, wanted)


def _whole_fault(form: str, folder: Path, wanted: dict[str, list[int]]) -> Fault | None:
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt"):  # refuses a file that is shorter than its head says
            pass
    there = tensor_shapes(folder)
    index = folder / "model.safetensors.index.json"
    listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"] if index.is_file() else {}
    tied = AutoConfig.from_pretrained(folder).get_text_config().tie_word_embeddings
    missing = sorted((set(wanted) | set(listed)) - set(there) - ({TIED} if tied else set()))
    if missing or not there:
        first = missing[0] if missing else "the first tensor"
        return fault(form, f"is not whole: {first} and {max(0, len(missing) - 1)} more weights do not fit.")
    other = [name for name, shape in wanted.items() if name in there and there[name] != shape]
    if other:
        return fault(form, f"is not whole: {other[0]} has the shape {there[other[0]]}, and {wanted[other[0]]} in the "
                           "base model.")
    return None


def _adapter_fault(folder: Path, wanted: dict[str, list[int]]) -> Fault | None:
    if not (folder / ADAPTER_WEIGHTS).is_file():
        return fault(ADAPTER, f"lacks its weights ({ADAPTER_WEIGHTS}).")
    for name, delta in read_deltas(folder).items():
        if wanted and list(delta.shape) != wanted.get(name):
            return fault(ADAPTER, f"changes {name}, which the base model has not got in that shape.")
        parts = [delta.whole] if delta.whole is not None else [delta.rows, delta.columns]
        if not all(torch.isfinite(part).all() for part in parts):
            return fault(ADAPTER, f"holds values that are no numbers, in {name}.")
    return None

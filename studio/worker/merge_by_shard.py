"""Join adapter and base model file by file, for a model that does not fit into memory twice.

W + scaling * B A, tensor by tensor and some rows at a time, as PEFT merges LoRA (peft/tuners/lora/layer.py); the result
is that of Unsloth's merge on a CPU.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig

from studio.errors import ModelError

# values in 32 bits at once: 256 MB
PIECE_VALUES = 2**26
PREFIX = "base_model.model."


@dataclass(frozen=True)
class Delta:
    """What is added to a weight, as two matrices: rows of the weight by rank, rank by columns. Without them `whole`
    takes the weight's place."""

    rows: torch.Tensor | None = None
    columns: torch.Tensor | None = None
    scaling: float = 1.0
    whole: torch.Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the weight it is for."""
        return tuple(self.whole.shape) if self.whole is not None else (len(self.rows), self.columns.shape[1])

    def applied(self, weight: torch.Tensor, rows: slice) -> torch.Tensor:
        """The weight's `rows`, merged, in bfloat16."""
        if self.whole is not None:
            return self.whole[rows].to(torch.bfloat16)
        return (weight.float() + self.rows[rows] @ self.columns * self.scaling).to(torch.bfloat16)


def merge(base: Path, adapter: Path, target: Path, shard_bytes: int, tell: Callable[[int, int], None]) -> int:
    """Write config and weights of the merged model to `target` in bfloat16; returns the number of weights.

    `tell` gets the bytes that are written and those there will be. Memory: the adapter, and one piece of a tensor.
    Raises `ModelError` for an adapter that does not fit the base model's tensors, a base stored in other than plain
    numbers, and for weights that are no numbers.
    """
    deltas = read_deltas(adapter)
    places = _places(base)
    if lost := sorted(set(deltas) - set(places)):
        raise ModelError(f"The adapter changes {lost[0]}, which the base model's files do not name so.",
                         "Merge on a machine with more memory.")
    for name, delta in deltas.items():
        if delta.shape != places[name].shape:
            raise ModelError(f"The adapter holds {name} as {_size(delta.shape)}, and the base model as "
                             f"{_size(places[name].shape)}.", "Take the base model that the adapter was trained on.")
    shards = _shards(places, shard_bytes)
    total = sum(tensor.size_bytes for shard in shards for tensor in shard)
    done = 0
    for number, shard in enumerate(shards, 1):
        with open(target / _shard_name(number, len(shards)), "wb") as file:
            file.write(_head(shard))
            for tensor in shard:
                for piece in _merged_pieces(tensor, deltas.get(tensor.name)):
                    if not torch.isfinite(piece).all():
                        raise ModelError(f"The merged model holds values that are no numbers, in {tensor.name}.",
                                         "Train again with a lower training.learning_rate.", "training.learning_rate")
                    file.write(piece.contiguous().view(torch.uint8).numpy().tobytes())
                    done += piece.nbytes
                    tell(done, total)
    if len(shards) > 1:
        names = {tensor.name: _shard_name(number, len(shards))
                 for number, shard in enumerate(shards, 1) for tensor in shard}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(names.items()))}
        (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    _write_config(base, target)
    return total // 2


def read_deltas(adapter: Path) -> dict[str, Delta]:
    """{name of the base model's tensor: what an adapter does to it}. Raises `ModelError` for more than LoRA."""
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    with safe_open(adapter / "adapter_model.safetensors", "pt") as file:
        tensors = {name.removeprefix(PREFIX): file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    deltas: dict[str, Delta] = {}
    for name in sorted(tensors):
        match name.rsplit(".lora_", 1):
            case [module, "A.weight"]:
                first, second = tensors[name], tensors[f"{module}.lora_B.weight"]
                transposed = config["fan_in_fan_out"]
            case [module, "embedding_A"]:
                first, second = tensors[name], tensors[f"{module}.lora_embedding_B"]
                transposed = True
            case [_, "B.weight" | "embedding_B"]:
                continue
            case [whole]:  # of modules_to_save
                deltas[whole] = Delta(whole=tensors[name])
                continue
            case _:
                raise ModelError(f"The adapter holds {name}, which is more than LoRA.",
                                 "Merge on a machine with more memory.")
        scaling = config["lora_alpha"] / (math.sqrt(len(first)) if config["use_rslora"] else len(first))
        rows, columns = (first.T, second.T) if transposed else (second, first)
        deltas[f"{module}.weight"] = Delta(rows, columns, scaling)
    return deltas


@dataclass(frozen=True)
class _Tensor:
    """A tensor of the base model: which file it lies in, and its shape."""

    name: str
    file: Path
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """As it is written, in bfloat16."""
        return 2 * math.prod(self.shape)


def _places(base: Path) -> dict[str, _Tensor]:
    """All tensors of the base model by name."""
    index = base / "model.safetensors.index.json"
    names = sorted(set(json.loads(index.read_text())["weight_map"].values())) if index.is_file() \
        else ["model.safetensors"]
    found: dict[str, _Tensor] = {}
    for file in (base / name for name in names):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                part = tensors.get_slice(name)
                if part.get_dtype() not in ("BF16", "F16", "F32"):
                    raise ModelError(f"The base model's {name} is stored as {part.get_dtype()}, not in plain numbers.",
                                     "Train on the unquantised model, or merge on a machine with more memory.")
                found[name] = _Tensor(name, file, tuple(part.get_shape()))
    return found


def _shards(places: dict[str, _Tensor], shard_bytes: int) -> list[list[_Tensor]]:
    """The tensors in files of at most `shard_bytes`, in the base model's order."""
    shards: list[list[_Tensor]] = [[]]
    size = 0
    for tensor in places.values():
        if shards[-1] and size + tensor.size_bytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor.size_bytes
    return shards


def _merged_pieces(tensor: _Tensor, delta: Delta | None) -> Iterator[torch.Tensor]:
    """The tensor's rows, merged where an adapter changes them, a piece at a time."""
    with safe_open(tensor.file, "pt") as file:
        part = file.get_slice(tensor.name)
        length = tensor.shape[0] if tensor.shape else 1
        step = max(1, PIECE_VALUES * length // max(1, math.prod(tensor.shape)))
        for start in range(0, length, step):
            rows = slice(start, min(length, start + step))
            weight = (part[rows] if tensor.shape else file.get_tensor(tensor.name)).to(torch.bfloat16)
            yield delta.applied(weight, rows) if delta else weight


def _head(shard: list[_Tensor]) -> bytes:
    """The head of a safetensors file: its length, and where each tensor lies behind it."""
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in shard:
        head[tensor.name] = {"dtype": "BF16", "shape": list(tensor.shape),
                             "data_offsets": [offset, offset + tensor.size_bytes]}
        offset += tensor.size_bytes
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{length:,}" for length in shape)


def _shard_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"


def _write_config(base: Path, target: Path) -> None:
    """The base model's config, which now says bfloat16."""
    config = AutoConfig.from_pretrained(base, trust_remote_code=False)
    config.dtype = torch.bfloat16
    config.save_pretrained(target)

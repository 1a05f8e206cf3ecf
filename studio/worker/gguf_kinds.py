"""Which tensor of a GGUF file is stored how, for each k-quant: the choice llama.cpp's own quantizer makes.

Source: `llama_tensor_get_type` in llama.cpp, src/llama-quant.cpp, without an importance matrix.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gguf import GGML_QUANT_SIZES, LlamaFileType
from gguf import GGMLQuantizationType as Q

# kind: how most tensors are stored, and the file's own type
K_QUANTS = {
    "q4_k_m": (Q.Q4_K, LlamaFileType.MOSTLY_Q4_K_M), "q5_k_m": (Q.Q5_K, LlamaFileType.MOSTLY_Q5_K_M),
    "q6_k": (Q.Q6_K, LlamaFileType.MOSTLY_Q6_K)}
# for rows that are no multiple of 256 long
NARROW = {Q.Q4_K: Q.Q5_0, Q.Q5_K: Q.Q5_1, Q.Q6_K: Q.Q8_0}
FULL = frozenset({Q.F32, Q.F16, Q.BF16})


@dataclass(frozen=True)
class Tensor:
    """A tensor of a 16-bit GGUF file; `width` is the length of its rows."""

    name: str
    stored: Q
    width: int


@dataclass(frozen=True)
class Model:
    """What the choice hangs on besides the tensor: architecture, layers, attention heads (of queries and of keys),
    experts."""

    architecture: str
    layers: int
    heads: int
    key_heads: int
    experts: int = 0

    @property
    def is_llama_70b(self) -> bool:
        return self.architecture == "llama" and self.layers == 80 and self.heads != self.key_heads


def choose_types(kind: str, tensors: list[Tensor], model: Model) -> dict[str, Q]:
    """{name: type} for a k-quant of a file in which what must stay exact is stored in 32 bits already."""
    names = {tensor.name for tensor in tensors}
    values = sorted((name for name in names if "attn_v.weight" in name or "attn_qkv.weight" in name), key=_layer)
    ranks = {name: rank for rank, name in enumerate(values)}
    return {tensor.name: _fitting(_wanted(kind, tensor, model, ranks, "output.weight" in names), tensor)
            for tensor in tensors}


def _wanted(kind: str, tensor: Tensor, model: Model, ranks: Mapping[str, int], has_output: bool) -> Q:
    """The type llama.cpp wants for a tensor, whether or not its rows allow it."""
    name, (most, _) = tensor.name, K_QUANTS[kind]
    mixed = kind in ("q4_k_m", "q5_k_m")
    falcon, eight_experts = model.architecture == "falcon", model.experts == 8
    if tensor.stored is Q.F32:
        return Q.F32
    if name == "output.weight" or (name == "token_embd.weight" and not has_output):
        return Q.Q8_0 if falcon or tensor.width % 256 else Q.Q6_K
    if "attn_v.weight" in name:
        if eight_experts:
            return Q.Q8_0
        if mixed and _gets_more_bits(ranks[name], len(ranks)):
            return Q.Q6_K
        return Q.Q5_K if most is Q.Q4_K and model.is_llama_70b else most
    if "attn_k.weight" in name and eight_experts:
        return Q.Q8_0
    if "ffn_down" in name and mixed:
        more = _gets_more_bits(_layer(name), model.layers)
        if falcon and kind == "q4_k_m":
            return Q.Q6_K if _layer(name) < model.layers // 16 else Q.Q5_K if more else most
        return Q.Q6_K if more else most
    if "attn_output.weight" in name and eight_experts and kind == "q4_k_m" and not falcon:
        return Q.Q5_K
    if "attn_qkv.weight" in name and mixed:
        return Q.Q5_K if kind == "q4_k_m" else Q.Q6_K
    return most


def _fitting(wanted: Q, tensor: Tensor) -> Q:
    """The type for rows that do not divide into blocks of the wanted one."""
    if tensor.width % GGML_QUANT_SIZES[wanted][0] == 0:
        return wanted
    narrow = NARROW.get(wanted, wanted)
    return narrow if tensor.width % GGML_QUANT_SIZES[narrow][0] == 0 else Q.F16


def _gets_more_bits(layer: int, layers: int) -> bool:
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def _layer(name: str) -> int:
    """The number in "blk.7.attn_v.weight"."""
    return int(name.split(".")[1])

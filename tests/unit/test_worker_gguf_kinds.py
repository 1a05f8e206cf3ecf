"""Which tensor is stored how in a k-quant, against what llama.cpp's own quantizer wrote."""

from collections import Counter

import pytest
from gguf import GGMLQuantizationType as Q

from studio.worker.gguf_kinds import Model, Tensor, choose_types

MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")


def tensors(layers, width, inner, output=False):
    """A Llama's tensors in 16 bits, norms in 32."""
    found = [Tensor("token_embd.weight", Q.BF16, width), Tensor("output_norm.weight", Q.F32, width)]
    for layer in range(layers):
        found += [Tensor(f"blk.{layer}.{name}.weight", Q.BF16, inner if name == "ffn_down" else width)
                  for name in MATRICES]
        found += [Tensor(f"blk.{layer}.{name}.weight", Q.F32, width) for name in ("attn_norm", "ffn_norm")]
    return [*found, Tensor("output.weight", Q.BF16, width)] if output else found


@pytest.mark.parametrize(("kind", "counts"), [
    ("q4_k_m", {"Q5_0": 166, "F32": 61, "Q4_K": 16, "Q8_0": 15, "Q6_K": 14}),
    ("q5_k_m", {"Q5_1": 166, "F32": 61, "Q5_K": 16, "Q8_0": 15, "Q6_K": 14}),
    ("q6_k", {"Q8_0": 181, "F32": 61, "Q6_K": 30}),
])
def test_smollm_is_stored_as_llama_cpp_stores_it(kind, counts):
    """Counted in files of llama.cpp's quantizer; rows of 576 are no multiple of 256."""
    chosen = choose_types(kind, tensors(30, 576, 1536), Model("llama", 30, 9, 3))
    assert Counter(type.name for type in chosen.values()) == counts


def test_the_first_and_last_layers_and_each_third_between_get_more_bits():
    chosen = choose_types("q4_k_m", tensors(32, 4096, 14336, output=True), Model("llama", 32, 32, 8))
    more = [layer for layer in range(32) if chosen[f"blk.{layer}.ffn_down.weight"] is Q.Q6_K]
    assert more == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    assert more == [layer for layer in range(32) if chosen[f"blk.{layer}.attn_v.weight"] is Q.Q6_K]
    assert chosen["output.weight"] is Q.Q6_K
    assert chosen["token_embd.weight"] is Q.Q4_K, "not shared with the output"
    assert {chosen[f"blk.7.{name}.weight"] for name in MATRICES} == {Q.Q4_K}


def test_models_with_rules_of_their_own():
    wide = tensors(80, 8192, 28672, output=True)
    assert choose_types("q4_k_m", wide, Model("llama", 80, 64, 8))["blk.11.attn_v.weight"] is Q.Q5_K
    experts = choose_types("q4_k_m", tensors(32, 4096, 14336), Model("llama", 32, 32, 8, experts=8))
    assert [experts[f"blk.7.{name}.weight"] for name in MATRICES[:4]] == [Q.Q4_K, Q.Q8_0, Q.Q8_0, Q.Q5_K]
    fused = [Tensor("blk.0.attn_qkv.weight", Q.F16, 2048), Tensor("output.weight", Q.F16, 2048)]
    falcon = Model("falcon", 1, 8, 8)
    assert choose_types("q4_k_m", fused, falcon) == {"blk.0.attn_qkv.weight": Q.Q5_K, "output.weight": Q.Q8_0}
    assert choose_types("q5_k_m", fused[:1], falcon) == {"blk.0.attn_qkv.weight": Q.Q6_K}


def test_rows_that_fit_no_block_stay_in_16_bits():
    assert choose_types("q4_k_m", [Tensor("blk.0.attn_q.weight", Q.BF16, 100)], Model("llama", 1, 1, 1)) == {
        "blk.0.attn_q.weight": Q.F16}

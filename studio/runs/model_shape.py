"""The numbers of a model's architecture that memory and time depend on, read from its config.json without weights."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import ModelError, UnknownShapeError

FIELD = "model.model_name_or_path"


def read_config(path: Path, model: str) -> dict[str, Any]:
    """A JSON file that comes with the model `model`, as config.json. Raises `ModelError` where it cannot be read."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise ModelError(f"{path.name} of {model} cannot be read.", "Download or copy it again.", FIELD)
    return config


@dataclass(frozen=True)
class ModelShape:
    """A dense decoder: sizes in units, layers and heads as counts."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    vocab_size: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool
    max_position_embeddings: int

    @property
    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """(inputs, outputs) of each linear layer of one block, by the name PEFT targets."""
        queries, keys = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        h, m = self.hidden_size, self.intermediate_size
        return {"q_proj": (h, queries), "k_proj": (h, keys), "v_proj": (h, keys), "o_proj": (queries, h),
                "gate_proj": (h, m), "up_proj": (h, m), "down_proj": (m, h)}

    @property
    def linear_parameters(self) -> int:
        """Weights in the linear layers of all blocks: what 4-bit loading shrinks and LoRA adapts."""
        return self.num_hidden_layers * sum(a * b for a, b in self.linear_shapes.values())

    @property
    def embedding_parameters(self) -> int:
        """Weights of embedding and output head; shared ones are counted once."""
        return self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.linear_parameters + self.embedding_parameters + (2 * self.num_hidden_layers + 1) * self.hidden_size

    def lora_parameters(self, r: int, target_modules: list[str]) -> int:
        """Weights of a LoRA adapter of rank `r`; modules the architecture does not name count nothing."""
        targets = [shape for name, shape in self.linear_shapes.items() if name in target_modules]
        return self.num_hidden_layers * sum(r * (a + b) for a, b in targets)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ModelShape":
        """Read transformers' config.json (its text part for a multimodal model).

        Raises `UnknownShapeError` where it is not a dense decoder of the usual kind.
        """
        text = config.get("text_config", config)
        try:
            heads, hidden = int(text["num_attention_heads"]), int(text["hidden_size"])
            return cls(
                hidden_size=hidden, intermediate_size=int(text["intermediate_size"]),
                num_hidden_layers=int(text["num_hidden_layers"]), vocab_size=int(text["vocab_size"]),
                num_attention_heads=heads, num_key_value_heads=int(text.get("num_key_value_heads") or heads),
                head_dim=int(text.get("head_dim") or hidden // heads),
                tie_word_embeddings=text.get("tie_word_embeddings", True),
                max_position_embeddings=int(text.get("max_position_embeddings") or 0))
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            kind = config.get("model_type", "unknown")
            raise UnknownShapeError(f'The size of a "{kind}" model cannot be worked out from its config.json.',
                             "The run can still start; watch its memory.", FIELD) from None


# Published shapes of the models in our presets, for machines that cannot ask the Hub.
KNOWN_CONFIGS: dict[str, dict[str, Any]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": dict(
        model_type="llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=30, vocab_size=49152,
        num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True, max_position_embeddings=8192),
    "Qwen/Qwen2.5-1.5B-Instruct": dict(
        model_type="qwen2", hidden_size=1536, intermediate_size=8960, num_hidden_layers=28, vocab_size=151936,
        num_attention_heads=12, num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=32768),
    "Qwen/Qwen2.5-3B-Instruct": dict(
        model_type="qwen2", hidden_size=2048, intermediate_size=11008, num_hidden_layers=36, vocab_size=151936,
        num_attention_heads=16, num_key_value_heads=2, tie_word_embeddings=True, max_position_embeddings=32768),
    "Qwen/Qwen3-1.7B-Base": dict(
        model_type="qwen3", hidden_size=2048, intermediate_size=6144, num_hidden_layers=28, vocab_size=151936,
        num_attention_heads=16, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        max_position_embeddings=32768),
    "Qwen/Qwen3-4B-Instruct-2507": dict(
        model_type="qwen3", hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, vocab_size=151936,
        num_attention_heads=32, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        max_position_embeddings=262144),
    "Qwen/Qwen3-4B-Base": dict(
        model_type="qwen3", hidden_size=2560, intermediate_size=9728, num_hidden_layers=36, vocab_size=151936,
        num_attention_heads=32, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
        max_position_embeddings=32768),
}

"""Fine-Tune Studio: a no-code studio for fine-tuning open language models.

The folders follow the life of a run: `preset`, `data`, `runs`, `worker`, `evaluation`, `publishing`, `ui`.
Nothing outside `worker` imports torch, transformers, trl or unsloth.
"""

__version__ = "0.1.0"

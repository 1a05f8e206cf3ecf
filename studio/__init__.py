"""Fine-Tune Studio: a no-code studio for fine-tuning open language models.

The folders follow the life of a run: `preset`, `data`, `runs`, `worker`, `evaluation`, `publishing`; over them lie the
page in `ui` and the command line in `commands` and `terminal`.
Nothing outside `worker` imports torch, transformers, trl or unsloth.
"""

__version__ = "0.1.0"

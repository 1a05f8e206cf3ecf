"""generation_config.json beside trained weights: the base model's own file, which stops where the training's turns end.

It is copied, not loaded and saved: transformers refuses to save files with sampling values and no `do_sample`, which
many models come with.
"""

import json
import os
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

FILE = "generation_config.json"


def write_generation_settings(base: Path, folder: Path, taught_end: int | None) -> None:
    """Give `folder`, which holds the training's tokenizer, the generation settings of the base model.

    A chat template may end turns with a token of which the base's settings know nothing: one that the preset gave to
    a base model, or the base's own, where its tokenizer ends texts with another token. transformers and vLLM would
    talk on after each answer. So the tokenizer's end and `taught_end`, the token with which the trained rows end their
    answers (None where they teach none), are added to those that end one.
    """
    path, own = folder / FILE, base / FILE
    content = own.read_bytes() if own.is_file() else b""
    settings = json.loads(content) if content else GenerationConfig.from_model_config(
        AutoConfig.from_pretrained(base)).to_diff_dict()
    known = settings.get("eos_token_id")  # None in models that never stop by themselves
    ends = known if isinstance(known, list) else [known] if known is not None else []
    missing = [end for end in dict.fromkeys([AutoTokenizer.from_pretrained(folder).eos_token_id, taught_end])
               if end is not None and end not in ends]
    if missing:
        content = f"{json.dumps(settings | {'eos_token_id': [*ends, *missing]}, indent=2)}\n".encode()
    if content:
        partial = path.with_name(f".{FILE}.partial")
        partial.write_bytes(content)
        os.replace(partial, path)


def end_answers(model: Any, folder: Path) -> None:
    """Have a model end its answers as the settings in `folder` say, where there are any; the rest stays the base's."""
    if (folder / FILE).is_file():
        model.generation_config.eos_token_id = GenerationConfig.from_pretrained(folder).eos_token_id

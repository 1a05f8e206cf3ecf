"""generation_config.json beside trained weights: the base model's own file, which stops where the training's turns end.

It is copied, not loaded and saved: transformers refuses to save files with sampling values and no `do_sample`, which
many models come with.
"""

import json
import shutil
from pathlib import Path

from transformers import AutoConfig, AutoTokenizer, GenerationConfig

FILE = "generation_config.json"


def write_generation_settings(base: Path, folder: Path) -> None:
    """Give `folder`, which holds the training's tokenizer, the generation settings of the base model.

    A template that the preset gave to a base model ends turns with a token of which the base's settings know nothing:
    transformers and vLLM would talk on after each answer. Then that token is added to those that end one.
    """
    path = folder / FILE
    if (base / FILE).is_file():
        shutil.copyfile(base / FILE, path)
    written = GenerationConfig.from_model_config(AutoConfig.from_pretrained(base)).to_diff_dict()
    settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else written
    known = settings.get("eos_token_id")  # None in models that never stop by themselves
    ends = known if isinstance(known, list) else [known] if known is not None else []
    end = AutoTokenizer.from_pretrained(folder).eos_token_id
    if end is not None and end not in ends:
        path.write_text(json.dumps(settings | {"eos_token_id": [*ends, end]}, indent=2) + "\n", encoding="utf-8")

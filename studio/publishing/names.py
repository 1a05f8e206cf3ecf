"""Whether a model or data set of a preset is one of the Hub's, or lies on this machine, and what others see of it."""

import re
from pathlib import Path

from studio.preset.flatten import PATHS, flatten
from studio.preset.schema import Preset

HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
MODELS = frozenset({"model.model_name_or_path", "evaluation.embedding_model"})


def hub_dataset(preset: Preset) -> str:
    """The data set's Hub id, "" for a file or the bundled rows."""
    return preset.data.dataset_name if _is_hub_dataset(preset.data.dataset_name) else ""


def is_local(model: str) -> bool:
    """Whether a base model is a file or folder of this machine."""
    is_file = model.lower().endswith(".gguf") or model.startswith((".", "~")) or Path(model).exists()
    return is_file or not HUB_ID.fullmatch(model)


def public_names(preset: Preset) -> dict[str, str]:
    """The fields that may name something of this machine as others may see them: files without their folders."""
    public = {}
    for field, value in flatten(preset).items():
        if field in PATHS:
            on_hub = not is_local(value) if field in MODELS else _is_hub_dataset(value)
            public[field] = value if on_hub else Path(value).name
    return public


def _is_hub_dataset(name: str) -> bool:
    return bool(HUB_ID.fullmatch(name)) and not Path(name).suffix and not Path(name).exists()

"""Whether a model or data set of a preset is one of the Hub's, or lies on this machine."""

import re
from pathlib import Path

from studio.preset.schema import Preset

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def hub_dataset(preset: Preset) -> str:
    """The data set's Hub id, "" for a file or the bundled rows."""
    name = preset.data.dataset_name
    known = HUB_ID.fullmatch(name) and not Path(name).suffix and not Path(name).exists()
    return name if known else ""


def is_local(model: str) -> bool:
    """Whether a base model is a file or folder of this machine."""
    is_file = model.lower().endswith(".gguf") or model.startswith((".", "~")) or Path(model).exists()
    return is_file or not HUB_ID.fullmatch(model)

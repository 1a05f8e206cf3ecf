"""Code that comes with a model is never run: no folder that the studio writes or converts names any.

transformers finds such code by `auto_map` in a JSON file. It leaves it aside unless told to trust it, and llama.cpp's
converter tells it so.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel, AutoTokenizer

from studio.errors import ModelError

KEY = "auto_map"


def forget(folder: Path) -> None:
    """Take the names of a model's own code out of the JSON files of a folder."""
    for path in folder.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if _names_code(content):
            path.write_text(json.dumps(_without(content), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def require_none(folder: Path) -> None:
    """Raise `ModelError` where a JSON file of a folder names code of the model's own."""
    for path in sorted(folder.glob("*.json")):
        if _names_code(json.loads(path.read_text(encoding="utf-8"))):
            raise ModelError(f"{folder.name}/{path.name} names code of the model's own (auto_map), which is never run.",
                             "Merge the model again; that leaves it out.")


@contextmanager
def refused() -> Iterator[None]:
    """Within the block transformers loads nothing with code of its own, whatever it is asked."""
    classes = (AutoTokenizer, AutoConfig, AutoModel)
    loaders = [each.from_pretrained for each in classes]
    for each, load in zip(classes, loaders, strict=True):
        each.from_pretrained = _refusing(load)
    try:
        yield
    finally:
        for each, load in zip(classes, loaders, strict=True):
            each.from_pretrained = load


def _refusing(load: Any) -> Any:
    return lambda *args, **kwargs: load(*args, **kwargs | {"trust_remote_code": False})


def _names_code(content: Any) -> bool:
    # in a vocabulary it would be a token with a number
    if isinstance(content, dict):
        return any(_is_code(key, value) or _names_code(value) for key, value in content.items())
    return isinstance(content, list) and any(map(_names_code, content))


def _without(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without(value) for key, value in content.items() if not _is_code(key, value)}
    return [_without(each) for each in content] if isinstance(content, list) else content


def _is_code(key: str, value: Any) -> bool:
    return key == KEY and not isinstance(value, int)

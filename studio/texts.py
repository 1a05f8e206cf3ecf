"""The words on the screen, from one YAML table per tab and language: `text("runs.stop")` reads `en/runs.yaml`."""

from functools import lru_cache
from pathlib import Path

import yaml

TABLES = Path(__file__).parent / "i18n"


def text(key: str, **values: object) -> str:
    """The text of a dotted key, with `{name}` places filled in. Raises `KeyError` naming a key that is missing."""
    file, _, name = key.partition(".")
    template = table(file)[name]
    return template.format(**values) if values else template


@lru_cache
def table(file: str, language: str = "en") -> dict[str, str]:
    """All texts of one tab as {dotted name: text}."""
    return _flat(yaml.safe_load((TABLES / language / f"{file}.yaml").read_text(encoding="utf-8")))


def _flat(nested: dict, prefix: str = "") -> dict[str, str]:
    flat = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat

"""Writes the presets that come with the studio anew after a change of the schema: `python -m studio.preset.renew`."""

from pathlib import Path

from studio.preset import files
from studio.settings import PROJECT_DIR


def renewed(path: Path) -> str:
    """The preset file as its own header and, with the schema's comments, all fields. Raises `PresetError`."""
    opening, _, _ = path.read_text(encoding="utf-8").partition("\n\n")
    return f"{opening}\n\n{files.dumps(files.load(path))}"


def main() -> None:
    """Rewrite each shipped preset in place; what it means stays as it is."""
    for path in sorted((PROJECT_DIR / "presets").glob("*.yaml")):
        path.write_text(renewed(path), encoding="utf-8")


if __name__ == "__main__":
    main()

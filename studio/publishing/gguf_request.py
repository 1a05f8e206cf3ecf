"""Which GGUF files were asked for: `gguf.json` in the run folder, written by the page or the command line."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from studio.preset.schema import Preset

FILE = "gguf.json"


@dataclass(frozen=True)
class GgufRequest:
    """The kinds to write, as the schema names them (`export.gguf`)."""

    kinds: list[str]


def write_request(run_dir: Path, request: GgufRequest) -> None:
    """Note what was asked for; replaces an earlier request."""
    partial = run_dir / f".{FILE}.{os.getpid()}"
    partial.write_text(json.dumps(asdict(request)) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / FILE)


def forget_request(run_dir: Path) -> None:
    """Make what the preset asks for again."""
    (run_dir / FILE).unlink(missing_ok=True)


def read_request(run_dir: Path, preset: Preset) -> GgufRequest:
    """What was asked for last, or what the preset asks for where nothing was."""
    try:
        return GgufRequest(**json.loads((run_dir / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return GgufRequest(list(preset.export.gguf))

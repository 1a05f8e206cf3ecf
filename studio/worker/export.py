"""Writes a preset's rows, cleaned, into a folder: JSON request on stdin, JSON answer on stdout, no torch.

    {"preset": "<YAML>", "to": "<folder>", "data_dir", "presets_dir"}  ->  {"train_rows", "heldout_rows"}
"""

import os
from pathlib import Path
from typing import Any

from studio.data.export import export
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.worker.preview import answer_request


def main() -> int:
    """Answer one request; 0 done, 3 the person can mend it."""
    return answer_request(write)


def write(preset: Preset, settings: Settings, request: dict[str, Any]) -> dict[str, Any]:
    """Export; how many rows there are to learn from and to judge by. Raises `StudioError`."""
    exported = export(preset, settings, Path(request["to"]), os.environ.get("HF_TOKEN"))
    return {"train_rows": exported.train_rows, "heldout_rows": exported.heldout_rows}

"""Checkpoints of a run: which one is whole and newest."""

import json
from pathlib import Path

WEIGHTS = ("adapter_model.safetensors", "model.safetensors", "model.safetensors.index.json")


def newest(folder: Path) -> Path | None:
    """The newest whole checkpoint in `folder`, or None; one cut off while it was written is passed over."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rsplit("-", 1)[1]), reverse=True)
    return next((path for path in found if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    """The trainer writes trainer_state.json last."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text())
    except (OSError, ValueError):
        return False
    has_weights = any((checkpoint / name).is_file() for name in WEIGHTS)
    has_state = all((checkpoint / name).is_file() for name in ("optimizer.pt", "scheduler.pt"))
    return has_weights and has_state and checkpoint.name == f"checkpoint-{state['global_step']}"

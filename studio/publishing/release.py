"""Which files of a run go to the Hub, and under which names."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from studio.errors import RunError
from studio.preset.schema import Preset

What = Literal["merged", "adapter", "both"]

# everything else in the folders (optimizer states, pickled arguments, caches) is of no use to a reader
MODEL_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken"})
CARD, CURVE = "README.md", "loss_curve.png"


@dataclass(frozen=True)
class ReleaseFile:
    """One file of a push: where it lies here, and its name in the repository."""

    path: Path
    path_in_repo: str
    size_bytes: int


def available(run_dir: Path) -> list[What]:
    """What a run can publish, the merged model first."""
    found: list[What] = []
    if (run_dir / "merged" / "config.json").is_file():
        found.append("merged")
    if (run_dir / "adapter" / "adapter_config.json").is_file():
        found.append("adapter")
    return [*found, "both"] if len(found) == 2 else found


def model_files(run_dir: Path, what: What) -> list[ReleaseFile]:
    """The model's files, smallest first; with both, the adapter is in the folder `adapter`.

    Raises `RunError` where the run has not got what is asked for.
    """
    if what not in available(run_dir):
        missing = "merged model" if what != "adapter" and "merged" not in available(run_dir) else "adapter"
        hint = "Merge it first, or publish the adapter." if missing == "merged model" else "Publish the merged model."
        raise RunError(f"The run has no {missing} to publish.", hint, "publish.what")
    files = [] if what == "adapter" else _in_folder(run_dir / "merged", "")
    if what != "merged":
        files += _in_folder(run_dir / "adapter", "adapter/" if what == "both" else "")
    return sorted(files, key=lambda file: (file.size_bytes, file.path_in_repo))


def planned_files(run_dir: Path, what: What, card_bytes: int, curve_bytes: int) -> list[ReleaseFile]:
    """What a push would send, in its order, before anything is staged. Sizes in bytes; 0 for a run without a curve."""
    card = ReleaseFile(run_dir / "card.md", CARD, card_bytes)
    curve = [ReleaseFile(run_dir / CURVE, CURVE, curve_bytes)] if curve_bytes else []
    return [card, *curve, *model_files(run_dir, what)]


def stage(run_dir: Path, what: What, preset: Preset, card: str) -> list[ReleaseFile]:
    """All files of a push, the model card among them; what differs from the run's own files is in `upload/`."""
    staged = run_dir / "upload"
    staged.mkdir(exist_ok=True)
    (staged / CARD).write_text(card, encoding="utf-8")
    files = [_file(staged / CARD, CARD)]
    if (run_dir / CURVE).is_file():
        files.append(_file(run_dir / CURVE, CURVE))
    for file in model_files(run_dir, what):
        if file.path.name == "adapter_config.json":
            file = _naming_base(file, staged, preset.model.model_name_or_path)
        files.append(file)
    return files


def _naming_base(file: ReleaseFile, staged: Path, base: str) -> ReleaseFile:
    """The adapter's config with the base model's public name: a path of this machine would load nowhere else."""
    config = json.loads(file.path.read_text(encoding="utf-8"))
    if not Path(config["base_model_name_or_path"]).is_absolute() or Path(base).is_absolute():
        return file
    config["base_model_name_or_path"] = base
    partial = staged / ".adapter_config.json"
    partial.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, staged / "adapter_config.json")
    return _file(staged / "adapter_config.json", file.path_in_repo)


def _in_folder(folder: Path, prefix: str) -> list[ReleaseFile]:
    return [_file(path, prefix + path.relative_to(folder).as_posix()) for path in folder.rglob("*")
            if path.is_file() and path.suffix in MODEL_SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _file(path: Path, path_in_repo: str) -> ReleaseFile:
    return ReleaseFile(path, path_in_repo, path.stat().st_size)

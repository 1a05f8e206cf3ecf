"""Which files of a run go to the Hub, and under which names."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from studio.errors import RunError
from studio.preset.schema import Form, Preset
from studio.publishing.exports import Export, is_own, list_exports
from studio.publishing.names import is_local
from studio.publishing.request import ORDER, Target

# everything else in the folders (optimizer states, pickled arguments, caches) is of no use to a reader
MODEL_SUFFIXES = frozenset({".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken"})
CARD, CURVE = "README.md", "loss_curve.png"
# what is missing, and how to come by it
MISSING: dict[Form, tuple[str, str]] = {
    "merged": ("no merged model", "Merge it first, or publish the adapter."),
    "adapter": ("no adapter", "Publish the merged model."),
    "gguf": ("no GGUF file", "Export one first: they are listed on the run's page."),
}


@dataclass(frozen=True)
class ReleaseFile:
    """One file of a push: where it lies here, and its name in the repository."""

    path: Path
    path_in_repo: str
    size_bytes: int


def available(run_dir: Path) -> list[Form]:
    """What a run can publish, the merged model first."""
    forms = {export.form for export in list_exports(run_dir)}
    return [form for form in ORDER if form in forms]


def model_files(run_dir: Path, forms: Iterable[Form]) -> list[ReleaseFile]:
    """The model's files, smallest first: the first form at the top, others in folders of their names.

    Raises `RunError` where the run has not got what is asked for, or only as it was before a later training.
    """
    exports = list_exports(run_dir)
    leading, *_ = forms = [form for form in ORDER if form in forms]
    files: list[ReleaseFile] = []
    for form in forms:
        found = [export for export in exports if export.form == form]
        if not found:
            what, hint = MISSING[form]
            raise RunError(f"The run has {what} to publish.", hint, "publish.what")
        if stale := [export.name for export in found if not export.fresh]:
            raise RunError(f"{stale[0]} was made before the model was trained again.", "Export it again.",
                           "publish.what")
        files += [file for export in found for file in _files(export, "" if form == leading else f"{form}/")]
    return sorted(files, key=lambda file: (file.size_bytes, file.path_in_repo))


def planned_files(run_dir: Path, target: Target, card_bytes: int, curve_bytes: int) -> list[ReleaseFile]:
    """What a push would send, in its order, before anything is staged. Sizes in bytes; 0 for a run without a curve."""
    card = ReleaseFile(run_dir / "card.md", CARD, card_bytes)
    curve = [ReleaseFile(run_dir / CURVE, CURVE, curve_bytes)] if curve_bytes else []
    return [card, *curve, *model_files(run_dir, target.forms)]


def stage(run_dir: Path, target: Target, preset: Preset, card: str) -> list[ReleaseFile]:
    """All files of one repository, the model card among them; what differs from the run's own is in `upload/NAME`."""
    staged = run_dir / "upload" / target.repo_id.split("/")[-1]
    staged.mkdir(parents=True, exist_ok=True)
    (staged / CARD).write_text(card, encoding="utf-8")
    files = [_file(staged / CARD, CARD)]
    if (run_dir / CURVE).is_file():
        files.append(_file(run_dir / CURVE, CURVE))
    for file in model_files(run_dir, target.forms):
        if file.path.name == "adapter_config.json":
            file = _naming_base(file, staged, preset.model.model_name_or_path)
        files.append(file)
    return files


def _naming_base(file: ReleaseFile, staged: Path, base: str) -> ReleaseFile:
    """The adapter's config with the base model's public name, and a folder's without the path to it: a path of this
    machine would load nowhere else."""
    config = json.loads(file.path.read_text(encoding="utf-8"))
    named = config["base_model_name_or_path"]
    if not is_local(named):
        return file
    config["base_model_name_or_path"] = Path(base).name if is_local(base) else base
    partial = staged / ".adapter_config.json"
    partial.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, staged / "adapter_config.json")
    return _file(staged / "adapter_config.json", file.path_in_repo)


def _files(export: Export, prefix: str) -> list[ReleaseFile]:
    if export.form == "gguf":
        return [_file(path, prefix + path.name) for path in export.files]
    return [_file(path, prefix + path.relative_to(export.path).as_posix()) for path in export.path.rglob("*")
            if path.suffix in MODEL_SUFFIXES and is_own(path, export.path.parent)
            and not any(part.startswith(".") for part in path.relative_to(export.path).parts)]


def _file(path: Path, path_in_repo: str) -> ReleaseFile:
    return ReleaseFile(path, path_in_repo, path.stat().st_size)

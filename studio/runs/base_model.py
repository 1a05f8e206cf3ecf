"""What can be known of a base model before it is loaded: its shape, whether it exists, whether one may have it."""

import os
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from studio import words
from studio.errors import ModelError
from studio.network import BAD_TOKEN, BAD_TOKEN_STATUS, hub_reachable
from studio.preset.schema import ModelSection
from studio.runs.model_shape import FIELD, KNOWN_CONFIGS, ModelShape, read_config
from studio.settings import Settings

HUB_TIMEOUT_S = 10
# those of models that exist have some thousands
MOST_CONFIG_BYTES = 1_000_000


def shape_of(section: ModelSection, settings: Settings, token: str | None) -> ModelShape:
    """The model's shape, from its folder, its GGUF header or the Hub (only config.json is fetched).

    Raises `ModelError`: unknown, gated, no config or a broken one, not a dense decoder, or the Hub cannot be reached.
    """
    name = section.model_name_or_path
    if name.lower().endswith(".gguf"):
        return ModelShape.from_config(_gguf_config(Path(name).expanduser()))
    folder = Path(name).expanduser()
    if folder.is_dir():
        return ModelShape.from_config(_folder_config(folder))
    cache_dir = None if "HF_HOME" in os.environ else settings.cache_dir / "hub"
    return ModelShape.from_config(hub_config(section, cache_dir, token))


def known_shape(section: ModelSection) -> ModelShape | None:
    """The shape as far as it is known without asking anybody: of a folder here or of a model in our presets."""
    folder = Path(section.model_name_or_path).expanduser()
    if folder.is_dir():
        return ModelShape.from_config(_folder_config(folder))
    config = KNOWN_CONFIGS.get(section.model_name_or_path)
    return ModelShape.from_config(config) if config else None


def hub_config(section: ModelSection, cache_dir: Path | None, token: str | Literal[False] | None) -> dict[str, Any]:
    """config.json of a model on the Hub, kept in `cache_dir` (None: where the Hub's client keeps files).

    Raises `ModelError`: unknown, gated, no config or one that is too large or broken, a wrong token, or a Hub that
    cannot be reached.
    """
    name, revision = section.model_name_or_path, section.model_revision
    try:
        path = hf_hub_download(
            name, "config.json", revision=revision, token=token, etag_timeout=HUB_TIMEOUT_S,
            cache_dir=cache_dir, local_files_only=not hub_reachable())
    except GatedRepoError:
        raise ModelError(f"The model {name} is gated.",
                         "Accept its terms on its Hub page, then sign in or set a token that may read it.",
                         FIELD) from None
    except RevisionNotFoundError:
        raise ModelError(f'{name} has no revision "{revision}".', "Use main, or a branch, tag or commit it has.",
                         "model.model_revision") from None
    except RepositoryNotFoundError:
        raise ModelError(f"There is no model {name} on the Hub, or your token may not see it.",
                         "Check the name; it reads owner/name.", FIELD) from None
    except LocalEntryNotFoundError:
        if name in KNOWN_CONFIGS:
            return KNOWN_CONFIGS[name]
        raise ModelError(f"The Hub cannot be reached, and {name} has not been downloaded before.",
                         "Check the network, or give a folder or .gguf file.", FIELD) from None
    except EntryNotFoundError:
        raise ModelError(f"{name} has no config.json, so transformers cannot load it.",
                         "Choose the repository with the safetensors.", FIELD) from None
    except HFValidationError:
        raise ModelError(f'"{name}" is neither a file or folder here nor a name on the Hub.',
                         "A Hub name reads owner/name.", FIELD) from None
    except HfHubHTTPError as error:
        if error.response.status_code == BAD_TOKEN_STATUS:
            raise ModelError(*BAD_TOKEN, FIELD) from None
        raise ModelError(f"The Hub answered {error.response.status_code} when asked for {name}.",
                         "Try again in a minute.", FIELD) from None
    require_config_size(name, Path(path).stat().st_size)
    return read_config(Path(path), name)


def require_config_size(name: str, size_bytes: int) -> None:
    """Raise `ModelError` for a config.json too large to be one."""
    if size_bytes > MOST_CONFIG_BYTES:
        raise ModelError(f"config.json of {name} has {words.size(size_bytes)}, which no model needs.",
                         "Choose another model.", FIELD)


def _folder_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelError(f"The folder {folder} holds no config.json, so it is no model.",
                         "Choose the model's own folder.", FIELD)
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"The folder {folder} holds no safetensors.",
                         "Convert its weights to safetensors; pickled weights are not loaded.", FIELD)
    return read_config(path, str(folder))


def _gguf_config(path: Path) -> dict[str, Any]:
    from gguf import GGUFReader  # numpy comes with it; only GGUF users pay for the import

    if not path.is_file():
        raise ModelError(f"There is no file {path}.", "Check the path of the .gguf file.", FIELD)
    try:
        reader = GGUFReader(path)
        kind = reader.fields["general.architecture"].contents()
        read = {name.removeprefix(f"{kind}."): field.contents()
                for name, field in reader.fields.items() if name.startswith(f"{kind}.")}
        tensors = {tensor.name for tensor in reader.tensors}
        return {
            "model_type": kind, "hidden_size": read["embedding_length"],
            "intermediate_size": read["feed_forward_length"],
            "num_hidden_layers": read["block_count"], "num_attention_heads": read["attention.head_count"],
            "num_key_value_heads": read["attention.head_count_kv"], "max_position_embeddings": read["context_length"],
            "vocab_size": len(reader.fields["tokenizer.ggml.tokens"].data),
            "tie_word_embeddings": "output.weight" not in tensors,
        }
    except (ValueError, KeyError, IndexError, OSError):
        raise ModelError(f"{path.name} is not a readable GGUF model.",
                         "Download it again; a language model's GGUF is needed.", FIELD) from None

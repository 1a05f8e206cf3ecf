"""A run's model as it is put to use: where each form lies, here or on the Hub, how it is asked, the memory it takes."""

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.errors import ModelError, RunError
from studio.preset.schema import Preset
from studio.publishing.deploy_texts import messages_literal
from studio.publishing.exports import list_exports, modelfile_of
from studio.publishing.pushed import Places, last_push, pushed_places
from studio.runs.base_model import known_shape
from studio.runs.estimates import GIB
from studio.runs.model_shape import ModelShape
from studio.runs.store import RunView

# a server's own memory besides weights and context: CUDA's part and buffers, or llama.cpp's
GPU_SERVER_BYTES, SMALL_SERVER_BYTES = 1.0 * GIB, 0.3 * GIB


@dataclass(frozen=True)
class Gguf:
    """A GGUF file: its kind (q4_k_m), where it is (a file, or owner/name:KIND on the Hub), its size, its Modelfile (on
    the Hub the path within the repository).

    `file_in_repo` is its path where it does not lie at the top of its repository.
    """

    kind: str
    place: str
    size_bytes: int
    modelfile: str = ""
    file_in_repo: str = ""


@dataclass(frozen=True)
class Model:
    """What there is of a run's model in one place, and how it is asked.

    `merged` and `adapter` are absolute folders or names on the Hub, "" where missing; `folder` is the adapter's folder
    within its repository. `shape` is None where the size of the model is not known. `stale` names forms that are
    older than the trained weights. `adapter_settings` says that the adapter has generation settings of its own,
    `load_in_4bit` that it was trained on the base model in 4 bit.
    """

    name: str
    base: str
    merged: str
    adapter: str
    ggufs: tuple[Gguf, ...]
    is_chat: bool
    system_prompt: str
    max_length: int
    max_new_tokens: int
    lora_rank: int
    has_whole_modules: bool
    shape: ModelShape | None
    folder: str = ""
    on_hub: bool = False
    private: bool = False
    stale: tuple[str, ...] = ()
    adapter_settings: bool = True
    load_in_4bit: bool = False

    @property
    def messages(self) -> str:
        return messages_literal(self.system_prompt)


def model_here(view: RunView) -> Model:
    """The model as it lies in the run's folder. Raises `RunError` where nothing was trained."""
    forms = {export.name: export for export in list_exports(view.run_dir)}
    if not forms:
        raise RunError(f"{view.name} has no trained model yet.", "Resume its training first.")
    folders = {name: str(forms[name].path.resolve()) if name in forms else "" for name in ("merged", "adapter")}
    ggufs = tuple(Gguf(export.kind, str(export.path.resolve()), export.path.stat().st_size,
                       str(export.modelfile.resolve()) if export.modelfile else "")
                  for export in forms.values() if export.form == "gguf")
    return _model(
        view.preset, slug(view.name), folders["merged"], folders["adapter"], ggufs, is_chat=formats_chats(view.run_dir),
        shape=_shape(view), base=_loadable(view.preset.model.model_name_or_path),
        adapter_settings=has_adapter_settings(view.run_dir),
        stale=tuple(name for name, export in forms.items() if not export.fresh))


def model_on_hub(view: RunView) -> Model | None:
    """The model as the last push left it on the Hub, or None before any; a branch or a pull request of a push is not
    what the repository's name loads."""
    result = last_push(view)
    if result is None or result.get("revision") or result.get("pull_request"):  # an earlier studio knew neither
        return None
    kinds = [(export.kind, export.path) for export in list_exports(view.run_dir) if export.form == "gguf"]
    return published(view.preset, pushed_places(result), result["private"], ggufs=kinds,
                     shape=_shape(view), is_chat=formats_chats(view.run_dir),
                     adapter_settings=has_adapter_settings(view.run_dir))


def published(preset: Preset, places: Places, private: bool = True, *, ggufs: Sequence[tuple[str, Path]] = (),
              shape: ModelShape | None = None, is_chat: bool = True, adapter_settings: bool = True) -> Model:
    """The model in the repositories that a push fills; `ggufs` are the (kind, file) that were pushed."""
    (merged, _), (adapter, folder) = (places.get(form, ("", "")) for form in ("merged", "adapter"))
    files: tuple[Gguf, ...] = ()
    if "gguf" in places:
        repo, within = places["gguf"]
        prefix = f"{within}/" if within else ""
        files = tuple(Gguf(kind, f"{repo}:{kind.upper()}", file.stat().st_size, f"{prefix}{modelfile_of(file).name}",
                           f"{prefix}{file.name}" if within else "") for kind, file in ggufs)
    name = slug((merged or adapter or places["gguf"][0]).split("/")[-1])
    return _model(preset, name, merged, adapter, files, is_chat=is_chat, shape=shape,
                  base=preset.model.model_name_or_path, folder=folder, on_hub=True, private=private,
                  adapter_settings=adapter_settings)


def serving_bytes(model: Model, weights_bytes: float, server_bytes: float) -> float | None:
    """Memory to answer one request of the full length: weights, keys and values of the context, the server itself."""
    if model.shape is None:
        return None
    shape = model.shape
    cache = 2 * 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim * model.max_length
    return weights_bytes + cache + server_bytes


def gpu_bytes(model: Model) -> float | None:
    """GPU memory that serves the model in 16 bit, in bytes; None where its size is not known."""
    return serving_bytes(model, 2 * model.shape.parameters, GPU_SERVER_BYTES) if model.shape else None


def slug(name: str) -> str:
    """A name as servers take it: small letters, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "my-model"


def has_adapter_settings(run_dir: Path) -> bool:
    """Whether generation settings lie beside a run's adapter, as an earlier studio wrote none."""
    return (run_dir / "adapter" / "generation_config.json").is_file()


def formats_chats(run_dir: Path) -> bool:
    """Whether the tokenizer saved with a run's model formats chats; without a template the model continues texts."""
    folder = _trained(run_dir)
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        config = {}
    return (folder / "chat_template.jinja").is_file() or bool(config.get("chat_template"))


def _model(preset: Preset, name: str, merged: str, adapter: str, ggufs: tuple[Gguf, ...], *, is_chat: bool,
           shape: ModelShape | None, base: str, folder: str = "", on_hub: bool = False, private: bool = False,
           stale: tuple[str, ...] = (), adapter_settings: bool = True) -> Model:
    longest = preset.training.max_length
    if shape and shape.max_position_embeddings:
        longest = min(longest, shape.max_position_embeddings)
    return Model(
        name, base, merged, adapter, ggufs, is_chat, preset.data.system_prompt, longest,
        min(preset.evaluation.max_new_tokens, max(1, longest // 2)), preset.lora.r, bool(preset.lora.modules_to_save),
        shape, folder, on_hub, private, stale, adapter_settings,
        preset.model.load_in_4bit and not preset.method.full_finetuning)


def _loadable(base: str) -> str:
    """The base model as it is loaded from anywhere on this machine."""
    path = Path(base).expanduser()
    return str(path.resolve()) if path.exists() else base


def _trained(run_dir: Path) -> Path:
    """The folder of the merged model, or of the adapter where there is none."""
    return run_dir / ("merged" if (run_dir / "merged" / "config.json").is_file() else "adapter")


def _shape(view: RunView) -> ModelShape | None:
    """The model's shape from its own config, else from what is known of the base without asking anybody."""
    config = _trained(view.run_dir) / "config.json"
    if config.is_file():
        with contextlib.suppress(ModelError, ValueError):
            return ModelShape.from_config(json.loads(config.read_text(encoding="utf-8")))
    with contextlib.suppress(ModelError, ValueError):
        return known_shape(view.preset.model)
    return None

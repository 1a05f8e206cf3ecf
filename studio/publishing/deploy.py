"""How a run's model is put to use: for each way the commands, when to choose it, and what it needs. Starts nothing.

A model is used from this machine's folders or, once pushed, from the Hub. Texts are in deploy_texts.py and deploy.yaml.
"""

import contextlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio import words
from studio.errors import ModelError, RunError
from studio.preset.schema import Preset
from studio.publishing import deploy_texts as texts
from studio.publishing.deploy_texts import fill, messages_literal
from studio.publishing.exports import list_exports, modelfile_of
from studio.runs.base_model import known_shape
from studio.runs.estimates import GIB
from studio.runs.events import PhaseState
from studio.runs.model_shape import ModelShape
from studio.runs.store import RunView
from studio.texts import text

# {form: (repository, folder within it)}
Places = dict[str, tuple[str, str]]

WAYS = ("transformers", "vllm", "tgi", "llama.cpp", "ollama")
# what vLLM takes for --max-lora-rank
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
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


@dataclass(frozen=True)
class Block:
    """Something to copy; `language` is "shell" or "python"."""

    title: str
    language: str
    code: str


@dataclass(frozen=True)
class Way:
    """One way of using a model; `missing` says what must be made first, "" where nothing is missing."""

    name: str
    title: str
    when: str
    needs: str
    blocks: tuple[Block, ...] = ()
    notes: tuple[str, ...] = ()
    missing: str = ""


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


def last_push(view: RunView) -> dict | None:
    """What is on the Hub: the last push that ended well, and over it what a later one has completed before it failed or
    was stopped."""
    phase = view.state.phases.get("publish", PhaseState())
    landed = [each for each in phase.pushed if not each["revision"] and not each["pull_request"]]
    if phase.result is not None or not landed:
        return phase.good
    kept = []
    if phase.good is not None and not phase.good.get("revision"):
        kept = [each for each in phase.good.get("repositories", [phase.good]) if not each.get("pull_request")]
    names = {each["repo_id"] for each in landed}
    return landed[0] | {"repositories": [*(each for each in kept if each["repo_id"] not in names), *landed]}


def pushed_mark(view: RunView) -> str:
    """Changes when `last_push` does."""
    phase = view.state.phases.get("publish", PhaseState())
    return f"{phase.good_at} {len(phase.pushed)}"


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


def places_in(repo_id: str, forms: Sequence[str]) -> Places:
    """Where a repository holds each form: the first at its top, the others in folders of their names."""
    return {form: (repo_id, form if number else "") for number, form in enumerate(forms)}


def pushed_places(result: dict) -> Places:
    """Where a push that went well, as the journal tells of it, put each form."""
    places: Places = {}
    for repository in result.get("repositories", [result]):  # an earlier studio pushed to one, of one or two forms
        what = repository["what"]
        forms = {"both": ["merged", "adapter"]}.get(what, [what]) if isinstance(what, str) else what
        places |= places_in(repository["repo_id"], forms)
    return places


def all_ways(model: Model) -> list[Way]:
    """Every way, in the order in which they are shown."""
    return [way(name, model) for name in WAYS]


def way(name: str, model: Model) -> Way:
    """One way by its name, of WAYS. Raises `RunError` for another name."""
    builders: dict[str, Callable[[Model], tuple[list[Block], str]]] = {
        "transformers": _transformers, "vllm": _vllm, "tgi": _tgi, "llama.cpp": _llama_cpp, "ollama": _ollama}
    if name not in builders:
        raise RunError(f"There is no way called {words.plain(name)}.", f"Name one of: {', '.join(WAYS)}.")
    key = name.replace(".", "_")
    blocks, missing = builders[name](model)
    return Way(name, text(f"deploy.{key}.title"), text(f"deploy.{key}.when"), _needs(name, model), tuple(blocks),
               () if missing else tuple(_notes(name, model)), missing)


def usage_examples(model: Model) -> list[tuple[str, str, str]]:
    """Some ways for a short list, as (name, language, code)."""
    if not (model.merged or model.adapter):
        return [(way(name, model).title, block.language, block.code) for name in ("llama.cpp", "ollama")
                for block in way(name, model).blocks[:1]]
    found = [("Transformers", "python", transformers_code(model))] if model.merged else []
    if model.adapter:
        found.append(("PEFT", "python", adapter_code(model)))
    found.append(("Unsloth", "python", fill(
        texts.UNSLOTH_CODE, model=model.merged or model.adapter, max_length=model.max_length,
        load_in_4bit=model.load_in_4bit and not model.merged)))
    if model.merged:
        found.append(("vLLM", "shell", vllm_code(model)))
    elif _vllm_takes_adapter(model):
        found.append(("vLLM", "shell", vllm_adapter_code(model)))
    return found


def transformers_code(model: Model) -> str:
    """The merged model with transformers, or where there is none the adapter with PEFT."""
    if not model.merged:
        return adapter_code(model)
    template = texts.TRANSFORMERS_CODE if model.is_chat else texts.TRANSFORMERS_TEXT_CODE
    return fill(template, model=model.merged, messages=model.messages, max_new_tokens=model.max_new_tokens)


def adapter_code(model: Model) -> str:
    """The adapter on its base model with PEFT."""
    template = texts.ADAPTER_CHAT_CODE if model.is_chat else texts.ADAPTER_TEXT_CODE
    subfolder = fill(", subfolder={folder!p}", folder=model.folder) if model.folder else ""
    settings = fill(texts.ADAPTER_SETTINGS, model=model.adapter, subfolder=subfolder) if model.adapter_settings else ""
    return fill(template, model=model.adapter, base=model.base, subfolder=subfolder, messages=model.messages,
                max_new_tokens=model.max_new_tokens, settings=settings,
                imports=", GenerationConfig" if model.adapter_settings else "")


def vllm_code(model: Model) -> str:
    """The command that serves the merged model."""
    return fill(texts.VLLM_CODE, model=model.merged, name=model.name, max_length=model.max_length)


def vllm_adapter_code(model: Model) -> str:
    """The commands that serve the base model with the adapter and its tokenizer; one on the Hub is fetched first."""
    place, before = model.adapter, ""
    if model.on_hub:
        place = f"{model.name}/{model.folder}".rstrip("/")
        which = fill(texts.FETCH_FOLDER, pattern=f"{model.folder}/*") if model.folder else texts.FETCH_TOP
        before = fill(texts.VLLM_FETCH_ADAPTER, repo=model.adapter, which=which, folder=model.name) + "\n"
    module = f"{model.name}={place}"
    if "=" in place or "," in place:  # the short form splits at these
        module = json.dumps({"name": model.name, "path": place}, ensure_ascii=False)
    settings = fill(texts.VLLM_ADAPTER_SETTINGS, adapter=place) if model.adapter_settings else ""
    rank = next((rank for rank in LORA_RANKS if rank >= model.lora_rank), model.lora_rank)
    return before + fill(texts.VLLM_ADAPTER_CODE, base=model.base, lora_module=module, lora_rank=rank, adapter=place,
                         settings=settings, max_length=model.max_length)


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


def _transformers(model: Model) -> tuple[list[Block], str]:
    if not (model.merged or model.adapter):
        return [], text("deploy.missing.merged_on_hub")
    blocks = [Block(text("deploy.block.python"), "python", transformers_code(model))]
    if model.merged and model.adapter:
        blocks.append(Block(text("deploy.block.adapter"), "python", adapter_code(model)))
    return blocks, ""


def _vllm(model: Model) -> tuple[list[Block], str]:
    blocks = []
    if model.merged:
        blocks.append(Block(text("deploy.block.serve"), "shell", f"{texts.VLLM_INSTALL}\n{vllm_code(model)}"))
    if model.adapter and _vllm_takes_adapter(model):
        title = text("deploy.block.serve_adapter" if model.merged else "deploy.block.serve")
        blocks.append(Block(title, "shell", f"{texts.VLLM_INSTALL}\n{vllm_adapter_code(model)}"))
    if not blocks:
        return [], text("deploy.missing.vllm_adapter" if model.adapter else "deploy.missing.merged_on_hub")
    return [*blocks, _client("http://localhost:8000/v1", model.name, model)], ""


def _vllm_takes_adapter(model: Model) -> bool:
    return model.lora_rank <= LORA_RANKS[-1] and not model.has_whole_modules


def _tgi(model: Model) -> tuple[list[Block], str]:
    if not model.merged:
        return [], text("deploy.missing.merged_on_hub" if model.on_hub else "deploy.missing.merged")
    lengths = {"max_length": model.max_length, "max_input": max(1, model.max_length - model.max_new_tokens)}
    if model.on_hub:
        code = fill(texts.TGI_HUB_CODE, model=model.merged, **lengths)
    else:
        # Docker reads the mount as a line of CSV, so that quotes protect a comma in the path
        source = '"source=' + model.merged.replace('"', '""') + '"'
        code = fill(texts.TGI_LOCAL_CODE, mount=f"type=bind,{source},target=/model,readonly", **lengths)
    serve = Block(text("deploy.block.serve"), "shell", code)
    return [serve, _client("http://localhost:8080/v1", "tgi", model)], ""


def _llama_cpp(model: Model) -> tuple[list[Block], str]:
    if not model.ggufs:
        return [], _gguf_missing(model)
    serves = [Block(text("deploy.block.serve_kind", kind=gguf.kind.upper(), size=words.size(gguf.size_bytes)), "shell",
                    _llama_cpp_code(gguf, model)) for gguf in _smallest_first(model)]
    return [*serves, _client("http://localhost:8080/v1", model.name, model)], ""


def _llama_cpp_code(gguf: Gguf, model: Model) -> str:
    template = texts.LLAMA_CPP_HUB_CODE if model.on_hub else texts.LLAMA_CPP_LOCAL_CODE
    if gguf.file_in_repo:
        template = texts.LLAMA_CPP_HUB_FILE_CODE
    return fill(template, model=gguf.place, repo=gguf.place.split(":")[0], file=gguf.file_in_repo or gguf.place,
                name=model.name, max_length=model.max_length)


def _ollama(model: Model) -> tuple[list[Block], str]:
    if not model.ggufs:
        return [], _gguf_missing(model)
    blocks, called = [], ""
    for gguf in _smallest_first(model):
        name = f"{model.name}:{gguf.kind.replace('_', '-')}"
        called = called or name
        title = text("deploy.block.run_kind", kind=gguf.kind.upper(), size=words.size(gguf.size_bytes))
        blocks.append(Block(title, "shell", _ollama_code(gguf, name, model)))
    return [*blocks, _client("http://localhost:11434/v1", called, model)], ""


def _ollama_code(gguf: Gguf, name: str, model: Model) -> str:
    if not model.on_hub:
        return fill(texts.OLLAMA_LOCAL_CODE, name=name, modelfile=gguf.modelfile)
    return fill(texts.OLLAMA_HUB_CODE, repo=gguf.place.split(":")[0], pattern=f"*-{gguf.kind.upper()}.*",
                folder=model.name, name=name, modelfile=f"{model.name}/{gguf.modelfile}")


def _smallest_first(model: Model) -> list[Gguf]:
    return sorted(model.ggufs, key=lambda gguf: gguf.size_bytes)


def _gguf_missing(model: Model) -> str:
    return text("deploy.missing.gguf_on_hub" if model.on_hub else "deploy.missing.gguf")


def client_code(url: str, name: str, model: Model, from_login: bool = False) -> str:
    """The openai client asking `name` at `url`, without a key or `from_login` with the token of `hf auth login`."""
    template = texts.CLIENT_CODE if model.is_chat else texts.CLIENT_TEXT_CODE
    imports, key = texts.CLIENT_KEYS[from_login]
    return fill(template, imports=imports, url=url, key=key, name=name, messages=model.messages,
                max_new_tokens=model.max_new_tokens)


def _client(url: str, name: str, model: Model) -> Block:
    return Block(text("deploy.block.client"), "python", client_code(url, name, model))


def _needs(name: str, model: Model) -> str:
    """What a way needs of the machine, with the memory for this model."""
    key = name.replace(".", "_")
    if name in ("llama.cpp", "ollama"):
        smallest = min((gguf.size_bytes for gguf in model.ggufs), default=0)
        need = serving_bytes(model, smallest, SMALL_SERVER_BYTES) if smallest else None
    elif name == "transformers":
        need = serving_bytes(model, 2 * model.shape.parameters, SMALL_SERVER_BYTES) if model.shape else None
    else:
        need = gpu_bytes(model)
    return text(f"deploy.{key}.needs", memory=words.size(need)) if need else text(f"deploy.{key}.needs_unknown")


def _notes(name: str, model: Model) -> list[str]:
    """What else to know: a private repository, an old export, the context's length, an adapter vLLM cannot take."""
    notes = []
    used = {"llama.cpp": "gguf", "ollama": "gguf"}.get(name, "merged")
    stale = [form for form in model.stale if (form == "merged") == (used == "merged")]
    if stale:
        notes.append(text("deploy.note.stale", forms=", ".join(stale)))
    if model.on_hub and model.private:
        notes.append(text("deploy.note.private"))
    if name == "vllm" and model.adapter and model.merged and not _vllm_takes_adapter(model):
        notes.append(text("deploy.note.adapter_merged_only"))
    if name in ("vllm", "tgi"):
        notes.append(text("deploy.note.this_machine"))
    if name != "transformers":
        notes.append(text("deploy.note.context", tokens=words.count(model.max_length)))
    if model.system_prompt and model.is_chat:
        notes.append(text("deploy.note.system_prompt_ollama" if name == "ollama" else "deploy.note.system_prompt"))
    return notes


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

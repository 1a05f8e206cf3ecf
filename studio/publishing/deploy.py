"""How a run's model is put to use: for each way the commands, when to choose it, and what it needs. Starts nothing.

A model is used from this machine's folders or, once pushed, from the Hub. Texts are in deploy_texts.py and deploy.yaml.
"""

from collections.abc import Callable
from dataclasses import dataclass

from studio import words
from studio.errors import RunError
from studio.publishing import deploy_texts as texts
from studio.publishing.deploy_code import (
    adapter_code,
    client_code,
    llama_cpp_code,
    ollama_code,
    tgi_code,
    transformers_code,
    unsloth_code,
    vllm_adapter_code,
    vllm_code,
    vllm_takes_adapter,
)
from studio.publishing.deploy_model import SMALL_SERVER_BYTES, Gguf, Model, gpu_bytes, serving_bytes
from studio.texts import text

WAYS = ("transformers", "vllm", "tgi", "llama.cpp", "ollama")


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
    found.append(("Unsloth", "python", unsloth_code(model)))
    if model.merged:
        found.append(("vLLM", "shell", vllm_code(model)))
    elif vllm_takes_adapter(model):
        found.append(("vLLM", "shell", vllm_adapter_code(model)))
    return found


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
    if model.adapter and vllm_takes_adapter(model):
        title = text("deploy.block.serve_adapter" if model.merged else "deploy.block.serve")
        blocks.append(Block(title, "shell", f"{texts.VLLM_INSTALL}\n{vllm_adapter_code(model)}"))
    if not blocks:
        return [], text("deploy.missing.vllm_adapter" if model.adapter else "deploy.missing.merged_on_hub")
    return [*blocks, _client("http://localhost:8000/v1", model.name, model)], ""


def _tgi(model: Model) -> tuple[list[Block], str]:
    if not model.merged:
        return [], text("deploy.missing.merged_on_hub" if model.on_hub else "deploy.missing.merged")
    serve = Block(text("deploy.block.serve"), "shell", tgi_code(model))
    return [serve, _client("http://localhost:8080/v1", "tgi", model)], ""


def _llama_cpp(model: Model) -> tuple[list[Block], str]:
    if not model.ggufs:
        return [], _gguf_missing(model)
    serves = [Block(text("deploy.block.serve_kind", kind=gguf.kind.upper(), size=words.size(gguf.size_bytes)), "shell",
                    llama_cpp_code(gguf, model)) for gguf in _smallest_first(model)]
    return [*serves, _client("http://localhost:8080/v1", model.name, model)], ""


def _ollama(model: Model) -> tuple[list[Block], str]:
    if not model.ggufs:
        return [], _gguf_missing(model)
    blocks, called = [], ""
    for gguf in _smallest_first(model):
        name = f"{model.name}:{gguf.kind.replace('_', '-')}"
        called = called or name
        title = text("deploy.block.run_kind", kind=gguf.kind.upper(), size=words.size(gguf.size_bytes))
        blocks.append(Block(title, "shell", ollama_code(gguf, name, model)))
    return [*blocks, _client("http://localhost:11434/v1", called, model)], ""


def _smallest_first(model: Model) -> list[Gguf]:
    return sorted(model.ggufs, key=lambda gguf: gguf.size_bytes)


def _gguf_missing(model: Model) -> str:
    return text("deploy.missing.gguf_on_hub" if model.on_hub else "deploy.missing.gguf")


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
    if name == "vllm" and model.adapter and model.merged and not vllm_takes_adapter(model):
        notes.append(text("deploy.note.adapter_merged_only"))
    if name in ("vllm", "tgi"):
        notes.append(text("deploy.note.this_machine"))
    if name != "transformers":
        notes.append(text("deploy.note.context", tokens=words.count(model.max_length)))
    if model.system_prompt and model.is_chat:
        notes.append(text("deploy.note.system_prompt_ollama" if name == "ollama" else "deploy.note.system_prompt"))
    return notes

"""The code and commands that use one model: the templates of deploy_texts.py with its places and settings filled in."""

import json

from studio.publishing import deploy_texts as texts
from studio.publishing.deploy_model import Gguf, Model
from studio.publishing.deploy_texts import fill

# what vLLM takes for --max-lora-rank
LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)


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


def unsloth_code(model: Model) -> str:
    """The merged model with Unsloth, or where there is none the adapter."""
    return fill(texts.UNSLOTH_CODE, model=model.merged or model.adapter, max_length=model.max_length,
                load_in_4bit=model.load_in_4bit and not model.merged)


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


def vllm_takes_adapter(model: Model) -> bool:
    """Whether vLLM can serve the adapter beside its base model."""
    return model.lora_rank <= LORA_RANKS[-1] and not model.has_whole_modules


def tgi_code(model: Model) -> str:
    """The container that serves the merged model."""
    lengths = {"max_length": model.max_length, "max_input": max(1, model.max_length - model.max_new_tokens)}
    if model.on_hub:
        return fill(texts.TGI_HUB_CODE, model=model.merged, **lengths)
    # Docker reads the mount as a line of CSV, so that quotes protect a comma in the path
    source = '"source=' + model.merged.replace('"', '""') + '"'
    return fill(texts.TGI_LOCAL_CODE, mount=f"type=bind,{source},target=/model,readonly", **lengths)


def llama_cpp_code(gguf: Gguf, model: Model) -> str:
    """The command that serves a GGUF file with llama.cpp."""
    template = texts.LLAMA_CPP_HUB_CODE if model.on_hub else texts.LLAMA_CPP_LOCAL_CODE
    if gguf.file_in_repo:
        template = texts.LLAMA_CPP_HUB_FILE_CODE
    return fill(template, model=gguf.place, repo=gguf.place.split(":")[0], file=gguf.file_in_repo or gguf.place,
                name=model.name, max_length=model.max_length)


def ollama_code(gguf: Gguf, name: str, model: Model) -> str:
    """The commands that give a GGUF file to Ollama under a name and run it."""
    if not model.on_hub:
        return fill(texts.OLLAMA_LOCAL_CODE, name=name, modelfile=gguf.modelfile)
    return fill(texts.OLLAMA_HUB_CODE, repo=gguf.place.split(":")[0], pattern=f"*-{gguf.kind.upper()}.*",
                folder=model.name, name=name, modelfile=f"{model.name}/{gguf.modelfile}")


def client_code(url: str, name: str, model: Model, from_login: bool = False) -> str:
    """The openai client asking `name` at `url`, without a key or `from_login` with the token of `hf auth login`."""
    template = texts.CLIENT_CODE if model.is_chat else texts.CLIENT_TEXT_CODE
    imports, key = texts.CLIENT_KEYS[from_login]
    return fill(template, imports=imports, url=url, key=key, name=name, messages=model.messages,
                max_new_tokens=model.max_new_tokens)

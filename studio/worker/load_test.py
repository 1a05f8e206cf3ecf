"""`python -m studio.worker load_test ASKED`: one question to a model from the Hub and to the same model here.

ASKED is JSON: {"repo_id", "revision", "form": merged or adapter, "here", "folder", "system_prompt", "question"}. The
last line of standard output is {"same", "answer", "seconds"}.
"""

import gc
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

NEW_TOKENS = 32
# the files of the form at the top of the repository, not those of others in folders
TOP_LEVEL = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "*.tiktoken"]


def main(text: str) -> int:
    """Entry point; exit code 0 whenever both models answered."""
    asked = json.loads(text)
    started = time.monotonic()
    there = snapshot_download(asked["repo_id"], revision=asked["revision"], cache_dir=asked["folder"],
                              allow_patterns=TOP_LEVEL, ignore_patterns=["*/*"])
    messages = [{"role": "user", "content": asked["question"]}]
    if asked["system_prompt"]:
        messages.insert(0, {"role": "system", "content": asked["system_prompt"]})
    mine, theirs = (ask(Path(place), Path(asked["here"]), asked["form"], messages) for place in (asked["here"], there))
    for answer, place in ((mine, "here"), (theirs, "on the Hub")):
        print(f"The model {place} answers: {answer.text!r}", file=sys.stderr)
    print(json.dumps({"same": mine.is_like(theirs), "answer": theirs.text,
                      "seconds": round(time.monotonic() - started, 1)}))
    return 0


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


@torch.inference_mode()
def ask(place: Path, here: Path, form: str, messages: list[dict[str, str]]) -> Answer:
    """Ask the model in the folder `place`; an adapter on the base of the one that lies `here`."""
    tokenizer = AutoTokenizer.from_pretrained(place)
    model = _model(place, here, form).eval()
    if tokenizer.chat_template:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt",
                                               return_dict=True)
    else:
        prompt = tokenizer(messages[-1]["content"], return_tensors="pt")
    logits = model(**prompt).logits[0, -1].float()
    output = model.generate(**prompt, max_new_tokens=NEW_TOKENS, do_sample=False)
    new = output[0, prompt["input_ids"].shape[1]:].tolist()
    del model
    gc.collect()  # two large models at once may not fit
    return Answer(new, tokenizer.decode(new, skip_special_tokens=True), logits)


def _model(place: Path, here: Path, form: str) -> Any:
    if form == "merged":
        return AutoModelForCausalLM.from_pretrained(place, dtype="auto")
    base = json.loads((here / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="auto"), place)

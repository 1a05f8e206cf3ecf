"""A chat with a fine-tuned model. Which one, and what it is told first, stands in demo.json."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import gradio as gr
import torch
from huggingface_hub import hf_hub_download
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, TextIteratorStreamer

DEMO = json.loads((Path(__file__).parent / "demo.json").read_text(encoding="utf-8"))
# a folder of this machine in its place, to try the demo before it is anywhere
MODEL = os.environ.get("DEMO_MODEL", DEMO["model"])
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# many processors of Spaces compute 16 bit much slower than 32 bit
DTYPE = "auto" if DEVICE == "cuda" else torch.float32


def load():
    """Tokenizer and model, of the commits that were tried. Weights come from safetensors alone, and no code from a
    repository is run."""
    place = {"subfolder": DEMO["folder"], "revision": DEMO["revision"]}
    tokenizer = AutoTokenizer.from_pretrained(MODEL, **place)
    model = AutoModelForCausalLM.from_pretrained(
        DEMO["base"] or MODEL, revision=DEMO["base_revision"] if DEMO["base"] else DEMO["revision"], dtype=DTYPE,
        use_safetensors=True)
    if DEMO["base"]:
        from peft import PeftModel

        require_safetensors()
        if DEMO["adapter_settings"]:  # the base model's may not know the token that ends a trained answer
            model.generation_config = GenerationConfig.from_pretrained(MODEL, **place)
        model = PeftModel.from_pretrained(model, MODEL, **place)
    return tokenizer, model.to(DEVICE).eval()


def require_safetensors():
    """Raise OSError where the adapter has none: PEFT would load a pickle in their place, which can hold code."""
    name = f"{DEMO['folder']}/adapter_model.safetensors".lstrip("/")
    if not Path(MODEL).is_dir():
        hf_hub_download(MODEL, name, revision=DEMO["revision"])
    elif not (Path(MODEL) / name).is_file():
        raise FileNotFoundError(f"{MODEL} has no {name}.")


try:
    (tokenizer, model), problem = load(), ""
except OSError as error:
    print(error)
    problem = (f"{MODEL} could not be loaded. If it is private, add a secret HF_TOKEN with a token that may read it to "
               "the settings of this Space, then restart the Space. Its log says more.")


def said(turn: dict) -> str:
    """The text of a turn, which Gradio keeps in parts."""
    content = turn["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content if "text" in part)


def answer(message: str, history: list[dict]) -> Iterator[str]:
    """Write the answer, piece by piece."""
    if problem:
        raise gr.Error(problem)
    turns = [{"role": "system", "content": DEMO["system_prompt"]}] if DEMO["system_prompt"] else []
    turns += [{"role": turn["role"], "content": said(turn)} for turn in history]
    inputs = tokenizer.apply_chat_template(
        [*turns, {"role": "user", "content": message}], add_generation_prompt=True, return_tensors="pt",
        return_dict=True).to(DEVICE)
    room = DEMO["max_length"] - inputs["input_ids"].shape[1]
    if room < 1:
        raise gr.Error("This chat is longer than the model can read. Start a new one.")
    pieces = TextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)

    def generate() -> None:
        try:
            model.generate(**inputs, streamer=pieces, do_sample=False, max_new_tokens=min(room, DEMO["max_new_tokens"]))
        finally:
            pieces.end()  # else a failure would leave the page waiting

    Thread(target=generate, daemon=True).start()
    text = ""
    for piece in pieces:
        text += piece
        yield text


demo = gr.ChatInterface(
    answer, title=DEMO["title"], description=problem or DEMO["description"], examples=DEMO["examples"] or None,
    cache_examples=False, api_name="chat")

if __name__ == "__main__":
    demo.launch()

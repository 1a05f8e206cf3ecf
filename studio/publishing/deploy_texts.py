"""The code and commands with which a model is used, for model card, Publish tab, run page and command line alike.

The one table of them. `fill` puts values in so that no name can break out of its quotes: `{name!p}` writes a Python
literal, `{name!q}` a word of the shell, `{name}` what is code already.
"""

import json
import shlex
import string
from typing import Any

TRANSFORMERS_CODE = """\
from transformers import pipeline

chat = pipeline("text-generation", model={model!p})
messages = {messages}
print(chat(messages, max_new_tokens={max_new_tokens})[0]["generated_text"][-1]["content"])"""

TRANSFORMERS_TEXT_CODE = """\
from transformers import pipeline

write = pipeline("text-generation", model={model!p})
print(write("The beginning of a text", max_new_tokens={max_new_tokens})[0]["generated_text"])"""

ADAPTER_CODE = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer{imports}

tokenizer = AutoTokenizer.from_pretrained({model!p}{subfolder})
model = AutoModelForCausalLM.from_pretrained({base!p}){settings}
model = PeftModel.from_pretrained(model, {model!p}{subfolder})"""
# PEFT takes the base model's, which may not know the token that ends a trained answer
ADAPTER_SETTINGS = "\nmodel.generation_config = GenerationConfig.from_pretrained({model!p}{subfolder})"

ADAPTER_CHAT_CODE = ADAPTER_CODE + """

messages = {messages}
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
answer = model.generate(**inputs, max_new_tokens={max_new_tokens})
print(tokenizer.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))"""

ADAPTER_TEXT_CODE = ADAPTER_CODE + """

inputs = tokenizer("The beginning of a text", return_tensors="pt")
answer = model.generate(**inputs, max_new_tokens={max_new_tokens})
print(tokenizer.decode(answer[0], skip_special_tokens=True))"""

UNSLOTH_CODE = """\
from unsloth import FastLanguageModel

model, tokenizer = FastLanguageModel.from_pretrained(
    {model!p}, max_seq_length={max_length}, load_in_4bit={load_in_4bit})
FastLanguageModel.for_inference(model)"""

# vLLM and Docker would open the port to the whole network, and none of these servers asks for a key
VLLM_INSTALL = "pip install vllm"
VLLM_CODE = "vllm serve {model!q} --served-model-name {name!q} --max-model-len {max_length} --host 127.0.0.1"
# tokenizer with its chat template and end of answers are the adapter's; --generation-config takes a folder
VLLM_ADAPTER_CODE = ("vllm serve {base!q} --enable-lora --lora-modules {lora_module!q} --max-lora-rank {lora_rank}"
                     " --tokenizer {adapter!q}{settings} --max-model-len {max_length} --host 127.0.0.1")
VLLM_ADAPTER_SETTINGS = " --generation-config {adapter!q}"
VLLM_FETCH_ADAPTER = "hf download {repo!q} {which} --local-dir {folder!q}"
# an adapter at the top of its repository: all but what lies in folders
FETCH_TOP = "--exclude '*/*'"
FETCH_FOLDER = "--include {pattern!q}"

# the tag that the documentation of TGI names
TGI_IMAGE = "ghcr.io/huggingface/text-generation-inference:3.3.5"
TGI_LOCAL_CODE = ("docker run --gpus all --shm-size 1g -p 127.0.0.1:8080:80 --mount {mount!q} " + TGI_IMAGE
                  + " --model-id /model --max-total-tokens {max_length} --max-input-tokens {max_input}")
TGI_HUB_CODE = ("docker run --gpus all --shm-size 1g -p 127.0.0.1:8080:80 -v tgi-data:/data -e HF_TOKEN " + TGI_IMAGE
                + " --model-id {model!q} --max-total-tokens {max_length} --max-input-tokens {max_input}")

LLAMA_CPP_LOCAL_CODE = "llama-server -m {file!q} --jinja --alias {name!q} -c {max_length}"
LLAMA_CPP_HUB_CODE = "llama-server -hf {model!q} --jinja --alias {name!q} -c {max_length}"
LLAMA_CPP_HUB_FILE_CODE = "llama-server --hf-repo {repo!q} --hf-file {file!q} --jinja --alias {name!q} -c {max_length}"

OLLAMA_LOCAL_CODE = """\
ollama create {name!q} -f {modelfile!q}
ollama run {name!q}"""
# `ollama run hf.co/...` would leave the Modelfile aside, and finds no file in a folder
OLLAMA_HUB_CODE = """\
hf download {repo!q} --include {pattern!q} --local-dir {folder!q}
""" + OLLAMA_LOCAL_CODE

# what the client's code begins with, and the key it sends: none, or the token of `hf auth login`
CLIENT_KEYS = {False: ("", '"not-needed"'), True: ("from huggingface_hub import get_token\n", "get_token()")}
CLIENT_CODE = """\
{imports}from openai import OpenAI

client = OpenAI(base_url={url!p}, api_key={key})
messages = {messages}
answer = client.chat.completions.create(model={name!p}, messages=messages, max_tokens={max_new_tokens}, temperature=0)
print(answer.choices[0].message.content)"""

CLIENT_TEXT_CODE = """\
{imports}from openai import OpenAI

client = OpenAI(base_url={url!p}, api_key={key})
answer = client.completions.create(
    model={name!p}, prompt="The beginning of a text", max_tokens={max_new_tokens}, temperature=0)
print(answer.choices[0].text)"""


class _Quoting(string.Formatter):
    def convert_field(self, value: Any, conversion: str | None) -> Any:
        if conversion == "p":
            return python_literal(value)
        return shlex.quote(value) if conversion == "q" else super().convert_field(value, conversion)


def fill(template: str, **values: Any) -> str:
    """The template with its values, each quoted as its place asks. Raises `KeyError` for a missing one."""
    return _Quoting().vformat(template, (), values)


def python_literal(value: str) -> str:
    """A Python literal of the text, in double quotes as people write it."""
    return json.dumps(value, ensure_ascii=False)


def messages_literal(system_prompt: str, question: str = "Your question") -> str:
    """The messages of a chat as Python code, with the system prompt the model was trained with, if any."""
    turns = [{"role": "system", "content": system_prompt}] if system_prompt else []
    lines = [json.dumps(turn, ensure_ascii=False) for turn in [*turns, {"role": "user", "content": question}]]
    return f"[{lines[0]}]" if len(lines) == 1 else "[\n    " + ",\n    ".join(lines) + ",\n]"

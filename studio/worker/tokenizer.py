"""The base model's tokenizer with the chat template the preset asks for; shared by training, preview and chat."""

import json
import shutil
from pathlib import Path

from studio.errors import ModelError
from studio.preset.schema import ModelSection

# what Gemma, Phi-3 and the first Llamas and Mistrals were made with: transformers saves tokenizer.json alone, and
# llama.cpp's converter reads this
SENTENCEPIECE = "tokenizer.model"
CHATML = (
    "{%% for message in messages %%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '%(end)s' + '\\n' }}"
    "{%% endfor %%}{%% if add_generation_prompt %%}{{ '<|im_start|>assistant\\n' }}{%% endif %%}"
)


def load_tokenizer(folder: Path, section: ModelSection):
    """Load the tokenizer in `folder`. Raises `ModelError` where there is none that the studio can use."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"The tokenizer of {section.model_name_or_path} cannot be loaded: {reason}",
                         "Choose a model that transformers supports without code of its own.",
                         "model.model_name_or_path") from error
    # saved along, they would have others run code that comes with the base model, and name a folder of this machine
    for name in ("auto_map", "vocab_file"):
        tokenizer.init_kwargs.pop(name, None)
    apply_chat_template_choice(tokenizer, section)
    return tokenizer


def apply_chat_template_choice(tokenizer, section: ModelSection) -> None:
    """Give the tokenizer ChatML if the preset says so.

    No token is added, since new ones would need embeddings that LoRA does not train: turns end with <|im_end|> where
    the vocabulary has it, else with the model's own end-of-text token, and that token then ends an answer.
    """
    if section.chat_template == "model":
        return
    if "<|im_end|>" in tokenizer.get_vocab():
        tokenizer.eos_token = "<|im_end|>"
    tokenizer.chat_template = CHATML % {"end": tokenizer.eos_token}


def lacks_sentencepiece(folder: Path) -> bool:
    """Whether a folder's tokenizer is of the kind that comes with a tokenizer.model, and that file is not there."""
    if (folder / SENTENCEPIECE).is_file():
        return False
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    return bool(model.get("byte_fallback"))


def add_sentencepiece(base: Path, folder: Path) -> None:
    """Give a saved model the tokenizer.model of its base model, where that has one."""
    if (base / SENTENCEPIECE).is_file() and lacks_sentencepiece(folder):
        partial = folder / f".{SENTENCEPIECE}.partial"
        shutil.copyfile(base / SENTENCEPIECE, partial)
        partial.replace(folder / SENTENCEPIECE)

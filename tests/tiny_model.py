"""A random Llama of about 100,000 weights with a trained BPE tokenizer and a ChatML template, made in two seconds.

Run as `python tests/tiny_model.py FOLDER` or call `make_tiny_model(folder)`; it needs no network.
"""

import sys
from pathlib import Path

CORPUS = [
    "system user assistant You are a helpful assistant. Turn the ingredient line into JSON.",
    '{"quantity": 2, "unit": "cup", "name": "plain flour", "preparation": "sifted"}',
    "question answer city country the a of in is what and to for with two cups of flour, one onion, chopped",
] * 4

CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_tiny_tokenizer(folder: Path, chat_template: str | None = CHATML):
    """Write a ChatML byte-level BPE tokenizer of at most 420 tokens to `folder` and return it; imports no torch."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(CORPUS, trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>",
        model_max_length=512, clean_up_tokenization_spaces=False)
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return tokenizer


def make_tiny_model(folder: Path, chat_template: str | None = CHATML, seed: int = 0) -> Path:
    """Write model (safetensors, float32) and tokenizer to `folder`, return it; `chat_template=None` leaves it out."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = Path(folder)
    tokenizer = make_tiny_tokenizer(folder, chat_template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def make_tiny_encoder(folder: Path, seed: int = 0) -> Path:
    """Write a random BERT that reads 64 tokens, and the tokenizer, to `folder`; return it."""
    import torch
    from transformers import BertConfig, BertModel

    folder = Path(folder)
    tokenizer = make_tiny_tokenizer(folder)
    torch.manual_seed(seed)
    BertModel(BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=66, pad_token_id=tokenizer.pad_token_id)).save_pretrained(folder)
    return folder


if __name__ == "__main__":
    print(make_tiny_model(Path(sys.argv[1])))

"""Greedy answers to many prompts in padded batches of like length; the same answers as one by one."""

import time
from collections.abc import Iterator
from typing import Any

import torch

from studio.evaluation.answers import Answer


@torch.inference_mode()
def answer_batches(model: Any, tokenizer: Any, prompts: list[list[int]], batch_size: int,
                   max_new_tokens: int) -> Iterator[dict[int, Answer]]:
    """Yield the answers of one batch after the other, by the prompt's index; the longest prompts come first.

    Where a GPU's memory runs out the batch is halved, down to one row, on which `torch.OutOfMemoryError` is raised.
    """
    waiting = sorted(range(len(prompts)), key=lambda index: len(prompts[index]), reverse=True)
    while waiting:
        batch = waiting[:batch_size]
        try:
            answers = _answer(model, tokenizer, [prompts[index] for index in batch], max_new_tokens)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            batch_size = len(batch) // 2
            torch.cuda.empty_cache()
            continue
        yield dict(zip(batch, answers, strict=True))
        waiting = waiting[len(batch):]


def _answer(model: Any, tokenizer: Any, prompts: list[list[int]], max_new_tokens: int) -> list[Answer]:
    """Answer one batch, padded on the left so that every answer begins at the same place."""
    began = time.monotonic()
    stop_ids = _stop_ids(model, tokenizer)
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    width = max(map(len, prompts))
    ids = torch.tensor([[pad_id] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    output = model.generate(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), do_sample=False,
        max_new_tokens=max_new_tokens, eos_token_id=stop_ids, pad_token_id=pad_id)[:, width:].tolist()
    share = (time.monotonic() - began) / len(prompts)
    answers = []
    for prompt, generated in zip(prompts, output, strict=True):
        length = next((i for i, token in enumerate(generated) if token in stop_ids), len(generated))
        text = tokenizer.decode(generated[:length], skip_special_tokens=True).strip()
        answers.append(Answer(text, len(prompt), length, share, cut=length == max_new_tokens))
    return answers


def _stop_ids(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer: the tokenizer's and those the model's own generation settings name."""
    configured = model.generation_config.eos_token_id
    return sorted({tokenizer.eos_token_id, *([configured] if isinstance(configured, int) else configured or [])})

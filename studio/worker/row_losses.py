"""How well a loaded model foresees texts: the loss of each row, for perplexity."""

import time
from collections.abc import Callable
from typing import Any

import torch

from studio.data.render import IGNORED
from studio.evaluation.perplexity import RowLosses


def measure_losses(model: Any, rows: list[tuple[list[int], list[int]]],
                   said: Callable[[int], None] = lambda done: None) -> RowLosses:
    """Losses of the learned tokens of each row, given as input ids and labels; `said` gets how many rows are done."""
    nll, tokens, began = [], [], time.monotonic()
    for input_ids, labels in rows:
        loss, learned = _loss(model, input_ids, labels)
        nll.append(loss)
        tokens.append(learned)
        said(len(nll))
    return RowLosses(nll, tokens, time.monotonic() - began)


@torch.inference_mode()
def _loss(model: Any, input_ids: list[int], labels: list[int]) -> tuple[float, int]:
    """Summed negative log-likelihood (nats) of the learned tokens of one row, and how many there are."""
    first = next((i for i, label in enumerate(labels) if i and label != IGNORED), 1)
    wanted = torch.tensor(labels[first:], device=model.device)
    # as float32 only what is learned: behind a long prompt all would take several times the memory
    logits = model(input_ids=torch.tensor([input_ids], device=model.device)).logits[0, first - 1:-1].float()
    summed = torch.nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum")
    return summed.item(), int((wanted != IGNORED).sum())

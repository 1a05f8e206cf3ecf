"""How near two models are: greedy answers token by token, and logits on the same answers (teacher-forced).

The reference's logits are kept for the `KEPT` likeliest tokens of each place, the rest as one sum, so that a check can
go on later without the trained model in memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch

from studio.publishing.parity import Difference, Figures, FormCheck, Outcome, name
from studio.worker.parity_faults import GGUF_HINT, HINTS

KEPT = 1024
BATCH = 8
SHOWN_CHARACTERS = 80
# nats a token; docs/parity.md says what was measured
SAME_KL, CLOSE_KL = 0.01, 0.1
# rounding to 16 bit may change so much, however little the training changed
ROUNDING_KL = 0.002
# a quantised file beyond this is broken
BROKEN_KL, BROKEN_Q8_KL = 1.0, 0.1


@dataclass(frozen=True)
class Logits:
    """What a model said at each place of the answers, one row a place.

    `ids` (places, kept) are the tokens looked at, `values` their logits, `total` (places) the log of the sum of the
    exponentials of all logits, `top` (places) the likeliest token.
    """

    ids: np.ndarray
    values: np.ndarray
    total: np.ndarray
    top: np.ndarray


@torch.inference_mode()
def greedy_answers(model: Any, prompts: list[list[int]], stop_ids: list[int], pad_id: int, max_new_tokens: int,
                   say: Callable[[int], None]) -> list[list[int]]:
    """The tokens that the model answers each prompt with, the one that ends the answer included.

    Its own generation settings hold, but for sampling. `say` gets the number of prompts answered by then.
    """
    answers: list[list[int]] = []
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start:start + BATCH]
        width = max(map(len, batch))
        ids = torch.tensor([[pad_id] * (width - len(prompt)) + prompt for prompt in batch], device=model.device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in batch], device=model.device)
        said = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, temperature=None, top_p=None, top_k=None,
            max_new_tokens=max_new_tokens, eos_token_id=stop_ids, pad_token_id=pad_id)[:, width:].tolist()
        answers += [_to_stop(tokens, stop_ids) for tokens in said]
        say(len(answers))
    return answers


def score_answers(model: Any, prompts: list[list[int]], answers: list[list[int]], kept: np.ndarray | None = None,
                  say: Callable[[int], None] = lambda done: None) -> Logits:
    """The model's logits at each token of the given answers, in one row after the other.

    `kept` are the tokens to look at, those of the reference; None takes the model's own likeliest.
    """
    parts: list[Logits] = []
    places = 0
    for number, logits in enumerate(_each(model, prompts, answers), start=1):
        wanted = None if kept is None else kept[places:places + len(logits)]
        parts.append(_looked_at(logits, wanted))
        places += len(logits)
        say(number)
    return Logits(*(np.concatenate([vars(part)[name] for part in parts]) for name in ("ids", "values", "total", "top")))


def mean_divergence(reference: Logits, other: Logits) -> float:
    """Mean Kullback-Leibler divergence KL(P || Q) in nats over the places, P the reference's, Q the other's.

    KL = sum p ln(p / q) (Kullback and Leibler 1951, "On Information and Sufficiency"), here over the kept tokens and
    one more event, "any other token". Joining events never raises KL (their log sum inequality); with the 1,024
    likeliest tokens what is lost is below what float32 resolves for any trained model.
    """
    log_p = reference.values - reference.total[:, None]
    log_q = other.values - other.total[:, None]
    p, q = np.exp(log_p), np.exp(log_q)
    kept = (p * (log_p - log_q)).sum(axis=1)
    rest_p, rest_q = (np.clip(1 - share.sum(axis=1), 1e-9, None) for share in (p, q))
    return float(np.maximum(kept + rest_p * np.log(rest_p / rest_q), 0).mean())


def compare(reference: Logits, other: Logits, said: list[list[int]], expected: list[list[int]],
            decode: Callable[[list[int]], str]) -> Figures:
    """The figures of a form: `said` are its greedy answers, `expected` the reference's.

    Share of equal tokens: places at which both answers hold the same token, of the places of the longer answer.
    `max_abs` is the largest |logit - logit| over the kept tokens of all places.
    """
    pairs = [list(zip_longest(one, two)) for one, two in zip(expected, said, strict=True)]
    same = sum(one == two for pair in pairs for one, two in pair)
    return Figures(
        equal_tokens=same / max(1, sum(map(len, pairs))),
        equal_answers=sum(one == two for one, two in zip(expected, said, strict=True)) / len(said),
        max_abs=float(np.abs(reference.values - other.values).max()),
        mean_kl=mean_divergence(reference, other),
        same_top=float((reference.top == other.top).mean()),
        first=_first_difference(expected, said, decode))


def tolerance(training_kl: float | None) -> float:
    """How far, in nats, a form may be from the trained model and still be the same: a tenth of what the training
    changed, at most 0.01, and never less than rounding may change."""
    return SAME_KL if training_kl is None else min(SAME_KL, max(ROUNDING_KL, training_kl / 10))


@dataclass(frozen=True)
class Change:
    """What the training changed, in nats a token as in `Figures.mean_kl`: `training_kl` is how far the untouched base
    model is from the trained one, `base_kl` how far it is from the form."""

    training_kl: float
    base_kl: float

    def is_lost(self, figures: Figures) -> bool:
        """Whether a form is nearer to what the training started from: by more than noise, a quarter of the change."""
        return figures.mean_kl - self.base_kl > self.training_kl / 4

    def is_far(self, figures: Figures) -> bool:
        """Whether a form is as far from the trained model as what the training started from, on whatever side."""
        return figures.mean_kl > max(ROUNDING_KL, self.training_kl / 2)

    def is_too_small(self, figures: Figures) -> bool:
        """Whether it cannot be told which of the two models a form was made of."""
        return self.training_kl <= ROUNDING_KL and abs(figures.mean_kl - self.base_kl) <= self.training_kl / 4


def judge(form: str, kind: str, quantised: bool, figures: Figures, change: Change | None) -> FormCheck:
    """Whether a form that reads as trained also computes as trained: the verdict from its figures.

    `kind` is how its weights are stored; `change` is None where all weights were trained.
    """
    lost = change is not None and change.is_lost(figures)
    far = lost or (change is not None and change.is_far(figures))
    within = figures.mean_kl <= tolerance(change.training_kl if change else None)
    found: Outcome = "differs"
    if figures.mean_kl <= CLOSE_KL and not far:
        found = "same" if within else "close"
    broken = lost or not figures.mean_kl <= (BROKEN_Q8_KL if kind == "Q8_0" else BROKEN_KL)
    sentence, hint = "", ""
    if found == "same" and change is not None and change.is_too_small(figures):
        sentence = f"{name(form)} cannot be told from the untouched base model: the training changed too little."
        hint = "Train longer, or with a higher training.learning_rate, if that was not meant."
    if found == "differs" or (found == "close" and not quantised):
        sentence, hint = _distance(form, figures, far), HINTS.get(form, GGUF_HINT)
        if quantised and not broken:
            hint = "Publish a kind with more bits, such as q8_0, or try this one before you do."
        else:
            found = "refused"
    return FormCheck(form, kind, found, {}, {}, sentence, hint, figures)


def _distance(form: str, figures: Figures, far: bool) -> str:
    if not np.isfinite(figures.mean_kl):
        return f"{name(form)} computes values that are no numbers."
    other = round((1 - figures.equal_answers) * 100)
    distance = (f"{name(form)} computes otherwise than the trained model: its probabilities of the next token "
                f"are {figures.mean_kl:.3g} nats apart, and {other} % of the answers are other ones.")
    more = " It is no nearer to it than the untouched base model: it may come from another training." if far else ""
    return distance + more


def _each(model: Any, prompts: list[list[int]], answers: list[list[int]]) -> Iterator[torch.Tensor]:
    """For each answer the logits (tokens of the answer, vocabulary) that its tokens were chosen by."""
    for prompt, answer in zip(prompts, answers, strict=True):
        with torch.inference_mode():
            ids = torch.tensor([prompt + answer], device=model.device)
            logits = model(input_ids=ids, use_cache=False, logits_to_keep=len(answer) + 1).logits
            yield logits[0, -len(answer) - 1:-1].float()


def _looked_at(logits: torch.Tensor, wanted: np.ndarray | None) -> Logits:
    if wanted is None:
        ids = logits.topk(min(KEPT, logits.shape[-1])).indices
    else:
        ids = torch.from_numpy(wanted).long().to(logits.device)
    return Logits(ids.cpu().numpy().astype(np.int32), logits.gather(1, ids).double().cpu().numpy(),
                  logits.double().logsumexp(1).cpu().numpy(), logits.argmax(1).cpu().numpy())


def _to_stop(tokens: list[int], stop_ids: list[int]) -> list[int]:
    end = next((i for i, token in enumerate(tokens) if token in stop_ids), len(tokens) - 1)
    return tokens[:end + 1]


def _first_difference(expected: list[list[int]], said: list[list[int]],
                      decode: Callable[[list[int]], str]) -> Difference | None:
    for prompt, (one, two) in enumerate(zip(expected, said, strict=True), start=1):
        for token, (left, right) in enumerate(zip_longest(one, two)):
            if left != right:
                return Difference(prompt, token + 1, decode(one[token:])[:SHOWN_CHARACTERS],
                                  decode(two[token:])[:SHOWN_CHARACTERS])
    return None

"""What votes say in words: which model answered where, and how often the tuned one was preferred."""

from collections.abc import Iterable

from studio import words
from studio.errors import RunError
from studio.evaluation.votes import BASE, Vote, WinRate, is_of, win_rates
from studio.runs.store import RunStore
from studio.texts import text


def model_words(store: RunStore, model: str, run_id: str) -> str:
    """A voted model as a person knows it, on the page of run `run_id`: "base model", "tuned model", "cookbook"."""
    if model == BASE:
        return text("playground.votes.base")
    own_id, _, checkpoint = model.partition("/")
    step = checkpoint.rsplit("-", 1)[-1]
    if is_of(model, run_id):
        return text("playground.votes.checkpoint", step=step) if checkpoint else text("playground.votes.tuned")
    try:
        name = store.get(own_id).name
    except RunError:
        name = own_id
    return text("playground.votes.other_checkpoint", name=name, step=step) if checkpoint else name


def rate_sentences(store: RunStore, votes: Iterable[Vote], run_id: str) -> list[str]:
    """One sentence for each pair of models compared blind."""
    return [_sentence(store, rate, run_id) for rate in win_rates(votes, run_id)]


def _sentence(store: RunStore, rate: WinRate, run_id: str) -> str:
    neither = text("playground.votes.neither", ties=words.count(rate.ties), both_bad=words.count(rate.both_bad))
    facts = {"model": _capital(model_words(store, rate.model, run_id)),
             "against": model_words(store, rate.against, run_id)}
    if not rate.decided:
        return text("playground.votes.undecided", neither=neither, **facts)
    low, high = rate.interval
    n = text("playground.votes.one" if rate.decided == 1 else "playground.votes.several", n=words.count(rate.decided))
    return text("playground.votes.rate", share=words.percent(rate.value), low=words.percent(low),
                high=words.percent(high), votes=n, neither=neither, **facts)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]

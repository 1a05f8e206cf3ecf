"""Held-out rows that the training rows give away are found, each with the row that does it."""

import random

import pytest

from studio.data import leakage as leaks
from studio.data.leakage import NO_LEAKAGE, leakage

WORDS = [f"word{i}" for i in range(500)]


def text(seed, n=40):
    return " ".join(random.Random(str(seed)).choices(WORDS, k=n))


def test_equal_rows_are_told_from_near_ones_and_from_equal_questions():
    train = [{"prompt": "What is it?", "completion": "a"}, {"text": "words"}, {"prompt": "q", "completion": text(1)}]
    heldout = [{"completion": "a", "prompt": "What is it?"}, {"prompt": "what  is IT?", "completion": "b"},
               {"prompt": "another", "completion": "a"}, {"text": "words"}, {"text": "other words"},
               {"prompt": "Q", "completion": text(1) + " more"}]
    found = leakage(train, heldout)
    assert (found.exact, found.same_question, found.near) == ({0: 0, 3: 1}, {1: 0}, {5: 2})
    chat = [{"role": "system", "content": "S"}, {"role": "user", "content": "what is it?"},
            {"role": "assistant", "content": "c"}]
    assert leakage(train, [{"messages": chat}]).same_question == {0: 0}
    assert leakage(train, []) == leakage([], heldout) == NO_LEAKAGE


@pytest.mark.parametrize("seed", range(3))
def test_near_rows_are_just_those_that_share_enough_of_their_words(seed):
    rng = random.Random(seed)
    train = [{"text": text((seed, i), rng.randint(12, 60))} for i in range(60)]
    heldout = []
    for row in train:
        words = row["text"].split()
        for _ in range(rng.randint(0, 6)):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        heldout.append({"text": " ".join(words)})
    rng.shuffle(heldout)

    def similarity(one, other):
        one, other = (set(zip(*[row["text"].split()[i:] for i in range(3)], strict=False)) for row in (one, other))
        return len(one & other) / len(one | other)

    wanted = {i for i, row in enumerate(heldout) if row not in train and any(similarity(row, t) >= 0.8 for t in train)}
    assert set(leakage(train, heldout).near) == wanted != set()


def test_short_rows_are_near_to_none_and_many_held_out_rows_are_sampled(monkeypatch):
    assert leakage([{"text": "one two three four"}], [{"text": "one two three four five"}]) == NO_LEAKAGE
    train = [{"text": text(i)} for i in range(10)]
    heldout = [{"text": row["text"] + " more"} for row in train]
    monkeypatch.setattr(leaks, "NEAR_HELDOUT_ROWS", 5)
    assert leakage(train, heldout).near == {i: i for i in range(0, 10, 2)}

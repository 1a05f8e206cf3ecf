"""The general questions: what counts as right, and what counts as forgotten."""

import re
from dataclasses import replace

import pytest

from studio.evaluation.guard import GuardAnswers, GuardFile, GuardQuestion, compare_guard, guard_set, guard_words
from studio.evaluation.guard import sign_test as p_value_of

QUESTIONS = guard_set().questions
GOOD = {
    'Repeat this word exactly and write nothing else: lantern': "lantern",
    "Write the word HOUSE in small letters and write nothing else.": "house",
    "List the numbers from 1 to 5, separated by commas, and write nothing else.": "1, 2, 3, 4, 5",
    'Write the JSON object that has the key "a" with the value 1, and write nothing else.': '{"a": 1}',
    "Answer with yes or no only: is snow cold?": "Yes.", "Answer with yes or no only: can a stone swim?": "no",
    "Which is larger, 45 or 54? Answer with the number only.": "54",
}
TEXTS = len(guard_set().texts)


def answer_to(question: GuardQuestion) -> str:
    """A right answer."""
    return GOOD.get(question.ask) or f"It is {question.accept[-1]}, I think."


def said(wrong=(), nll=100.0) -> GuardAnswers:
    answers = ["no idea" if i in wrong else answer_to(question) for i, question in enumerate(QUESTIONS)]
    return GuardAnswers(answers, [nll] * TEXTS, [50] * TEXTS)


def test_there_are_thirty_questions_of_four_kinds_and_each_has_an_answer():
    assert len(QUESTIONS) == 30 and len({question.ask for question in QUESTIONS}) == 30
    assert {question.kind for question in QUESTIONS} == {"facts", "arithmetic", "form", "language"}
    for question in QUESTIONS:
        assert bool(question.accept) != bool(question.pattern)
        assert question.is_right(answer_to(question)), question.ask
        assert not question.is_right(""), question.ask
        assert not question.is_right(f"I cannot answer this: {question.ask}"), question.ask


@pytest.mark.parametrize(("answer", "right"), [
    ("PARIS", True), ("The capital of France is **Paris**.", True), ("Parisian", False), ("", False)])
def test_a_word_counts_as_a_whole_word(answer, right):
    assert GuardQuestion("facts", "", accept=("paris",)).is_right(answer) is right


def test_a_form_is_that_of_the_whole_answer():
    house = next(question for question in QUESTIONS if "HOUSE" in question.ask)
    assert house.is_right(" house. ") and not house.is_right("House") and not house.is_right("a house")


def test_nothing_changed_is_nothing_forgotten():
    guard = compare_guard(said({1, 2}), said({1, 2}), seed=1)
    assert (guard["base"], guard["tuned"], guard["lost"], guard["gained"]) == (28 / 30, 28 / 30, 0, 0)
    assert guard["perplexity"]["ratio"] == {"value": 1.0, "interval": [1.0, 1.0]} and not guard["forgotten"]
    assert guard_words(guard).endswith("No sign of forgetting.")
    assert "28 of 30 before, 28 after" in guard_words(guard)


def test_many_questions_lost_are_forgetting_and_a_few_may_be_chance():
    few, many = (compare_guard(said({0}), said(set(range(1, n))), seed=1) for n in (4, 11))
    assert (few["lost"], few["gained"], few["forgotten"]) == (3, 1, False)
    assert (many["lost"], many["gained"], many["forgotten"]) == (10, 1, True)
    assert many["examples"][0] == {"ask": QUESTIONS[1].ask, "base": answer_to(QUESTIONS[1]), "tuned": "no idea"}
    assert many["kinds"]["facts"] == {"base": 0.9, "tuned": 0.1}
    gained = compare_guard(said(set(range(10))), said(), seed=1)
    assert gained["p_value"] < 0.05 and not gained["forgotten"]


def test_general_text_that_became_surely_harder_is_forgetting():
    worse, hardly = (compare_guard(said(), said(nll=nll), seed=1) for nll in (110.0, 104.0))
    assert worse["perplexity"]["ratio"]["value"] == pytest.approx(2.718281828 ** 0.2)
    assert (worse["forgotten"], hardly["forgotten"]) == (True, False)
    assert re.search(r"7\.39 before, 9\.03 after \(\+22 %\)\. The model forgot", guard_words(worse))
    uneven = compare_guard(said(), replace(said(), nll=[200.0] + [99.0] * (TEXTS - 1)), seed=1)
    assert uneven["perplexity"]["ratio"]["value"] > 1.1 and not uneven["forgotten"], "one text alone may be chance"


def test_the_test_of_questions_is_the_exact_binomial_one():
    assert p_value_of(0, 0) == p_value_of(3, 3) == 1.0
    assert p_value_of(8, 0) == pytest.approx(2 / 256) and p_value_of(0, 8) == p_value_of(8, 0)


def test_what_was_measured_is_found_again_for_the_same_weights_only(tmp_path):
    file = GuardFile(tmp_path / "guard.json")
    assert file.find("a") is None
    file.add("a", said())
    file.add("b", said({1}))
    assert GuardFile(tmp_path / "guard.json").find("a") == said() and file.find("b") == said({1})
    assert file.find("c") is None
    (tmp_path / "guard.json").write_text('{"torn')
    assert file.find("a") is None

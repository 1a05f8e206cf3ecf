"""Which label an answer names, and when wanted answers are labels at all."""

import pytest

from studio.evaluation.labels import MAX_LABELS, Labels, are_labels

MOODS = ["positive", "very positive", "negative"]


@pytest.mark.parametrize(("answer", "label"), [
    ("positive", "positive"), (" Positive.\n", "positive"), ("The mood is very positive!", "very positive"),
    ("**negative**", "negative"), ("positive or negative", None), ("positively", None), ("", None), ("no", None),
    ("negative, clearly negative", "negative")])
def test_a_label_is_read_from_an_answer(answer, label):
    labels = Labels(MOODS * 2)
    found = labels.read(answer)
    assert (None if found is None else labels.names[found]) == label


def test_a_letter_is_a_label_only_as_it_is_written():
    labels = Labels(["A", "B"])
    assert labels.names[labels.read("It is a bird, so B")] == "B"
    assert labels.names[labels.read("a")] == "A", "alone it can be nothing else"


def test_letters_that_fold_into_others_are_no_failure():
    assert Labels(["i", "spam"]).read("ſpam or İ") is not False


def test_labels_may_hold_what_a_pattern_would_mean():
    labels = Labels(["c++", "(none)"])
    assert labels.names[labels.read("I say C++.")] == "c++" and labels.names[labels.read("(none)")] == "(none)"


@pytest.mark.parametrize(("expected", "are"), [
    (["a", "b"] * 2, True), (["a", "b"], False), (["a", "a"], False), (["a", ""] * 2, False), (["A", "a"] * 3, False),
    ([str(i) for i in range(MAX_LABELS + 1)] * 3, False), (["one two three four five", "b"] * 3, False)])
def test_labels_are_few_short_answers_that_come_again(expected, are):
    assert are_labels(expected) is are

"""What differs between an answer and the wanted one."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.evaluation.marking import MAX_MARKED, mark
from tests.seconds import least_seconds


def test_words_that_differ_are_marked_and_others_are_not():
    assert mark("2 cups of rye flour", "2 cups flour") == [
        ("same", "2 cups "), ("extra", "of rye "), ("same", "flour")]
    assert mark('{"a": 1}', '{"a": 2}') == [
        ("same", '{"a": '), ("missing", "2"), ("extra", "1"), ("same", "}")]


def test_a_number_is_one_word():
    assert mark('{"a": 1.25, "b": 3}', '{"a": 1.5, "b": 3}') == [
        ("same", '{"a": '), ("missing", "1.5"), ("extra", "1.25"), ("same", ', "b": 3}')]


def test_the_last_word_is_the_same_with_or_without_a_space():
    assert mark("rye", "rye flour")[0] == ("same", "rye")


def test_an_answer_with_nothing_in_common_is_not_marked_all_over():
    assert mark("I cannot say.", "2 cups flour") == [("same", "I cannot say.")]
    assert "".join(piece for _, piece in mark("", "flour")) == ""


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=60), st.text(max_size=60))
def test_without_the_missing_pieces_the_answer_is_whole(answer, wanted):
    assert "".join(piece for kind, piece in mark(answer, wanted) if kind != "missing") == answer


def test_long_answers_cost_no_time():
    def mark_both():
        mark("a " * (MAX_MARKED // 2), "b a " * (MAX_MARKED // 4))
        assert mark("a " * MAX_MARKED, "a") == [("same", "a " * MAX_MARKED)]

    assert least_seconds(mark_both, below=2) < 2

"""How answers are judged."""

import pytest

from studio.evaluation import metrics

RECIPE = '{"quantity": 2, "unit": "cup", "name": "flour", "preparation": null}'


@pytest.mark.parametrize("answer, expected, score", [
    (RECIPE, RECIPE, 1), ('```json\n{"a": 1}\n```', '{"a": 1}', 1), ('{"b": 2, "a": 1.0}', '{"a": 1, "b": 2}', 1),
    ('{"a": "1"}', '{"a": 1}', 0), ('{"a": true}', '{"a": 1}', 0), ('{"a": null}', "{}", 0), ("{}", "[]", 0),
    ('Sure: {"a": 1}', '{"a": 1}', 0), ("", '{"a": 1}', 0), ('[1, 2]', "[2, 1]", 0), ("[[[[", "[]", 0),
    ("[" * 100_000, "[]", 0), ("nonsense", "nonsense", 0), ('{"a": NaN}', '{"a": NaN}', 1)])
def test_json_match(answer, expected, score):
    assert metrics.json_match(answer, expected) == score


def test_json_nested_deeper_than_pythons_stack_is_judged():
    deep = "[" * 700 + "]" * 700
    assert metrics.json_match(deep, deep) == metrics.field_f1(deep, deep) == 1
    assert metrics.json_match(deep, "[]") == metrics.field_f1(deep, '{"a": 1}') == 0


def test_chrf_is_that_of_sacrebleu_between_0_and_1():
    assert metrics.chrf("the cat sat", "the cat sat") == 1
    assert metrics.chrf("zzz", "the cat sat") == 0
    assert 0.3 < metrics.chrf("the cat sits", "the cat sat") < 0.9


@pytest.mark.parametrize("answer, expected, score", [
    ("The  Eiffel-Tower!", "eiffeltower", 1), ("a cat.", "The Cat", 1), ("cats", "cat", 0), ("", "x", 0),
    ("the", "a", 0), ("the", "the", 1), ("+", "-", 0), ("ÉTÉ", "été", 1)])
def test_normalised_match_leaves_case_punctuation_and_articles_out(answer, expected, score):
    assert metrics.normalised_match(answer, expected) == score


@pytest.mark.parametrize("answer, expected, score", [
    ("the cat sat on the mat", "the cat lay on a mat", 0.6666666666666666),
    ("Sure, the answer: police kill the gunman.", "police killed the gunman", 0.5454545454545454),
    ("a_b c", "a b c d", 0.8571428571428571), ("", "x", 0), ("x", "", 0),
    ("the cat the cat", "cat the", 0.6666666666666666)])
def test_rouge_l_is_that_of_rouge_score_0_1_2(answer, expected, score):
    assert metrics.rouge_l(answer, expected) == pytest.approx(score)


def test_rouge_l_reads_other_alphabets_too():
    assert metrics.rouge_l("Крај пута", "крај, пута") == 1


def test_field_f1_counts_fields_found_and_wanted():
    assert metrics.field_f1(RECIPE, RECIPE) == 1
    assert metrics.field_f1(RECIPE.replace("2", "3"), RECIPE) == 0.75
    assert metrics.field_f1('{"quantity": 2, "unit": "cup"}', RECIPE) == pytest.approx(2 * 2 / (2 + 4))
    assert metrics.field_f1("no json", RECIPE) == 0
    assert metrics.field_f1('{"a": {"b": [1, 2]}}', '{"a": {"b": [1, 3]}}') == 0.5


@pytest.mark.parametrize("answer, expected, score", [
    ("Paris", "Paris", 1), (" Paris \n", "Paris", 1), ("the  city", "the city", 1), ("paris", "Paris", 0),
    ("", "x", 0)])
def test_exact_match(answer, expected, score):
    assert metrics.exact_match(answer, expected) == score


@pytest.mark.parametrize("answer, expected, score", [
    ("the cat sat", "the cat", 2 / 3), ("The CAT.", "a cat", 1), ("a dog", "the cat", 0), ("", "the cat", 0),
    ("", "", 1), ("cat cat cat", "cat", 0.5), ("+", "-", 0), ("the", "the", 1)])
def test_token_f1_is_that_of_squad(answer, expected, score):
    """Values of SQuAD's evaluate-v1.1.py, but for texts of articles and signs alone, which it scores 0."""
    assert metrics.token_f1(answer, expected) == pytest.approx(score)


@pytest.mark.parametrize("answer, valid", [
    ('{"a": 1}', 1), (" [] \n", 1), ("null", 1), ('```json\n{"a": 1}\n```', 0), ('{"a": NaN}', 0), ("-Infinity", 0),
    ('Sure: {"a": 1}', 0), ("", 0), ("[" * 100_000, 0)])
def test_json_is_valid_by_its_standard_alone(answer, valid):
    assert metrics.json_valid(answer) == valid

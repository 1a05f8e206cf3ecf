"""How answers are judged."""

import pytest

from studio.errors import DataError
from studio.evaluation import metrics

RECIPE = '{"quantity": 2, "unit": "cup", "name": "flour", "preparation": null}'


@pytest.mark.parametrize("answer, expected, score", [
    (RECIPE, RECIPE, 1), ('```json\n{"a": 1}\n```', '{"a": 1}', 1), ('{"b": 2, "a": 1.0}', '{"a": 1, "b": 2}', 1),
    ('{"a": "1"}', '{"a": 1}', 0), ('{"a": true}', '{"a": 1}', 0), ('{"a": null}', "{}", 0), ("{}", "[]", 0),
    ('Sure: {"a": 1}', '{"a": 1}', 0), ("", '{"a": 1}', 0), ('[1, 2]', "[2, 1]", 0), ("[[[[", "[]", 0),
    ("[" * 100_000, "[]", 0), ("nonsense", "nonsense", 0), ('{"a": NaN}', '{"a": NaN}', 1)])
def test_json_match(answer, expected, score):
    assert metrics.json_match(answer, expected) == score


def test_chrf_is_that_of_sacrebleu_between_0_and_1():
    assert metrics.chrf("the cat sat", "the cat sat") == 1
    assert metrics.chrf("zzz", "the cat sat") == 0
    assert 0.3 < metrics.chrf("the cat sits", "the cat sat") < 0.9


def test_the_metric_follows_from_the_shape_of_the_answers():
    assert metrics.choose_metric("auto", ['{"a": 1}', "[]"]) == "json_match"
    assert metrics.choose_metric("auto", ["positive", "negative"]) == "exact_match"
    assert metrics.choose_metric("auto", ["The parcel was sent on Monday and should be with you soon."] * 2) == "chrf"
    assert metrics.choose_metric("token_f1", ['{"a": 1}']) == "token_f1"


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


def test_token_f1_is_that_of_squad():
    assert metrics.token_f1("the cat sat", "the cat") == pytest.approx(0.8)
    assert metrics.token_f1("The CAT.", "the cat") == 1
    assert metrics.token_f1("", "the cat") == 0 and metrics.token_f1("", "") == 1
    assert metrics.token_f1("a a a", "a") == pytest.approx(0.5)


def test_auto_takes_json_match_only_where_every_wanted_answer_is_an_object_or_array():
    assert metrics.choose_metric("auto", [RECIPE, "[1]"]) == "json_match"
    assert metrics.choose_metric("auto", [RECIPE, "yes"]) == "exact_match"
    assert metrics.choose_metric("auto", ["1", "2"]) == "exact_match"
    assert metrics.choose_metric("token_f1", [RECIPE]) == "token_f1"
    with pytest.raises(DataError) as error:
        metrics.choose_metric("json_match", [RECIPE, "yes"])
    assert error.value.field == "evaluation.metric"

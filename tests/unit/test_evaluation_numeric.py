"""The last number of an answer, and how near it must come."""

import pytest

from studio.evaluation.numeric import all_hold_numbers, are_numbers, last_number, numeric_match
from tests.seconds import least_seconds


@pytest.mark.parametrize(("text", "number"), [
    ("She has 3 apples, 4 pears: 7", 7), ("$1,234.50.", 1234.5), ("−5 °C", -5), ("it is -0.5", -0.5), ("5-3", 3),
    ("1e3 m", 1000), ("about .25", 0.25), ("x2 and H2O", None), ("", None), ("12,34", 12.34),
    ("7,5 kg", 7.5), ("1.234,56", 1234.56), ("1,2,3", 3), ("1,234", 1234), ("50%", 50),
    ("#### 1,000,000", 1e6), ("9" * 400, float("inf"))])
def test_the_last_number_is_read(text, number):
    assert last_number(text) == number


@pytest.mark.parametrize(("answer", "expected", "tolerance", "score"), [
    ("7.0", "7", 0, 1), ("7.1", "7", 0.01, 0), ("7.07", "7", 0.011, 1), ("-99", "-100", 0.01, 1),
    ("0.001", "0", 0.5, 0), ("0", "0", 0, 1),
    ("7,5", "3,5", 0, 0), ("3,7", "7", 0, 0),
    ("none", "7", 1, 0), ("7", "none", 1, 0), ("9" * 400, "9" * 400, 0, 1), ("1", "9" * 400, 0, 0)])
def test_a_number_matches_within_its_share(answer, expected, tolerance, score):
    assert numeric_match(answer, expected, tolerance) == score


def test_numbers_are_told_from_texts_with_numbers():
    assert are_numbers(["42", " $3.50", "7 km", "-1 %"])
    assert not are_numbers(["7,5", "1.234"]) and not all_hold_numbers(["it is 7,5"]), "1.234 may be 1234 here"
    assert all_hold_numbers(["of 7,5 and 2: 9.5"])
    assert not are_numbers(["42", "room 5"]) and not are_numbers(["no"]) and not are_numbers(["1 2"])


def test_a_long_row_of_signs_is_read_once():
    row = ["7" + "." * 50_000 + "abcd"]
    assert not are_numbers(row)
    assert least_seconds(lambda: are_numbers(row), below=0.5) < 0.5
    assert are_numbers(["7" + "." * 50_000 + "abc" + "-" * 50_000])

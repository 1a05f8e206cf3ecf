"""The report sets base and tuned model side by side and says how sure its figures are."""

import math

import pytest

from studio.evaluation.report import Answers, RowLosses, compare_answers, compare_perplexity


def answers(texts):
    return Answers(texts, generated_tokens=10 * len(texts), seconds=2.0, cut=1)


def test_counts_wins_and_puts_the_deciding_measure_first():
    wanted = ["a", "b", "c", "d"]
    report, predictions = compare_answers(
        ["q"] * 4, wanted, answers(["a", "x", "x", "d"]), answers(["a", "b", "c", "x"]), "exact_match", seed=1)
    figures = report["metrics"]["exact_match"]
    assert (figures["base"]["value"], figures["tuned"]["value"], figures["difference"]["value"]) == (0.5, 0.75, 0.25)
    assert (report["wins"], report["ties"], report["losses"], report["n"]) == (2, 1, 1, 4)
    assert list(report["metrics"]) == ["exact_match", "token_f1"]
    assert report["tuned"] == {"tokens_per_second": 20.0, "generated_tokens": 40, "seconds": 2.0, "cut_answers": 1}
    assert predictions[1] == {"prompt": "q", "expected": "b", "base": "x", "tuned": "b", "base_score": 0.0,
                              "tuned_score": 1.0}
    assert report["examples"][0]["expected"] == "d", "rows the tuned model lost come first"


def test_intervals_hold_the_value_shrink_with_rows_and_are_the_same_again():
    def report(rows):
        base, tuned = answers(["x"] * rows), answers(["a" if i % 2 else "x" for i in range(rows)])
        return compare_answers(["q"] * rows, ["a"] * rows, base, tuned, "exact_match", seed=3)[0]

    small, large = report(20), report(500)
    low, high = small["metrics"]["exact_match"]["tuned"]["interval"]
    assert low < 0.5 < high
    narrow_low, narrow_high = large["metrics"]["exact_match"]["tuned"]["interval"]
    # the normal approximation of a proportion: 0.5 +- 1.96 * sqrt(0.25 / 500)
    assert (narrow_low, narrow_high) == (pytest.approx(0.456, abs=0.01), pytest.approx(0.544, abs=0.01))
    assert report(20) == small


def test_difference_is_resampled_by_row():
    """Two models that are right on just the same rows differ by nothing, and surely so."""
    texts = ["a", "x"] * 20
    report, _ = compare_answers(["q"] * 40, ["a"] * 40, answers(texts), answers(texts), "exact_match", seed=3)
    assert report["metrics"]["exact_match"]["difference"] == {"value": 0.0, "interval": [0.0, 0.0]}


def test_json_measures_appear_for_json_answers_only():
    report, _ = compare_answers(["q"], ['{"a": 1}'], answers(["no"]), answers(['{"a": 2}']), "json_match", seed=1)
    assert set(report["metrics"]) == {"json_match", "json_valid", "field_f1", "exact_match", "token_f1"}
    assert report["metrics"]["json_valid"]["tuned"]["value"] == 1 and report["losses"] == 0 == report["wins"]


def test_perplexity_is_taken_over_tokens_and_lower_wins():
    base, tuned = RowLosses([20.0, 4.0], [10, 2], 1.0), RowLosses([10.0, 5.0], [10, 2], 1.0)
    report = compare_perplexity(base, tuned, seed=1)
    figures = report["metrics"]["perplexity"]
    assert figures["base"]["value"] == pytest.approx(math.exp(24 / 12))
    assert figures["tuned"]["value"] == pytest.approx(math.exp(15 / 12))
    assert figures["difference"]["value"] < 0 and not figures["higher_is_better"]
    assert (report["wins"], report["ties"], report["losses"]) == (1, 0, 1)

"""The report sets base and tuned model side by side and says how sure its figures are."""

import math

import pytest

from studio.evaluation.answers import Answer
from studio.evaluation.report import RowLosses, WayAnswers, compare_answers, compare_perplexity
from studio.evaluation.scores import Rules
from studio.evaluation.summary import reservations


def said(texts, prompt_tokens=20, examples=0):
    """Answers of 10 tokens each that took 2 seconds in all; the first one was cut."""
    answers = [Answer(text, prompt_tokens, 10, 2.0 / len(texts), cut=i == 0) for i, text in enumerate(texts)]
    return WayAnswers(answers, [examples] * len(texts))


def compare(wanted, metric="exact_match", seed=3, **ways):
    return compare_answers(["q"] * len(wanted), wanted, {way: said(texts) for way, texts in ways.items()}, metric, seed,
                           training_seconds=60)


def test_counts_wins_and_puts_the_deciding_measure_first():
    wanted = ["a", "b", "c", "d"]
    report, predictions = compare(wanted, base=["a", "x", "x", "d"], tuned=["a", "b", "c", "x"])
    figures = report["metrics"]["exact_match"]
    assert (figures["base"]["value"], figures["tuned"]["value"], figures["difference"]["value"]) == (0.5, 0.75, 0.25)
    assert (report["wins"], report["ties"], report["losses"], report["n"]) == (2, 1, 1, 4)
    assert list(report["metrics"]) == ["exact_match", "token_f1", "normalised_match", "rouge_l", "chrf"]
    assert report["tuned"] == {"tokens_per_second": 20.0, "generated_tokens": 40, "seconds": 2.0, "cut_answers": 1}
    assert predictions[1] == {"prompt": "q", "expected": "b", "base": "x", "tuned": "b", "base_score": 0.0,
                              "tuned_score": 1.0}
    assert [row["expected"] for row in report["worst"]] == ["d", "a", "b", "c"] and report["best"] == []


def test_best_and_worst_rows_are_those_of_the_largest_gain_and_loss():
    report, _ = compare(["a"] * 20, base=["a"] * 10 + ["x"] * 10, tuned=["x"] * 5 + ["a"] * 8 + ["x"] * 7)
    assert [row["row"] for row in report["worst"]] == [0, 1, 2, 3, 4]
    assert {row["row"] for row in report["best"]} >= {10, 11, 12} and len(report["best"]) == 5
    assert [row["tuned_score"] - row["base_score"] for row in report["best"]] == [1, 1, 1, 0, 0]


def test_a_metric_that_does_not_apply_is_named_and_another_one_decides():
    report, _ = compare(["a", "b"], "json_match", base=["a", "x"], tuned=["a", "b"])
    assert (report["metric"], report["refused_metric"]) == ("exact_match", "json_match")
    assert compare(["a", "b"], "auto", base=["a", "x"], tuned=["a", "b"])[0]["refused_metric"] == ""


def test_labels_have_macro_f1_with_an_interval_and_a_confusion_table():
    wanted = ["neg", "neg", "neu", "pos", "pos", "pos", "pos", "neu"]
    given = ["neg", "pos", "neu", "pos", "no idea", "The label is Pos.", "neu", "neg"]
    report, _ = compare(wanted, "auto", base=["pos"] * 8, tuned=given)
    assert report["metric"] == "label_accuracy" and report["metrics"]["label_accuracy"]["tuned"]["value"] == 0.5
    figure = report["ways"]["tuned"]["metrics"]["macro_f1"]
    # scikit-learn 1.9.1: f1_score(average="macro", labels=["neg", "neu", "pos"])
    assert figure["value"] == pytest.approx(0.5238095238095238)
    assert 0 <= figure["interval"][0] < figure["value"] < figure["interval"][1] <= 1
    assert report["labels"]["names"] == ["neg", "neu", "pos"]
    assert report["labels"]["confusion"]["tuned"] == [[1, 0, 1, 0], [1, 1, 0, 0], [0, 1, 2, 1]]


def test_answers_of_nothing_are_counted_and_cost_no_division_by_zero():
    silent = WayAnswers([Answer("", 20, 0, 0.0, False)] * 30, [0] * 30)
    report, _ = compare_answers(["q"] * 30, ["a"] * 30, {"base": said(["a"] * 30), "tuned": silent}, "auto", 3, 60)
    assert report["metrics"]["empty"]["tuned"]["value"] == 1 and not report["metrics"]["empty"]["higher_is_better"]
    assert report["tuned"]["tokens_per_second"] == 0 and report["ways"]["tuned"]["answer_words"] == 0
    assert report["wanted_words"] == 1


def test_equal_rows_are_equal_in_every_resample():
    """Sums of the same numbers may differ in their last digits, by where a library adds them up."""
    texts = [f"the cat {'sat ' * (i % 5)}" for i in range(50)]
    report, _ = compare(["the cat sat on a mat on a mat too"] * 50, base=texts, few_shot=texts, other=texts,
                        tuned=texts)
    assert report["metric"] == "exact_match"
    for figures in report["metrics"].values():  # what may have gone unseen in 50 rows
        assert figures["difference"] == {"value": 0.0, "interval": [-3 / 50, 3 / 50]}


def test_intervals_hold_the_value_shrink_with_rows_and_are_the_same_again():
    def report(rows):
        return compare(["a"] * rows, base=["x"] * rows, tuned=["a" if i % 2 else "x" for i in range(rows)])[0]

    small, large = report(20), report(500)
    low, high = small["metrics"]["exact_match"]["tuned"]["interval"]
    assert low < 0.5 < high
    narrow_low, narrow_high = large["metrics"]["exact_match"]["tuned"]["interval"]
    # the normal approximation of a proportion: 0.5 +- 1.96 * sqrt(0.25 / 500)
    assert (narrow_low, narrow_high) == (pytest.approx(0.456, abs=0.01), pytest.approx(0.544, abs=0.01))
    assert report(20) == small


def test_difference_is_resampled_by_row():
    """Two models that are right on just the same rows differ by nothing but what may have gone unseen."""
    texts = ["a", "x"] * 20
    report, _ = compare(["a"] * 40, base=texts, tuned=texts)
    assert report["metrics"]["exact_match"]["difference"] == {"value": 0.0, "interval": [-3 / 40, 3 / 40]}


def test_no_interval_is_without_width_however_even_the_rows():
    report, _ = compare(["a"] * 10, base=["x"] * 10, tuned=["a"] * 10)
    figures = report["metrics"]["exact_match"]
    assert figures["tuned"]["interval"] == figures["difference"]["interval"] == [pytest.approx(0.7), 1]
    assert report["ways"]["base"]["metrics"]["exact_match"]["interval"] == [0, pytest.approx(0.3)]
    assert report["against"]["base"]["difference"]["interval"][0] == pytest.approx(0.7)
    small, _ = compare(["a"] * 2, base=["x"] * 2, tuned=["a"] * 2)
    assert small["metrics"]["exact_match"]["difference"]["interval"] == [-0.5, 1], "as far as a difference can go"


def test_the_length_of_answers_has_its_interval():
    report, _ = compare(["a"] * 40, base=["x"] * 40, tuned=["a", "a b c"] * 20)
    way = report["ways"]["tuned"]
    low, high = way["answer_words_interval"]
    # the normal approximation of a mean: 2 +- 1.96 * 1 / sqrt(40)
    assert way["answer_words"] == 2 and (low, high) == (pytest.approx(1.69, abs=0.06), pytest.approx(2.31, abs=0.06))


def test_json_measures_appear_for_json_answers_only():
    report, _ = compare(['{"a": 1}'], "json_match", base=["no"], tuned=['{"a": 2}'])
    assert set(report["metrics"]) == {"json_match", "json_valid", "field_f1", "exact_match", "token_f1"}
    assert report["metrics"]["json_valid"]["tuned"]["value"] == 1 and report["losses"] == 0 == report["wins"]


def test_perplexity_is_taken_over_tokens_and_lower_wins():
    base, tuned = RowLosses([20.0, 4.0], [10, 2], 1.0), RowLosses([10.0, 5.0], [10, 2], 1.0)
    report = compare_perplexity(base, tuned, seed=1, training_seconds=60)
    figures = report["metrics"]["perplexity"]
    assert figures["base"]["value"] == pytest.approx(math.exp(24 / 12))
    assert figures["tuned"]["value"] == pytest.approx(math.exp(15 / 12))
    assert figures["difference"]["value"] < 0 and not figures["higher_is_better"]
    assert (report["wins"], report["ties"], report["losses"]) == (1, 0, 1)


def test_perplexity_of_the_wanted_answers_decides_where_it_was_measured():
    """Long answers weigh more, a row is won where its answer is likelier, and its score is a token's probability."""
    rows = 30
    tokens = [10, 2] * (rows // 2)
    losses = {"base": RowLosses([20.0, 6.0] * (rows // 2), tokens),
              "few_shot": RowLosses([10.0, 1.0] * (rows // 2), tokens),
              "tuned": RowLosses([5.0, 2.0] * (rows // 2), tokens)}
    ways = {way: said(["x"] * rows) for way in losses}
    report, predictions = compare_answers(["q"] * rows, ["a"] * rows, ways, "perplexity", 1, 60, Rules(losses=losses))
    assert (report["metric"], report["refused_metric"]) == ("perplexity", "")
    assert next(iter(report["metrics"])) == "perplexity"
    figure = report["ways"]["tuned"]["metrics"]["perplexity"]
    assert figure["value"] == pytest.approx(math.exp(7 / 12))
    assert figure["interval"][0] < figure["value"] < figure["interval"][1]
    assert not report["metrics"]["perplexity"]["higher_is_better"]
    few_shot = report["against"]["few_shot"]
    assert (few_shot["wins"], few_shot["losses"]) == (15, 15) and few_shot["difference"]["value"] < 0
    assert report["against"]["base"]["p_value"] < 0.001 and report["verdict"]["rival"] == "few_shot"
    assert predictions[0]["tuned_score"] == pytest.approx(math.exp(-0.5))
    assert "likely" in reservations(report)[0], "the page says what the percentage of a row is"
    unmeasured, _ = compare_answers(["q"] * rows, ["a"] * rows, ways, "perplexity", 1, 60)
    assert (unmeasured["metric"], unmeasured["refused_metric"]) == ("exact_match", "perplexity")


def test_every_way_has_its_figures_and_what_a_request_costs():
    ways = {"base": said(["x", "x"]), "few_shot": said(["a", "x"], prompt_tokens=90, examples=3),
            "tuned": said(["a", "b"])}
    report, predictions = compare_answers(["q"] * 2, ["a", "b"], ways, "exact_match", 1, 60)
    assert {way: found["metrics"]["exact_match"]["value"] for way, found in report["ways"].items()} == {
        "base": 0.0, "few_shot": 0.5, "tuned": 1.0}
    few_shot = report["ways"]["few_shot"]
    assert (few_shot["prompt_tokens"], few_shot["answer_tokens"], few_shot["examples"]) == (90, 10, 3)
    assert few_shot["seconds_per_request"] == 1.0 and few_shot["cut_answers"] == 1
    assert (predictions[0]["few_shot"], predictions[1]["few_shot_score"]) == ("a", 0.0)


def test_the_tuned_model_is_set_against_each_other_way_on_the_same_rows():
    wanted = ["a"] * 40
    report, _ = compare(wanted, base=["x"] * 40, few_shot=["a"] * 30 + ["x"] * 10, tuned=["x"] * 5 + ["a"] * 35)
    assert set(report["against"]) == {"base", "few_shot"}
    few_shot = report["against"]["few_shot"]
    assert (few_shot["wins"], few_shot["ties"], few_shot["losses"]) == (10, 25, 5)
    assert few_shot["difference"]["value"] == pytest.approx(5 / 40)
    low, high = few_shot["difference"]["interval"]
    # gains of 10 rows up, 5 down, 25 even: standard error of their mean is 0.095
    assert (low, high) == (pytest.approx(0.125 - 1.96 * 0.095, abs=0.02), pytest.approx(0.125 + 1.96 * 0.095, abs=0.02))
    assert few_shot["p_value"] == pytest.approx(0.19, abs=0.06)
    assert report["against"]["base"]["p_value"] == pytest.approx(1 / 4000)


def test_the_verdict_says_when_the_shorter_prompt_has_paid_for_the_training():
    ways = {"base": said(["x"] * 30), "few_shot": said(["a"] * 15 + ["x"] * 15), "tuned": said(["a"] * 30)}
    quick = [Answer("a", 20, 10, 0.01, False)] * 30
    report, _ = compare_answers(["q"] * 30, ["a"] * 30, ways | {"tuned": WayAnswers(quick, [0] * 30)}, "exact_match",
                                1, training_seconds=60)
    saved = 2 / 30 - 0.01
    assert report["verdict"] == {"outcome": "worth_it", "rival": "few_shot", "rows_needed": None, "cheaper_from": None,
                                 "break_even_requests": pytest.approx(60 / saved, abs=60)}
    assert report["training_seconds"] == 60

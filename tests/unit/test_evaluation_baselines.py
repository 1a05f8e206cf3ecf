"""What the untouched model reaches before any training: figures by way, and what follows from them."""

import json

import pytest

from studio.evaluation.answers import Answer
from studio.evaluation.baselines import FILE, baseline_rows, baselines_words, read_baselines
from studio.evaluation.perplexity import RowLosses
from studio.evaluation.report import WayAnswers
from studio.evaluation.scores import Rules
from studio.evaluation.summary import reservations
from studio.evaluation.untuned import compare_baselines


def found(rows=40, metric="exact_match", **right):
    """Baselines in which each way is right on so many of the first rows."""
    ways = {way: WayAnswers([Answer("yes" if i < count else "no", 30, 2, 0.5, False) for i in range(rows)], [3] * rows)
            for way, count in right.items()}
    return compare_baselines([f"q{i}" for i in range(rows)], ["yes"] * rows, ways, metric, 1, Rules())


def test_each_way_has_its_figures_and_costs_and_the_best_is_named():
    baselines = found(base=4, few_shot=20, endpoint=12)
    assert (baselines["n"], baselines["metric"], baselines["best"]) == (40, "exact_match", "few_shot")
    few_shot = baselines["ways"]["few_shot"]
    low, high = few_shot["metrics"]["exact_match"]["interval"]
    assert few_shot["metrics"]["exact_match"]["value"] == 0.5 and 0.3 < low < 0.5 < high < 0.7
    assert (few_shot["prompt_tokens"], few_shot["answer_tokens"], few_shot["examples"]) == (30, 2, 3)
    assert baselines["samples"][0] == {"prompt": "q0", "expected": "yes", "base": "yes", "few_shot": "yes",
                                       "endpoint": "yes"}
    assert [(row.figure.split()[0], row.prompt_tokens, row.gain) for row in baseline_rows(baselines)] == [
        ("10", "30", ""), ("50", "30", ""), ("30", "30", "")]


def test_a_metric_that_cannot_judge_is_replaced():
    baselines = found(base=1, metric="json_match")
    assert (baselines["metric"] != "json_match", baselines["refused_metric"]) == (True, "json_match")
    assert reservations(baselines)[0].startswith("JSON equal was chosen and cannot judge these rows")
    assert reservations(found(base=1)) == [] and found(base=1)["refused_metric"] == ""


def test_ways_that_say_nothing_and_what_was_left_out_are_told():
    silent = WayAnswers([Answer("", 30, 0, 0.5, True)] * 20, [0] * 20)
    baselines = compare_baselines(["q"] * 20, ["yes"] * 20, {"base": silent}, "auto", 1, Rules()) | {
        "notes": ["2 of 22 rows are left out."]}
    left_out, said_nothing, cut = reservations(baselines)
    assert left_out == "2 of 22 rows are left out."
    assert "no answer on 20 of 20 rows" in said_nothing and "20 of 20 answers reached the length limit" in cut


def test_what_an_earlier_studio_found_is_read(tmp_path):
    earlier = {name: part for name, part in found(base=1).items() if name not in ("refused_metric", "notes")}
    (tmp_path / FILE).write_text(json.dumps(earlier))
    assert reservations(read_baselines(tmp_path)) == []


def test_where_perplexity_decides_the_lowest_is_the_best():
    ways = {way: WayAnswers([Answer("no", 30, 2, 0.5, False)] * 20, [3] * 20) for way in ("base", "few_shot")}
    losses = {"base": RowLosses([20.0] * 20, [10] * 20), "few_shot": RowLosses([10.0] * 20, [10] * 20)}
    baselines = compare_baselines(["q"] * 20, ["yes"] * 20, ways, "perplexity", 1, Rules(losses=losses))
    assert (baselines["metric"], baselines["best"]) == ("perplexity", "few_shot")
    assert baselines_words(baselines).startswith("The way that foresees the wanted answers best")
    assert baseline_rows(baselines)[1].figure.startswith("2.7")


def test_a_row_right_in_every_case_is_no_certainty():
    low, high = found(base=12, rows=12)["ways"]["base"]["metrics"]["exact_match"]["interval"]
    assert (low, high) == (pytest.approx(0.75), 1)


@pytest.mark.parametrize(("figures", "said"), [
    ({"base": 39}, "Try whether that is enough before you train"), ({"base": 32}, "Training has room to gain"),
    ({"base": 0}, "Training has room to gain"), ({"base": 12, "rows": 12}, "Too few rows to judge by")])
def test_what_follows_is_said(figures, said):
    assert said in baselines_words(found(**figures))


def test_a_torn_or_missing_file_is_nothing(tmp_path):
    assert read_baselines(tmp_path) is None
    (tmp_path / FILE).write_text('{"n": ')
    assert read_baselines(tmp_path) is None
    (tmp_path / FILE).write_text(json.dumps(found(base=1)))
    assert read_baselines(tmp_path) == found(base=1)

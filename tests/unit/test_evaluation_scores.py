"""Which measures fit which answers, and that one which cannot apply is not taken."""

from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.evaluation.refusals import PHRASES
from studio.evaluation.scores import Rules, applies, choose_metric, read_rules, score_ways
from studio.preset.answer_checks import parse_checks
from studio.preset.schema import EvaluationSection
from studio.settings import PROJECT_DIR

LONG = "The parcel was sent on Monday and should be with you soon."
SINGERS = "CREATE TABLE singer (name TEXT, age INTEGER)"


@pytest.mark.parametrize(("expected", "metric"), [
    (['{"a": 1}', "[]"], "json_match"), (['{"a": 1}', "yes"], "exact_match"), (["1", "2"], "numeric_match"),
    (["12 km", "$3.50"], "numeric_match"), (["2 + 2 = 4\n#### 4", "so\n#### 1,200"], "numeric_match"),
    (["positive", "negative"] * 3, "label_accuracy"), (["1", "0"] * 3, "label_accuracy"),
    (["positive", "negative"], "exact_match"), ([LONG, LONG], "chrf"), (["room 5", "house 7 b"], "exact_match"),
    (["SELECT 1", "SELECT 2"], "exact_match")])
def test_the_metric_follows_from_the_shape_of_the_answers(expected, metric):
    assert choose_metric("auto", expected) == metric


def test_queries_are_run_where_their_tables_are_known():
    wanted = ["SELECT name FROM singer", "SELECT count(*) FROM singer"]
    assert choose_metric("auto", wanted, Rules((SINGERS, SINGERS))) == "sql_match"
    assert choose_metric("auto", wanted, Rules((SINGERS, ""))) == "exact_match"
    assert choose_metric("auto", [*wanted[:1], "SELECT nobody FROM singer"], Rules((SINGERS, SINGERS))) != "sql_match"


@pytest.mark.parametrize(("metric", "expected"), [
    ("json_match", ["{}", "no"]), ("field_f1", ["no"]), ("label_accuracy", [LONG, "a"]), ("numeric_match", ["1", "no"]),
    ("sql_match", ["SELECT 1"]), ("checks", ["a"])])
def test_a_metric_that_cannot_apply_is_not_taken(metric, expected):
    assert not applies(metric, expected, Rules())
    assert choose_metric(metric, expected) != metric


def test_a_metric_that_applies_is_taken_as_chosen():
    assert choose_metric("token_f1", ['{"a": 1}']) == "token_f1"
    assert choose_metric("numeric_match", ["room 5", "house 7 b"]) == "numeric_match"
    assert choose_metric("checks", ["a"], Rules(checks=tuple(parse_checks("short: words < 3")))) == "checks"


@pytest.mark.parametrize("metric", get_args(EvaluationSection.model_fields["metric"].annotation))
@pytest.mark.parametrize("expected", [['{"a": 1}', "[2]"], ["1", "2"], ["yes", "no"] * 2, [LONG, "SELECT 1"]])
def test_every_metric_that_can_be_chosen_gets_scores(metric, expected):
    decides = choose_metric(metric, expected)
    scores = score_ways({"base": expected, "tuned": expected}, expected, decides, Rules())
    assert next(iter(scores)) == decides and set(scores[decides]["tuned"]) == {1}


def test_the_persons_checks_count_one_by_one_and_together():
    checks = parse_checks("short: words <= 2\npolite: contains please\nbomb: matches ^(a|a|b?)*(a|aa)*$")
    answers = {"base": ["please wait here", "a" * 40 + "!"], "tuned": ["please", "aaa"]}
    scores = score_ways(answers, ["x", "y"], "checks", Rules(checks=tuple(checks)))
    assert next(iter(scores)) == "checks"
    assert scores["check.short"] == {"base": [0, 1], "tuned": [1, 1]}
    assert scores["check.bomb"]["base"][1] == 0, "a pattern without an end fails the answer, not the comparison"
    assert scores["checks"]["tuned"] == [pytest.approx(2 / 3), pytest.approx(2 / 3)]


def test_refusals_and_silence_are_told_only_where_there_are_any():
    assert not {"refusals", "empty"} & set(score_ways({"base": ["a"], "tuned": ["b"]}, ["a"], "exact_match", Rules()))
    scores = score_ways({"base": ["I’m sorry, but no.", " "], "tuned": ["a", "a"]}, ["a", "a"], "exact_match", Rules())
    assert scores["refusals"]["base"] == [1, 0] and scores["empty"]["base"] == [0, 1]


def test_a_refusal_that_is_wanted_or_comes_late_is_none():
    said = {"The letter says: " + "word " * 40 + ". I cannot come.": 0, "Billing, but I cannot be sure.": 0,
            "As an AI I may not.": 1, "Hm. I can't do that.": 1, "Sorry, but I won't.": 1, "I cannotate it.": 0,
            "Unfortunately I am unable to.": 1, "A pizza": 0}
    answers = [*said, "I cannot do that."]
    scores = score_ways({"base": answers, "tuned": ["a"] * 9}, [*["a"] * 8, "I can't."], "exact_match", Rules())
    assert scores["refusals"]["base"] == [*said.values(), 0]


def test_rules_come_from_the_preset_and_tables_from_the_question_where_it_has_none():
    question = [{"role": "system", "content": f"Schema:\n{SINGERS}"}, {"role": "user", "content": "How many?"}]
    rules = read_rules(EvaluationSection(checks="short: words < 9", numeric_tolerance=0.1), [question, "no tables"])
    assert rules.tables == (SINGERS, "") and rules.checks[0].name == "short" and rules.tolerance == 0.1
    assert read_rules(EvaluationSection(sql_schema="CREATE TABLE t (x)"), [question]).tables == ("CREATE TABLE t (x)",)


def test_likeness_in_meaning_decides_only_where_it_was_measured():
    measured = Rules(measured={"embedding_similarity": {"base": [0.25], "tuned": [0.5]}})
    assert choose_metric("embedding_similarity", ["ja"], measured) == "embedding_similarity"
    assert choose_metric("embedding_similarity", ["ja"], Rules()) == "exact_match"
    scores = score_ways({"base": ["ne"], "tuned": ["da"]}, ["ja"], "embedding_similarity", measured)
    assert next(iter(scores.items())) == ("embedding_similarity", {"base": [0.25], "tuned": [0.5]})
    assert "exact_match" in scores


def test_the_page_on_evaluation_names_every_measure_and_every_phrase():
    page = (PROJECT_DIR / "docs" / "evaluation.md").read_text()
    flat = " ".join(page.split())
    for name in [*get_args(EvaluationSection.model_fields["metric"].annotation), "refusals", "empty", "macro_f1",
                 "json_valid", "perplexity"]:
        assert f"`{name}`" in page, name
    for phrase in PHRASES:
        assert f'"{phrase}"' in flat, phrase


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.text(max_size=12), min_size=1, max_size=6), st.text(max_size=30))
def test_whatever_is_wanted_and_answered_gets_scores_between_0_and_1(expected, answer):
    rules = Rules(tuple("CREATE TABLE t (x)" for _ in expected), tuple(parse_checks("short: words < 3")))
    metric = choose_metric("auto", expected, rules)
    scores = score_ways({"base": [answer] * len(expected), "tuned": expected}, expected, metric, rules)
    assert next(iter(scores)) == metric
    assert all(0 <= score <= 1 for ways in scores.values() for row in ways.values() for score in row)
    assert set(scores[metric]["tuned"]) == {1}, "the wanted answer is right"

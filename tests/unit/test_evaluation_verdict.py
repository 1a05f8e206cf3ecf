"""The verdict follows its rule: one task for each outcome, among them one on which examples in the prompt win."""

import pytest

from studio.evaluation.answers import Answer
from studio.evaluation.costs import price_report
from studio.evaluation.report import RowLosses, WayAnswers, compare_answers, compare_perplexity
from studio.evaluation.verdict import MIN_ROWS, Outcome, Verdict, break_even_requests, decide, weigh_costs
from studio.preset.schema import PlanSection

EVEN = [i % 2 == 0 for i in range(80)]


def right(count, rows=80):
    """A way that is right on the first `count` rows."""
    return [i < count for i in range(rows)]


def verdict(**ways) -> Verdict:
    """The verdict on ways given as right or wrong by row."""
    rows = len(ways["tuned"])
    said = {way: WayAnswers([Answer("a" if hit else "x", 20, 5, 0.1, False) for hit in hits], [0] * rows)
            for way, hits in ways.items()}
    return decide(compare_answers(["q"] * rows, ["a"] * rows, said, "exact_match", 3, training_seconds=60)[0])


def test_worth_it_when_the_tuned_model_is_surely_better_than_every_other_way():
    assert verdict(base=right(2), few_shot=right(30), retrieval=right(40), tuned=right(70)) == Verdict(
        Outcome.WORTH_IT, "retrieval")


def test_its_own_checkpoints_do_not_say_whether_the_training_was_worth_it():
    said = {way: WayAnswers([Answer("a" if hit else "x", 20, 5, 0.1, False) for hit in right(count)], [0] * 80)
            for way, count in (("base", 2), ("Checkpoint 20", 70), ("tuned", 70))}
    found = [compare_answers(["q"] * 80, ["a"] * 80, said, "exact_match", 3, 60, own=frozenset(own))[0]["verdict"]
             for own in (["Checkpoint 20"], [])]
    assert [verdict["rival"] for verdict in found] == ["base", "Checkpoint 20"]
    assert [verdict["outcome"] for verdict in found] == [Outcome.WORTH_IT, Outcome.BETTER_PROMPT]


def test_a_better_prompt_is_enough_where_examples_in_the_prompt_win():
    found = verdict(base=right(5), few_shot=right(76), retrieval=right(40), tuned=right(50))
    assert found == Verdict(Outcome.BETTER_PROMPT, "few_shot")


def test_a_better_prompt_is_enough_where_the_training_brings_no_more():
    assert verdict(base=right(70), tuned=right(70)) == Verdict(Outcome.BETTER_PROMPT, "base")


def test_few_rows_without_a_difference_do_not_show_that_there_is_none():
    """Twenty equal rows leave room for 15 points; resampling alone would be sure of 0."""
    assert verdict(base=right(20, 20), tuned=right(20, 20)) == Verdict(Outcome.CANNOT_TELL, "base", 60)
    assert verdict(base=right(60, 60), tuned=right(60, 60)).outcome is Outcome.BETTER_PROMPT
    assert verdict(base=right(0, 20), tuned=right(20, 20)) == Verdict(Outcome.WORTH_IT, "base")


def test_more_rows_where_the_tuned_model_is_best_but_mostly_wrong():
    assert verdict(base=right(0), few_shot=right(5), tuned=right(30)).outcome is Outcome.MORE_ROWS


def test_more_rows_where_a_prompt_wins_but_is_mostly_wrong_too():
    found = verdict(base=right(0), few_shot=right(30), tuned=right(5))
    assert found == Verdict(Outcome.MORE_ROWS, "few_shot")


def test_cannot_tell_from_a_handful_of_rows_however_clear_they_look():
    found = verdict(base=right(0, 8), tuned=right(8, 8))
    assert found == Verdict(Outcome.CANNOT_TELL, "base", MIN_ROWS)


def test_cannot_tell_where_the_interval_holds_both_and_says_how_many_rows_would():
    found = verdict(few_shot=EVEN, base=right(0), tuned=right(47))
    assert found.outcome is Outcome.CANNOT_TELL and found.rival == "few_shot"
    assert found.rows_needed > 80


@pytest.mark.parametrize(("rows", "wins", "needed"), [(20, 1, 80), (41, 2, 82), (80, 3, 107)])
def test_a_difference_on_a_handful_of_rows_needs_four_of_them(rows, wins, needed):
    """Their interval touches 0, which one row more would not change."""
    for ways in ({"base": right(rows - wins, rows), "tuned": right(rows, rows)},
                 {"tuned": right(rows - wins, rows), "base": right(rows, rows)}):
        assert verdict(**ways) == Verdict(Outcome.CANNOT_TELL, "base", needed)
    assert verdict(base=right(needed - 4, needed), tuned=right(needed, needed)).outcome is Outcome.WORTH_IT


def test_wins_and_losses_that_even_out_need_no_number_of_rows():
    found = verdict(base=[i > 2 for i in range(60)], tuned=[i < 57 for i in range(60)])
    assert found == Verdict(Outcome.CANNOT_TELL, "base", None)


def test_a_way_that_is_surely_worse_is_no_rival():
    """Best by value is not the question: the rival is the best of those that the tuned model does not surely beat."""
    found = verdict(base=right(10), few_shot=right(66), tuned=right(66))
    assert found == Verdict(Outcome.BETTER_PROMPT, "few_shot")


@pytest.mark.parametrize(("tuned", "outcome"), [(10.0, Outcome.WORTH_IT), (30.0, Outcome.BETTER_PROMPT)])
def test_lower_perplexity_wins(tuned, outcome):
    def losses(nll):
        return RowLosses([nll + i % 3 for i in range(30)], [10] * 30, 1.0)

    report = compare_perplexity(losses(20.0), losses(tuned), seed=1, training_seconds=60)
    assert decide(report).outcome is outcome and report["verdict"]["break_even_requests"] is None


@pytest.mark.parametrize(("plan", "machine", "others", "outcome", "requests"), [
    ({}, None, {}, Outcome.CHEAPER, 43),
    ({"requests_per_month": 4}, None, {}, Outcome.CHEAPER, 43),
    ({"requests_per_month": 3}, None, {}, Outcome.BETTER_PROMPT, None),  # 14 months
    ({"machine_price_per_hour": 1}, 10.0, {}, Outcome.CHEAPER, 429),  # trained on a dearer machine
    ({}, None, {"base": (70, 0.1)}, Outcome.BETTER_PROMPT, None),  # so is the bare prompt, which costs nothing
    ({}, None, {"base": (70, 1.0)}, Outcome.CHEAPER, 67),
    ({}, None, {"base": (70, 0.105)}, Outcome.BETTER_PROMPT, None),  # as quick, but for chance
    ({}, None, {"few_shot": (71, 1.5)}, Outcome.CHEAPER, 43),
    ({}, None, {"few_shot": (78, 1.5)}, Outcome.BETTER_PROMPT, None),  # surely better
    ({}, None, {"other run": (71, 9.0)}, Outcome.BETTER_PROMPT, None),  # trained, too
])
def test_as_good_and_cheaper_where_the_training_pays_for_itself(plan, machine, others, outcome, requests):
    figures = {"base": (0, 0.1), "few_shot": (70, 1.5), **others, "tuned": (70, 0.1)}
    said = {way: WayAnswers([Answer("a" if hit else "x", 20, 5, seconds, False) for hit in right(count)], [0] * 80)
            for way, (count, seconds) in figures.items()}
    report = compare_answers(["q"] * 80, ["a"] * 80, said, "exact_match", 3, training_seconds=60)[0]
    report |= price_report(report, PlanSection(**plan), machine, None)
    found = weigh_costs(report)
    assert (found["outcome"], found["cheaper_from"]) == (outcome, requests)
    assert weigh_costs(report | {"verdict": found}) == found


@pytest.mark.parametrize(("prices", "outcome"), [
    ({}, Outcome.BETTER_PROMPT),
    ({"price_per_million_input_tokens": 50, "machine_price_per_hour": 1}, Outcome.CHEAPER),
    ({"price_per_million_input_tokens": 0.1, "machine_price_per_hour": 1}, Outcome.BETTER_PROMPT)])
def test_against_a_service_money_decides(prices, outcome):
    said = {way: WayAnswers([Answer("a" if hit else "x", 20, 5, 0.1, False) for hit in hits], [0] * 80)
            for way, hits in (("base", right(0)), ("endpoint", right(70)), ("tuned", right(70)))}
    report = compare_answers(["q"] * 80, ["a"] * 80, said, "exact_match", 3, training_seconds=60)[0]
    found = weigh_costs(report | price_report(report, PlanSection(**prices), None, None))
    assert found["outcome"] == outcome and (found["cheaper_from"] is None) == (outcome is Outcome.BETTER_PROMPT)


def test_break_even_counts_whole_requests_and_there_is_none_without_a_saving():
    assert break_even_requests(100, 0.5, 0.2) == 334
    assert break_even_requests(100, 0.2, 0.19) is None, "as quick, but for chance"
    assert break_even_requests(100, 0.2, 0.2) is None and break_even_requests(100, 0.1, 0.2) is None

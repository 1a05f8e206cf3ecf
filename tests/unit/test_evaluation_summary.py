"""The report in words: each outcome is explained by its figures, and nothing a run carries becomes markup."""

from typing import get_args

import pytest

from studio.evaluation.answers import Answer
from studio.evaluation.costs import price_report
from studio.evaluation.page import render_page
from studio.evaluation.report import RowLosses, WayAnswers, compare_answers, compare_perplexity
from studio.evaluation.scores import Rules, applies
from studio.evaluation.summary import signed, summarise, way_name
from studio.evaluation.verdict import Outcome, weigh_costs
from studio.preset.schema import EvaluationSection, PlanSection
from studio.texts import text
from tests.finished_run import REPORT

HOSTILE = "<script>alert(1)</script>\"'{{1+1}}"


def report(rows=80, prompt="q", **right):
    """A report on ways that are right on so many of the first rows; examples make prompts longer and slower."""
    costs = {"base": (40, 0.4), "few_shot": (180, 0.9), "endpoint": (40, 0.9), "Tuned model of other": (40, 0.9),
             "tuned": (40, 0.3)}
    ways = {way: WayAnswers([Answer("a" if i < count else "x", costs[way][0], 10, costs[way][1], False)
                             for i in range(rows)], [0] * rows) for way, count in right.items()}
    return compare_answers([prompt] * rows, ["a"] * rows, ways, "exact_match", 3, training_seconds=391)[0]


def planned(found, **plan):
    """The report of a person who told what they plan."""
    found = found | price_report(found, PlanSection(**plan), None, None)
    return found | {"verdict": weigh_costs(found)}


@pytest.mark.parametrize(("figures", "outcome", "said"), [
    ({"base": 0, "few_shot": 5, "tuned": 70}, Outcome.WORTH_IT, "is paid for after 652 requests"),
    ({"base": 0, "few_shot": 5, "tuned": 30}, Outcome.MORE_ROWS, "the best of them, reaches less than 50 %"),
    ({"base": 0, "few_shot": 76, "tuned": 50}, Outcome.BETTER_PROMPT, "with that prompt is surely better, without any"),
    ({"base": 0, "few_shot": 70, "tuned": 70}, Outcome.CHEAPER, "no better answers, but from 652 requests on nothing"),
    ({"base": 0, "tuned": 8, "rows": 8}, Outcome.CANNOT_TELL, "too few rows"),
])
def test_each_outcome_is_explained(figures, outcome, said):
    summary = summarise(report(**figures))
    assert summary.headline == text(f"evaluation.headline.{outcome.value}", requests="652")
    assert said in " ".join(summary.grounds)


def test_where_the_bare_model_does_as_well_no_prompt_is_spoken_of():
    even = summarise(planned(report(base=70, tuned=70), requests_per_month=100))
    assert even.headline == "The untouched model is as good or better."
    assert "training brings no better answers" in even.grounds[2]
    assert even.grounds[3].endswith("is paid for after 3,910 requests, 39.1 months."), "longer than a year"
    ahead = summarise(report(base=70, tuned=30))
    losses = [RowLosses([nll + i % 3 for i in range(30)], [10] * 30, 1.0) for nll in (10.0, 20.0)]
    text_ahead = summarise(compare_perplexity(*losses, seed=1, training_seconds=60))
    for summary in (ahead, text_ahead):
        assert summary.headline == even.headline
        assert summary.grounds[2] == "The untouched model is surely better, without any training."


def test_another_model_that_does_as_well_was_trained_too():
    summary = summarise(report(base=0, **{"Tuned model of other": 70}, tuned=70))
    assert summary.grounds[2] == "The two are surely within 5 points of each other."


def test_a_prompt_that_is_better_is_told_beside_what_got_better_than_the_bare_model():
    """Savings that are bought with worse answers say so."""
    summary = summarise(report(base=5, few_shot=78, tuned=60))
    assert summary.worse == ["Exact match: 75 % instead of 98 % (base model, examples in the prompt)"]
    assert summary.grounds[3].endswith("652 requests. But the tuned model's answers are surely worse.")
    ahead = summarise(report(base=5, few_shot=20, tuned=75))
    assert "Exact match: 94 % instead of 25 % (base model, examples in the prompt)" in ahead.better
    assert "surely worse" not in " ".join(ahead.grounds)


def test_a_difference_of_one_is_one_point():
    assert [signed(value, "chrf") for value in (0.01, -0.006, 0.02)] == ["+1 point", "−1 point", "+2 points"]


def test_what_is_paid_for_soon_is_paid_for_within_the_first_month():
    summary = summarise(planned(report(base=5, few_shot=20, endpoint=20, tuned=75), requests_per_month=1_000_000,
                                machine_price_per_hour=1, price_per_million_input_tokens=10))
    assert "after 652 requests, within the first month." in " ".join(summary.grounds)
    assert ("Paid for against that service", "after 343 requests, within the first month") in summary.costs


def test_a_service_that_is_as_good_is_set_against_by_money():
    found = report(base=0, endpoint=70, tuned=70)
    assert summarise(found).headline == "The other service: as good or better."
    summary = summarise(planned(found, price_per_million_input_tokens=10, machine_price_per_hour=1))
    assert summary.headline == "The tuned model is as good, and cheaper from 343 requests on."
    assert summary.grounds[3] == ("1,000 requests to the tuned model cost $0.08 instead of $0.40: the training ($0.11) "
                                  "is paid for after 343 requests.")


@pytest.mark.parametrize(("tuned", "sign", "tone"), [(10.0, "+", "better"), (30.0, "−", "worse")])
def test_ahead_by_is_more_where_less_is_better(tuned, sign, tone):
    losses = [RowLosses([nll + i % 3 for i in range(30)], [10] * 30, 1.0) for nll in (20.0, tuned)]
    row = summarise(compare_perplexity(*losses, seed=1, training_seconds=60)).rows[0]
    assert row.gain.startswith(sign) and row.tone == tone


def test_rows_needed_are_told_for_a_difference_and_for_none():
    assert "About 80 compared rows would show it" in summarise(report(base=19, tuned=20, rows=20)).grounds[2]
    same = summarise(report(base=20, tuned=20, rows=20)).grounds[2]
    assert "two are equal. About 60 rows" in same and "chance" not in same


def test_another_model_that_is_better_is_no_better_prompt():
    summary = summarise(report(base=0, endpoint=76, tuned=50))
    said = " ".join([summary.headline, *summary.grounds])
    assert summary.headline == "The other service: as good or better." and "That model is surely better" in said
    assert "untouched model" not in said and "paid for" not in said, "its time costs nothing on this machine"


def test_times_are_compared_only_where_they_can_be():
    """A service's seconds are none of this machine; another tuned model's are, but it was trained too."""
    found = report(base=0, endpoint=76, tuned=50)
    summary = summarise(found)
    assert found["verdict"]["break_even_requests"] is None
    assert not any("s a request instead of" in line for line in [*summary.better, *summary.worse])
    found = report(base=0, **{"Tuned model of other": 76}, tuned=50)
    summary = summarise(found)
    assert found["verdict"]["break_even_requests"] is None and "paid for" not in " ".join(summary.grounds)
    assert "0.3 s a request instead of 0.9 s (tuned model of other)" in summary.better


def test_judge_and_general_questions_are_told():
    win_rate = {"value": 0.75, "interval": [0.6, 0.9]}
    judge = {"model": "big", "against": "few_shot", "n": 40, "wins": 28, "ties": 4, "losses": 8, "win_rate": win_rate,
             "swayed": 3, "unclear": 1}
    guard = {"questions": 30, "base": 0.5, "tuned": 0.4, "forgotten": False,
             "perplexity": {"base": 40.0, "tuned": 41.0, "ratio": {"value": 1.025}}}
    judged, known = summarise(report(base=0, tuned=70) | {"judge": judge, "guard": guard}).further
    assert "75 % (60 % to 90 %) of 40 pairs" in judged and "28 wins, 4 ties, 8 losses" in judged
    assert "the same place both times: 3." in judged and "held no verdict: 1." in judged
    assert "15 of 30 before, 12 after" in known and "No sign of forgetting" in known
    summary = summarise(report(base=0, tuned=70) | {"guard": guard | {"forgotten": True}})
    assert summary.further == [] and "forgot general knowledge" in summary.worse[-1]
    silent = summarise(report(base=0, tuned=70) | {"judge": judge | {"win_rate": None}})
    assert "did not answer in form" in silent.further[0]


def test_the_grounds_name_rows_figures_and_the_rival():
    first, second, *_ = summarise(report(base=0, few_shot=5, tuned=70)).grounds
    assert "80 held-out rows" in first and "88 % (80 % to 94 %)" in first
    assert "base model, examples in the prompt" in first
    assert "+81 points" in second and "p below 0.001" in second and "better on 65 rows, worse on 0" in second


def test_the_table_has_each_way_with_its_costs():
    rows = summarise(report(base=0, few_shot=5, tuned=70)).rows
    assert [row.name for row in rows] == [way_name(way) for way in ("base", "few_shot", "tuned")]
    few_shot = rows[1]
    assert (few_shot.prompt_tokens, few_shot.seconds, few_shot.duels) == ("180", "0.9 s", "65 / 15 / 0")
    assert few_shot.tone == "better"
    assert rows[2].gain == rows[2].duels == "", "it is not set against itself"


def test_plain_text_has_no_costs_of_requests():
    losses = [RowLosses([nll + i % 3 for i in range(30)], [10] * 30, 1.0) for nll in (20.0, 10.0)]
    summary = summarise(compare_perplexity(*losses, seed=1, training_seconds=60))
    assert summary.headline.startswith("Worth it") and summary.rows[0].prompt_tokens == ""
    assert not any("request" in ground for ground in summary.grounds)


def test_what_got_better_and_worse_is_only_what_is_sure():
    summary = summarise(report(base=30, few_shot=40, tuned=70))
    assert summary.better[0] == "Exact match: 88 % instead of 38 % (+50 points)"
    assert "Better than the base model on 40 of 80 rows" in summary.better
    assert any("40 tokens instead of 180 (base model, examples in the prompt)" in line for line in summary.better)
    assert any(line.startswith("0.3 s a request instead of 0.9 s") for line in summary.better)
    assert summary.worse == ["Nothing is surely worse than with the base model."]
    worse = summarise(report(base=70, few_shot=40, tuned=30))
    assert worse.worse[0].startswith("Exact match: 38 % instead of 88 %")
    assert "Worse than the base model on 40 of 80 rows" in worse.worse
    unsure = summarise(report(base=40, tuned=41))
    assert unsure.better[0] == "Better than the base model on 1 of 80 rows"


def test_answers_that_run_on_are_worse():
    said = {way: WayAnswers([Answer(text, 20, 10, 0.1, False)] * 30, [0] * 30)
            for way, text in (("base", "x"), ("tuned", "a and so on"))}
    found = summarise(compare_answers(["q"] * 30, ["a"] * 30, said, "token_f1", 3, 60)[0])
    assert "Answers of 4 words on average; 1 were wanted" in found.worse


def test_what_was_forgotten_is_worse():
    forgotten = {"questions": 20, "base": 0.9, "tuned": 0.3, "forgotten": True,
                 "perplexity": {"base": 12.0, "tuned": 24.0, "ratio": {"value": 2.0, "interval": [1.5, 2.5]}}}
    summary = summarise(report(base=0, tuned=70) | {"guard": forgotten})
    assert any("18 of 20 before, 6 after" in line for line in summary.worse)


def test_ways_that_say_nothing_or_too_much_are_named():
    silent = WayAnswers([Answer("", 20, 0, 0.0, False)] * 30, [0] * 30)
    cut = WayAnswers([Answer("x " * 9, 20, 9, 0.1, True)] * 30, [0] * 30)
    found, _ = compare_answers(["q"] * 30, ["a"] * 30, {"base": cut, "tuned": silent}, "json_match", 3, 60)
    refused, cut_note, silent_note = summarise(found).notes
    assert refused.startswith("JSON equal was chosen and cannot judge these rows: some wanted answers are no JSON.")
    assert refused.endswith("Exact match decided instead.")
    assert cut_note.startswith("Base model: 30 of 30 answers reached the length limit")
    assert silent_note.startswith("Tuned model: no answer on 30 of 30 rows")
    assert summarise(report(base=0, tuned=70)).notes == []


def test_what_was_left_out_is_told_first():
    found = report(base=0, tuned=70) | {"notes": ["<b>3</b> of 83 rows are left out."]}
    assert summarise(found).notes[0] == "<b>3</b> of 83 rows are left out."
    assert "&lt;b&gt;3&lt;/b&gt; of 83 rows are left out." in render_page(found, "n", "", "m")


def test_a_way_is_named_with_the_examples_that_its_prompts_hold():
    ways = {way: WayAnswers([Answer("a", 20, 10, 0.1, False)] * 30, [count] * 15 + [2] * 15)
            for way, count in (("base", 2), ("few_shot", 3), ("retrieval", 0), ("tuned", 2))}
    rows = summarise(compare_answers(["q"] * 30, ["a"] * 30, ways, "exact_match", 3, 60)[0]).rows
    assert [row.name for row in rows] == [
        "Base model", "Base model, 2.5 examples in the prompt", "Base model, 1 row looked up", "Tuned model"]


def test_nothing_is_called_better_on_too_few_rows():
    few = summarise(report(base=0, tuned=19, rows=19))
    assert few.rows[0].tone == "" and not any(line.startswith("Exact match") for line in few.better)
    assert summarise(report(base=0, tuned=20, rows=20)).better[0].startswith("Exact match: 100 % instead of 0 %")


def test_each_metric_that_can_be_refused_says_why():
    for metric in get_args(EvaluationSection.model_fields["metric"].annotation):
        if metric != "auto" and not applies(metric, ["a", "b"], Rules()):
            assert text(f"evaluation.why.{metric}")


def test_plan_and_prices_are_shown_as_far_as_they_are_known():
    bare = summarise(report(base=0, tuned=70))
    assert bare.plan == []
    assert bare.costs == [("Time of the training", "6 min 31 s"), ("Money for the training", bare.costs[1][1])]
    assert "plan.machine_price_per_hour" in bare.costs[1][1]
    found = report(base=0, tuned=70)
    plan = PlanSection(use_case="Turn recipes into lists", requests_per_month=20_000, machine_price_per_hour=1,
                       price_per_million_input_tokens=100)
    summary = summarise(found | price_report(found, plan, None, 1234.0, "gpu+cpu"))
    assert summary.plan == [("Use case", "Turn recipes into lists"), ("Requests a month", "20,000")]
    costs = dict(summary.costs)
    assert costs["Energy of the training (GPU and processor)"] == "1.23 kWh"
    assert costs["Money for the training"] == "$0.11"
    assert summary.money[-2:] == [("Tuned model", "$0.08", "$1.67"), ("The service you pay now", "$4.00", "$80.00")]
    assert bare.money == []
    assert costs["Paid for against that service"] == "after 28 requests, within the first month"
    assert costs["Price of the machine"] == "$1.00 an hour" and "hours in which it waits are not counted" in \
        summary.money_note
    tokens = found | {"wanted_tokens": 12.5}
    apart = tokens | price_report(tokens, plan, 10.0, None)
    apart = summarise(apart | {"verdict": weigh_costs(apart)})
    assert "the training (6 min 31 s, $1.09) is paid for after 39,100 requests, 1.96 months." in apart.grounds[3]
    assert dict(apart.costs)["Price of the machine that trained"] == "$10.00 an hour"
    assert dict(apart.costs)["Price of the machine that answers"] == "$1.00 an hour"
    assert "may be faster or slower" in apart.money_note and "with 12.5 tokens on average" in apart.money_note


def test_a_report_without_ways_has_no_summary():
    assert summarise(REPORT) is None


def test_the_page_opens_by_itself_and_no_text_becomes_markup():
    page = render_page(report(prompt=HOSTILE, base=0, few_shot=5, tuned=70), HOSTILE, HOSTILE, HOSTILE)
    assert "<script" not in page and page.count("&lt;script&gt;") >= 4
    assert "http" not in page and "src=" not in page and "url(" not in page, "it fetches nothing"
    for part in ("Worth it", "652 requests", "Exact match", "180", "Words of an answer (1 wanted)"):
        assert part in page


def test_the_page_marks_what_differs_and_shows_labels_as_a_table():
    texts = ["pos", "neg"] * 15
    ways = {way: WayAnswers([Answer(text, 20, 5, 0.1, False) for text in answers], [0] * 30)
            for way, answers in (("base", ["<i>neg</i> it is"] * 30), ("tuned", texts))}
    found, _ = compare_answers(["q"] * 30, texts, ways, "auto", 3, 60)
    page = render_page(found, "n", "", "m")
    assert "What was taken for what" in page and '<td class="number hit">15</td>' in page
    assert '<b class="worse">wrong</b>' in page and "<i>neg" not in page and "Where the tuned model does worst" in page

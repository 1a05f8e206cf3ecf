"""The report in words: each outcome is explained by its figures, and nothing a run carries becomes markup."""

import pytest

from studio.evaluation.answers import Answer
from studio.evaluation.page import render_page
from studio.evaluation.report import RowLosses, WayAnswers, compare_answers, compare_perplexity
from studio.evaluation.summary import HEADLINES, WAYS, summarise
from studio.evaluation.verdict import Outcome
from tests.finished_run import REPORT

HOSTILE = "<script>alert(1)</script>\"'{{1+1}}"


def report(rows=80, prompt="q", **right):
    """A report on ways that are right on so many of the first rows; examples make prompts longer and slower."""
    costs = {"base": (40, 0.4), "few_shot": (180, 0.9), "tuned": (40, 0.3)}
    ways = {way: WayAnswers([Answer("a" if i < count else "x", costs[way][0], 10, costs[way][1], False)
                             for i in range(rows)], [0] * rows) for way, count in right.items()}
    return compare_answers([prompt] * rows, ["a"] * rows, ways, "exact_match", 3, training_seconds=391)[0]


@pytest.mark.parametrize(("figures", "outcome", "said"), [
    ({"base": 0, "few_shot": 5, "tuned": 70}, Outcome.WORTH_IT, "is paid for after 652 requests"),
    ({"base": 0, "few_shot": 5, "tuned": 30}, Outcome.MORE_ROWS, "the best of them, reaches less than 50 %"),
    ({"base": 0, "few_shot": 76, "tuned": 50}, Outcome.BETTER_PROMPT, "surely better, without any training"),
    ({"base": 70, "tuned": 70}, Outcome.BETTER_PROMPT, "within 5 points"),
    ({"base": 0, "tuned": 8, "rows": 8}, Outcome.CANNOT_TELL, "too few rows"),
])
def test_each_outcome_is_explained(figures, outcome, said):
    summary = summarise(report(**figures))
    assert summary.headline == HEADLINES[outcome]
    assert said in " ".join(summary.grounds)


def test_the_grounds_name_rows_figures_and_the_rival():
    first, second, *_ = summarise(report(base=0, few_shot=5, tuned=70)).grounds
    assert "80 held-out rows" in first and "88 % (80 % to 94 %)" in first
    assert "base model, examples in the prompt" in first
    assert "+81 points" in second and "p below 0.001" in second and "better on 65 rows, worse on 0" in second


def test_the_table_has_each_way_with_its_costs():
    rows = summarise(report(base=0, few_shot=5, tuned=70)).rows
    assert [row.name for row in rows] == [WAYS[way] for way in ("base", "few_shot", "tuned")]
    few_shot = rows[1]
    assert (few_shot.prompt_tokens, few_shot.seconds, few_shot.duels) == ("180", "0.9 s", "65 / 15 / 0")
    assert few_shot.tone == "better"
    assert rows[2].gain == rows[2].duels == "", "it is not set against itself"


def test_plain_text_has_no_costs_of_requests():
    losses = [RowLosses([nll + i % 3 for i in range(30)], [10] * 30, 1.0) for nll in (20.0, 10.0)]
    summary = summarise(compare_perplexity(*losses, seed=1, training_seconds=60))
    assert summary.headline == HEADLINES[Outcome.WORTH_IT] and summary.rows[0].prompt_tokens == ""
    assert not any("request" in ground for ground in summary.grounds)


def test_a_report_without_ways_has_no_summary():
    assert summarise(REPORT) is None


def test_the_page_opens_by_itself_and_no_text_becomes_markup():
    page = render_page(report(prompt=HOSTILE, base=0, few_shot=5, tuned=70), HOSTILE, HOSTILE, HOSTILE)
    assert "<script" not in page and page.count("&lt;script&gt;") >= 4
    assert "http" not in page and "src=" not in page, "it fetches nothing"
    for part in ("Worth it", "652 requests", "Exact match", "180"):
        assert part in page

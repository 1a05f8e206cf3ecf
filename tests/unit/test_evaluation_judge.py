"""The judge: both orders are asked, only verdicts that agree count, and what is not in form is left out."""

import pytest

from studio.evaluation.judge import (
    FIRST,
    LOSS,
    SECOND,
    TIE,
    UNCLEAR,
    WIN,
    Pair,
    judge_chats,
    judge_report,
    outcome,
    read_verdict,
)

PAIR = Pair("Name a fruit.", "apple", "the tuned one", "the other one")


def test_both_answers_stand_first_once():
    first, second = judge_chats(PAIR, "One word.")
    assert [message["role"] for message in first] == ["system", "user"]
    places = [(chat[1]["content"].index("the tuned one"), chat[1]["content"].index("the other one"))
              for chat in (first, second)]
    assert places[0][0] < places[0][1] and places[1][0] > places[1][1]
    assert all(part in first[1]["content"] for part in ("Name a fruit.", "apple", "One word."))
    assert "What makes an answer good" not in judge_chats(PAIR, "")[0][1]["content"]


@pytest.mark.parametrize(("reply", "verdict"), [
    ("[[A]]", FIRST), ("B is nicer, so [[ b ]].", SECOND), ("[[TIE]]", TIE), ("[[C]]", TIE),
    ("Not [[A]] but [[B]]", SECOND), ("A", None), ("", None), ("[[D]]", None), ("The better answer is B.", None)])
def test_only_a_verdict_in_form_is_read(reply, verdict):
    assert read_verdict(reply) == verdict


@pytest.mark.parametrize(("first", "second", "expected"), [
    (FIRST, SECOND, WIN), (SECOND, FIRST, LOSS), (FIRST, FIRST, TIE), (SECOND, SECOND, TIE), (TIE, SECOND, TIE),
    (FIRST, TIE, TIE), (TIE, TIE, TIE), (None, SECOND, UNCLEAR), (FIRST, None, UNCLEAR)])
def test_disagreement_is_a_tie(first, second, expected):
    assert outcome(first, second) == expected


def test_the_report_counts_and_says_how_sure_the_win_rate_is():
    verdicts = [(FIRST, SECOND)] * 12 + [(SECOND, FIRST)] * 2 + [(FIRST, FIRST)] * 3 + [(TIE, TIE)] + [(None, SECOND)]
    report = judge_report(verdicts, "big", "base")
    low, high = report["win_rate"].pop("interval")
    assert report == {"model": "big", "against": "base", "n": 18, "wins": 12, "ties": 4, "losses": 2,
                      "win_rate": {"value": pytest.approx(14 / 18)}, "swayed": 3, "unclear": 1}
    # Wilson's formula for 14 of 18
    assert (low, high) == (pytest.approx(0.548, abs=0.001), pytest.approx(0.910, abs=0.001))


def test_winning_a_few_pairs_is_no_certainty():
    low, high = judge_report([(FIRST, SECOND)] * 5, "big", "base")["win_rate"]["interval"]
    assert (low, high) == (pytest.approx(0.566, abs=0.001), 1)


def test_a_judge_that_says_nothing_in_form_leaves_no_win_rate():
    report = judge_report([(None, None)] * 3, "big", "base")
    assert (report["n"], report["win_rate"], report["unclear"]) == (0, None, 3)

"""A person's own checks: each rule judges as it reads, nothing else is a rule, and no pattern holds up the studio."""

import pytest

from studio.errors import PresetError
from studio.preset.answer_checks import MAX_CHECKS, parse_checks
from studio.preset.files import override
from studio.preset.schema import Preset
from tests.seconds import least_seconds


@pytest.mark.parametrize(("rule", "passes", "fails"), [
    (r"matches (?i)\bplease\b", "Yes, Please.", "pleased"),
    ("lacks https?://", "see the shop", "see http://shop"),
    ("contains Refund", "your REFUND comes", "your money comes"),
    ("omits competitor", "ours", "the Competitor's"),
    ("words <= 3", "a b  c", "a b c d"),
    ("words > 0", "a", "  "),
    ("characters >=  4", "four", "fo"),
    ("lines == 2", "a\nb", "a"),
])
def test_each_rule_judges_as_it_reads(rule, passes, fails):
    (check,) = parse_checks(f"\n  mine : {rule}\n")
    assert check.name == "mine"
    assert check.passes(passes) and not check.passes(fails)


def test_a_pattern_may_hold_a_colon():
    assert parse_checks("time: matches \\d:\\d")[0].passes("at 8:30")


@pytest.mark.parametrize(("text", "said"), [
    ("short words <= 5", "line 1 is no check"), ("a:", "line 1 is no check"), ("ok: words > 1\n: x y", "line 2 is"),
    ("a: words <= many", "a whole number"), ("a: words = 3", "comes <=, >="), ("a: lacks (", "no regular expression"),
    ("a: eval __import__('os')", '"eval" is no rule'), ("a: words > 1\na: words > 2", 'two checks are named "a"'),
    ("\n".join(f"c{i}: words > 1" for i in range(MAX_CHECKS + 1)), "21 checks"), ("a: lacks " + "x" * 600, "line 1"),
])
def test_what_is_no_check_is_refused_by_line(text, said):
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        parse_checks(text)


def test_the_preset_names_its_field():
    with pytest.raises(PresetError) as refused:
        override(Preset(), {"evaluation.checks": "a: lacks ("})
    assert refused.value.field == "evaluation.checks" and "regular expression" in str(refused.value)


def test_a_pattern_that_backtracks_without_end_is_stopped():
    (check,) = parse_checks("bomb: matches ^(a|a|b?)*(a|aa)*$")

    def stopped():
        with pytest.raises(TimeoutError):
            check.passes("a" * 40 + "!")

    assert least_seconds(stopped, below=2) < 2


@pytest.mark.parametrize("pattern", [
    "((a{1000}){1000}){1000}", "(((a{60000}){60000}){60000}){60000}", "a{4294967294}", "a{ 3 , 99999 }",
    "(?V1)" + "[" * 200 + "a" + "]" * 200, "(" * 60 + "a" + ")" * 60])
def test_a_pattern_that_would_take_all_memory_is_refused_before_it_is_compiled(pattern):
    with pytest.raises(ValueError, match="repeats or nests too much"):
        parse_checks(f"mine: matches {pattern}")
    assert parse_checks("mine: matches (a{1,30}){2}")[0].passes("aaaa")

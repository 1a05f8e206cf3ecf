"""A person's own checks of answers, one a line of `evaluation.checks`: `name: rule`.

    no links: lacks https?://        a regular expression that must not be found anywhere
    polite: matches (?i)\\bplease\\b   one that must be found
    names it: contains refund        words that must be there, in any case; `omits` for words that must not
    short: words <= 50               words, characters or lines, with <=, >=, ==, < or >

Nothing is executed: a rule is one of these forms or is refused.
"""

import math
import operator
import re
from dataclasses import dataclass

import regex

MAX_CHECKS, MAX_RULE = 20, 500
MEASURE = "check."  # before a check's name where it is one of the measures of a report
# a pattern that backtracks without end is stopped; the answer then counts as one that fails
TIMEOUT_S = 0.2
# repeats are written out when a pattern is compiled, those within others many times; brackets are parsed by recursion
MAX_REPEATS, MAX_BRACKETS = 10_000, 50
REPEAT = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)\s*\}")
FORMS = "matches PATTERN, lacks PATTERN, contains TEXT, omits TEXT, words <= 50, characters >= 10 or lines == 1"
COMPARISONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt}
COUNTS = {"words": lambda text: len(text.split()), "characters": len, "lines": lambda text: len(text.splitlines())}


@dataclass(frozen=True)
class AnswerCheck:
    """One check: its name and its rule, parted into `kind` and `operand`."""

    name: str
    kind: str
    operand: str

    def passes(self, answer: str) -> bool:
        """Whether an answer keeps the rule. Raises `TimeoutError` where a pattern takes longer than `TIMEOUT_S`."""
        if self.kind in COUNTS:
            sign, limit = self.operand.split()
            return COMPARISONS[sign](COUNTS[self.kind](answer), int(limit))
        if self.kind in ("contains", "omits"):
            return (self.operand.casefold() in answer.casefold()) == (self.kind == "contains")
        found = regex.search(self.operand, answer, timeout=TIMEOUT_S)
        return (found is not None) == (self.kind == "matches")


def parse_checks(text: str) -> list[AnswerCheck]:
    """The checks of a text, empty lines left out. Raises `ValueError` naming the line that is none."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) > MAX_CHECKS:
        raise ValueError(f"{len(lines)} checks are more than the {MAX_CHECKS} that are possible")
    checks = [_parse(number, line) for number, line in lines]
    names = [check.name for check in checks]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f'two checks are named "{twice}"')
    return checks


def _check_size(pattern: str) -> None:
    """Raises `regex.error` for a pattern that would take the memory of the machine before it is ever searched for."""
    written_out = math.prod(max(int(low or 1), int(high or 1), 1) for low, high in REPEAT.findall(pattern))
    if written_out > MAX_REPEATS or pattern.count("(") + pattern.count("[") > MAX_BRACKETS:
        raise regex.error("it repeats or nests too much")


def _parse(number: int, line: str) -> AnswerCheck:
    name, colon, rule = (part.strip() for part in line.partition(":"))
    kind, _, operand = (part.strip() for part in rule.partition(" "))
    if not colon or not name or not operand or len(line) > MAX_RULE:
        raise ValueError(f'line {number} is no check; write "name: rule", the rule being {FORMS}')
    if kind in COUNTS:
        sign, _, limit = operand.partition(" ")
        if sign not in COMPARISONS or not limit.strip().isdecimal():
            raise ValueError(f'line {number}: after "{kind}" comes <=, >=, ==, < or > and a whole number')
        return AnswerCheck(name, kind, f"{sign} {int(limit)}")
    if kind in ("matches", "lacks"):
        try:
            _check_size(operand)
            regex.compile(operand)
        except regex.error as error:
            raise ValueError(f"line {number} holds no regular expression: {error}") from None
    elif kind not in ("contains", "omits"):
        raise ValueError(f'line {number}: "{kind}" is no rule; known are {FORMS}')
    return AnswerCheck(name, kind, operand)

"""Answers that come down to a number: the last one in the text counts, as in GSM8K (Cobbe et al. 2021)."""

import re

# 7,5 and 1.234,56 with a comma before the decimals; 1,234 and the 2,3 of 1,2,3 are none
DECIMAL_COMMA = r"(?<![\w.])(?<!\d,)[-+−]?(?:\d{1,3}(?:\.\d{3})+|\d+),\d{1,2}(?![.,]?\d)"
NUMBER = re.compile(
    rf"{DECIMAL_COMMA}|(?<![\w.])[-+−]?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<![\w.])[-+−]?\.\d+",
    re.ASCII)
WITH_DECIMAL_COMMA = re.compile(DECIMAL_COMMA, re.ASCII)
# what may stand around a wanted number: signs and one short unit (possessive: long rows of signs took minutes)
BARE = re.compile(r"\W*+[^\W\d]{0,3}\W*+")
SOLUTION = "####"  # before the number that a worked answer ends with


def last_number(text: str) -> float | None:
    """The last number of a text, None where there is none. A comma parts thousands, or one or two decimals."""
    found = NUMBER.findall(text)
    if not found:
        return None
    number = found[-1].replace("−", "-")
    return float(number.replace(".", "").replace(",", ".") if WITH_DECIMAL_COMMA.fullmatch(number)
                 else number.replace(",", ""))


def numeric_match(answer: str, expected: str, tolerance: float) -> float:
    """1 where the answer's last number is at most `tolerance`, as a share of the wanted one, away from it."""
    given, wanted = last_number(answer), last_number(expected)
    if given is None or wanted is None:
        return 0.0
    return float(given == wanted or abs(given - wanted) <= tolerance * abs(wanted))


def all_hold_numbers(expected: list[str]) -> bool:
    """Whether a number can be read from every wanted answer.

    Where one has a decimal comma nobody can tell what 1.234 or 0,125 means in the others.
    """
    return all((found := NUMBER.findall(text)) and not WITH_DECIMAL_COMMA.fullmatch(found[-1]) for text in expected)


def are_numbers(expected: list[str]) -> bool:
    """Whether each wanted answer is a number, with signs or a short unit around it, or works out to one after ####."""
    return all(SOLUTION in text or BARE.fullmatch(NUMBER.sub("", text, count=1)) for text in expected) \
        and all_hold_numbers(expected)

"""Answers that come down to a number: the last one in the text counts, as in GSM8K (Cobbe et al. 2021)."""

import re

NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|(?<![\w.])[-+−]?\.\d+",
                    re.ASCII)
# what may stand around a wanted number: signs and one short unit (possessive: long rows of signs took minutes)
BARE = re.compile(r"\W*+[^\W\d]{0,3}\W*+")
SOLUTION = "####"  # before the number that a worked answer ends with


def last_number(text: str) -> float | None:
    """The last number of a text, None where there is none. A comma parts thousands."""
    found = NUMBER.findall(text)
    return float(found[-1].replace(",", "").replace("−", "-")) if found else None


def numeric_match(answer: str, expected: str, tolerance: float) -> float:
    """1 where the answer's last number is at most `tolerance`, as a share of the wanted one, away from it."""
    given, wanted = last_number(answer), last_number(expected)
    if given is None or wanted is None:
        return 0.0
    return float(given == wanted or abs(given - wanted) <= tolerance * abs(wanted))


def all_hold_numbers(expected: list[str]) -> bool:
    """Whether a number can be read from every wanted answer."""
    return all(last_number(text) is not None for text in expected)


def are_numbers(expected: list[str]) -> bool:
    """Whether each wanted answer is a number, with signs or a short unit around it, or works out to one after ####."""
    return all(SOLUTION in text or BARE.fullmatch(NUMBER.sub("", text, count=1)) for text in expected) \
        and all_hold_numbers(expected)

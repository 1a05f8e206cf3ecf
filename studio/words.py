"""Numbers as a person reads them: 6 min 20 s, 1.2 GB, 14,300, 2.31, 3 h ago. The one place where they are formatted."""

import re
from datetime import UTC, datetime

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_ALTERNATIVES = re.compile(r"\[([^\[|\]]*)\|([^|\]]*)\]")


def duration(seconds: float) -> str:
    """Two largest units: "6 min 20 s", "2 h 5 min", "under 1 s"."""
    rest = round(seconds)
    if rest < 1:
        return "under 1 s"
    parts = []
    for length, unit in _UNITS:
        amount, rest = divmod(rest, length)
        if amount or parts:
            parts.append(f"{amount} {unit}" if amount else "")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part)


def rough_duration(seconds: float) -> str:
    """One unit, for estimates: "6 min", "2 h", "40 s"."""
    for length, unit in _UNITS:
        if seconds >= 1.5 * length or unit == "s":
            return f"{max(1, round(seconds / length))} {unit}"
    raise AssertionError("unreachable: seconds are the last unit")


def size(size_bytes: float) -> str:
    """"1.2 GB", "340 MB", "12 kB", with units of 1,000 as disks and the Hub count."""
    for length, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= length:
            value = size_bytes / length
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size_bytes:.0f} B"


def count(number: int) -> str:
    """"14,300"."""
    return f"{number:,}"


def compact(number: int) -> str:
    """Three digits at most, as the Hub writes counts: "135M", "1.5B", "980", "12K"."""
    for length, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= length:
            value = number / length
            return f"{value:.1f}".removesuffix(".0") + unit if value < 9.95 else f"{value:.0f}{unit}"
    return str(number)


def figure(value: float) -> str:
    """Three significant digits, small numbers in scientific form: 2.31, 0.0213, 2e-4."""
    if value == 0:
        return "0"
    if abs(value) < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def percent(share: float) -> str:
    """"43 %" for 0.43."""
    return f"{100 * share:.0f} %"


def money(dollars: float) -> str:
    """"$0.42"."""
    return f"${dollars:,.2f}"


def in_number(sentence: str, number: int) -> str:
    """The sentence with the first of each "[row is|rows are]" for one, else the second."""
    return _ALTERNATIVES.sub(lambda match: match.group(1 if number == 1 else 2), sentence)


def energy(watt_hours: float) -> str:
    """"12.3 Wh", "1.2 kWh"."""
    return f"{figure(watt_hours / 1000)} kWh" if watt_hours >= 1000 else f"{figure(watt_hours)} Wh"


def plain(text: str, most: int = 80) -> str:
    """A name from a file as part of a sentence: on one line, without control characters, not too long."""
    shown = "".join(c if c.isprintable() else " " for c in text[:most])
    return f"{shown}…" if len(text) > most else shown


def seconds_between(start: str, end: str) -> float:
    """Seconds from one ISO 8601 time to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def age(time: str, now: datetime | None = None) -> str:
    """How long ago an ISO 8601 time was: "just now", "5 min ago"."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(time)).total_seconds()
    return "just now" if seconds < 20 else f"{rough_duration(seconds)} ago"

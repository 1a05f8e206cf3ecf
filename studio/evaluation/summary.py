"""A report in plain words: the ways as a table, the verdict with its grounds. For page, card, report.html and terminal.

Reads `report.json` (see report.py); a report of a studio that knew no ways has no summary.
"""

from dataclasses import dataclass
from typing import Any

from studio import words
from studio.evaluation.verdict import GOOD, MARGIN, MIN_ROWS, Outcome
from studio.evaluation.ways import BASE, FEW_SHOT, RETRIEVAL, TUNED

METRICS = {
    "exact_match": "Exact match", "json_match": "JSON equal", "json_valid": "Valid JSON",
    "field_f1": "Fields right (F1)", "token_f1": "Shared words (F1)", "chrf": "Likeness (chrF)",
    "normalised_match": "Match but for case and punctuation", "rouge_l": "Common sequence (ROUGE-L)",
    "label_accuracy": "Label right", "macro_f1": "Macro F1 of the labels", "numeric_match": "Number right",
    "sql_match": "SQL finds the same", "checks": "Your own checks passed", "refusals": "Refusals",
    "empty": "Empty answers",
    "eval_loss": "Held-out loss", "loss": "Held-out loss", "perplexity": "Perplexity",
}
WAYS = {
    BASE: "Base model", FEW_SHOT: "Base model, examples in the prompt", RETRIEVAL: "Base model, rows looked up",
    TUNED: "Tuned model",
}
HEADLINES = {
    Outcome.WORTH_IT: "Worth it: the tuned model is better than every other way that was tried.",
    Outcome.MORE_ROWS: "Not yet: get more rows.",
    Outcome.BETTER_PROMPT: "A better prompt is enough.",
    Outcome.CANNOT_TELL: "Cannot tell yet.",
}
TONES = {Outcome.WORTH_IT: "ok", Outcome.MORE_ROWS: "warning", Outcome.BETTER_PROMPT: "warning",
         Outcome.CANNOT_TELL: "info"}
PLAIN = frozenset({"perplexity", "loss", "eval_loss"})  # measures that are no share


@dataclass(frozen=True)
class WayRow:
    """A way as a line of the table, in words; `tone` is better, worse or "" from the tuned model's side.

    What does not apply to a way is "": the tuned model is not set against itself, perplexity asks nothing.
    """

    name: str
    figure: str
    gain: str
    tone: str
    duels: str
    prompt_tokens: str
    answer_tokens: str
    seconds: str
    speed: str


@dataclass(frozen=True)
class Summary:
    """The verdict (`tone` is ok, warning or info), its grounds as sentences, and the table; `metric` in words."""

    headline: str
    tone: str
    grounds: list[str]
    metric: str
    rows: list[WayRow]


def summarise(report: dict[str, Any]) -> Summary | None:
    """The report in words; None for one without ways. Raises `KeyError` on a report of another format."""
    if "verdict" not in report:
        return None
    outcome = Outcome(report["verdict"]["outcome"])
    return Summary(HEADLINES[outcome], TONES[outcome], _grounds(report, outcome),
                   METRICS.get(report["metric"], report["metric"]), [_row(report, way) for way in report["ways"]])


def _row(report: dict[str, Any], way: str) -> WayRow:
    found, metric = report["ways"][way], report["metric"]
    gain = tone = duels = ""
    if way in report["against"]:
        against = report["against"][way]
        gain, tone = _signed(against["difference"]["value"], metric), _tone(report, way)
        duels = " / ".join(words.count(against[name]) for name in ("wins", "ties", "losses"))
    costs = ("", "", "", "")
    if "prompt_tokens" in found:
        costs = (words.count(round(found["prompt_tokens"])), words.count(round(found["answer_tokens"])),
                 _seconds(found["seconds_per_request"]), f"{words.figure(found['tokens_per_second'])}")
    return WayRow(WAYS.get(way, way), with_interval(found["metrics"][metric], metric), gain, tone, duels, *costs)


def _grounds(report: dict[str, Any], outcome: Outcome) -> list[str]:
    metric, verdict = report["metric"], report["verdict"]
    rival = verdict["rival"]
    name, against = WAYS.get(rival, rival), report["against"][rival]
    tuned, other = (with_interval(report["ways"][way]["metrics"][metric], metric) for way in (TUNED, rival))
    low, high = against["difference"]["interval"]
    grounds = [
        f"{METRICS.get(metric, metric)} on {words.count(report['n'])} {_rows_of(report)}: tuned model {tuned}; "
        f"the way it has to beat ({name[0].lower()}{name[1:]}) {other}.",
        f"Difference {_signed(against['difference']['value'], metric)} ({_signed(low, metric)} to "
        f"{_signed(high, metric)}, p {_p(against['p_value'])}): better on {words.count(against['wins'])} rows, "
        f"worse on {words.count(against['losses'])}.", _reason(report, outcome)]
    return [ground for ground in [*grounds, _break_even(report)] if ground]


def _rows_of(report: dict[str, Any]) -> str:
    return f"rows of {report['data']}" if report["data"] else "held-out rows"


def _reason(report: dict[str, Any], outcome: Outcome) -> str:
    """What made the rule come out as it did."""
    verdict, tone = report["verdict"], _tone(report, report["verdict"]["rival"])
    if outcome is Outcome.WORTH_IT:
        return "The tuned model is surely ahead of every other way: no interval of a difference reaches 0."
    if outcome is Outcome.MORE_ROWS:
        best = "the tuned model, the best of them," if tone == "better" else "the best way"
        return f"Yet {best} reaches less than {words.percent(GOOD)}: more and more varied training rows come next."
    if outcome is Outcome.BETTER_PROMPT and tone == "worse":
        return "The untouched model with that prompt is surely better, without any training."
    if outcome is Outcome.BETTER_PROMPT:
        return f"The two are surely within {words.percent(MARGIN)[:-2]} points of each other: training brings no more."
    if report["n"] < MIN_ROWS:
        return f"There are too few rows to judge by: hold back at least {MIN_ROWS}."
    needed = f" About {words.count(verdict['rows_needed'])} held-out rows would show it, if the difference stays."
    return "The difference may be chance." + (needed if verdict["rows_needed"] else "")


def _break_even(report: dict[str, Any]) -> str:
    """What a request costs against the rival, and when the training has paid for itself; "" where nothing was asked."""
    ways, verdict = report["ways"], report["verdict"]
    rival, tuned = ways[verdict["rival"]], ways[TUNED]
    if "prompt_tokens" not in tuned:
        return ""
    tokens = [words.count(round(way["prompt_tokens"])) for way in (tuned, rival)]
    seconds = [_seconds(way["seconds_per_request"]) for way in (tuned, rival)]
    said = (f"A request to the tuned model reads {tokens[0]} tokens instead of {tokens[1]} and takes {seconds[0]} "
            f"instead of {seconds[1]}")
    training = words.duration(report["training_seconds"])
    if verdict["break_even_requests"] is None:
        return f"{said}: no time is saved that could pay for the training ({training})."
    requests = words.count(verdict["break_even_requests"])
    return f"{said}: the training ({training}) is paid for after {requests} requests."


def with_interval(figure: dict[str, Any], metric: str) -> str:
    """"89 % (82 % to 95 %)"."""
    value, low, high = (_value(number, metric) for number in (figure["value"], *figure["interval"]))
    return f"{value} ({low} to {high})"


def _tone(report: dict[str, Any], way: str) -> str:
    """Better or worse only where the whole interval of the difference says so."""
    low, high = report["against"][way]["difference"]["interval"]
    if not report["metrics"][report["metric"]]["higher_is_better"]:
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else ""


def _value(value: float, metric: str) -> str:
    return words.figure(value) if metric in PLAIN else words.percent(value)


def _signed(value: float, metric: str) -> str:
    amount = words.figure(abs(value)) if metric in PLAIN else f"{100 * abs(value):.0f} points"
    return f"{'+' if value >= 0 else '−'}{amount}"


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else words.figure(value)


def _seconds(seconds: float) -> str:
    return f"{words.figure(seconds)} s"

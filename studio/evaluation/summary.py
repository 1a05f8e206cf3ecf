"""A report in plain words: verdict with its grounds, the ways as a table, what got better and worse, what it costs.

For page, model card, report.html and terminal. Reads `report.json` (see report.py) as `saved.py` gives it.
"""

from dataclasses import dataclass
from typing import Any

from studio import words
from studio.evaluation.guard import guard_words
from studio.evaluation.judge import judge_words
from studio.evaluation.perplexity import METRIC as PERPLEXITY
from studio.evaluation.verdict import BASE_WAYS, GOOD, MARGIN, MIN_ROWS, Outcome
from studio.evaluation.ways import BASE, ENDPOINT, FEW_SHOT, RETRIEVAL, TUNED
from studio.preset.answer_checks import MEASURE
from studio.texts import table, text

TONES = {Outcome.WORTH_IT: "ok", Outcome.MORE_ROWS: "warning", Outcome.BETTER_PROMPT: "warning",
         Outcome.CHEAPER: "ok", Outcome.CANNOT_TELL: "info"}
PLAIN = frozenset({PERPLEXITY, "loss", "eval_loss"})  # measures that are no share
PLAN = ("use_case", "good_answer", "requests_per_month")
# a way that leaves so many answers empty, or has so many cut, is named
MANY_SILENT, MANY_CUT = 0.2, 0.1
# answers so many times longer than the wanted ones are named as worse
LONG = 2


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
    """The verdict (`tone` is ok, warning or info), its grounds as sentences, and the table; `metric` in words.

    `notes` say what a reader must know of the figures, `further` what the judge and the general questions found;
    `better` and `worse` hold what changed against the base model and the rival; `plan` and `costs` are pairs of name
    and value, `money` what requests cost in each way, and `money_note` how that was reckoned.
    """

    headline: str
    tone: str
    grounds: list[str]
    notes: list[str]
    further: list[str]
    metric: str
    rows: list[WayRow]
    better: list[str]
    worse: list[str]
    plan: list[tuple[str, str]]
    costs: list[tuple[str, str]]
    money: list[tuple[str, str, str]]
    money_note: str


def summarise(report: dict[str, Any]) -> Summary | None:
    """The report in words; None for one without ways. Raises `KeyError` on a report of another format."""
    if "verdict" not in report:
        return None
    outcome = Outcome(report["verdict"]["outcome"])
    better, worse = _changes(report)
    return Summary(_headline(report, outcome), TONES[outcome], _grounds(report, outcome), reservations(report),
                   _further(report), metric_name(report["metric"]), [way_row(report, way) for way in report["ways"]],
                   better, worse, plan_lines(report), _costs(report), _money(report), _money_note(report))


def metric_name(name: str) -> str:
    """A measure's name for people; that of a person's own check holds its name."""
    if name.startswith(MEASURE):
        return _say("metric.check", name=name.removeprefix(MEASURE))
    return table("evaluation").get(f"metric.{name}", name)


def way_name(way: str) -> str:
    """A way's name for people; of an unknown one, as of another run, its own."""
    return table("evaluation").get(f"way.{way}", way)


def rows_words(report: dict[str, Any]) -> str:
    """What was compared on: "80 held-out rows", or "80 rows of other.jsonl"."""
    key = "ground.rows" if report["data"] else "ground.held_out"
    rows = words.in_number(_say(key, count=words.count(report["n"])), report["n"])
    return _say("ground.rows_of", rows=rows, data=report["data"]) if report["data"] else rows


def with_interval(figure: dict[str, Any], metric: str) -> str:
    """"89 % (82 % to 95 %)"."""
    value, low, high = (_value(number, metric) for number in (figure["value"], *figure["interval"]))
    return _say("interval", value=value, low=low, high=high)


def length_words(found: dict[str, Any]) -> str:
    """A way's words an answer with their interval, "9.2 (8.1 to 10.4)"; earlier studios noted none."""
    value, bounds = words.figure(found["answer_words"]), found["answer_words_interval"]
    return value if bounds is None else _say("interval", value=value, low=words.figure(bounds[0]),
                                             high=words.figure(bounds[1]))


def signed(value: float, metric: str) -> str:
    """A difference with its sign: "+12 points", or "+4.25" of what is no share."""
    points = round(100 * abs(value))
    amount = words.figure(abs(value)) if metric in PLAIN else words.in_number(_say("points", value=points), points)
    return f"{'+' if value >= 0 else '−'}{amount}"


def plan_lines(report: dict[str, Any], names: tuple[str, ...] = PLAN) -> list[tuple[str, str]]:
    """What the person planned, as name and value; what they left open is left out."""
    plan = report["plan"]
    return [(_say(f"plan.{name}"), words.count(plan[name]) if name == "requests_per_month" else plan[name])
            for name in names if plan[name]]


def score_words(score: float) -> tuple[str, str]:
    """A row's score as ("right" or "wrong", its word); one in between is ("", "43 %")."""
    sign = {0: "wrong", 1: "right"}.get(score, "")
    return sign, _say(f"page.{sign}") if sign else words.percent(score)


def sure_tone(difference: dict[str, Any], higher_is_better: bool, rows: int) -> str:
    """"better" or "worse" only where the whole interval of the difference, on enough rows, says so, else ""."""
    if rows < MIN_ROWS:
        return ""
    low, high = difference["interval"]
    if not higher_is_better:
        low, high = -high, -low
    return "better" if low > 0 else "worse" if high < 0 else ""


def _headline(report: dict[str, Any], outcome: Outcome) -> str:
    """The outcome in a sentence; what does as well may be the bare base model or another one instead of a prompt."""
    rival = report["verdict"]["rival"]
    if outcome is Outcome.BETTER_PROMPT and rival == BASE:
        return _say("headline.untrained")
    if outcome is Outcome.BETTER_PROMPT and rival not in BASE_WAYS:
        return _say("headline.better_model", rival=way_name(rival))
    if outcome is Outcome.CHEAPER:
        return _say("headline.cheaper", requests=words.count(report["verdict"]["cheaper_from"]))
    return _say(f"headline.{outcome.value}")


def _further(report: dict[str, Any]) -> list[str]:
    """What was found beside the ways: by the judge, and whether the model forgot something."""
    judge, guard = report["judge"], report["guard"]
    return [*([judge_words(judge, way_name(judge["against"]))] if judge else []),
            *([guard_words(guard)] if guard and not guard["forgotten"] else [])]


def way_row(report: dict[str, Any], way: str) -> WayRow:
    """One way as a line of the table."""
    found, metric = report["ways"][way], report["metric"]
    gain = tone = duels = ""
    if way in report["against"]:
        against = report["against"][way]
        ahead = 1 if report["metrics"][metric]["higher_is_better"] else -1
        gain, tone = signed(ahead * against["difference"]["value"], metric), _tone(report, way)
        duels = " / ".join(words.count(against[name]) for name in ("wins", "ties", "losses"))
    costs = ("", "", "", "")
    if "prompt_tokens" in found:
        costs = (_tokens(found["prompt_tokens"]), _tokens(found["answer_tokens"]),
                 _seconds(found["seconds_per_request"]), words.figure(found["tokens_per_second"]))
    figure = with_interval(found["metrics"][metric], metric)
    return WayRow(_name_with_examples(way, found), figure, gain, tone, duels, *costs)


def _name_with_examples(way: str, found: dict[str, Any]) -> str:
    """The way's name with how many examples its prompts hold on average, where they hold any."""
    if way not in (FEW_SHOT, RETRIEVAL) or not found["examples"]:
        return way_name(way)
    return words.in_number(_say(f"way_with.{way}", examples=words.figure(found["examples"])), found["examples"])


def _grounds(report: dict[str, Any], outcome: Outcome) -> list[str]:
    metric, rival = report["metric"], report["verdict"]["rival"]
    against = report["against"][rival]
    tuned, other = (with_interval(report["ways"][way]["metrics"][metric], metric) for way in (TUNED, rival))
    value, low, high = (signed(number, metric) for number in
                        (against["difference"]["value"], *against["difference"]["interval"]))
    grounds = [
        _say("ground.figures", metric=metric_name(metric), rows=rows_words(report), tuned=tuned, other=other,
             rival=_in_sentence(way_name(rival))),
        _say("ground.difference", value=value, low=low, high=high, p=_p(against["p_value"]),
             wins=words.count(against["wins"]), losses=words.count(against["losses"])),
        _reason(report, outcome)]
    return [ground for ground in [*grounds, _break_even(report)] if ground]


def _reason(report: dict[str, Any], outcome: Outcome) -> str:
    """What made the rule come out as it did."""
    verdict, rival = report["verdict"], report["verdict"]["rival"]
    tone = _tone(report, rival)
    if outcome is Outcome.WORTH_IT:
        return _say("ground.worth_it")
    if outcome is Outcome.MORE_ROWS:
        return _say("ground.poor_tuned" if tone == "better" else "ground.poor_rival", good=words.percent(GOOD))
    if outcome is Outcome.CHEAPER:
        return _say("ground.cheaper", margin=round(100 * MARGIN), requests=words.count(verdict["cheaper_from"]))
    if outcome is Outcome.BETTER_PROMPT:
        if tone != "worse":
            return _say("ground.same" if rival in BASE_WAYS else "ground.same_model", margin=round(100 * MARGIN))
        ahead = "untrained_ahead" if rival == BASE else "rival_ahead" if rival in BASE_WAYS else "model_ahead"
        return _say(f"ground.{ahead}")
    if report["n"] < MIN_ROWS:
        return _say("ground.few_rows", rows=MIN_ROWS)
    if not (needed := verdict["rows_needed"]):
        return _say("ground.chance")
    against = report["against"][rival]
    differ = against["wins"] or against["losses"]
    return _say("ground.rows_needed" if differ else "ground.rows_equal", rows=words.count(needed))


def _break_even(report: dict[str, Any]) -> str:
    """What a request costs against the rival, and when the training has paid for itself; "" where nothing was asked.

    A service is compared by money, as far as its prices are known: its time is none of this machine. Another tuned
    model was trained too.
    """
    ways, verdict = report["ways"], report["verdict"]
    rival, tuned, requests = ways[verdict["rival"]], ways[TUNED], verdict["break_even_requests"]
    if verdict["rival"] == ENDPOINT and requests is not None:
        tuned_money, rival_money = (words.money(report["costs"]["ways"][way]["per_1000"]) for way in (TUNED, ENDPOINT))
        return _say("ground.money", money=tuned_money, rival_money=rival_money, conclusion=_conclusion(
            report, words.money(report["costs"]["training_money"]), requests))
    if "prompt_tokens" not in tuned or verdict["rival"] not in BASE_WAYS:
        return ""
    training, costs = words.duration(report["training_seconds"]), report["costs"]
    if costs["training_price_per_hour"] != costs["price_per_hour"]:  # then seconds alone do not explain it
        training = f"{training}, {words.money(costs['training_money'])}"
    conclusion = _conclusion(report, training, requests)
    return _say("ground.request", tokens=_tokens(tuned["prompt_tokens"]), rival_tokens=_tokens(rival["prompt_tokens"]),
                seconds=_seconds(tuned["seconds_per_request"]), rival_seconds=_seconds(rival["seconds_per_request"]),
                conclusion=conclusion)


def _conclusion(report: dict[str, Any], training: str, requests: int | None) -> str:
    """When the training has paid for itself, in requests and, where a month's are known, in months; also whether it
    pays for worse answers.
    """
    if requests is None:
        return _say("ground.never_pays", training=training)
    month = report["plan"]["requests_per_month"]
    said = {"training": training, "requests": words.count(requests)}
    pays = _say("ground.pays_after_months", **said, months=_months(requests / month)) if month else _say(
        "ground.pays_after", **said)
    return _say("ground.pays_worse", pays=pays) if _tone(report, report["verdict"]["rival"]) == "worse" else pays


def reservations(report: dict[str, Any]) -> list[str]:
    """What a reader must know: what was left out, a metric that was not taken, ways that say nothing, cut answers.

    Of a report, or of what was tried before a training (see baselines.py).
    """
    notes, count = list(report["notes"]), report["n"]
    if report["refused_metric"]:
        chosen = report["refused_metric"]
        notes.append(_say("note.refused_metric", chosen=metric_name(chosen), why=_say(f"why.{chosen}"),
                          metric=metric_name(report["metric"])))
    if report["metric"] == PERPLEXITY and all("prompt_tokens" in found for found in report["ways"].values()):
        notes.append(_say("note.likelihood"))
    for way, found in report["ways"].items():
        silent = found["metrics"]["empty"]["value"] if "empty" in found["metrics"] else 0
        if silent >= MANY_SILENT:
            notes.append(_say("note.silent_tuned" if way == TUNED else "note.silent", way=way_name(way),
                              rows=words.count(round(silent * count)), count=words.count(count)))
        if "prompt_tokens" in found and found["cut_answers"] >= MANY_CUT * count:
            notes.append(_say("note.cut", way=way_name(way), rows=words.count(found["cut_answers"]),
                              count=words.count(count)))
    return notes


def _changes(report: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What is surely better and surely worse than with the base model, and what against the rival: the deciding measure
    and what a request costs.
    """
    sides: dict[str, list[str]] = {"better": [], "worse": []}
    for name, figures in report["metrics"].items():
        tone = sure_tone(figures["difference"], figures["higher_is_better"], report["n"])
        if tone:
            sides[tone].append(_say(
                "change.measure", metric=metric_name(name), tuned=_value(figures["tuned"]["value"], name),
                base=_value(figures["base"]["value"], name), difference=signed(figures["difference"]["value"], name)))
    if report["wins"]:
        sides["better"].append(_say("change.better_rows", wins=words.count(report["wins"]),
                                    count=words.count(report["n"])))
    if report["losses"]:
        sides["worse"].append(_say("change.worse_rows", losses=words.count(report["losses"]),
                                   count=words.count(report["n"])))
    rival, metric = report["verdict"]["rival"], report["metric"]
    if rival != BASE and (tone := _tone(report, rival)):
        tuned, other = (_value(report["ways"][way]["metrics"][metric]["value"], metric) for way in (TUNED, rival))
        sides[tone].append(_say("change.against", metric=metric_name(metric), tuned=tuned, other=other,
                                rival=_in_sentence(way_name(rival))))
    _compare_requests(report, sides)
    if report["guard"] is not None and report["guard"]["forgotten"]:
        sides["worse"].append(guard_words(report["guard"]))
    return sides["better"] or [_say("change.none_better")], sides["worse"] or [_say("change.none_worse")]


def _compare_requests(report: dict[str, Any], sides: dict[str, list[str]]) -> None:
    """What a request to the tuned model costs more or less than one to the rival."""
    tuned, rival = report["ways"][TUNED], report["ways"][report["verdict"]["rival"]]
    if "prompt_tokens" not in tuned:
        return
    name = _in_sentence(way_name(report["verdict"]["rival"]))
    if tuned["prompt_tokens"] < 0.9 * rival["prompt_tokens"]:
        sides["better"].append(_say("change.fewer_tokens", tokens=_tokens(tuned["prompt_tokens"]), rival=name,
                                    rival_tokens=_tokens(rival["prompt_tokens"])))
    if report["verdict"]["rival"] != ENDPOINT:  # whose time is none of this machine
        _compare_seconds(tuned, rival, name, sides)
    if tuned["answer_words"] > LONG * report["wanted_words"] > 0:
        sides["worse"].append(_say("change.longer", words=words.figure(tuned["answer_words"]),
                                   wanted=words.figure(report["wanted_words"])))


def _compare_seconds(tuned: dict[str, Any], rival: dict[str, Any], name: str, sides: dict[str, list[str]]) -> None:
    quick, slow = (tuned["seconds_per_request"] * factor for factor in (1.1, 0.9))
    seconds = {"seconds": _seconds(tuned["seconds_per_request"]), "rival": name,
               "rival_seconds": _seconds(rival["seconds_per_request"])}
    if quick < rival["seconds_per_request"]:
        sides["better"].append(_say("change.faster", **seconds))
    elif slow > rival["seconds_per_request"]:
        sides["worse"].append(_say("change.slower", **seconds))


def _costs(report: dict[str, Any]) -> list[tuple[str, str]]:
    costs = report["costs"]
    shown = [(_say("cost.training"), words.duration(report["training_seconds"]))]
    if costs["training_wh"] is not None:
        shown.append((_say("cost.energy", parts=_say(f"cost.parts.{costs['training_wh_of']}")),
                      words.energy(costs["training_wh"])))
    trained_at, serves_at = costs["training_price_per_hour"], costs["price_per_hour"]
    if trained_at is None:
        shown.append((_say("cost.training_money"), _say("cost.unknown_money")))
    else:
        prices = {"price": trained_at} if trained_at == serves_at else {
            "training_price": trained_at, "serving_price": serves_at}
        shown += [(_say(f"cost.{name}"), _say("cost.price_value", money=words.money(price)))
                  for name, price in prices.items()]
        shown.append((_say("cost.training_money"), words.money(costs["training_money"])))
    if costs["break_even"] is not None:
        shown.append((_say("cost.breaks_even"), _paid_after(costs["break_even"])))
    return shown


def _money(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What requests cost in each way and at the service paid now: name, 1,000 requests, a month; "" for not known."""
    costs = report["costs"]
    lines = {way_name(way): money for way, money in costs["ways"].items()}
    if costs["now"] is not None and ENDPOINT not in costs["ways"]:
        lines[_say("cost.now")] = costs["now"]
    said = [(name, *("" if money[span] is None else words.money(money[span]) for span in ("per_1000", "per_month")))
            for name, money in lines.items()]
    return [line for line in said if any(line[1:])]


def _money_note(report: dict[str, Any]) -> str:
    """How the money of requests was reckoned."""
    said, costs = [], report["costs"]
    if costs["price_per_hour"] is not None:
        said.append(_say("cost.note"))
        if costs["training_price_per_hour"] != costs["price_per_hour"]:
            said.append(_say("cost.note_machines"))
    if costs["now"] is not None and ENDPOINT not in costs["ways"] and report["wanted_tokens"]:
        said.append(_say("cost.note_now", tokens=words.figure(report["wanted_tokens"])))
    return " ".join(said)


def _paid_after(break_even: dict[str, Any]) -> str:
    requests, months = break_even["requests"], break_even["months"]
    if requests is None:
        return _say("cost.never")
    if months is None:
        return _say("cost.after", requests=words.count(requests))
    return _say("cost.after_months", requests=words.count(requests), months=_months(months))


def _months(months: float) -> str:
    return _say("cost.months", months=words.figure(months)) if months >= 1 else _say("cost.first_month")


def _tone(report: dict[str, Any], way: str) -> str:
    return sure_tone(report["against"][way]["difference"], report["metrics"][report["metric"]]["higher_is_better"],
                     report["n"])


def _value(value: float, metric: str) -> str:
    return words.figure(value) if metric in PLAIN else words.percent(value)


def _p(value: float) -> str:
    return _say("p_small") if value < 0.001 else words.figure(value)


def _tokens(number: float) -> str:
    return words.count(round(number))


def _seconds(seconds: float) -> str:
    return f"{words.figure(seconds)} s"


def _in_sentence(name: str) -> str:
    return name[0].lower() + name[1:]


def _say(key: str, **values: object) -> str:
    return text(f"evaluation.{key}", **values)

"""Which measures fit a set of wanted answers, and how every answer of every way scores by them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

from studio.evaluation import metrics, numeric, sql
from studio.evaluation.labels import Labels, are_labels
from studio.evaluation.perplexity import METRIC as PERPLEXITY
from studio.evaluation.perplexity import RowLosses
from studio.evaluation.refusals import is_empty, refuses
from studio.evaluation.similarities import METRIC as EMBEDDING_SIMILARITY
from studio.evaluation.ways import Question
from studio.preset.answer_checks import MEASURE, AnswerCheck, parse_checks
from studio.preset.schema import EvaluationSection

# wanted answers of so few words are values, which are right or wrong
VALUE_WORDS = 8

Scores = dict[str, dict[str, list[float]]]
Judge = Callable[[str, str], float]


@dataclass(frozen=True)
class Rules:
    """What answers are judged by besides the wanted ones: `tables` for the SQL of each row, a person's own `checks`,
    and the share by which a number may differ. No tables stand for none in any row.

    `measured` are scores of the very answers that are judged, which a model found (see worker/embedding.py); `losses`
    say by way how well it foresees the wanted ones (see worker/answer_losses.py)."""

    tables: tuple[str, ...] = ()
    checks: tuple[AnswerCheck, ...] = ()
    tolerance: float = 1e-6
    measured: Scores = field(default_factory=dict)
    losses: dict[str, RowLosses] = field(default_factory=dict)


def read_rules(evaluation: EvaluationSection, questions: list[Question]) -> Rules:
    """The rules of a preset for these questions, whose tables are taken where the preset has none."""
    tables = tuple(evaluation.sql_schema or sql.tables_in(question) for question in questions)
    return Rules(tables, tuple(parse_checks(evaluation.checks)), evaluation.numeric_tolerance)


def choose_metric(chosen: str, expected: list[str], rules: Rules | None = None) -> str:
    """The metric that decides: the one chosen, where it applies to these wanted answers, else one by their shape.

    json_match for JSON objects and arrays, sql_match for queries that run, label_accuracy for a few labels,
    numeric_match for numbers, chrf where half of the answers or more are longer than `VALUE_WORDS` words, exact_match.
    """
    rules = rules or Rules()
    if chosen != "auto" and applies(chosen, expected, rules):
        return chosen
    shapes = {"json_match": metrics.all_json, "sql_match": lambda texts: _are_runnable(texts, rules),
              "label_accuracy": are_labels, "numeric_match": numeric.are_numbers}
    for metric, fits in shapes.items():
        if fits(expected):
            return metric
    return "chrf" if median(len(text.split()) for text in expected) > VALUE_WORDS else "exact_match"


def applies(metric: str, expected: list[str], rules: Rules) -> bool:
    """Whether a metric says anything about these wanted answers: json_match nothing about those that are no JSON."""
    if metric in ("json_match", "field_f1"):
        return metrics.all_json(expected)
    if metric == "label_accuracy":
        return are_labels(expected)
    if metric == "numeric_match":
        return numeric.all_hold_numbers(expected)
    if metric == "sql_match":
        return _are_runnable(expected, rules)
    if metric == EMBEDDING_SIMILARITY:
        return metric in rules.measured
    if metric == PERPLEXITY:
        return bool(rules.losses)
    return metric != "checks" or bool(rules.checks)


def score_ways(answers: dict[str, list[str]], expected: list[str], metric: str, rules: Rules) -> Scores:
    """Each answer's score, between 0 and 1: {measure: {way: score by row}}, the deciding measure first.

    Refusals and empty answers are told only where there are any.
    """
    as_json = metrics.all_json(expected)
    found = {name: _score(answers, expected, judge) for name, judge in _judges(metric, expected, rules).items()}
    if metric == "sql_match" or (not as_json and _are_runnable(expected, rules)):
        found["sql_match"] = _sql(answers, expected, rules)
    for check in rules.checks:
        found[MEASURE + check.name] = {way: [_passes(check, said) for said in texts] for way, texts in answers.items()}
    if rules.checks:
        every = [found[MEASURE + check.name] for check in rules.checks]
        found["checks"] = {way: [sum(row) / len(row) for row in zip(*(one[way] for one in every), strict=True)]
                           for way in answers}
    found |= rules.measured
    for name in ("refusals", "empty"):
        if not any(any(row) for row in found[name].values()):
            del found[name]
    return dict(sorted(found.items(), key=lambda item: item[0] != metric))


def _judges(metric: str, expected: list[str], rules: Rules) -> dict[str, Judge]:
    """The measures that judge an answer by the wanted one alone."""
    judges = {"exact_match": metrics.exact_match, "token_f1": metrics.token_f1}
    as_json = metrics.all_json(expected)
    if as_json:
        judges |= {"json_match": metrics.json_match, "field_f1": metrics.field_f1,
                   "json_valid": lambda answer, _: metrics.json_valid(answer)}
    of_texts = {"normalised_match": metrics.normalised_match, "rouge_l": metrics.rouge_l, "chrf": metrics.chrf}
    # they say little about JSON, but one of them may have been chosen
    judges |= {name: judge for name, judge in of_texts.items() if not as_json or name == metric}
    if are_labels(expected):
        labels = Labels(expected)
        judges["label_accuracy"] = lambda answer, wanted: float(labels.read(answer) == labels.read(wanted))
    if metric == "numeric_match" or (not as_json and numeric.are_numbers(expected)):
        judges["numeric_match"] = lambda answer, wanted: numeric.numeric_match(answer, wanted, rules.tolerance)
    return judges | {"refusals": refuses, "empty": lambda answer, _: is_empty(answer)}


def _score(answers: dict[str, list[str]], expected: list[str], judge: Judge) -> dict[str, list[float]]:
    return {way: [judge(answer, wanted) for answer, wanted in zip(texts, expected, strict=True)]
            for way, texts in answers.items()}


def _sql(answers: dict[str, list[str]], expected: list[str], rules: Rules) -> dict[str, list[float]]:
    """All ways' answers to a row run on the same databases, so that these are made once."""
    ways = list(answers)
    rows = [sql.sql_scores([answers[way][i] for way in ways], wanted, rules.tables[i])
            for i, wanted in enumerate(expected)]
    assert all(row is not None for row in rows), "the metric applies only where every wanted query runs"
    return {way: [row[column] for row in rows if row] for column, way in enumerate(ways)}


def _are_runnable(expected: list[str], rules: Rules) -> bool:
    return len(rules.tables) == len(expected) and sql.are_queries(expected) and sql.all_run(expected, rules.tables)


def _passes(check: AnswerCheck, answer: str) -> float:
    try:
        return float(check.passes(answer))
    except TimeoutError:
        return 0.0

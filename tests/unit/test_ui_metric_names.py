"""Every measure that a report can hold has a name for people, on the page and in the card."""

from studio.evaluation.scores import Rules, score_ways
from studio.evaluation.similarities import METRIC
from studio.evaluation.summary import metric_name
from studio.texts import table


def test_measures_have_names():
    answers = {"base": ["I cannot"], "tuned": [""]}
    found = [name for wanted in ("{}", "a", "7") for name in score_ways(answers, [wanted], "numeric_match", Rules())]
    for name in [*found, "label_accuracy", "macro_f1", "sql_match", "checks", "perplexity", METRIC]:
        assert f"metric.{name}" in table("evaluation"), name
    assert metric_name("check.short answers") == "Check: short answers"

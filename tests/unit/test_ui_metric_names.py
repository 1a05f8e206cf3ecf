"""Every measure that a report can hold has a name for people, on the page and in the card."""

from studio.evaluation.metrics import score_all
from studio.evaluation.summary import METRICS
from studio.ui.texts import table


def test_measures_have_names():
    for name in [*score_all("{}", "{}", as_json=True), *score_all("a", "a", as_json=False), "perplexity"]:
        assert f"metric.{name}" in table("runs"), name
        assert name in METRICS, name

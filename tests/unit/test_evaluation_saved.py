"""Reports as they lie in run folders: those of earlier studios are read, damaged ones are named."""

import json

import pytest

from studio.errors import RunError
from studio.evaluation.saved import read_report
from studio.evaluation.summary import summarise
from tests.finished_run import REPORT, report_with_ways

# what the studio wrote before there were costs, labels, notes and a guard
LATER = ("refused_metric", "notes", "best", "worst", "labels", "wanted_words", "guard", "costs", "plan")
EARLIER = {name: part for name, part in report_with_ways().items() if name not in LATER}
for found in EARLIER["ways"].values():
    del found["answer_words"], found["answer_words_interval"]


def write(run_dir, report):
    (run_dir / "report.json").write_text(report if isinstance(report, str) else json.dumps(report))


def test_there_may_be_none(tmp_path):
    assert read_report(tmp_path) is None


def test_a_report_is_read_as_it_was_written(tmp_path):
    report = report_with_ways()
    write(tmp_path, report)
    assert read_report(tmp_path) == report


@pytest.mark.parametrize("report", [REPORT, EARLIER])
def test_a_report_of_an_earlier_studio_gets_what_it_lacks(tmp_path, report):
    write(tmp_path, report | {"examples": []})
    found = read_report(tmp_path)
    assert found["worst"] == [] and found["plan"]["use_case"] == ""
    assert summarise(found) is None or summarise(found).headline.startswith("Worth it")


@pytest.mark.parametrize("report", [
    "", '{"n": 80, "metr', "[]", "null", '"text"', {}, {"n": 1, "metrics": []}, {"n": 1, "metrics": {"x": {"base": 1}}},
    {**report_with_ways(), "verdict": {"outcome": "great"}}, {**report_with_ways(), "ways": {}},
    {**report_with_ways(), "ways": {"base": None}}, {**report_with_ways(), "n": None},
    {**report_with_ways(), "notes": [{}]},
    {**report_with_ways(), "worst": [{"row": 1}]}, {**report_with_ways(), "costs": {}},
    {**report_with_ways(), "metrics": {"x": {side: {"value": "1", "interval": [0]} for side in ("base", "tuned")}}}])
def test_a_damaged_report_is_a_sentence(tmp_path, report):
    write(tmp_path, report)
    with pytest.raises(RunError, match=r"cannot be read\. Compare again"):
        read_report(tmp_path)

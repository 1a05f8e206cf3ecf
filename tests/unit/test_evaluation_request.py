"""What a comparison is asked to do otherwise than the run's preset says: written, checked, kept and used."""

import json

import pytest

from studio import start
from studio.errors import PresetError
from studio.evaluation.request import (
    OF_TRAINING,
    EvaluateRequest,
    comparison_settings,
    forget_request,
    read_assignments,
    read_request,
    write_request,
)
from studio.preset.flatten import flatten
from studio.preset.schema import Preset
from studio.publishing.run_facts import RunFacts
from studio.runs import launcher
from tests.finished_run import finished_run


@pytest.mark.parametrize(("written", "settings"), [
    ("", []), ("  \n", []),
    ("evaluation.metric = chrf\n  plan.requests_per_month=10", [
        ("evaluation.metric", "chrf"), ("plan.requests_per_month", "10")]),
    ("evaluation.checks=short: words <= 50\nno links: lacks https?://a=b\nevaluation.guard=false", [
        ("evaluation.checks", "short: words <= 50\nno links: lacks https?://a=b"), ("evaluation.guard", "false")]),
    ("evaluation.base_system_prompt=a=b", [("evaluation.base_system_prompt", "a=b")])])
def test_settings_are_read_line_by_line_and_a_value_may_have_lines_of_its_own(written, settings):
    assert read_assignments(written) == settings


def test_a_line_that_sets_nothing_is_named():
    with pytest.raises(PresetError, match="metric chrf"):
        read_assignments("metric chrf")


def test_settings_are_kept_as_the_schema_reads_them(tmp_path):
    settings = comparison_settings(Preset(), [("evaluation.few_shot_examples", "5"), ("evaluation.guard", "false"),
                                              ("plan.machine_price_per_hour", "0.4")])
    assert settings == {"evaluation.few_shot_examples": 5, "evaluation.guard": False,
                        "plan.machine_price_per_hour": 0.4}
    write_request(tmp_path, EvaluateRequest("rows", settings=settings))
    assert read_request(tmp_path) == EvaluateRequest("rows", settings=settings)


def test_a_request_of_an_earlier_studio_changes_no_settings(tmp_path):
    (tmp_path / "evaluate.json").write_text('{"data": "rows", "against": ""}')
    assert read_request(tmp_path) == EvaluateRequest("rows")


@pytest.mark.parametrize("name", ["training.learning_rate", "model.model_name_or_path", "data.dataset_name", "name",
                                  *sorted(OF_TRAINING)])
def test_what_no_comparison_reads_is_refused(name):
    with pytest.raises(PresetError, match="not read by a comparison") as error:
        comparison_settings(Preset(), [(name, flatten(Preset())[name])])
    assert error.value.field == name


@pytest.mark.parametrize(("name", "value"), [("evaluation.metrik", "chrf"), ("evaluation.metric", "chr")])
def test_unknown_fields_and_bad_values_are_refused(name, value):
    with pytest.raises(PresetError):
        comparison_settings(Preset(), [(name, value)])


def test_settings_and_keys_reach_the_comparison_and_keys_no_file(store, monkeypatch):
    started = []
    monkeypatch.setattr(launcher, "_spawn", lambda store, run_id, phases, environment: started.append(environment))
    run_id = finished_run(store)
    start.evaluate(store, run_id, settings=[("evaluation.metric", "chrf")], keys={"PASTED_ENDPOINT_API_KEY": " k1 ",
                                                                                  "PASTED_JUDGE_API_KEY": ""})
    run_dir = store.run_dir(run_id)
    assert started[0]["PASTED_ENDPOINT_API_KEY"] == "k1" and "PASTED_JUDGE_API_KEY" not in started[0]
    assert json.loads((run_dir / "evaluate.json").read_text())["settings"] == {"evaluation.metric": "chrf"}
    assert not any(b"k1" in path.read_bytes() for path in run_dir.rglob("*.json"))
    start.evaluate(store, run_id)
    assert read_request(run_dir) == EvaluateRequest(), "they held for one comparison"


def test_the_plan_stays_for_later_comparisons_and_the_card(store, monkeypatch):
    monkeypatch.setattr(launcher, "_spawn", lambda store, run_id, phases, environment: None)
    run_id = finished_run(store)
    run_dir = store.run_dir(run_id)
    start.evaluate(store, run_id, settings=[("plan.use_case", "Recipes as JSON"), ("evaluation.metric", "chrf")])
    start.evaluate(store, run_id, settings=[("plan.requests_per_month", "9000")])
    plan = {"plan.use_case": "Recipes as JSON", "plan.requests_per_month": 9000}
    assert read_request(run_dir) == EvaluateRequest(settings=plan)
    assert RunFacts.read(run_dir).preset.plan.use_case == "Recipes as JSON"
    forget_request(run_dir)
    assert read_request(run_dir) == EvaluateRequest(settings=plan), "another training serves the same use case"
    start.evaluate(store, run_id, settings=[("plan.use_case", "")])
    assert RunFacts.read(run_dir).preset.plan.use_case == ""


def test_a_bad_setting_leaves_the_earlier_request(store):
    run_id = finished_run(store)
    with pytest.raises(PresetError):
        start.evaluate(store, run_id, settings=[("lora.r", "8")])
    assert not (store.run_dir(run_id) / "evaluate.json").exists()


def test_a_resumed_run_gets_its_keys_again(store, monkeypatch):
    resumed = []
    monkeypatch.setattr(launcher, "remaining_phases", lambda view: ["evaluate"])
    monkeypatch.setattr(launcher, "resume", lambda store, run_id, environment: resumed.append(environment))
    start.resume(store, finished_run(store), keys={"PASTED_JUDGE_API_KEY": "k2"})
    assert resumed[0]["PASTED_JUDGE_API_KEY"] == "k2"

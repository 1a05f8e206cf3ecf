"""Another model to compare with: how it is named, found, offered and refused."""

import json

import pytest

from studio import start
from studio.errors import RunError
from studio.evaluation.other import Other, find_other, other_choices, read_other, require_other
from studio.evaluation.request import EvaluateRequest, read_request
from studio.runs import launcher
from studio.runs.store import BASELINES
from tests.finished_run import finished_run


def with_checkpoints(store, *steps, **options):
    run_id = finished_run(store, **options)
    for step in steps:
        folder = store.run_dir(run_id) / "checkpoints" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(b"0")
    return run_id


@pytest.mark.parametrize(("written", "other"), [
    ("20260101-first", Other("20260101-first")), ("20260101-first@120", Other("20260101-first", 120)),
    ("me@home", Other("me@home")), ("a@b@3", Other("a@b", 3)), ("@", Other("@"))])
def test_a_step_follows_the_last_at_sign(written, other):
    assert read_other(written) == other and str(other) == written


def test_each_model_has_a_name_of_its_own():
    names = {Other("r").title("first", own=False), Other("r", 5).title("first", own=False),
             Other("r", 5).title("first", own=True)}
    assert names == {"Tuned model of first", "Checkpoint 5 of first", "Checkpoint 5"}


def test_a_run_is_found_by_name_with_its_step(store):
    run_id = with_checkpoints(store, 20, name="first")
    assert find_other(store, "first@20") == Other(run_id, 20) and find_other(store, "last") == Other(run_id)


def test_checkpoints_come_first_and_runs_of_one_name_are_told_apart(store):
    twins = [finished_run(store, name="twin") for _ in range(2)]
    other = finished_run(store, name="other")
    untrained = finished_run(store, name="untrained", adapter=False, merged=False)
    tried = store.create(store.get(other).preset, name="tried", kind=BASELINES)
    own = with_checkpoints(store, 5, 20, name="mine")
    choices = other_choices(store, store.get(own))
    assert choices[:2] == [("Checkpoint 20 of this run", f"{own}@20"), ("Checkpoint 5 of this run", f"{own}@5")]
    assert ("other", other) in choices and {(f"twin ({run})", run) for run in twins} < set(choices)
    assert not {untrained, tried, own} & {value for _, value in choices}


def test_what_is_not_there_is_refused_with_what_is(store):
    run_id, bare = with_checkpoints(store, 5, 20, name="mine"), finished_run(store, name="bare")
    require_other(store, run_id, Other(run_id, 5))
    require_other(store, run_id, Other(bare))
    with pytest.raises(RunError, match=r"no checkpoint of step 7.*the steps 20, 5"):
        require_other(store, run_id, Other(run_id, 7))
    with pytest.raises(RunError, match="It keeps no checkpoints"):
        require_other(store, run_id, Other(bare, 7))
    with pytest.raises(RunError, match="no other trained model"):
        require_other(store, run_id, Other(run_id))


def test_what_was_asked_is_noted_for_the_worker(store, monkeypatch):
    monkeypatch.setattr(launcher, "_spawn", lambda *arguments: None)
    run_id = with_checkpoints(store, 5)
    start.evaluate(store, run_id, against=f"{run_id}@5")
    assert read_request(store.run_dir(run_id)) == EvaluateRequest("", f"{run_id}@5")
    start.evaluate(store, run_id, "me/rows")
    assert json.loads((store.run_dir(run_id) / "evaluate.json").read_text()) == {
        "data": "me/rows", "against": "", "settings": {}}

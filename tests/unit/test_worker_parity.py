"""The phase `parity` around the models: which forms it looks at, and what stops a push. No model is loaded."""

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from studio.errors import RunError
from studio.preset.files import override
from studio.publishing import parity
from studio.publishing.parity_words import parity_words
from studio.publishing.request import cancel_request, write_request
from studio.runs.events import EventWriter, read_events
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.worker import parity as worker
from studio.worker.parity import Check, compare
from studio.worker.phase import Phase
from tests.finished_run import finished_run

REFUSED = {"outcome": "refused", "sentence": "The merged model has another template.", "hint": "Merge again."}


@pytest.fixture
def phase(tmp_path):
    store = RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)}))
    run_dir = store.run_dir(run_id := finished_run(store))
    return Phase("parity", run_dir, store.get(run_id).preset, store.settings, EventWriter(run_dir))


@pytest.fixture
def refuse(phase, monkeypatch):
    """Have the check find a form refused."""
    looked_at = []

    def run(forms):
        looked_at.extend(forms)
        return parity.read(phase.run_dir)

    monkeypatch.setattr(worker.base_model, "locate", lambda *of: None)
    monkeypatch.setattr(worker, "Check", lambda *of: SimpleNamespace(run=run))

    def refused(form):
        found = parity.read(phase.run_dir)
        found.forms[form] = replace(found.forms[form], **REFUSED)
        parity.write(phase.run_dir, found)
        return looked_at

    return refused


def warnings(phase):
    return [event.values["message"] for event in read_events(phase.run_dir)[0] if event.type == "warning"]


def test_a_refused_form_that_is_not_published_is_warned_of(phase, refuse):
    refuse("merged")
    write_request(phase.run_dir, phase.preset.publish.model_copy(update={"what": ["adapter"]}))
    assert compare(phase)["forms"] == {"adapter": "same", "merged": "refused"}
    assert warnings(phase) == [REFUSED["sentence"]]


def test_a_refused_form_that_is_published_stops_the_push(phase, refuse):
    refuse("merged")
    write_request(phase.run_dir, phase.preset.publish.model_copy(update={"what": ["merged", "adapter"]}))
    with pytest.raises(RunError, match="another template"):
        compare(phase)
    assert warnings(phase) == []


@pytest.mark.parametrize(("pushes", "cancelled", "raises"), [
    (True, False, False), (True, True, True), (False, False, True)])
def test_the_preset_names_what_is_published_where_nobody_asked_otherwise(phase, refuse, pushes, cancelled, raises):
    refuse("merged")
    preset = override(phase.preset, {
        "publish.push_to_hub": pushes, "publish.what": ["adapter"], "publish.hub_model_id": "acme/recipes"})
    if cancelled:
        cancel_request(phase.run_dir)
    if not raises:
        assert compare(replace(phase, preset=preset))["forms"]["merged"] == "refused"
        return
    with pytest.raises(RunError):  # the check is all that was asked for
        compare(replace(phase, preset=preset))


def test_an_export_of_an_earlier_training_is_not_looked_at_and_stops_nothing(phase, refuse):
    looked_at = refuse("merged")
    weights = phase.run_dir / "adapter" / "adapter_model.safetensors"
    (phase.run_dir / "merged" / ".made_from.json").write_text('{"made_from": "other weights"}')
    os.utime(weights)
    assert set(compare(phase)["forms"]) == {"adapter"} == set(looked_at)
    assert "The merged model is older than the trained model and was not checked. Make it again." in warnings(phase)
    row = parity_words(phase.run_dir).rows[1]
    assert row.outcome == "old" and "Make it again" in row.sentence


def test_what_was_refused_is_looked_at_again_and_what_passed_is_not(phase, monkeypatch):
    found = parity.read(phase.run_dir)
    found.forms["merged"] = replace(found.forms["merged"], **REFUSED)
    parity.write(phase.run_dir, found)
    check = object.__new__(Check)
    check.phase, check.asked, check.place = phase, [[1]], SimpleNamespace(device="cpu", words="here")
    check.prompts, passed = SimpleNamespace(source="heldout"), found.forms["adapter"]
    monkeypatch.setattr(Check, "_mark", lambda self: found.mark)
    monkeypatch.setattr(Check, "ask_trained", lambda self: SimpleNamespace(training_kl=1.0))
    monkeypatch.setattr(worker, "_write_reference", lambda *of: None)
    monkeypatch.setattr(Check, "check_form", lambda self, form, trained: replace(passed, form=form, kind="again"))
    forms = check.run(["adapter", "merged"]).forms
    assert (forms["adapter"].kind, forms["merged"].kind) == (passed.kind, "again")

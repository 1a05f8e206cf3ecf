"""The phase `parity` around the models: which forms it looks at, and what stops a push. No model is loaded."""

import os
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from studio.errors import ModelError, RunError
from studio.preset.files import override
from studio.publishing import parity
from studio.publishing.parity_words import card_prompts, card_words, parity_words
from studio.publishing.request import cancel_request, write_request
from studio.runs.events import EventWriter, read_events
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.worker import parity as worker
from studio.worker.parity import Check, Trained, compare
from studio.worker.parity_faults import Fault
from studio.worker.parity_figures import Logits
from studio.worker.parity_forms import Opened, Place
from studio.worker.phase import Phase
from tests.finished_run import finished_run

LOGITS = Logits(*(np.zeros((1, 2)),) * 2, *(np.zeros(1),) * 2)
REFUSED = {"outcome": "refused", "sentence": "The merged model has another template.", "hint": "Merge again."}


@pytest.fixture(autouse=True)
def without_collection(monkeypatch):
    """There is no model whose memory were to be given back, and looking for it takes half a second."""
    monkeypatch.setattr(worker, "free", lambda: None)


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
    check.phase, check.asked, check.places = phase, [[1]], [Place("cpu", torch.float32)]
    check.prompts, passed = SimpleNamespace(source="heldout"), found.forms["adapter"]
    monkeypatch.setattr(Check, "_mark", lambda self: found.mark)
    monkeypatch.setattr(Check, "ask_trained", lambda self: Trained(check.places[0], [], LOGITS, None))
    monkeypatch.setattr(worker, "_write_reference", lambda *of: None)
    monkeypatch.setattr(Check, "check_form", lambda self, form, trained: replace(passed, form=form, kind="again"))
    forms = check.run(["adapter", "merged"]).forms
    assert (forms["adapter"].kind, forms["merged"].kind) == (passed.kind, "again")


def test_where_memory_lacks_for_any_model_the_files_are_checked_and_the_weights_called_unread(phase, monkeypatch):
    check, shipped = object.__new__(Check), SimpleNamespace(stop_ids=frozenset())
    check.phase, check.base, check.places = phase, SimpleNamespace(folder=phase.run_dir / "base"), []
    check.preset = check.expected = check.tokenizer = None
    check.asked, check.done, check.total, check.written = [[1]], 0, 0, SimpleNamespace(written=None)
    check.prompts, check.lacking = SimpleNamespace(source="heldout"), "they need 20 GB of memory, and 12 GB are free."
    monkeypatch.setattr(Check, "_mark", lambda self: "mark")
    monkeypatch.setattr(worker, "open_form", lambda *of: Opened(shipped, "bfloat16"))
    monkeypatch.setattr(worker, "find_fault", lambda *of: None)
    monkeypatch.setattr(worker, "check_heads", lambda *of: None)
    found = check.run(["merged"])
    assert found.forms["merged"].outcome == "unread"
    assert "The weights of the merged model were not compared: they need 20 GB" in found.forms["merged"].sentence
    assert parity.verdict(phase.run_dir, ["merged"]).state == "passed"
    said = parity_words(phase.run_dir)
    assert "memory" in said.asked and "20 GB" in said.rows[1].sentence
    assert "20 GB" in card_words(phase.run_dir)[0][1] and card_prompts(phase.run_dir) == ""

    monkeypatch.setattr(worker, "check_heads", lambda *of: Fault("It is not whole.", "Merge again."))
    (phase.run_dir / parity.FILE).unlink()
    assert check.run(["merged"]).forms["merged"].outcome == "refused"


def test_a_reference_without_numbers_is_asked_elsewhere_and_never_blamed_on_the_merge(monkeypatch):
    check = object.__new__(Check)
    check.asked, check.done = [[1]], 0
    check.places = [Place("cuda", torch.float16), Place("cpu", torch.float32)]
    broken = replace(LOGITS, total=np.array([np.nan]))
    monkeypatch.setattr(Check, "_ask_at", lambda self, place: Trained(
        place, [[1]], broken if place.dtype == torch.float16 else LOGITS, None))
    assert check.ask_trained().place.device == "cpu"
    check.places = check.places[:1]
    with pytest.raises(ModelError, match="trained model computes values that are no numbers"):
        check.ask_trained()

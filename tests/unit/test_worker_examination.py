"""A run's data are examined beside the loading of its model where nobody did before; the report lies in its folder."""

import json

import pytest

from studio.data import doctor_client, doctor_process
from studio.data.doctor_client import Examination
from studio.data.doctor_process import ExaminationState
from studio.data.doctor_reports import REPORT_FILE
from studio.errors import DataError
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.runs.events import EventWriter, read_events
from studio.settings import Settings
from studio.worker.examination import RunExamination
from studio.worker.phase import Phase
from tests.tiny_model import make_tiny_tokenizer


@pytest.fixture
def phase(tmp_path):
    """The training of a run on 30 rows."""
    made = []

    def make(name="run", data=""):
        run_dir = tmp_path / "runs" / name
        run_dir.mkdir(parents=True)
        rows = tmp_path / "rows.jsonl"
        if not rows.exists():
            rows.write_text("".join(json.dumps({"prompt": f"q{i}", "completion": f"a{i}"}) + "\n" for i in range(30)))
            make_tiny_tokenizer(tmp_path / "model")
            (tmp_path / "model" / "config.json").write_text('{"model_type": "llama"}')
        preset = override(Preset(), {"data.dataset_name": data or str(rows),
                                     "model.model_name_or_path": str(tmp_path / "model")})
        journal = EventWriter(run_dir)
        made.append(journal)
        return Phase("train", run_dir, preset, Settings(data_dir=tmp_path), journal)

    yield make
    for journal in made:
        journal.close()


def report_of(phase):
    return json.loads((phase.run_dir / REPORT_FILE).read_text())


def test_the_report_is_in_the_folder_when_the_block_ends_and_no_data_are_examined_twice(phase, monkeypatch):
    first, second = phase(), phase("second")
    with RunExamination(first, resuming=False):
        assert not (first.run_dir / REPORT_FILE).exists()
    report = report_of(first)
    assert (report["usable_rows"], report["tokens"]["sampled_rows"], report["complete"]) == (30, 30, True)
    monkeypatch.setattr(doctor_client, "_works", {})
    monkeypatch.setattr(doctor_process.subprocess, "Popen", None)
    with RunExamination(second, resuming=False):
        pass
    assert report_of(second) == report
    with RunExamination(first, resuming=False), RunExamination(phase("third"), resuming=True):
        pass
    assert not (first.run_dir.parent / "third" / REPORT_FILE).exists()


@pytest.fixture
def examined(monkeypatch):
    """Lets every examination end in the state given; returns the data sets that were asked for."""
    asked = []

    def end(**state):
        monkeypatch.setattr(doctor_client, "examination", lambda preset, *_: (
            asked.append(preset.data.dataset_name), Examination(None, ExaminationState(done=True, **state)))[1])
        return asked

    return end


def test_data_of_the_hub_are_examined_once_they_are_downloaded(phase, examined):
    asked, far = examined(report={"rows": 7}), phase(data="owner/name")
    with RunExamination(far, resuming=False) as examination:
        assert not asked
        examination.begin()
        examination.begin()
    assert asked == ["owner/name"] and report_of(far) == {"rows": 7}


def test_a_run_that_fails_keeps_what_was_found_until_then(phase, examined):
    examined(report={"rows": 7, "complete": False})
    failing = phase()
    with pytest.raises(DataError), RunExamination(failing, resuming=False):
        raise DataError("No row.", "Add some.")
    assert report_of(failing) == {"rows": 7, "complete": False}


def test_what_keeps_data_from_being_examined_is_a_warning(phase, examined):
    examined(error=DataError("The examination was ended by the system.", "Set data.max_rows."))
    warned = phase()
    with RunExamination(warned, resuming=False):
        pass
    assert not (warned.run_dir / REPORT_FILE).exists()
    assert [event.values["message"] for event in read_events(warned.run_dir)[0] if event.type == "warning"] == [
        "The run has no report on its data. The examination was ended by the system."]

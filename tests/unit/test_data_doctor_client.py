"""Examinations in a process of their own: progress, a first verdict, joining, keeping, ending, and failures."""

import json
import os
import time

import pytest

from studio.data import doctor_client
from studio.data.doctor_client import examination, examine_small, kept_report
from studio.errors import DataError
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.settings import Settings
from tests.tiny_model import make_tiny_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    make_tiny_tokenizer(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    return folder


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "studio")})


@pytest.fixture
def preset(tmp_path, model):
    """A preset whose data are so many good rows and one that is none."""
    def make(rows, **fields):
        path = tmp_path / f"rows-{rows}.jsonl"
        path.write_text("".join(json.dumps({"prompt": f"question {i}", "completion": f"answer {i}"}) + "\n"
                                for i in range(rows)) + "rubbish\n")
        return override(Preset(), {"data.dataset_name": str(path), "model.model_name_or_path": str(model)} | fields)
    return make


def test_a_set_is_examined_once_and_its_report_is_kept(preset, settings, monkeypatch):
    wanted = preset(30)
    assert kept_report(wanted, settings) is None
    first, second = examination(wanted, settings), examination(wanted, settings)
    assert first is second
    state = first.wait(60)
    assert state.error is None and state.done and not state.is_first and state.share == 1
    assert (state.report["usable_rows"], state.report["may_train"]) == (30, False)
    assert state.report["tokens"]["sampled_rows"] == 30
    assert kept_report(wanted, settings) == state.report
    monkeypatch.setattr(doctor_client, "_examinations", {})  # as after a restart
    again = examination(wanted, settings)
    assert again.state().done and again.state().report == state.report and again is not first
    assert kept_report(override(wanted, {"training.max_length": 99}), settings) is None
    os.utime(wanted.data.dataset_name, (1, 1))
    assert kept_report(wanted, settings) is None


def test_the_first_rows_are_judged_within_two_seconds_and_a_cancel_leaves_what_was_read(preset, settings):
    wanted = preset(300_000)
    began = time.monotonic()
    running = examination(wanted, settings)
    while running.state().report is None and not running.state().done:
        time.sleep(0.01)
    seconds = time.monotonic() - began
    state = running.state()
    assert state.is_first and not state.done and 1000 <= state.report["rows"] < 10_000
    assert not state.report["complete"] and state.report["verdict"].startswith("1,000 rows")
    while running.state().share == 0:
        time.sleep(0.01)
    assert 0 < running.state().share < 1 and running.state().part == "reading"
    running.cancel()
    state = running.wait(10)
    assert state.done and state.error is None and not state.report["complete"]
    assert 1000 <= state.report["rows"] < 300_000
    assert kept_report(wanted, settings) is None
    assert seconds < 6, "two seconds where nothing else works on the machine"


def test_a_model_without_tokenizer_costs_only_the_tokens(preset, settings, tmp_path):
    wanted = preset(12, **{"model.model_name_or_path": str(tmp_path / "gone")})
    report = examination(wanted, settings).wait(60).report
    assert report["usable_rows"] == 12 and report["tokens"] is None
    assert "gone" in report["tokens_error"]["message"] and report["tokens_error"]["hint"]


def test_what_cannot_be_examined_is_an_error_with_a_next_step(preset, settings, tmp_path):
    state = examination(override(preset(5), {"data.dataset_name": str(tmp_path / "gone.jsonl")}), settings).wait(60)
    assert isinstance(state.error, DataError) and "There is no file" in state.error.message and state.error.hint
    assert state.done and state.report is None


def test_a_process_that_is_killed_is_an_error(preset, settings):
    running = examination(preset(300_001), settings)
    doctor_client._kill(running._process)
    state = running.wait(10)
    assert state.done and "ended by the system" in state.error.message


def test_only_small_sets_are_examined_on_the_way(preset, settings, monkeypatch):
    assert examine_small(preset(11), settings).wait(60).report["usable_rows"] == 11
    monkeypatch.setattr(doctor_client, "SMALL_BYTES", 100)
    assert examine_small(preset(11), settings) is None
    assert examine_small(override(Preset(), {"data.dataset_name": "owner/name"}), settings) is None

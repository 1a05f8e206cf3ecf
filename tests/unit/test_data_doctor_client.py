"""Examinations in a process of their own: progress, a first verdict, joining, keeping, ending, and failures."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

import psutil
import pytest

from studio.data import doctor, doctor_client, doctor_process, doctor_reports
from studio.data.doctor_client import examination, examine_small, kept_report
from studio.errors import DataError
from studio.preset.files import override
from studio.preset.schema import DataSection, Preset
from studio.settings import PROJECT_DIR, Settings
from tests.seconds import wait_until
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
    """A preset whose data are so many good rows, each with so many blanks, and one that is none."""
    def make(rows, blanks=0, **fields):
        path = tmp_path / f"rows-{rows}.jsonl"
        path.write_text("".join(json.dumps({"prompt": f"question {i}", "completion": f"answer {i}"}) + " " * blanks
                                + "\n" for i in range(rows)) + "rubbish\n")
        return override(Preset(), {"data.dataset_name": str(path), "model.model_name_or_path": str(model)} | fields)
    return make


class Held:
    """Examinations that stand still once they have judged their first rows, so that none can end meanwhile."""

    def __init__(self):
        self.goes_on = threading.Event()
        self.examinations = 0
        self.processor_s = 0.0  # until the first rows were judged

    def hold(self, process: doctor_process.DoctorProcess) -> None:
        group = process._process.pid
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            os.killpg(group, signal.SIGSTOP)
            used = psutil.Process(group).cpu_times()
            self.processor_s = used.user + used.system
        self.examinations += 1
        self.goes_on.wait()
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGCONT)

    def wait(self, examinations: int = 1) -> None:
        wait_until(lambda: self.examinations == examinations, limit_s=120)


@pytest.fixture
def held(monkeypatch):
    held, take = Held(), doctor_process.DoctorProcess._take

    def take_and_hold(process, said):
        take(process, said)
        if "first" in said:
            held.hold(process)

    monkeypatch.setattr(doctor_process.DoctorProcess, "_take", take_and_hold)
    yield held
    held.goes_on.set()


def test_a_set_is_examined_once_and_its_report_is_kept(preset, settings, monkeypatch):
    wanted = preset(30)
    assert kept_report(wanted, settings) is None
    first, second = examination(wanted, settings), examination(wanted, settings)
    assert first._work.process is second._work.process
    state = first.wait(60)
    assert second.state() is state
    assert state.error is None and state.done and not state.is_first and state.share == 1
    assert (state.report["usable_rows"], state.report["may_train"]) == (30, False)
    assert state.report["tokens"]["sampled_rows"] == 30
    assert kept_report(wanted, settings) == state.report
    monkeypatch.setattr(doctor_client, "_works", {})  # as after a restart
    again = examination(wanted, settings)
    assert again.state().done and again.state().report == state.report
    assert kept_report(override(wanted, {"training.max_length": 99}), settings) is None
    os.utime(wanted.data.dataset_name, (1, 1))
    assert kept_report(wanted, settings) is None


def test_the_first_rows_are_judged_within_two_seconds_and_a_cancel_leaves_what_was_read(preset, settings, held):
    wanted = preset(100_000)
    running = examination(wanted, settings)
    held.wait()
    state = running.state()
    assert state.is_first and not state.done and 1000 <= state.report["rows"] < 10_000
    assert not state.report["complete"] and state.report["verdict"].startswith("1,000 rows")
    running.cancel()
    held.goes_on.set()
    state = running.wait(60)
    assert state.done and state.error is None and not state.report["complete"]
    assert 1000 <= state.report["rows"] < 100_000
    assert kept_report(wanted, settings) is None
    assert held.processor_s < 6, "two seconds where nothing else works on the machine"


def test_it_is_told_how_far_the_reading_is(preset, settings, monkeypatch, tmp_path):
    told, take = [], doctor_process.DoctorProcess._take
    monkeypatch.setattr(doctor_process.DoctorProcess, "_take",
                        lambda process, said: take(process, said) or told.append(process.state))
    # more than is read at a time
    wanted = preset(3_000, blanks=4_000, **{"model.model_name_or_path": str(tmp_path / "gone")})
    assert examination(wanted, settings).wait(120).report["usable_rows"] == 3_000
    assert any(0 < state.share < 1 and state.part == "reading" and 0 < state.rows < 3_000 for state in told)


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
    running = examination(preset(100_001), settings)
    running._work.process.kill()
    state = running.wait(60)
    assert state.done and "ended by the system" in state.error.message


def test_only_small_sets_are_examined_on_the_way(preset, settings, monkeypatch):
    assert examine_small(preset(11), settings).wait(60).report["usable_rows"] == 11
    monkeypatch.setattr(doctor_client, "SMALL_BYTES", 100)
    assert examine_small(preset(11), settings) is None
    assert examine_small(override(Preset(), {"data.dataset_name": "owner/name"}), settings) is None


def test_the_cancel_of_one_does_not_end_what_another_waits_for(preset, settings, held):
    wanted = preset(100_002)
    first, second = examination(wanted, settings), examination(wanted, settings)
    held.wait()
    assert not second.state().done, "it still looks"
    first.cancel()
    ended = first.state()
    assert ended.done and not ended.report["complete"] and ended.error is None
    assert not second.state().done
    second.cancel()
    third = examination(wanted, settings)
    held.wait(examinations=2)
    held.goes_on.set()
    assert second.wait(60).done and not second.state().report["complete"]
    assert not third.state().done, "what was ended early is no answer to who asks next"
    third.cancel()
    assert third.wait(60).done


def test_an_examination_that_is_ended_at_once_says_so(preset, settings, monkeypatch):
    # it is not even told what to examine
    monkeypatch.setattr(doctor_process, "_tell", lambda process, request: process.wait(60))
    running = examination(preset(13), settings)
    running.cancel()
    state = running.wait(60)
    assert state.done and "ended before the first rows were judged" in state.error.message


@pytest.mark.parametrize("line", ["no JSON\n", '{"report": {}}\n', '{"error": {}}\n', "5\n"])
def test_an_answer_that_nobody_understands_is_an_error_and_not_for_ever(preset, settings, monkeypatch, line):
    fake_worker(monkeypatch, settings, f"import time\nprint({line!r}, flush=True)\ntime.sleep(2)")
    state = examination(preset(14), settings).wait(60)
    assert state.done and "could not be examined" in state.error.message and state.error.hint


def test_a_process_that_reads_nothing_is_an_error(preset, settings, monkeypatch):
    fake_worker(monkeypatch, settings, "import os, sys\nos.close(0)\nsys.exit('no room here')")
    state = examination(preset(15), settings).wait(60)
    assert state.done and "no room here" in state.error.message


def test_a_process_that_cannot_start_is_an_error_each_time(preset, settings, monkeypatch):
    monkeypatch.setattr(doctor_process.sys, "executable", str(settings.data_dir / "gone"))
    for _ in range(2):
        with pytest.raises(DataError, match="cannot be started"):
            examination(preset(16), settings)


def fake_worker(monkeypatch, settings, code):
    """Let the worker be a process that runs this."""
    settings.data_dir.mkdir(exist_ok=True)
    program = settings.data_dir / "worker"
    program.write_text(f"#!{sys.executable}\n{code}\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor_process.sys, "executable", str(program))


@pytest.fixture
def report(preset, settings):
    path = preset(12).data.dataset_name
    return doctor.examine(DataSection(dataset_name=path), settings).as_json()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[]", b"{}", b'{"verdict": "x"}', b'{"report": 1}'])
def test_a_damaged_report_counts_as_none(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    assert doctor_reports.read(path, is_far=False) is None


@pytest.mark.parametrize("change", [
    {"findings": [{"name": "x"}]}, {"rows": "12"}, {"tokens": {}}, {"shape": None}, {"files": 3}])
def test_a_report_in_the_wrong_shape_counts_as_none(tmp_path, report, change):
    path = tmp_path / "report.json"
    doctor_reports.keep(report, path, is_far=False)
    assert doctor_reports.read(path, is_far=False)[0] == report
    path.write_text(json.dumps(report | change))
    assert doctor_reports.read(path, is_far=False) is None


def test_a_report_with_fewer_tokens_does_not_replace_one_with_more(tmp_path, report):
    path = tmp_path / "report.json"
    tokens = {name: 0 for name in (
        "max_length", "mean", "mean_error", "mean_trained", "median", "p95", "longest", "truncated_share",
        "tokens_cut_share", "suggested_max_length", "tokens_per_epoch", "trained_tokens_per_epoch", "batch_size",
        "padding_waste", "packed_waste", "packing_gain")}
    tokens |= {"model": "m", "histogram": {"edges": [0, 1], "counts": [1]}, "findings": [], "rows": 12}
    exact, sampled = (report | {"tokens": tokens | {"sampled_rows": n}} for n in (12, 6))
    for each in (report, sampled, exact, sampled, report):
        doctor_reports.keep(each, path, is_far=False)
    assert doctor_reports.read(path, is_far=False)[0] == exact
    os.utime(path, (1, 1))
    doctor_reports.keep(sampled, path, is_far=True)
    assert doctor_reports.read(path, is_far=True)[0] == sampled, "the Hub may hold something else by now"


def test_many_other_examinations_do_not_push_a_running_one_out(preset, settings, monkeypatch, held):
    monkeypatch.setattr(doctor_client, "REMEMBERED", 1)
    wanted = preset(3_000)
    running = examination(wanted, settings)
    held.wait()
    fake_worker(monkeypatch, settings, "import sys\nsys.exit('nothing')")
    for n in range(20, 24):
        examination(preset(n), settings).wait(60)
    assert examination(wanted, settings)._work is running._work
    running._work.process.kill()
    held.goes_on.set()
    assert running.wait(60).done


ORPHANED = """
import os, signal, sys, time
from pathlib import Path
from studio.data.doctor_client import examination
from studio.preset import files
from studio.preset.schema import DataSection, Preset
from studio.settings import PROJECT_DIR, Settings
preset = files.override(Preset(), {"data.dataset_name": sys.argv[1]})
running = examination(preset, Settings(data_dir=Path(sys.argv[2])))
while running.state().report is None:
    time.sleep(0.01)
print(running._work.process._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_processes_end_when_the_server_is_killed(preset, settings):
    rows = preset(300_004).data.dataset_name
    done = subprocess.run([sys.executable, "-c", ORPHANED, rows, str(settings.data_dir)], cwd=PROJECT_DIR,
                          capture_output=True, text=True, timeout=600)
    group = int(done.stdout)
    wait_until(lambda: not alive(group))


def alive(group: int) -> list[int]:
    """The processes of a group that still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found

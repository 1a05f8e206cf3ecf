"""The command line as a person uses it: the real launcher, a scripted worker, plain sentences and exit codes."""

import json
import os
import socket
import subprocess
import sys

import pytest

from studio import cli
from studio.evaluation.request import EvaluateRequest, read_request
from studio.publishing.exports import MERGED_RECORD, write_record
from studio.runs.events import read_events
from studio.runs.store import RunStore
from studio.settings import PROJECT_DIR, Settings
from tests.conftest import end_runs
from tests.finished_run import finished_run


@pytest.fixture
def studio(tmp_path, monkeypatch, capsys):
    """Run a command as `main` does; returns what it printed."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)

    def run(*arguments, code=0):
        returned = cli.main(list(arguments))
        printed = capsys.readouterr()
        assert returned == code, printed.out + printed.err
        return printed.out if code == 0 else printed.out + printed.err

    yield run
    end_runs(RunStore(Settings.from_environment()))


def environment(tmp_path):
    return {"STUDIO_DATA_DIR": str(tmp_path / "data"), "STUDIO_WORKER_MODULE": "tests.fake_worker",
            "HF_HUB_OFFLINE": "1"}


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    pairs = [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(30)]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return path


def test_gguf_files_of_a_finished_run(studio):
    store = RunStore(Settings.from_environment())
    run_dir = store.run_dir(finished_run(store))
    assert "COMPLETED" in studio("gguf", "recipes", "--kind", "q4_k_m", "--kind", "f16")
    shown = json.loads(studio("show", "recipes", "--json"))
    assert [(export["name"], export["fresh"]) for export in shown["exports"]] == [
        ("adapter", True), ("merged", True), ("f16", True), ("q4_k_m", True)]
    assert "q4_k_m" in studio("show", "recipes")
    assert done_phases(run_dir)[-1] == "gguf"

    (run_dir / "adapter" / "adapter_model.safetensors").write_bytes(b"trained again")
    write_record(run_dir / "merged" / MERGED_RECORD, run_dir / "merged")
    assert "of earlier weights" in studio("show", "recipes")
    studio("gguf", "recipes", "--kind", "f16")
    assert done_phases(run_dir)[-2:] == ["merge", "gguf"]


def done_phases(run_dir):
    return [event.values["phase"] for event in read_events(run_dir)[0] if event.type == "done"]


def test_a_run_from_start_to_deletion(studio, rows):
    out = studio("run", "quickstart", "--name", "first", "--set", "training.max_steps=4",
                 "--set", "description=step_s=0.01", "--set", f"data.dataset_name={rows}")
    assert "first  COMPLETED" in out and "base against tuned on 24 held-out rows" in out
    (facts,) = json.loads(studio("runs", "--json"))
    assert facts["name"] == "first" and facts["stage"] == "COMPLETED"
    assert facts["run_id"] in studio("runs")
    assert json.loads(studio("show", "first", "--json"))["step"] == 4
    assert "COMPLETED" in studio("merge", "last")
    for asked, noted in ((["--on", str(rows), "--set", "evaluation.metric=chrf"],
                          EvaluateRequest(str(rows), settings={"evaluation.metric": "chrf"})), ([], EvaluateRequest())):
        assert "COMPLETED" in studio("evaluate", "first", *asked)
        assert read_request(RunStore(Settings.from_environment()).find("last").run_dir) == noted
    assert "is not read by a comparison" in studio("evaluate", "first", "--set", "lora.r=8", code=2)
    assert "has no other trained model" in studio("evaluate", "first", "--against", "first", code=2)
    assert "Probably yes. From 200 to 400 rows" in studio("slope", "first")
    assert json.loads(studio("slope", "first", "--detach", "--json")) == {"started": []}
    assert len(json.loads(studio("runs", "--json"))) == 3
    assert "is not running" in studio("stop", "first", code=2)
    assert "is complete" in studio("resume", "first", code=2)
    for run in json.loads(studio("runs", "--json")):
        studio("delete", run["run_id"])
    assert "No runs yet" in studio("runs")


def test_the_untouched_model_is_tried_before_any_training(studio, rows):
    out = studio("baselines", "quickstart", "--set", f"data.dataset_name={rows}")
    assert "without tuning  COMPLETED" in out and "Training has room to gain" in out
    assert "180 tokens in" in out and "base against tuned" not in out
    (facts,) = json.loads(studio("runs", "--json"))
    assert facts["phases"] == {"baselines": {"rows": 80, "best": "few_shot"}}
    assert "has no trained model yet" in studio("evaluate", "last", code=2)


def test_detach_follow_stop_and_resume(studio, rows):
    out = studio("run", "quickstart", "--detach", "--json", "--set", "description=step_s=0.2",
                 "--set", "training.max_steps=400", "--set", f"data.dataset_name={rows}")
    run_id = json.loads(out)["run_id"]
    assert "is still" in studio("delete", run_id, code=2)
    studio("stop", run_id)
    assert "STOPPED" in studio("follow", run_id, code=1)
    studio("resume", run_id, "--detach")
    studio("stop", run_id)
    assert "STOPPED" in studio("follow", run_id, code=1)


def test_the_exit_code_is_zero_only_when_completed(studio, rows):
    out = studio(
        "run", "quickstart", "--set", "description=crash=train", "--set", f"data.dataset_name={rows}", code=1)
    assert "the scripted crash" in out


def test_data_named_relative_to_the_present_folder_is_found(studio, rows, monkeypatch):
    monkeypatch.chdir(rows.parent)
    out = studio("run", "quickstart", "--set", "training.max_steps=2", "--set", f"data.dataset_name={rows.name}")
    assert "COMPLETED" in out


def test_a_real_process_ends_with_a_sentence_and_no_traceback(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "studio", "show", "nothing"], env=os.environ | environment(tmp_path), cwd=PROJECT_DIR,
        capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == 'There is no run "nothing". `python -m studio runs` lists them.\n'


@pytest.mark.parametrize(("arguments", "expected"), [
    (["run", "no-such-preset"], "There is no file"),
    (["run", "quickstart", "--set", "lora.rank=8"], "is not a preset field"),
    (["run", "quickstart", "--set", "lora.r=many"], "lora.r must be a valid integer"),
    (["run", "quickstart", "--set", "lora.r"], "is no assignment"),
    (["run", "quickstart", "--set", "model.load_in_4bit=true"], "needs an NVIDIA GPU"),
    (["run", "quickstart", "--set", "data.dataset_name=missing.jsonl"], "missing.jsonl"),
    (["run", "quickstart", "--set", "model.model_name_or_path=nobody/nothing"], "nobody/nothing"),
    (["run", "quickstart", "--set", "publish.push_to_hub=true"], "needs a repository"),
    (["run", "quickstart", "--set", "publish.push_to_hub=true", "--set", "publish.hub_model_id=me/x"], "token"),
    (["show", "nothing"], 'There is no run "nothing"'),
    (["publish", "nothing", "--repo", "a/b"], 'There is no run "nothing"'),
    (["serve", "--port", "99999"], '--port is "99999", which is no port'),
    (["serve", "--host", "203.0.113.7"], "This machine has no address 203.0.113.7"),
])
def test_a_mistake_is_one_sentence_and_exit_code_2(studio, arguments, expected):
    assert expected in studio(*arguments, code=2)
    answer = json.loads(studio(*arguments, "--json", code=2).splitlines()[-1])
    assert expected in answer["error"] + answer["hint"]


def test_the_server_is_asked_for_the_port_on_the_command_line(studio):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"Port {port} is taken" in studio("serve", "--port", port, code=2)


def test_check_lists_findings(studio):
    out = studio("check", "quickstart", "--set", "training.packing=true", "--set", "training.optim=adamw_8bit", code=2)
    assert "Packing needs an NVIDIA GPU" in out and "--set training.packing=False" in out and "adamw_8bit" in out
    assert [f for f in json.loads(studio("check", "quickstart", "--json"))["findings"] if f["level"] == "error"] == []


def test_presets_and_schema(studio, capsys):
    assert "quickstart" in studio("presets")
    (Settings.from_environment().user_presets_dir / "mine.yaml").write_text("lora: {r: 0}")
    assert cli.main(["presets"]) == 0
    listed = capsys.readouterr()
    assert "quickstart" in listed.out and "mine" not in listed.out
    assert listed.err.startswith("mine.yaml: Line 1: lora.r must be")
    assert {preset["name"] for preset in json.loads(studio("presets", "--json"))} >= {"quickstart", "domain-text"}
    assert "lora" in json.loads(studio("schema"))["properties"]

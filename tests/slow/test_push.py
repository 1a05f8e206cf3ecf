"""A real model to the stand-in Hub and back: what comes down loads with transformers and answers as before."""

import os
import shutil
import subprocess
import sys

import pytest

from studio.preset.schema import PublishSection
from studio.publishing.request import write_request
from studio.runs.events import read_events
from studio.settings import PROJECT_DIR
from tests.finished_run import finished_run
from tests.hub_server import HubServer

ANSWER = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
prompt = tokenizer.apply_chat_template(
    [{"role": "user", "content": "two cups of flour"}], add_generation_prompt=True, return_tensors="pt",
    return_dict=True)
print(model.generate(**prompt, max_new_tokens=24, do_sample=False)[0].tolist())
"""
ROWS = "import datasets, sys; print(datasets.load_dataset(sys.argv[1], split='train')[1]['text'])"


@pytest.fixture
def hub():
    with HubServer() as hub:
        hub.token = hub.add_user("ana")
        yield hub


def run(command: list[str], hub: HubServer, home, token: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run([sys.executable, *command], cwd=PROJECT_DIR, env=clean | hub.environment(home, token),
                          capture_output=True, text=True, timeout=120)


def test_a_pushed_model_comes_back_and_answers_the_same(store, tiny_model, hub, tmp_path):
    run_dir = store.run_dir(finished_run(store))
    shutil.rmtree(run_dir / "merged")
    shutil.copytree(tiny_model, run_dir / "merged")
    write_request(run_dir, PublishSection(hub_model_id="ana/recipes"))
    pushed = run(["-m", "studio.publishing", str(run_dir)], hub, tmp_path / "hf", hub.token)
    assert pushed.returncode == 0, pushed.stderr

    here = run(["-c", ANSWER, str(run_dir / "merged")], hub, tmp_path / "hf-here", hub.token)
    there = run(["-c", ANSWER, "ana/recipes"], hub, tmp_path / "hf-there", hub.token)
    assert here.stdout and there.stdout == here.stdout, there.stderr
    stranger = run(["-c", ANSWER, "ana/recipes"], hub, tmp_path / "hf-stranger", "")
    assert stranger.returncode != 0, "it is private"


def test_an_upload_that_fails_for_good_ends_with_the_cause(store, hub, tmp_path):
    run_dir = store.run_dir(finished_run(store))
    write_request(run_dir, PublishSection(hub_model_id="ana/recipes"))
    hub.fail("lfs-put", times=99, status=500, message="Internal storage error")
    pushed = run(["-m", "studio.publishing", str(run_dir)], hub, tmp_path / "hf", hub.token)
    assert pushed.returncode == 3
    error = read_events(run_dir)[0][-1].values
    assert error["message"] == 'The Hub failed (status 500) while sending loss_curve.png: "Internal storage error".'
    assert "Push again" in error["hint"]


def test_the_stand_in_hub_serves_data_sets_and_guards_what_is_gated(hub, tmp_path):
    hub.add_repo("ana/rows", {"data.jsonl": b'{"text": "one"}\n{"text": "two"}\n'}, kind="datasets")
    read = run(["-c", ROWS, "ana/rows"], hub, tmp_path / "hf", "")
    assert read.stdout.strip() == "two", read.stderr
    hub.add_repo("ana/guarded", {"data.jsonl": b'{"text": "one"}\n'}, kind="datasets", gated=True)
    ben = hub.add_user("ben")
    assert "gated" in run(["-c", ROWS, "ana/guarded"], hub, tmp_path / "hf-2", ben).stderr.lower()

"""A real model to the stand-in Hub and back: what comes down loads with transformers and answers as before."""

import os
import shutil
import subprocess
import sys

import pytest
from transformers import AutoTokenizer

from studio.errors import HubError
from studio.preset import files
from studio.preset.schema import Preset, PublishSection
from studio.publishing.load_test import load_test
from studio.publishing.request import Target, write_request
from studio.runs.events import read_events
from studio.settings import PROJECT_DIR
from studio.worker.gguf_convert import Conversion
from studio.worker.load_test import _prompt, ask, ask_gguf
from tests.finished_run import checked, finished_run
from tests.hub_server import HubServer
from tests.tiny_model import make_tiny_model

PULL = "import huggingface_hub, sys; huggingface_hub.snapshot_download(sys.argv[1])"
ROWS = "import datasets, sys; print(datasets.load_dataset(sys.argv[1], split='train')[1]['text'])"


@pytest.fixture
def hub():
    with HubServer() as hub:
        hub.token = hub.add_user("ana")
        yield hub


def run(command: list[str], hub: HubServer, home, token: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    return subprocess.run([sys.executable, *command], cwd=PROJECT_DIR, env=clean | hub.environment(home, token),
                          capture_output=True, text=True)


def test_a_pushed_model_is_loaded_from_the_hub_and_answers_the_same(store, tiny_model, hub, tmp_path, monkeypatch):
    run_dir = store.run_dir(finished_run(store))
    shutil.rmtree(run_dir / "merged")
    shutil.copytree(tiny_model, run_dir / "merged")
    checked(run_dir)
    write_request(run_dir, PublishSection(hub_model_id="ana/recipes", load_test=True, what="both"))
    pushed = run(["-m", "studio.publishing", str(run_dir)], hub, tmp_path / "hf", hub.token)
    assert pushed.returncode == 0, pushed.stderr
    result = read_events(run_dir)[0][-1].values["result"]
    loaded, = result["load_test"]["loaded"]
    assert loaded["repo_id"] == "ana/recipes" and loaded["same"] and loaded["answer"] and not loaded["reason"]
    assert not (run_dir / "load-test").exists() and not (tmp_path / "hf" / "hub").exists(), "nothing is left of it"
    told = [event.values["message"] for event in read_events(run_dir)[0] if event.type == "progress"]
    assert told[-1] == "Loading ana/recipes from the Hub"
    stranger = run(["-c", PULL, "ana/recipes"], hub, tmp_path / "hf-stranger", "")
    assert "RepositoryNotFoundError" in stranger.stderr, "it is private"

    # the process that loads it fails, whatever the reason
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(HubError, match="could not be loaded from the Hub here"):
        load_test(run_dir, Target("ana/recipes", ("merged",)), result["commit"], lambda: None)


def test_a_model_with_other_weights_is_told_by_its_answer(tiny_model, tmp_path):
    other = make_tiny_model(tmp_path / "other", seed=1)
    here, again, there = (ask(place, tiny_model, "merged", "two cups of flour", Preset())
                          for place in (tiny_model, tiny_model, other))
    assert here.is_like(again) and not here.is_like(there)


def test_a_gguf_file_is_loaded_and_asked_as_the_model_it_was_made_of(tiny_model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    Conversion(tiny_model, tmp_path / "tiny.gguf", "f16", "tiny", tokenizer, None).write()
    made_of = ask(tiny_model, tiny_model, "merged", "two cups of flour", Preset())
    loaded = ask_gguf(tmp_path / "tiny.gguf", tiny_model, "two cups of flour", Preset())
    assert loaded.text == made_of.text and (loaded.logits - made_of.logits).abs().max() < 0.02


def test_a_template_without_system_messages_is_no_failure_of_the_push(tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" \
                              "{{ messages[0].content }}"
    asked = files.override(Preset(), {"data.system_prompt": "Be brief."})
    assert _prompt(tokenizer, "two cups", asked) == tokenizer("two cups", add_special_tokens=False)["input_ids"]


def test_the_stand_in_hub_serves_data_sets_and_guards_what_is_gated(hub, tmp_path):
    hub.add_repo("ana/rows", {"data.jsonl": b'{"text": "one"}\n{"text": "two"}\n'}, kind="datasets")
    read = run(["-c", ROWS, "ana/rows"], hub, tmp_path / "hf", "")
    assert read.stdout.strip() == "two", read.stderr
    hub.add_repo("ana/guarded", {"data.jsonl": b'{"text": "one"}\n'}, kind="datasets", gated=True)
    ben = hub.add_user("ben")
    assert "gated" in run(["-c", ROWS, "ana/guarded"], hub, tmp_path / "hf-2", ben).stderr.lower()

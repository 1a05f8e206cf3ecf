"""The real inference process: Unsloth, a tiny model, an adapter that was trained, and the server's side of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import QUIET, Runs, chats
from safetensors.torch import load_file, save_file

from studio.errors import ModelError, RunError
from studio.runs.events import EventWriter, RunStage
from studio.runs.playground import Playground, PlaygroundStage, Target, chat_once
from studio.runs.store import RunStore
from studio.settings import PROJECT_DIR, Settings
from tests.conftest import LONG_S

QUESTION = [{"role": "user", "content": "question 3"}]
ADAPTED, WHOLE, TEXTS, RIVAL = (f"20260101-000000-{name}-0000" for name in ("adapted", "whole", "texts", "rival"))


@pytest.fixture(scope="module", autouse=True)
def quiet():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUIET.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory, tiny_model, worker_host) -> RunStore:
    """A data folder with one trained run, and the means to add more."""
    data_dir = tmp_path_factory.mktemp("playground")
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(data_dir)})
    runs = Runs(data_dir, tiny_model, worker_host)
    add_run(runs, ADAPTED, chats(16), training__max_steps=30, training__save_steps=15, training__learning_rate=3e-2,
            lora__lora_alpha=64)
    return RunStore(settings)


@pytest.fixture(scope="module")
def runs(store, tiny_model, worker_host) -> Runs:
    return Runs(store.settings.data_dir, tiny_model, worker_host)


def add_run(runs, run_id, rows, **overrides) -> Path:
    run_dir = runs.create(rows, name=run_id, **overrides)
    (run_dir / "run.json").write_text(json.dumps({
        "run_id": run_id, "name": run_id[16:-5], "created_at": "2026-01-01T00:00:00.000+00:00", "git_revision": ""}))
    runs.train(run_dir)
    journal = EventWriter(run_dir)
    journal.stage(RunStage.COMPLETED)
    journal.close()
    return run_dir


@pytest.fixture(scope="module")
def shared(store):
    playground = Playground(store.settings, store)
    yield playground
    playground.stop()


@pytest.fixture
def playground(shared):
    """The one process, with the trained run loaded."""
    shared.load(Target(ADAPTED))
    return shared


def said(playground, name, messages=QUESTION, **sampling) -> str:
    return "".join(delta.text for delta in playground.chat(name, messages, **{"max_tokens": 24} | sampling))


def plain_answers(base: Path, adapter: Path) -> dict[str, str]:
    """What transformers and PEFT alone answer, greedily, as base and as tuned."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)

    def answer() -> str:
        out = model.generate(**ids, max_new_tokens=24, do_sample=False)[0][ids["input_ids"].shape[1]:]
        return tokenizer.decode(out, skip_special_tokens=True)

    answers = {"base": answer()}
    model = PeftModel.from_pretrained(model, adapter)
    return answers | {"tuned": answer()}


def test_base_and_tuned_answer_as_plain_generate_does_and_differ(playground, store, tiny_model):
    wanted = plain_answers(tiny_model, store.run_dir(ADAPTED) / "adapter")
    got = {name: said(playground, name) for name in ("base", "tuned")}
    assert got == wanted
    assert got["base"] != got["tuned"] and got["tuned"].startswith("city")


def test_switching_the_adapter_leaves_no_trace(playground):
    first = [said(playground, name) for name in ("base", "tuned")]
    assert [said(playground, name) for name in ("tuned", "base", "tuned", "base")] == [first[1], first[0]] * 2


def test_the_seed_decides_what_is_drawn(playground):
    drawn = [said(playground, "base", temperature=1.5, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert said(playground, "base", seed=1) == said(playground, "base", seed=2)


def test_counts_and_speed_are_told(playground):
    *_, last = playground.chat("base", QUESTION, max_tokens=24)
    assert last.usage["completion_tokens"] <= 24
    assert last.usage["total_tokens"] == last.usage["prompt_tokens"] + last.usage["completion_tokens"]
    assert 0 < last.timings["first_token_s"] <= last.timings["total_s"] and last.timings["tokens_per_s"] > 1


def test_the_exact_prompt_is_shown(playground):
    assert playground.prompt_text(QUESTION) == "<|im_start|>user\nquestion 3<|im_end|>\n<|im_start|>assistant\n"


def test_hanging_up_stops_the_model_at_the_next_token(playground):
    whole = list(playground.chat("base", QUESTION, max_tokens=450))[-1].timings["total_s"]
    answer = playground.chat("base", QUESTION, max_tokens=450)
    next(answer)
    answer.close()
    started = time.monotonic()
    said(playground, "base", max_tokens=1)
    assert time.monotonic() - started < whole / 2


def test_loading_again_takes_no_time_and_keeps_the_process(playground, store):
    process = (store.settings.playground_dir / "process.json").read_text()
    assert [status.stage for status in playground.loading(Target(ADAPTED))] == [PlaygroundStage.READY]
    assert (store.settings.playground_dir / "process.json").read_text() == process


@pytest.mark.parametrize(("messages", "sampling", "sentence"), [
    ([{"role": "user", "content": "city " * 600}], {}, r"tokens; the model reads 512 at most"),
    (QUESTION, {"temperature": 3}, "temperature: .* less than or equal to 2"),
    ([{"role": "nobody", "content": "x"}], {}, "messages.0.role"),
])
def test_what_cannot_be_answered_is_refused_with_the_cause(playground, messages, sampling, sentence):
    with pytest.raises(ModelError, match=sentence):
        said(playground, "base", messages, **sampling)


def test_an_answer_never_leaves_the_context(playground):
    *_, last = playground.chat("base", [{"role": "user", "content": "city " * 200}], max_tokens=4000)
    assert last.usage["total_tokens"] <= 512


def test_a_checkpoint_answers_as_itself(shared, store, tiny_model):
    shared.load(Target(ADAPTED, "checkpoint-15"))
    wanted = plain_answers(tiny_model, store.run_dir(ADAPTED) / "checkpoints" / "checkpoint-15")
    assert {name: said(shared, name) for name in ("base", "tuned")} == wanted


def test_the_adapters_of_two_runs_stand_on_one_base_and_are_switched(shared, runs, store, tiny_model):
    run_dir = runs.create(chats(2), name=RIVAL)
    shutil.copy(store.run_dir(ADAPTED) / "events.jsonl", run_dir)
    shutil.copytree(store.run_dir(ADAPTED) / "adapter", run_dir / "adapter")
    weights = run_dir / "adapter" / "adapter_model.safetensors"
    # what the first run learned, the other way round
    save_file({name: -value if "lora_B" in name else value for name, value in load_file(weights).items()}, weights)
    (run_dir / "run.json").write_text((store.run_dir(ADAPTED) / "run.json").read_text().replace(ADAPTED, RIVAL))
    wanted = plain_answers(tiny_model, store.run_dir(ADAPTED) / "adapter")
    wanted["rival"] = plain_answers(tiny_model, run_dir / "adapter")["tuned"]
    assert len(set(wanted.values())) == 3
    assert shared.load(Target(ADAPTED, rival=RIVAL))["models"] == ["base", "tuned", "rival"]
    for name in ("rival", "base", "tuned", "base", "rival", "tuned"):
        assert said(shared, name) == wanted[name], name


def test_a_model_trained_whole_stands_beside_its_base(shared, runs, store, tiny_model):
    run_dir = add_run(runs, WHOLE, chats(16), method__full_finetuning=True, training__max_steps=40,
                      training__learning_rate=1e-2)
    assert (run_dir / "merged" / "config.json").is_file() and not (run_dir / "adapter").exists()
    shared.load(Target(WHOLE))
    base, tuned = said(shared, "base"), said(shared, "tuned")
    assert base != tuned
    shared.load(Target(model=str(tiny_model)))
    assert said(shared, "base") == base
    with pytest.raises(ModelError, match='no model "tuned"'):
        said(shared, "tuned")


def test_a_run_on_plain_text_continues_the_prompt(shared, runs):
    add_run(runs, TEXTS, [{"text": f"one onion, chopped {i}"} for i in range(16)])
    shared.load(Target(TEXTS))
    assert shared.prompt_text([{"role": "user", "content": "one onion,"}]) == "one onion,"
    assert said(shared, "tuned", [{"role": "user", "content": "one onion,"}])


def test_a_model_without_safetensors_is_refused_and_the_next_load_recovers(shared, store, tiny_model, tmp_path):
    pickled = shutil.copytree(tiny_model, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="lacks the weights file"):
        shared.load(Target(model=str(pickled)))
    assert shared.load(Target(ADAPTED))["models"] == ["base", "tuned"]


def test_kill_9_gives_a_plain_sentence_and_the_next_load_recovers(playground, store, monkeypatch):
    # a busy machine may take seconds to end it
    monkeypatch.setattr("studio.runs.playground.RELEASE_GRACE_S", LONG_S)
    before = said(playground, "tuned")
    answer = playground.chat("base", QUESTION, max_tokens=450)
    next(answer)
    os.kill(json.loads((store.settings.playground_dir / "process.json").read_text())["pid"], signal.SIGKILL)
    with pytest.raises(ModelError, match="killed by the system"):
        list(answer)
    assert playground.status().stage is PlaygroundStage.FAILED
    playground.load(Target(ADAPTED))
    assert said(playground, "tuned") == before


def test_it_unloads_itself_when_nobody_asks(shared, store):
    shared.stop()
    idle = Playground(store.settings, store, idle_minutes=2 / 60)
    idle.start(Target(ADAPTED))
    deadline = time.monotonic() + LONG_S
    while (status := idle.status()).stage is not PlaygroundStage.EMPTY:
        assert time.monotonic() < deadline and status.stage is not PlaygroundStage.FAILED, status
        time.sleep(0.1)
    assert status.message.startswith("Unloaded because nobody asked anything")
    with pytest.raises(RunError, match="nobody asked anything"):
        said(idle, "base")


def test_it_ends_with_its_parent_even_while_it_loads(shared, store):
    shared.stop()
    code = ("import time; from studio.runs.playground import Playground, Target; from studio.settings import Settings\n"
            f"Playground(Settings.from_environment()).start(Target('{ADAPTED}'))\n"
            "print('on', flush=True); time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True,
                              env=os.environ | {"STUDIO_DATA_DIR": str(store.settings.data_dir)})
    assert parent.stdout.readline() == "on\n"
    child = json.loads((store.settings.playground_dir / "process.json").read_text())["pid"]
    time.sleep(2)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + LONG_S
    while psutil.pid_exists(child):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_chat_once_answers_as_the_page_does(playground, store):
    before = {name: said(playground, name) for name in ("base", "tuned")}
    assert chat_once(store, ADAPTED, "question 3", max_tokens=24) == before["tuned"]
    assert playground.status().stage is PlaygroundStage.EMPTY

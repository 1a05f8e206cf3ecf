"""The server's side of the inference process, against a scripted one behind the real start, key, status and signals."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace

import psutil
import pytest

from studio.errors import ModelError, RunError, StudioError
from studio.preset.schema import Preset
from studio.runs.events import EventWriter, RunStage
from studio.runs.liveness import write_marks
from studio.runs.playground import Playground, PlaygroundStage, Target, chat_once, release
from studio.runs.processes import ProcessMark, terminate_group
from studio.runs.store import RunStore
from studio.settings import PROJECT_DIR, Settings
from studio.ui.conversation import Sampling, converse
from tests.conftest import LONG_S
from tests.finished_run import finished_run

HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def settings(tmp_path):
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)})
    return replace(settings, worker_module="tests.fake_infer")


@pytest.fixture
def store(settings):
    return RunStore(settings)


@pytest.fixture
def playground(settings, store):
    playground = Playground(settings, store)
    yield playground
    playground.stop()


@pytest.fixture
def run_id(store):
    return finished_run(store)


def pid(settings):
    return json.loads((settings.playground_dir / "process.json").read_text())["pid"]


def log(settings):
    return (settings.playground_dir / "worker.log").read_text()


def eventually(condition, timeout_s=LONG_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def live_run(store, stage=RunStage.RUNNING, phase="train"):
    """A run that this very test process seems to supervise."""
    run_id = store.create(Preset(), name="cookbook")
    write_marks(store.run_dir(run_id), supervisor=ProcessMark.of(os.getpid()))
    journal = EventWriter(store.run_dir(run_id))
    journal.stage(stage, phase)
    journal.close()
    return run_id


def test_loads_and_answers_as_base_and_as_tuned(playground, run_id):
    assert playground.status().stage is PlaygroundStage.EMPTY
    facts = playground.load(Target(run_id))
    assert facts["models"] == ["base", "tuned"]
    assert playground.status().stage is PlaygroundStage.READY
    for name in ("base", "tuned"):
        deltas = list(playground.chat(name, HELLO))
        assert "".join(delta.text for delta in deltas) == f"{name} heard: hello 0 1 2 3 4"
        assert deltas[-1].usage["completion_tokens"] == 8 and deltas[-1].timings["tokens_per_s"] == 100
        assert [delta.usage for delta in deltas[:-1]] == [None] * 8


def test_loading_the_same_again_keeps_the_process_and_another_target_replaces_it(playground, settings, run_id):
    playground.load(Target(run_id))
    first = pid(settings)
    playground.load(Target(run_id))
    assert pid(settings) == first
    playground.load(Target(model="owner/name"))
    assert pid(settings) != first and not psutil.pid_exists(first)


def test_a_run_trained_again_is_loaded_again(playground, settings, store, run_id):
    playground.load(Target(run_id))
    first = pid(settings)
    weights = store.run_dir(run_id) / "adapter" / "adapter_model.safetensors"
    os.utime(weights, (time.time() + 60,) * 2)
    playground.load(Target(run_id))
    assert pid(settings) != first


def test_closing_the_answer_hangs_up(playground, settings, run_id):
    playground.load(Target(run_id))
    answer = playground.chat("tuned", [{"role": "user", "content": "count 9000"}], max_tokens=9000)
    assert [next(answer).text for _ in range(3)] == ["tuned", " heard:", " count"]
    answer.close()
    eventually(lambda: "hung up" in log(settings))
    assert list(playground.chat("base", HELLO))


def test_seconds_and_message_can_be_watched_while_loading(playground, settings):
    began, seen = time.time(), []
    for status in playground.loading(Target(model="slow")):
        assert status.seconds <= time.time() - began
        seen.append(status)
        if status.message == "Loading a script" and status.seconds > 0.5:
            (settings.playground_dir / "go_on").touch()
    seconds = [status.seconds for status in seen]
    assert seconds == sorted(seconds) and seconds[0] < seconds[-1] and seconds[-1] > 0.5
    assert seen[-1].stage is PlaygroundStage.READY and {s.message for s in seen[:-1]} <= {"", "Loading a script"}


def test_a_child_that_refuses_is_heard_and_the_next_load_recovers(playground):
    with pytest.raises(ModelError, match="fails cannot be loaded: it is a test"):
        playground.load(Target(model="fails"))
    assert playground.status().stage is PlaygroundStage.FAILED
    assert playground.load(Target(model="owner/name"))["models"] == ["base"]


def test_a_child_that_ends_without_a_word_is_explained_by_its_log(playground):
    with pytest.raises(ModelError, match="ended unexpectedly: RuntimeError: the script ends here"):
        playground.load(Target(model="dies"))


@pytest.fixture
def patience(monkeypatch):
    """A busy machine may take seconds to end what was killed."""
    monkeypatch.setattr("studio.runs.playground.RELEASE_GRACE_S", LONG_S)


def test_a_killed_process_gives_a_plain_sentence_and_the_next_load_recovers(playground, settings, run_id, patience):
    playground.load(Target(run_id))
    answer = playground.chat("tuned", [{"role": "user", "content": "count 9000"}], max_tokens=9000)
    next(answer)
    os.kill(pid(settings), signal.SIGKILL)
    with pytest.raises(ModelError, match="killed by the system, most often because memory ran out"):
        list(answer)
    status = playground.status()
    assert status.stage is PlaygroundStage.FAILED and "Load it again" in status.hint
    playground.load(Target(run_id))
    assert list(playground.chat("tuned", HELLO))


@pytest.mark.parametrize(("stage", "phase"), [
    (RunStage.QUEUED, "train"), (RunStage.STARTING, "train"), (RunStage.RUNNING, "evaluate"),
    (RunStage.RUNNING, "merge")])
def test_refused_while_a_run_uses_the_device_naming_it(playground, settings, store, run_id, stage, phase):
    live_run(store, stage, phase)
    with pytest.raises(RunError, match="The run cookbook is using the device"):
        playground.load(Target(run_id))
    assert not (settings.playground_dir / "process.json").exists()
    status = playground.status()
    assert status.stage is PlaygroundStage.BUSY and "cookbook" in status.message


@pytest.mark.parametrize("phase", ["publish", "space"])
def test_a_run_that_only_talks_to_the_hub_leaves_the_device_free(playground, store, run_id, phase):
    live_run(store, phase=phase)
    assert playground.busy_run() is None
    assert playground.load(Target(run_id))


def test_a_run_that_starts_in_the_same_moment_wins(playground, settings, store, run_id, monkeypatch):
    """The run queues after the first look and before the process is marked: one of the two must see the other."""
    spawn = playground._spawn

    def spawn_late(*args):
        spawn(*args)
        live_run(store, RunStage.QUEUED)

    monkeypatch.setattr(playground, "_spawn", spawn_late)
    with pytest.raises(RunError, match="cookbook"):
        playground.load(Target(run_id))
    assert not psutil.pid_exists(pid(settings))


def test_release_from_another_process_ends_it(playground, settings, run_id):
    playground.load(Target(run_id))
    child = pid(settings)
    code = ("from studio.runs.playground import release; from studio.settings import Settings\n"
            "release(Settings.from_environment())")
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_DIR, check=True,
                   env=os.environ | {"STUDIO_DATA_DIR": str(settings.data_dir)})
    status = playground.status()
    assert status.stage is PlaygroundStage.EMPTY and "unloaded to free the device" in status.message
    assert not psutil.pid_exists(child) and not (settings.playground_dir / "process.json").exists()
    with pytest.raises(RunError, match="unloaded to free the device"):
        list(playground.chat("base", HELLO))
    release(settings)


def test_release_kills_what_does_not_listen(playground, settings, monkeypatch):
    graces = []
    monkeypatch.setattr("studio.runs.playground.terminate_group",
                        lambda pid, grace_s: graces.append(grace_s) or terminate_group(pid, grace_s))
    playground.load(Target(model="deaf"))
    started = time.monotonic()
    release(settings, grace_s=0.3)
    assert playground._process.popen.wait(60) == -signal.SIGKILL
    assert graces == [0.3] and 0.3 <= time.monotonic() - started < 30
    status = playground.status()
    assert status.stage is PlaygroundStage.EMPTY and "unloaded to free the device" in status.message


def test_release_spares_a_stranger_that_got_the_pid(settings):
    mark = ProcessMark.of(os.getpid())
    stranger = replace(mark, start_time=mark.start_time - 100)
    (settings.playground_dir / "process.json").write_text(json.dumps(stranger.to_json()))
    release(settings)
    assert not (settings.playground_dir / "process.json").exists()


def test_a_second_studio_takes_the_process_over(playground, settings, store, run_id):
    playground.load(Target(run_id))
    other = Playground(settings, store)
    try:
        other.load(Target(run_id))
        assert playground.status().stage is PlaygroundStage.EMPTY
        assert list(other.chat("base", HELLO))
    finally:
        other.stop()


def test_the_process_ends_with_its_parent(settings, run_id):
    code = ("import sys, time; from dataclasses import replace; from studio.settings import Settings\n"
            "from studio.runs.playground import Playground, Target\n"
            "settings = replace(Settings.from_environment(), worker_module='tests.fake_infer')\n"
            f"Playground(settings).load(Target('{run_id}')); print('ready', flush=True); time.sleep(600)")
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT_DIR, stdout=subprocess.PIPE, text=True,
                              env=os.environ | {"STUDIO_DATA_DIR": str(settings.data_dir)})
    assert parent.stdout.readline() == "ready\n"
    child = pid(settings)
    assert psutil.pid_exists(child)
    parent.kill()
    parent.wait()
    eventually(lambda: not psutil.pid_exists(child))


def test_the_key_is_asked_for_and_lies_in_no_file_and_no_argument(playground, settings, run_id):
    facts = playground.load(Target(run_id))
    request = urllib.request.Request(
        f"http://127.0.0.1:{facts['port']}/v1/chat/completions", b'{"model": "base", "messages": []}')
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request)
    key = playground._process.key
    assert key not in " ".join(psutil.Process(pid(settings)).cmdline())
    assert all(key.encode() not in path.read_bytes() for path in settings.data_dir.rglob("*") if path.is_file())


@pytest.mark.parametrize(("target", "sentence"), [
    (Target(), "No model is chosen"),
    (Target("20260101-000000-gone-0000"), "There is no run"),
    (Target("../../etc"), "There is no run"),
])
def test_impossible_targets_are_refused_before_a_process_is_started(playground, settings, target, sentence):
    with pytest.raises(RunError, match=sentence):
        playground.load(target)
    assert not (settings.playground_dir / "worker.log").exists()


@pytest.mark.parametrize("checkpoint", ["checkpoint-7", "../adapter", "checkpoint-x"])
def test_a_checkpoint_that_does_not_exist_is_refused(playground, run_id, checkpoint):
    with pytest.raises(RunError, match=f"recipes has no {checkpoint}"):
        playground.load(Target(run_id, checkpoint))


def test_a_second_run_answers_as_the_rival_and_is_let_go_again(playground, store, run_id):
    rival = finished_run(store, name="cookbook")
    assert playground.load(Target(run_id, rival=rival))["models"] == ["base", "tuned", "rival"]
    assert "".join(delta.text for delta in playground.chat("rival", HELLO)).startswith("rival heard")
    assert playground.load(Target(run_id))["models"] == ["base", "tuned"]


@pytest.mark.parametrize(("other", "sentence"), [
    ({"adapter": False}, "cookbook cannot be loaded beside recipes: both need an adapter on the same base model"),
    ({"preset": Preset(model={"model_name_or_path": "owner/other"})}, "cookbook cannot be loaded beside recipes")])
def test_a_rival_on_another_base_is_refused(playground, store, run_id, other, sentence):
    with pytest.raises(RunError, match=sentence):
        playground.load(Target(run_id, rival=finished_run(store, name="cookbook", **other)))


def test_chat_once_answers_and_leaves_no_process(settings, store, run_id):
    assert chat_once(store, run_id, "hello") == "tuned heard: hello 0 1 2 3 4"
    assert chat_once(store, run_id, "hello", base=True, max_tokens=2) == "base heard:"
    assert not psutil.pid_exists(pid(settings))


def test_two_loads_at_once_start_one_process(playground, settings, run_id):
    threads = [threading.Thread(target=playground.load, args=(Target(run_id),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    children = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    folder = str(settings.playground_dir)
    assert [child.pid for child in children if folder in " ".join(child.cmdline())] == [pid(settings)]


def talk(playground, target, prompt, histories=None, system=""):
    sampling = Sampling(0, 1, 64, 1)
    return converse(playground, target, prompt, system, sampling, histories or {"base": [], "tuned": []}, {})


def test_a_conversation_fills_both_sides_and_shows_the_exact_prompt(playground, run_id):
    *_, last = talk(playground, Target(run_id), "hello", system="Be brief.")
    for name in ("base", "tuned"):
        assert [turn["content"] for turn in last.columns[name].messages] == ["hello", f"{name} heard: hello 0 1 2 3 4"]
        assert last.columns[name].facts.startswith("8 tokens in 0.1 s")
    assert last.prompt_text == "<|system|>Be brief.\n<|user|>hello\n"


def test_each_side_goes_on_from_its_own_answers(playground, run_id):
    earlier = {name: [{"role": "user", "content": "a"}, {"role": "assistant", "content": f"{name} b"}]
               for name in ("base", "tuned")}
    *_, last = talk(playground, Target(run_id), "hello", earlier)
    assert last.prompt_text == "<|user|>a\n<|assistant|>tuned b\n<|user|>hello\n"
    assert len(last.columns["base"].messages) == 4 and len(earlier["base"]) == 2


def test_a_base_model_leaves_the_tuned_side_alone(playground):
    *_, last = talk(playground, Target(model="owner/name"), "hello")
    assert last.columns["tuned"].messages == [] and len(last.columns["base"].messages) == 2


def test_an_answer_that_breaks_off_keeps_what_was_said(playground, settings, run_id, patience):
    playground.load(Target(run_id))
    conversation = talk(playground, Target(run_id), "count 500 slowly")
    for now in conversation:
        if now.columns["base"].facts == "Answering" and " heard" in now.columns["base"].messages[-1]["content"]:
            break
    os.kill(pid(settings), signal.SIGKILL)
    with pytest.raises(StudioError, match="killed by the system"):
        list(conversation)
    assert now.columns["base"].facts == "Broke off"
    assert now.columns["base"].messages[-1]["content"].startswith("base heard")


def test_an_empty_prompt_is_refused_before_loading(playground, settings, run_id):
    with pytest.raises(StudioError, match="The prompt is empty"):
        list(talk(playground, Target(run_id), "  "))
    assert not (settings.playground_dir / "worker.log").exists()

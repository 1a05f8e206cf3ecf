"""The publish phase as a real process with the real Hub client, against the stand-in Hub: each way it can go wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from studio import start
from studio.errors import RunError
from studio.preset.schema import PublishSection
from studio.publishing import parity
from studio.publishing.cancelling import EXIT_ENDED
from studio.publishing.repositories import ExistsError, confirm
from studio.publishing.request import cancel_request, last_request, write_request
from studio.runs import launcher
from studio.runs.events import Event, RunStage, RunState, read_events
from studio.runs.store import RunStore
from studio.settings import PROJECT_DIR, Settings
from tests.conftest import LONG_S
from tests.finished_run import finished_run
from tests.hub_server import HubServer
from tests.push_host import PushHost

# how long nothing may move: for the tests of just that, and for those that a slow machine must not end
SILENCE_S, PATIENT_S = 2.0, 60.0
WEIGHTS = {f"model-0000{number}-of-00005.safetensors": 1_000_000 + number for number in range(1, 6)}


@pytest.fixture(scope="module")
def server():
    with HubServer() as server:
        yield server


@pytest.fixture(scope="module")
def host(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    host = PushHost(clean_environment() | server.environment(folder / "hf"), folder)
    yield host
    host.close()


@pytest.fixture
def hub(server, host):
    server.reset()
    server.token, server.host = server.add_user("ana"), host
    yield server


@pytest.fixture
def store(tmp_path):
    return RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")}))


@pytest.fixture
def run_dir(store):
    """A trained run that asks for a private push of its merged model to ana/recipes."""
    return asked(store.run_dir(finished_run(store)))


def asked(run_dir: Path, **fields) -> Path:
    """The run, with a request to push it to ana/recipes."""
    write_request(run_dir, PublishSection(hub_model_id="ana/recipes", **fields))
    return run_dir


@dataclass(frozen=True)
class Pushed:
    """How a push ended: exit code, the phase as a reader sees it, what was printed, seconds."""

    code: int
    state: RunState
    output: str
    seconds: float

    @property
    def result(self) -> dict:
        assert self.code == 0, self.output
        return self.state.phases["publish"].result

    @property
    def error(self) -> tuple[str, str]:
        assert self.code == 3, self.output
        phase = self.state.phases["publish"]
        return phase.error, phase.hint


def command(run_dir: Path) -> list[str]:
    return [sys.executable, "-m", "studio.publishing", str(run_dir)]


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HF_")}


def environment(
        run_dir: Path, hub: HubServer, token: str | None = None, silence_s: float = PATIENT_S) -> dict[str, str]:
    client = hub.environment(run_dir.parent.parent / "hf", hub.token if token is None else token)
    return clean_environment() | client | {
        "STUDIO_PUSH_SILENCE_S": str(silence_s), "STUDIO_DATA_DIR": str(run_dir.parent.parent)}


def push(run_dir: Path, hub: HubServer, token: str | None = None, silence_s: float = PATIENT_S,
         hurry: float = 1) -> Pushed:
    """Run the publish phase to its end, in a process of its own."""
    seen = len(read_events(run_dir)[0])
    started = time.monotonic()
    code, _ = hub.host.push(run_dir=str(run_dir), token=hub.token if token is None else token, silence_s=silence_s,
                            hurry=hurry)
    return Pushed(code, state_since(run_dir, seen), hub.host.output(), time.monotonic() - started)


def state_since(run_dir: Path, seen: int = 0) -> RunState:
    """What the journal says from an event on."""
    state = RunState()
    for event in read_events(run_dir)[0][seen:]:
        state.apply(event)
    return state


def local_files(run_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run_dir / "merged").iterdir()}


def test_a_push_puts_model_card_and_curve_on_the_hub(run_dir, hub):
    pushed = push(run_dir, hub)
    there = hub.files("ana/recipes")
    assert local_files(run_dir).items() <= there.items()
    assert set(there) - set(local_files(run_dir)) == {"README.md", "loss_curve.png"}
    assert there["README.md"].startswith(b"---\nbase_model: HuggingFaceTB/SmolLM2-135M-Instruct")
    assert there["loss_curve.png"].startswith(b"\x89PNG")
    assert hub.repo("ana/recipes").private
    assert pushed.result["url"] == f"{hub.endpoint}/ana/recipes"
    assert pushed.result["commit"] == hub.repo("ana/recipes").head.oid
    assert pushed.result["total_bytes"] == sum(map(len, there.values()))
    assert len(hub.repo("ana/recipes").commits) == 2


def test_the_journal_tells_stage_files_and_bytes(run_dir, hub):
    push(run_dir, hub)
    events = [event for event in read_events(run_dir)[0] if event.values.get("phase") == "publish"]
    assert events[0].type == "stage" and events[0].values["stage"] == RunStage.RUNNING.value
    progress = [event.values for event in events if event.type == "progress"]
    assert [values["done"] for values in progress] == sorted(values["done"] for values in progress)
    assert all(values["unit"] == "bytes" for values in progress)
    assert any(values["message"] == "Sending model.safetensors (7 of 7)" for values in progress)
    assert progress[-1]["done"] == progress[-1]["total"]
    assert events[-1].type == "done"


def test_bytes_of_a_large_file_are_told_while_it_is_sent(store, hub):
    run_dir = asked(store.run_dir(finished_run(store, weights={"model.safetensors": 24_000_000})))
    hub.fail("lfs-put", times=9, slow_s=0.006)
    push(run_dir, hub)
    during = [event.values["done"] for event in _progress(run_dir) if "Sending model" in event.values["message"]]
    assert len(set(during)) >= 3


def test_pushing_again_sends_nothing_and_adds_no_commit(run_dir, hub):
    push(run_dir, hub)
    uploads = hub.count("lfs-put")
    again = push(run_dir, hub)
    assert again.result["sent_bytes"] == 0
    assert hub.count("lfs-put") == uploads
    assert len(hub.repo("ana/recipes").commits) == 2


def test_what_was_pushed_comes_back_byte_for_byte(run_dir, hub, tmp_path):
    push(run_dir, hub)
    pull = "import sys, huggingface_hub as h; h.snapshot_download('ana/recipes', local_dir=sys.argv[1])"
    subprocess.run([sys.executable, "-c", pull, str(tmp_path / "pulled")], env=environment(run_dir, hub), check=True)
    pulled = {path.name: path.read_bytes() for path in (tmp_path / "pulled").iterdir() if path.is_file()}
    assert local_files(run_dir).items() <= pulled.items()


def test_adapter_and_model_together(run_dir, hub):
    asked(run_dir, what="both")
    push(run_dir, hub)
    there = hub.files("ana/recipes")
    assert {"model.safetensors", "adapter/adapter_model.safetensors", "adapter/adapter_config.json"} <= set(there)
    assert "adapter/training_args.bin" not in there and "adapter/README.md" not in there
    # a path of this machine would load nowhere else
    config = json.loads(there["adapter/adapter_config.json"])
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_weights_of_an_earlier_push_are_removed(run_dir, hub):
    hub.add_repo("ana/recipes", private=True, files={
        "model-00001-of-00002.safetensors": b"a", "model.safetensors.index.json": b"{}", "adapter_config.json": b"{}",
        "notes.md": b"kept", "images/plot.png": b"kept"})
    message, hint = push(run_dir, hub).error
    assert "ana/recipes is there already" in message and "Confirm it" in hint and hub.count("create") == 0
    confirm(run_dir, PublishSection(), {"ana/recipes": hub.repo("ana/recipes").head.oid})
    push(run_dir, hub)
    there = set(hub.files("ana/recipes"))
    assert {"notes.md", "images/plot.png", "model.safetensors"} <= there
    assert not there & {"model-00001-of-00002.safetensors", "model.safetensors.index.json", "adapter_config.json"}


def test_killed_in_the_middle_and_pushed_again_sends_only_unfinished_files(store, hub):
    run_dir = asked(store.run_dir(finished_run(store, weights=WEIGHTS)))
    hub.fail("lfs-put", hang=True, skip=4)
    process = subprocess.Popen(command(run_dir), cwd=PROJECT_DIR, env=environment(run_dir, hub),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(lambda: hub.count("lfs-put") == 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    hub.settle()
    assert hub.files("ana/recipes") == {}, "nothing may show before the commit"

    finished = set(hub.lfs)
    assert len(finished) == 4
    hub.heal()
    hub.requests.clear()
    again = push(run_dir, hub)
    sent = {request.path.split("/")[2].split("?")[0] for request in hub.requests if request.route == "lfs-put"}
    assert not sent & finished
    assert len(sent) == 3
    assert local_files(run_dir).items() <= hub.files("ana/recipes").items()
    assert len(hub.repo("ana/recipes").commits) == 2
    assert again.result["commit"]


@pytest.mark.parametrize(("cancelled", "there"), [
    (True, None), (False, None), (True, {}), (True, {"notes.md": b"mine"})],
    ids=["made and cancelled", "made and paused", "there before", "filled meanwhile"])
def test_a_cancelled_push_removes_the_repository_that_it_made_and_nothing_else(cancelled, there, run_dir, hub):
    if there == {}:
        hub.add_repo("ana/recipes", private=True)
    hub.fail("lfs-put", hang=True)
    pid = hub.host.begin(run_dir=str(run_dir), token=hub.token, silence_s=PATIENT_S)
    _wait_for(lambda: hub.count("lfs-put") == 1)
    if there:
        repo = hub.repo("ana/recipes")
        hub.add_commit(repo, "theirs", {path: hub.keep(path, content) for path, content in there.items()})
    if cancelled:
        cancel_request(run_dir)
    os.kill(pid, signal.SIGTERM)
    assert hub.host.end()[0] == EXIT_ENDED
    assert (("models", "ana/recipes") in hub.repos) is not (cancelled and there is None), hub.host.output()
    assert not there or hub.files("ana/recipes") == there


def test_a_push_is_stopped_and_pushed_again_through_the_launcher(store, run_dir, hub, monkeypatch):
    for name, value in environment(run_dir, hub, token="", silence_s=60).items():
        monkeypatch.setenv(name, value)
    hub.fail("lfs-put", hang=True)
    launcher.run_phases(store, run_dir.name, ["publish"], {"HF_TOKEN": hub.token})
    _wait_for(lambda: hub.count("lfs-batch") >= 1)
    launcher.stop(store, run_dir.name)
    _wait_for(lambda: not store.get(run_dir.name).is_live)
    assert store.get(run_dir.name).state.stage is RunStage.COMPLETED, "its training is complete"
    assert store.get(run_dir.name).state.phases["publish"].result is None

    hub.heal()  # the push may have been stopped before it met the fault
    hub.settle()
    launcher.run_phases(store, run_dir.name, ["publish"], {"HF_TOKEN": hub.token})
    _wait_for(lambda: not store.get(run_dir.name).is_live)
    assert store.get(run_dir.name).state.stage is RunStage.COMPLETED
    assert local_files(run_dir).items() <= hub.files("ana/recipes").items()
    assert hub.token not in (run_dir / "worker.log").read_text()


@pytest.mark.parametrize(
    "fault", [{"status": 503}, {"drop": "request"}, {"drop": "answer"}], ids=["503", "drop", "lost"])
def test_one_failure_of_every_call_is_overcome(fault, run_dir, hub):
    for route in ("whoami", "create", "info", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "commit"):
        hub.fail(route, times=1, **fault)
    pushed = push(run_dir, hub, hurry=20)
    assert pushed.result["commit"] == hub.repo("ana/recipes").head.oid
    assert len(hub.repo("ana/recipes").commits) == 2, "neither doubled nor lost"
    assert local_files(run_dir).items() <= hub.files("ana/recipes").items()


@pytest.mark.parametrize(("route", "fault", "cause", "step"), [
    ("whoami", {"status": 401, "message": "Invalid credentials in Authorization header"},
     "does not accept the token", "write access"),
    ("create", {"status": 403, "message": "You don't have the rights"}, "may not create a repository under ana",
     "token"),
    ("preupload", {"status": 403, "message": "Forbidden"}, "may not write to ana/recipes", "write access"),
    ("lfs-batch", {"status": 403, "message": "Private repository storage limit reached"},
     'no room left for ana: "Private repository storage limit reached"', "Free space"),
    ("lfs-put", {"status": 403, "message": "Request has expired"}, "may not write", "token"),
    ("preupload", {"status": 404, "message": "Repository not found", "headers": {"X-Error-Code": "RepoNotFound"}},
     "no repository ana/recipes", "Check the name"),
    ("commit", {"status": 403, "message": "Forbidden"}, "may not write to ana/recipes", "write access"),
    ("commit", {"status": 409, "message": "Conflict"}, "conflict for ana/recipes", "another name"),
    ("commit", {"status": 412, "message": "A commit has happened since"}, "changed by someone else", "Push again"),
    ("commit", {"status": 413, "message": "Payload too large"}, "too large", "max_shard_size_gb"),
    ("commit", {"status": 429, "message": "Too many", "headers": {"Retry-After": "300"}}, "slow down", "Wait 300 s"),
    ("validate-yaml", {"status": 400, "message": "bad"}, "head of the model card", "Mend the lines"),
], ids=["401", "403-create", "403-preupload", "403-quota", "403-put", "404", "403-commit", "409", "412", "413", "429",
        "card"])
def test_a_refusal_is_one_sentence_with_a_next_step(route, fault, cause, step, run_dir, hub):
    hub.fail(route, times=99, **fault)
    message, hint = push(run_dir, hub, hurry=20).error
    assert cause in message and message.endswith(".")
    assert step in hint
    assert "Traceback" not in message and "http://127" not in message


def test_an_upload_that_fails_for_good_ends_with_the_cause(run_dir, hub):
    hub.fail("lfs-put", times=99, status=500, message="Internal storage error")
    message, hint = push(run_dir, hub, hurry=20).error
    assert message == 'The Hub failed (status 500) while sending loss_curve.png: "Internal storage error".'
    assert "Push again" in hint


@pytest.mark.parametrize("route", ["whoami", "create", "lfs-put", "commit"])
def test_a_server_that_never_answers_ends_the_push_within_the_silence_limit(route, run_dir, hub):
    hub.fail(route, times=99, hang=True)
    message, hint = push(run_dir, hub, silence_s=SILENCE_S).error
    assert "has not answered for 2 s" in message
    assert "Push again" in hint
    hub.heal()
    assert push(run_dir, hub).result["commit"], "pushing again works after the cause is gone"


def test_a_slow_upload_is_not_taken_for_a_dead_one(store, hub):
    run_dir = asked(store.run_dir(finished_run(store, weights={"model.safetensors": 24_000_000})))
    hub.fail("lfs-put", times=9, slow_s=0.03)
    pushed = push(run_dir, hub, silence_s=5)
    assert pushed.result["commit"]
    assert pushed.seconds > 10


def test_somebody_elses_commit_in_between_is_not_overwritten(run_dir, hub):
    repo = hub.add_repo("ana/recipes", private=True)
    hub.fail("commit", meanwhile=lambda: hub.add_commit(repo, "theirs", dict(repo.head.files)))
    assert "changed by someone else" in push(run_dir, hub).error[0]
    assert hub.count("lfs-verify") == 3
    assert [commit.title for commit in repo.commits] == ["initial commit", "theirs"]
    assert push(run_dir, hub).result["commit"]


def test_a_private_push_never_goes_to_a_public_repository(run_dir, hub):
    hub.add_repo("ana/recipes", private=False)
    message, hint = push(run_dir, hub).error
    assert "is public" in message and "another name" in hint
    assert hub.count("lfs-put") == 0


def test_a_file_that_changed_on_the_way_is_noticed(run_dir, hub):
    def change() -> None:
        for oid, blob in list(hub.lfs.items()):
            hub.lfs[oid] = replace(blob, sha256="0" * 64)

    hub.fail("commit", meanwhile=change)
    assert "differs from the file that was sent" in push(run_dir, hub).error[0]
    assert hub.count("lfs-verify") == 3


def test_the_token_is_written_nowhere(run_dir, hub, tmp_path):
    log, arguments = run_dir / "worker.log", []
    with log.open("wb") as output:
        hub.fail("whoami", meanwhile=lambda: arguments.append(Path(f"/proc/{process.pid}/cmdline").read_bytes()))
        hub.fail("commit", times=1, status=500)
        process = subprocess.Popen(command(run_dir), cwd=PROJECT_DIR, env=environment(run_dir, hub), stdout=output,
                                   stderr=subprocess.STDOUT)
        assert process.wait(LONG_S) == 0
    assert str(run_dir).encode() in arguments[0] and hub.token.encode() not in arguments[0]
    written = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert [path for path in written if hub.token.encode() in path.read_bytes()] == []
    assert all(not request.token for request in hub.requests if request.route == "lfs-put"), "presigned: no token"


def test_a_push_without_any_token_says_so(run_dir, hub):
    message, hint = push(run_dir, hub, token="").error
    assert message == "No Hub token was found."
    assert "HF_TOKEN" in hint and hub.requests == []


def test_a_card_that_a_person_edited_is_pushed_as_it_is(run_dir, hub):
    push(run_dir, hub)
    assert b"edited card" not in hub.files("ana/recipes")["README.md"], "the studio's mark stays at home"
    (run_dir / "card.md").write_text("---\nlicense: mit\n---\n\n# Mine\n")
    push(run_dir, hub)
    assert hub.files("ana/recipes")["README.md"] == b"---\nlicense: mit\n---\n\n# Mine\n"


def test_an_edited_card_with_a_broken_head_is_refused_before_anything_is_sent(run_dir, hub):
    (run_dir / "card.md").write_text("---\nlicense: [mit\n---\n\n# Mine\n")
    message, hint = push(run_dir, hub).error
    assert "head of the model card cannot be read" in message and "---" in hint
    assert hub.count("create") == 0


def test_the_pushed_repositories_of_each_form_with_branch_tag_and_collection(store, hub):
    hub.users[hub.token] = replace(hub.users[hub.token], orgs={"acme": "write"})
    run_dir = store.run_dir(finished_run(store, gguf=True))
    write_request(run_dir, PublishSection(
        hub_model_id="acme/recipes", what=["merged", "adapter", "gguf"], separate_repos=True, hub_revision="first/try",
        hub_tag="v1", hub_collection="My recipes"))
    pushed = push(run_dir, hub)
    held = {repo_id: set(hub.repo(repo_id).line("first/try")[-1].files) - {".gitattributes", "README.md"}
            for repo_id in ("acme/recipes", "acme/recipes-adapter", "acme/recipes-GGUF")}
    assert "model.safetensors" in held["acme/recipes"]
    assert {"adapter_config.json", "adapter_model.safetensors"} <= held["acme/recipes-adapter"]
    assert {"recipes-Q8_0.gguf", "recipes-Q8_0.modelfile"} <= held["acme/recipes-GGUF"]
    assert all(hub.files(repo_id) == {} for repo_id in held), "main is as it was"
    assert all(hub.repo(repo_id).tags == {"v1": hub.repo(repo_id).line("first/try")[-1].oid} for repo_id in held)
    assert [item["id"] for item in hub.collections[0]["items"]] == list(held)
    assert hub.collections[0]["private"] and hub.collections[0]["owner"] == {"name": "acme"}
    assert [part["repo_id"] for part in pushed.result["repositories"]] == list(held)
    assert pushed.result["collection"].endswith(hub.collections[0]["slug"])

    again = push(run_dir, hub)
    assert again.result["sent_bytes"] == 0 and len(hub.collections) == 1 and len(hub.collections[0]["items"]) == 3
    # a tag stays where it is
    (run_dir / "card.md").write_text("# Another version\n")
    commits = len(hub.repo("acme/recipes").all_commits)
    message, hint = push(run_dir, hub).error
    assert "acme/recipes has the tag v1 on another version" in message and hint == "Choose another tag."
    assert len(hub.repo("acme/recipes").all_commits) == commits


@pytest.mark.parametrize("lost", [False, True], ids=["answered", "lost"])
def test_a_pull_request_leaves_the_repository_as_it_is_and_is_opened_once(lost, run_dir, hub):
    repo = hub.add_repo("ana/recipes", {"model.safetensors": b"theirs", "old.safetensors": b"theirs"}, private=True)
    asked(run_dir, create_pr=True)
    if lost:
        hub.fail("commit", drop="answer")
    first = push(run_dir, hub, hurry=20)
    again = push(run_dir, hub)
    assert [commit.title for commit in repo.commits] == ["initial commit"]
    assert [pull.title for pull in repo.pulls] == ["recipes: merged"]
    offered = {path: blob.path.read_bytes() for path, blob in repo.pulls[0].commits[-1].files.items()}
    assert local_files(run_dir).items() <= offered.items() and "old.safetensors" not in offered
    address = f"{hub.endpoint}/ana/recipes/discussions/1"
    assert first.result["pull_request"] == again.result["pull_request"] == address


def test_a_pull_request_to_an_empty_repository_is_a_plain_push(run_dir, hub):
    asked(run_dir, create_pr=True)
    assert push(run_dir, hub).result["pull_request"] == ""
    assert local_files(run_dir).items() <= hub.files("ana/recipes").items()


def test_a_name_that_an_unseen_repository_has(run_dir, hub):
    """As where a private repository of that name was made by somebody else of the organisation."""
    hub.fail("info", times=99, status=404, message="Repository not found", headers={"X-Error-Code": "RepoNotFound"})
    hub.add_repo("ana/recipes", private=True)
    message, hint = push(run_dir, hub).error
    assert message == "The name ana/recipes is taken by a repository that this token may not see."
    assert "another name" in hint


def test_a_full_disk(run_dir, hub):
    (run_dir / "loss_curve.png").symlink_to("/dev/full")
    message, hint = push(run_dir, hub).error
    assert message == "The disk of this machine is full." and "Push again" in hint
    (run_dir / "loss_curve.png").unlink()
    assert push(run_dir, hub).result["commit"]


def test_a_proxy_that_refuses_is_named_without_its_password(run_dir, hub):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_refuse, args=[listener], daemon=True).start()
        port = listener.getsockname()[1]
        through = {"HF_ENDPOINT": "https://hub.example", "NO_PROXY": "",
                   "HTTPS_PROXY": f"http://me:secret@127.0.0.1:{port}"}
        done = subprocess.run(command(run_dir), cwd=PROJECT_DIR, env=environment(run_dir, hub) | through,
                              timeout=LONG_S)
    phase = state_since(run_dir).phases["publish"]
    assert done.returncode == 3
    assert phase.error == f"The proxy 127.0.0.1:{port} does not let this machine through to the Hub: 403 Forbidden."
    assert "HTTPS_PROXY" in phase.hint and "Push again" in phase.hint and "secret" not in phase.error


def test_a_licence_that_does_not_fit_the_bases_is_warned_of(run_dir, hub):
    hub.add_repo("HuggingFaceTB/SmolLM2-135M-Instruct", {"README.md": b"---\nlicense: gemma\n---\n"})
    (run_dir / "card.md").write_text("---\nlicense: mit\n---\n\n# Mine\n")
    pushed = push(run_dir, hub)
    assert pushed.result["commit"] and "states gemma, whose terms go on to apply" in pushed.state.warnings[0]
    assert "The edited card does not name ana/recipes" in pushed.state.warnings[1]


def test_no_card_goes_out_without_the_bases_licence_because_the_hub_was_down(run_dir, hub):
    hub.add_repo("HuggingFaceTB/SmolLM2-135M-Instruct", {"README.md": b"---\nlicense: gemma\n---\n"})
    hub.fail("info", times=99, skip=1, status=503)
    message, hint = push(run_dir, hub, hurry=20).error
    assert "reading the card of HuggingFaceTB/SmolLM2-135M-Instruct" in message and "Push again" in hint
    hub.heal()
    hub.fail("info", skip=1, status=503)
    push(run_dir, hub, hurry=20)
    assert b"license: gemma" in hub.files("ana/recipes")["README.md"]


def test_the_pushes_of_these_tests_are_done_by_the_client_that_was_asked_for(host):
    """`make test-hub2` names another one than is installed."""
    assert host.client.split(".")[0] == os.environ.get("TEST_HUB_CLIENT", "1")


def test_an_existing_repository_is_asked_for_once(store, run_dir, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    monkeypatch.setattr(launcher, "_spawn", lambda *_: None)
    monkeypatch.setattr(parity, "needs_check", lambda *_: [])
    (run_dir / "publish.json").unlink()
    repo = hub.add_repo("ana/recipes", {"model.safetensors": b"theirs", "tokenizer.json": b"{}"}, private=True)
    there = {"store": store, "run_id": run_dir.name, "token": hub.token}
    request = PublishSection(hub_model_id="recipes")
    with pytest.raises(ExistsError) as caught:
        start.publish(request=request, **there)
    assert 'ana/recipes is there already; its last commit is "initial commit"' in caught.value.message
    assert "The push replaces model.safetensors, tokenizer.json." in caught.value.message
    assert "--yes" in caught.value.hint and "--create-pr" in caught.value.hint
    assert not (run_dir / "publish.json").exists()

    start.publish(request=request.model_copy(update={"create_pr": True}), **there)
    start.publish(request=request.model_copy(update={"hub_revision": "new"}), **there)
    with pytest.raises(ExistsError):
        start.publish(request=request, **there)
    start.publish(request=request, confirmed=True, **there)
    start.publish(request=request, **there)
    assert last_request(run_dir).hub_model_id == "ana/recipes" and len(repo.commits) == 1
    hub.add_commit(repo, "theirs", dict(repo.head.files))
    with pytest.raises(ExistsError, match="theirs") as caught:
        start.publish(request=request, **there)
    # a word that was given for something else does not count
    with pytest.raises(ExistsError, match="theirs"):
        start.publish(request=request, confirmed=True, told="The push replaces one small file.", **there)
    start.publish(request=request, confirmed=True, told=caught.value.message, **there)


def test_exports_that_changed_since_they_were_compared_are_not_sent(run_dir, hub):
    (run_dir / "merged" / "chat_template.jinja").write_text("{{ other }}")
    message, hint = push(run_dir, hub).error
    assert message == "The merged model has changed since it was compared with the trained model."
    assert "python -m studio parity" in hint and hub.count("preupload") == 0


def test_publishing_compares_first_what_has_changed_and_stops_at_what_is_refused(store, run_dir, hub, monkeypatch):
    spawned = []
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    monkeypatch.setattr(launcher, "_spawn", lambda store, run_id, phases, environment: spawned.append(phases))

    def publish(*what: str) -> None:
        start.publish(store, run_dir.name, PublishSection(hub_model_id="ana/recipes", what=what), hub.token)

    publish("merged")
    (run_dir / "merged" / "chat_template.jinja").write_text("{{ other }}")
    publish("merged")
    publish("adapter")
    assert spawned == [["publish"], ["parity", "publish"], ["publish"]]
    found = parity.read(run_dir)
    found.forms["adapter"] = replace(found.forms["adapter"], outcome="refused", sentence="It is spoiled.")
    parity.write(run_dir, found)
    with pytest.raises(RunError, match="It is spoiled"):
        publish("merged", "adapter")
    assert len(spawned) == 3


def _refuse(listener: socket.socket) -> None:
    """A proxy that answers every request with 403 Forbidden, until it is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _progress(run_dir: Path) -> list[Event]:
    return [event for event in read_events(run_dir)[0]
            if event.type == "progress" and event.values["phase"] == "publish"]


def _wait_for(condition, seconds: float = LONG_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)

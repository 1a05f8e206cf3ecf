"""The space phase as a real process with the real Hub client against the stand-in: what arrives, secrets, failures."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants

from studio import start
from studio.errors import HubError
from studio.publishing import space
from studio.runs import launcher
from studio.runs.events import RunStage, RunState, read_events
from studio.runs.store import RunStore
from studio.settings import PROJECT_DIR, Settings
from tests.conftest import LONG_S
from tests.hub_server import HubServer
from tests.pushed_run import pushed_run

SECRET = "hf_typedForTheSpaceAlone"


@pytest.fixture
def hub():
    with HubServer() as hub:
        hub.token = hub.add_user("ana")
        yield hub


@pytest.fixture
def run_dir(tmp_path) -> Path:
    """A pushed run whose folder asks for a private demo."""
    store = RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")}))
    view = pushed_run(store)
    space.write_request(view.run_dir, space.plan(view, examples=("2 cups flour",)))
    return view.run_dir


def make(run_dir: Path, hub: HubServer, silence_s: float = LONG_S, **environment: str) -> tuple[int, RunState, str]:
    """Run the phase to its end: exit code, how a reader sees it, what was printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    client = hub.environment(run_dir.parent.parent / "hf", hub.token)
    ended = subprocess.run(
        [sys.executable, "-m", "studio.publishing", "--space", str(run_dir)], cwd=PROJECT_DIR, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=clean | client | {"STUDIO_PUSH_SILENCE_S": str(silence_s)} | environment)
    state = RunState()
    for event in read_events(run_dir)[0]:
        state.apply(event)
    return ended.returncode, state, ended.stdout


def test_a_private_demo_arrives_whole_with_the_typed_secret_which_is_written_nowhere(run_dir, hub):
    space.write_request(run_dir, replace(space.read_request(run_dir), hardware="t4-small"))
    code, state, output = make(run_dir, hub, **{space.TOKEN_VARIABLE: SECRET})
    assert code == 0, output
    result = state.phases["space"].result
    assert result["url"] == f"{hub.endpoint}/spaces/ana/recipes-demo" and result["private"]
    assert not result["needs_secret"] and result["settings_url"].endswith("/spaces/ana/recipes-demo/settings")
    assert hub.repo("ana/recipes-demo", "spaces").private
    files = hub.files("ana/recipes-demo", "spaces")
    assert files.keys() == {"app.py", "demo.json", "README.md", "requirements.txt"}
    assert json.loads(files["demo.json"])["examples"] == ["2 cups flour"]
    assert hub.secrets == {"ana/recipes-demo": {"HF_TOKEN": SECRET}}
    assert hub.space_hardware == {"ana/recipes-demo": ("t4-small", space.SLEEP_S)}
    first = [request.route for request in hub.requests if request.route in ("secrets", "commit")]
    assert first == ["secrets", "commit"], "the first start finds the secret"
    kept = b"".join(path.read_bytes() for path in run_dir.rglob("*") if path.is_file())
    assert SECRET.encode() not in kept and hub.token.encode() not in kept and SECRET not in output


def test_no_token_is_sent_and_no_hardware_paid_for_unless_asked(run_dir, hub):
    code, state, output = make(run_dir, hub)
    assert code == 0, output
    assert state.phases["space"].result["needs_secret"], "the page says how to add one"
    assert not hub.secrets and not hub.space_hardware
    again = make(run_dir, hub)[1].phases["space"].result
    assert again["commit"] == state.phases["space"].result["commit"], "made again, nothing is sent twice"


def test_silence_is_one_sentence_leaves_no_half_demo_and_the_next_try_works(run_dir, hub):
    hub.fail("commit", hang=True)
    code, state, output = make(run_dir, hub, silence_s=3)
    assert code == 3, output
    phase = state.phases["space"]
    assert "has not answered for" in phase.error and phase.hint and phase.result is None
    assert hub.files("ana/recipes-demo", "spaces") == {}
    assert make(run_dir, hub)[0] == 0


def test_the_page_and_the_command_line_start_it_through_the_supervisor(run_dir, hub, monkeypatch):
    store = RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(run_dir.parent.parent)}))
    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    for name, value in hub.environment(run_dir.parent.parent / "hf", hub.token).items():
        monkeypatch.setenv(name, value)
    asked = space.read_request(run_dir)
    with pytest.raises(HubError, match=r"t4-small costs \$0\.40 an hour"):
        start.make_space(store, run_dir.name, replace(asked, hardware="t4-small"), hub.token, SECRET)
    assert not hub.requests
    start.make_space(store, run_dir.name, asked, hub.token, SECRET)
    deadline = time.monotonic() + LONG_S
    while store.get(run_dir.name).is_live:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    ended = store.get(run_dir.name)
    assert ended.state.stage is RunStage.COMPLETED and ended.state.phases["space"].result
    assert hub.secrets["ana/recipes-demo"]["HF_TOKEN"] == SECRET
    assert "space" not in launcher.remaining_phases(ended)

"""An export to the stand-in Hub and back by the real clients, from the command line."""

import json
import os
import subprocess
import sys

import pytest

from studio.data.jsonl import read_jsonl
from studio.settings import PROJECT_DIR
from tests.hub_server import HubServer

ROWS = [{"messages": [{"role": "user", "content": f"Which number follows {n}? Grüße\u2028!"},
                      {"role": "assistant", "content": f"It is {n + 1}."}]} for n in range(30)]
LOAD = """
import datasets, json, sys
print(json.dumps([list(datasets.load_dataset(sys.argv[1], split=split)) for split in ("train", "test")]))
"""


@pytest.fixture
def hub():
    with HubServer() as hub:
        hub.token = hub.add_user("ana")
        yield hub


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(command: list[str], hub: HubServer, tmp_path, token: str, **more: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = clean | hub.environment(tmp_path / "hf", token) | {"STUDIO_DATA_DIR": str(tmp_path / "data")} | more
    return subprocess.run([sys.executable, *command], cwd=PROJECT_DIR, env=environment, capture_output=True, text=True)


def export(hub, tmp_path, data, *more: str, token: str | None = None, **environment: str):
    command = ["-m", "studio", "data", "export", str(data), "--to", str(tmp_path / "out"), "--json", *more]
    return run(command, hub, tmp_path, hub.token if token is None else token, **environment)


def test_a_pushed_data_set_comes_back_row_by_row_and_a_second_push_changes_nothing(hub, tmp_path, data):
    first = export(hub, tmp_path, data, "--push", "rows", "--set", "data.test_size=0.2")
    assert first.returncode == 0, first.stderr
    facts = json.loads(first.stdout)
    assert (facts["train_rows"], facts["heldout_rows"]) == (24, 6)
    assert facts["pushed"]["url"] == f"{hub.endpoint}/datasets/ana/rows"
    repo = hub.repo("ana/rows", "datasets")
    assert repo.private and not hub.repos.get(("models", "ana/rows"))

    loaded = run(["-c", LOAD, "ana/rows"], hub, tmp_path, hub.token)
    assert loaded.returncode == 0, loaded.stderr
    files = [read_jsonl(tmp_path / "out" / name) for name in ("train.jsonl", "heldout.jsonl")]
    assert json.loads(loaded.stdout) == files and len(files[0]) == 24
    stranger = run(["-c", LOAD, "ana/rows"], hub, tmp_path, "", HF_HOME=str(tmp_path / "stranger"))
    assert stranger.returncode != 0, "it is private"

    commits, received = len(repo.commits), hub.received("commit")
    again = json.loads(export(hub, tmp_path, data, "--push", "rows", "--set", "data.test_size=0.2").stdout)
    assert again["pushed"]["sent_bytes"] == 0 and again["pushed"]["commit"] == facts["pushed"]["commit"]
    assert (len(repo.commits), hub.received("commit")) == (commits, received)

    without = json.loads(export(hub, tmp_path, data, "--push", "ana/rows", "--set", "data.test_size=0").stdout)
    assert without["heldout_rows"] == 0
    assert set(hub.files("ana/rows", "datasets")) == {"README.md", "train.jsonl"}, "no rows of the push before stay"


def test_the_licence_of_a_source_on_the_hub_goes_with_its_rows(hub, tmp_path, data):
    hub.add_repo("ben/source", {"README.md": b"---\nlicense: cc-by-4.0\n---\n", "train.jsonl": data.read_bytes()},
                 kind="datasets")
    for source, licence in (("ben/source", "cc-by-4.0"), ("bundled:recipes", "cc0-1.0"), (data, "unknown")):
        pushed = export(hub, tmp_path, source, "--push", "ana/copy")
        assert pushed.returncode == 0, pushed.stderr
        card = hub.files("ana/copy", "datasets")["README.md"].decode()
        assert f"license: {licence}\n" in card


def test_what_the_hub_refuses_is_named_as_in_publishing(hub, tmp_path, data):
    hub.add_repo("ana/open", kind="datasets")
    hub.add_repo("ana/taken-by-a-model", kind="models")
    cases = {
        "ben/rows": "ana may not publish under ben.", "ana/open": "ana/open is public", "ana/a b": "cannot be the name"}
    for name, said in cases.items():
        refused = export(hub, tmp_path, data, "--push", name)
        assert refused.returncode == 2
        error = json.loads(refused.stdout)
        assert said in error["error"] and error["hint"]
    assert "No Hub token" in json.loads(export(hub, tmp_path, data, "--push", "ana/x", token="").stdout)["error"]
    hub.fail("commit", status=403, message="Private storage limit reached")
    failed = json.loads(export(hub, tmp_path, data, "--push", "ana/taken-by-a-model").stdout)
    assert failed["error"] == 'The Hub has no room left for ana: "Private storage limit reached".'
    assert (tmp_path / "out" / "train.jsonl").exists(), "what is written here stays"


def test_a_hub_that_never_answers_ends_the_push(hub, tmp_path, data):
    hub.fail("preupload", hang=True)
    silent = export(hub, tmp_path, data, "--push", "ana/rows", STUDIO_PUSH_SILENCE_S="5")
    assert silent.returncode == 2
    assert "has not answered for 5 s while sending README.md" in silent.stderr


def test_a_large_file_goes_by_lfs(hub, tmp_path):
    path = tmp_path / "large.jsonl"
    path.write_text("".join(json.dumps({"text": f"{n} " + "many words " * 500}) + "\n" for n in range(2000)))
    pushed = json.loads(export(hub, tmp_path, path, "--push", "ana/large", "--set", "data.test_size=0").stdout)
    assert pushed["pushed"]["total_bytes"] > 10_000_000
    assert hub.count("lfs-put") == 1
    assert hub.files("ana/large", "datasets")["train.jsonl"] == (tmp_path / "out" / "train.jsonl").read_bytes()


def test_the_terminal_says_what_was_written_and_what_was_left_out(hub, tmp_path, data):
    with data.open("a") as file:
        file.write('{"messages": [{"role": "user", "content": "Nobody answers"}]}\n')
    said = run(["-m", "studio", "data", "export", str(data), "--to", str(tmp_path / "out"),
                "--set", "data.bad_rows=drop"], hub, tmp_path, "")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0] == "27 rows to learn from, 3 held back, from rows.jsonl"
    assert any("left out: 1 " in line for line in lines) and any("left_out.jsonl lists them" in line for line in lines)

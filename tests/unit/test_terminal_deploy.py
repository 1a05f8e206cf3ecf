"""Using a model from the command line: what is printed, and that nothing is rented without --yes."""

import json

import pytest
from huggingface_hub import constants

from studio import cli
from studio.runs.store import RunStore
from studio.settings import Settings
from tests.finished_run import finished_run
from tests.hub_server import HubServer
from tests.pushed_run import pushed_run


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIO_DATA_DIR", str(tmp_path))
    return RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)}))


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as hub:
        hub.token = hub.add_user("ana")
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{hub.endpoint}/v2")
        monkeypatch.setenv("HF_TOKEN", hub.token)
        yield hub


def printed(capsys, *arguments: str, code: int = 0) -> str:
    capsys.readouterr()
    assert cli.main(list(arguments)) == code
    said = capsys.readouterr()
    return said.out + said.err


def test_the_ways_are_printed_with_what_each_needs(store, capsys):
    run_id = finished_run(store)
    said = printed(capsys, "deploy", run_id)
    assert all(f"# {title}\n" in said for title in ("Transformers", "vLLM", "TGI", "llama.cpp", "Ollama"))
    assert "maintenance mode" in said and "There is no GGUF file yet" in said
    [way] = json.loads(printed(capsys, "deploy", run_id, "--way", "vllm", "--json"))
    assert way["blocks"][0]["code"].startswith("pip install vllm\nvllm serve ")
    assert "Name one of" in printed(capsys, "deploy", run_id, "--way", "x", code=2)


def test_after_a_push_the_hubs_copy_is_named_unless_this_machines_is_asked_for(store, capsys):
    run_id = pushed_run(store).run_id
    assert 'model="ana/recipes"' in printed(capsys, "deploy", run_id, "--way", "transformers")
    assert "/merged" in printed(capsys, "deploy", run_id, "--way", "transformers", "--here")


def test_an_endpoint_is_rented_after_a_yes_and_deleted(store, hub, capsys):
    run_id = pushed_run(store).run_id
    assert "aws-us-east-1-nvidia-t4-x1" in printed(capsys, "endpoint", run_id, "machines")
    assert "costs money: $0.50 an hour" in printed(capsys, "endpoint", run_id, "create", code=2)
    assert "Rent one first" in printed(capsys, "endpoint", run_id, "pause", code=2) and not hub.endpoints
    offer = "aws-us-east-1-nvidia-t4-x1@0.5"
    assert offer in printed(capsys, "endpoint", run_id, "create", "--yes", code=2), "which machine, at what price?"
    assert "recipes of ana is pending" in printed(capsys, "endpoint", run_id, "create", "--machine", offer, "--yes")
    assert json.loads(printed(capsys, "endpoint", run_id, "pause", "--json"))["state"] == "paused"
    said = printed(capsys, "endpoint", run_id, "delete")
    assert "The endpoint is deleted." in said and "stand-in" in said and not hub.endpoints


def test_a_demo_costs_nothing_without_a_yes(store, hub, capsys):
    run_id = pushed_run(store).run_id
    assert "t4-small costs $0.40 an hour" in printed(capsys, "space", run_id, "--hardware", "t4-small", code=2)
    assert not hub.requests


def test_a_demo_of_a_run_that_was_not_pushed_is_refused(store, capsys):
    assert "Publish the model first" in printed(capsys, "space", finished_run(store), code=2)

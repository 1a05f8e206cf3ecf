"""The Train tab's handlers as any HTTP client can call them, page or not: hiding a button protects nothing."""

import html
import json
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from studio.preset import files
from studio.preset.flatten import leaves
from studio.preset.schema import Preset
from studio.runs import launcher
from studio.runs.events import EventWriter, RunStage
from studio.runs.liveness import read_marks
from studio.ui import pasted_tokens
from studio.ui.draft import Draft, widget_values
from tests.app.test_runs_tab import Page
from tests.conftest import LONG_S, end_runs, serve, write_preset
from tests.hub_server import HubServer
from tests.hub_shelf import ask_there

SESSION = "testsession"
NO_SECRETS, NO_WORD = ("", "", ""), (False, "")


class Caller:
    """Calls a handler by its name, over the routes that the page uses."""

    def __init__(self, url: str):
        self._client = httpx.Client(base_url=f"{url}/gradio_api", timeout=LONG_S)
        self._functions = self._client.get(f"{url}/config").json()["dependencies"]

    def quiet(self, name: str, data: list) -> list:
        """Call a handler that does not use the queue; returns its answer."""
        answer = self._client.post("/run/predict", json={
            "data": data, "fn_index": self._index(name), "session_hash": SESSION})
        return answer.json()["data"]

    def queued(self, name: str, data: list, event: dict | None = None) -> dict:
        """Call a handler of the queue; returns its last message."""
        joined = self._client.post("/queue/join", json={
            "data": data, "fn_index": self._index(name), "session_hash": SESSION, "event_data": event})
        joined.raise_for_status()
        with self._client.stream("GET", "/queue/data", params={"session_hash": SESSION}) as lines:
            for line in lines.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the stream ended without an answer")

    def _index(self, name: str) -> int:
        return next(function["id"] for function in self._functions if function["api_name"] == name)


@pytest.fixture
def preset(tmp_path, tiny_model):
    write_preset(tmp_path / "tiny.yaml", tiny_model, "Tiny: for tests")
    return files.load(tmp_path / "tiny.yaml")


def draft(preset):
    return Draft(files.dumps(preset, comments=False)).to_json()


def start(caller, preset, secrets=NO_SECRETS, word=NO_WORD):
    return caller.queued("begin", [draft(preset), *secrets, *word, *widget_values(preset)])


def test_a_run_is_started(studio, preset):
    answer = start(Caller(studio.url), preset)
    assert answer["success"], answer
    run_id, *_ = answer["output"]["data"]
    assert studio.store.get(run_id).preset == preset


def test_pasted_keys_reach_the_run_s_processes_and_nothing_else(studio, preset):
    keys = ("hf_pasted_token", "sk-pasted-endpoint", "sk-pasted-judge")
    long = files.override(preset, {"description": "step_s=0.5", "training.max_steps": 500})
    run_id, *_ = start(Caller(studio.url), long, keys)["output"]["data"]
    process = Path(f"/proc/{read_marks(studio.store.run_dir(run_id))['supervisor'].pid}")
    while not (environ := (process / "environ").read_text()):
        time.sleep(0.01)  # it has not quite become itself
    given = dict(line.partition("=")[::2] for line in environ.split("\0"))
    assert (given["HF_TOKEN"], given["PASTED_ENDPOINT_API_KEY"], given["PASTED_JUDGE_API_KEY"]) == keys
    assert not any(key in (process / "cmdline").read_text() for key in keys)
    end_runs(studio.store)
    for path in studio.settings.data_dir.rglob("*"):
        assert path.is_dir() or not any(key.encode() in path.read_bytes() for key in keys), path


def test_the_untouched_model_is_tried_with_a_preset_that_could_not_train(studio, preset):
    asked = files.override(preset, {"training.packing": True})
    answer = Caller(studio.url).queued("try_untuned", [draft(asked), "", "sk-x", *widget_values(asked)])
    assert answer["success"], answer
    view = studio.store.get(answer["output"]["data"][0])
    assert (view.kind, view.name) == ("baselines", "first, without tuning")
    nothing = files.override(preset, {"evaluation.compare_rows": 0})
    answer = Caller(studio.url).queued("try_untuned", [draft(nothing), "", "", *widget_values(nothing)])
    assert "Set evaluation.compare_rows" in answer["output"]["error"]
    end_runs(studio.store)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The stand-in Hub, asked without a token of the machine; what would be spawned is in `spawned` instead."""
    with HubServer() as hub:
        ask_there(hub, monkeypatch)
        for name, value in hub.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        hub.token, hub.spawned = hub.add_user("ana"), []
        monkeypatch.setattr(launcher, "_spawn", lambda store, run_id, phases, environment: hub.spawned.append(
            (run_id, phases, environment)))
        yield hub


def test_no_run_starts_whose_push_would_replace_what_nobody_has_seen(hub, studio, preset):
    hub.add_repo("ana/taken", {"model.safetensors": b"theirs"}, private=True)
    planned = files.override(preset, {"publish.push_to_hub": True, "publish.hub_model_id": "ana/taken"})
    secrets, caller = (hub.token, "", ""), Caller(studio.url)
    _, box, said, shown, *_ = start(caller, planned, secrets)["output"]["data"]
    assert box["visible"] and "ana/taken is there already" in said and said in html.unescape(shown["value"])
    assert studio.store.list() == hub.spawned == []
    asked = start(caller, planned, secrets, (True, "ana/other is there already."))["output"]["data"]
    assert asked[2] == said and studio.store.list() == [], "a word for something else"
    run_id, box, *_ = start(caller, planned, secrets, (True, said))["output"]["data"]
    assert hub.spawned[0][0] == run_id and not box["visible"]
    assert (studio.store.run_dir(run_id) / "confirmed.json").exists()


def test_a_pasted_token_serves_the_check_and_the_run_and_what_follows_on_it(hub, studio, preset):
    caller = Caller(studio.url)
    hub.add_repo("lab/gated", {"config.json": b"{}"}, gated=True, allowed={"ana"})
    gated = widget_values(files.override(preset, {"model.model_name_or_path": "lab/gated"}))
    assert "gated." not in caller.queued("check", [hub.token, *gated])["output"]["data"][0]
    assert hub.token in {request.token for request in hub.requests if "config.json" in request.path}

    run_id, *_ = start(caller, preset, (hub.token, "", ""))["output"]["data"]
    journal = EventWriter(studio.store.run_dir(run_id))
    journal.stage(RunStage.FAILED, "train")
    journal.close()
    page = Page(studio.url)
    assert page.press("run-resume", run_id)["success"]
    assert [spawned[2]["HF_TOKEN"] for spawned in hub.spawned] == [hub.token] * 2
    assert pasted_tokens.kept(run_id) == hub.token
    journal = EventWriter(studio.store.run_dir(run_id))
    journal.stage(RunStage.FAILED, "train")
    journal.close()
    assert page.press("run-delete-sure", run_id)["success"] and pasted_tokens.kept(run_id) == ""


def test_a_stranger_starts_nothing_and_reads_nothing(settings, store, preset):
    run_id = store.create(preset, name="secret run")
    (settings.data_dir / "presets").mkdir(exist_ok=True)
    files.save(files.override(preset, {"description": "secret plan"}), settings.data_dir / "presets" / "mine.yaml")
    with serve(replace(settings, owners=("someone",))) as studio:
        caller = Caller(studio.url)
        answer = start(caller, preset)
        assert not answer["success"] and "Only the owner" in answer["output"]["error"]
        answer = caller.queued("try_untuned", [draft(preset), "", "", *widget_values(preset)])
        assert not answer["success"] and "Only the owner" in answer["output"]["error"]
        answer = caller.queued("clone_1", [run_id])
        assert not answer["success"] and "private" in answer["output"]["error"]
        values = widget_values(preset)
        assert "Only the owner" in caller.queued("show_rows", ["", "all", "", *values])["output"]["data"][0]
        assert "Only the owner" in caller.queued("check", ["", *values])["output"]["data"][0]
        restored = json.dumps(caller.quiet("restore", [None, None]))
        assert "secret plan" not in restored and "secret run" not in restored
        assert "secret plan" not in httpx.get(f"{studio.url}/config", timeout=LONG_S).text
        assert caller.quiet("build", ["{a}{a}", "", {"columns": {"a": "x"}}]) == [""]
        assert "secret run" not in json.dumps(caller.quiet("tick", [""]))
    assert len(store.list()) == 1


def test_a_preset_that_stops_is_not_started(studio, preset):
    """The findings count at the start too, not only in the step that shows them."""
    broken = files.override(preset, {"model.load_in_4bit": True})
    answer = start(Caller(studio.url), broken)
    assert not answer["success"] and "needs an NVIDIA GPU" in answer["output"]["error"]
    assert studio.store.list() == []


def test_a_wrong_value_is_refused_before_anything_runs(studio, preset):
    values = dict(zip((name for name, _ in leaves()), widget_values(preset), strict=True)) | {"lora.r": -1}
    answer = Caller(studio.url).queued("begin", [draft(preset), *NO_SECRETS, *NO_WORD, *values.values()])
    assert not answer["success"] and "greater than or equal to 1" in answer["output"]["error"]
    assert studio.store.list() == []


def test_a_planned_push_without_a_repository_is_refused_in_its_field(studio, preset):
    values = dict(zip((name for name, _ in leaves()), widget_values(preset), strict=True))
    planned = values | {"publish.push_to_hub": True}
    answer = Caller(studio.url).queued("begin", [draft(preset), *NO_SECRETS, *NO_WORD, *planned.values()])
    *_, wrong, _ = answer["output"]["data"]
    assert "needs a repository" in wrong["problems"]["field-publish-hub_model_id"] and wrong["go"]
    assert studio.store.list() == []


def test_what_changes_the_whole_form_paints_neither_wait_nor_error_over_each_field(studio):
    """A refused upload said "Error" on every field, in place of its value."""
    changing = [function for function in httpx.get(f"{studio.url}/config").json()["dependencies"]
                if len(function["outputs"]) > len(list(leaves()))]
    painting = [function["api_name"] for function in changing
                if function["show_progress"] != "hidden" and not function["show_progress_on"]]
    assert "take_upload" in [function["api_name"] for function in changing] and not painting, painting


def test_a_fix_may_only_set_fields_of_the_preset(studio, preset):
    """What a finding's button sends comes from the browser; it is checked like any other input."""
    answer = Caller(studio.url).queued("mend", [draft(preset), *widget_values(preset)], {"fix": {"os.system": "x"}})
    assert not answer["success"] and "is not a preset field" in answer["output"]["error"]


def test_a_broken_draft_in_the_browser_is_replaced_by_the_first_card(studio):
    answer = Caller(studio.url).quiet("restore", [{"yaml": "lora: {rank: 1}", "origin": "x"}, 99])
    assert any(isinstance(part, str) and part.startswith("version: 1\nname: first") for part in answer)


def test_a_password_never_reaches_the_page(settings, tmp_path):
    with serve(replace(settings, password="let me in")) as studio:
        assert "let me in" not in httpx.get(studio.url, timeout=LONG_S).text


def test_the_draft_of_a_deleted_run_still_starts(studio, preset):
    run_id = studio.store.create(preset)
    copy = files.dumps(preset, comments=False)
    end_runs(studio.store)
    (studio.settings.runs_dir / run_id).rename(studio.settings.data_dir / "gone")
    answer = Caller(studio.url).queued(
        "begin", [Draft(copy, f"run:{run_id}").to_json(), *NO_SECRETS, *NO_WORD, *widget_values(preset)])
    assert answer["success"] and studio.store.get(answer["output"]["data"][0]).info["parent"] == ""


def test_a_preset_without_a_card_shows_the_schema_s_defaults(settings, tmp_path):
    (tmp_path / "none").mkdir()
    with serve(replace(settings, presets_dir=tmp_path / "none")) as studio:
        answer = Caller(studio.url).quiet("restore", [None, None])
    assert files.dumps(Preset(), comments=False).strip() in answer

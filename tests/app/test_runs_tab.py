"""The Runs tab behind its address: who may look and act, and what a tick costs. Runs are worked on by the scripted
worker; requests are sent as a browser, or somebody who is none, would send them."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from studio.preset import files
from studio.preset.schema import Preset
from studio.runs import launcher
from studio.runs.events import TERMINAL_STAGES
from tests.conftest import LONG_S, serve
from tests.finished_run import finished_run


class Page:
    """One visitor who knows the page's configuration and may send any event with any values."""

    def __init__(self, url: str):
        self._http = httpx.Client(base_url=url, timeout=LONG_S)
        self._config = self._http.get("/config").raise_for_status().json()
        self._ids = {part["props"].get("elem_id"): part["id"] for part in self._config["components"]}

    def events(self, elem_id: str, event: str) -> list[dict]:
        target = [self._ids[elem_id], event]
        return [entry for entry in self._config["dependencies"] if target in entry["targets"] and entry["backend_fn"]]

    def send(self, dependency: dict, data: list) -> dict:
        """Send one event; returns what the server says at its end, with `success` and `output`."""
        session = f"visitor{time.monotonic_ns()}"
        self._http.post("/gradio_api/queue/join", json={
            "data": data, "fn_index": dependency["id"], "session_hash": session}).raise_for_status()
        with self._http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return message
        raise AssertionError("the event had no end")

    def press(self, elem_id: str, run_id: str) -> dict:
        """Press a button of a run's page with nothing in the boxes that go with it."""
        event = self.events(elem_id, "click")[0]
        return self.send(event, [run_id, *[""] * (len(event["inputs"]) - 1)])

    def log_tick(self) -> dict:
        """The event that brings new lines of the log."""
        log = self._ids["runs-log"]
        return next(entry for entry in self._config["dependencies"] if log in entry["inputs"])

    def charts_tick(self) -> dict:
        """The event that draws the charts."""
        chart = self._ids["runs-plot-loss"]
        return next(entry for entry in self._config["dependencies"] if chart in entry["outputs"])

    def draw(self, run_id: str, marks: dict | None = None) -> str:
        """What a tick of the page says, as JSON text."""
        return json.dumps(self.send(self.tick(), [run_id, marks or {}, False]))

    def tick(self) -> dict:
        """The event that keeps list and page fresh."""
        head = self._ids["run-head"]
        return next(entry for entry in self._config["dependencies"]
                    if head in entry["outputs"] and len(entry["inputs"]) == 3)


def run_until_end(store, script="step_s=0", steps=5) -> str:
    preset = files.override(Preset(), {"description": script, "training.max_steps": steps})
    run_id = launcher.start(store, preset)
    deadline = time.monotonic() + LONG_S
    while store.get(run_id).state.stage not in TERMINAL_STAGES:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return run_id


@pytest.fixture
def live_run(store):
    preset = files.override(Preset(), {"description": "step_s=0.2", "training.max_steps": 5000})
    run_id = launcher.start(store, preset)
    deadline = time.monotonic() + LONG_S
    while store.get(run_id).state.step < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return run_id


def test_a_stranger_changes_nothing(settings, store, live_run):
    done = finished_run(store)
    with serve(replace(settings, owners=("ann",), public_view=True)) as studio:
        page = Page(studio.url)
        for button in ("run-stop", "run-stop-now"):
            answer = page.press(button, live_run)
            assert answer["success"] is False and "Only the owner" in json.dumps(answer)
        for button in ("run-resume", "run-evaluate", "run-merge", "run-delete-sure", "run-compare-start"):
            assert page.press(button, done)["success"] is False
        assert page.press("run-compare-with", done)["success"] is False
    assert store.get(live_run).is_live and not (store.run_dir(live_run) / "stop_request").exists()
    assert not store.get(done).is_live


def test_a_stranger_sees_nothing_of_a_private_studio(settings, store):
    secret = finished_run(store, name="secret recipes")
    with serve(replace(settings, owners=("ann",))) as studio:
        page = Page(studio.url)
        assert "secret" not in page.draw("") and "secret" not in page.draw(secret)
        for elem_id in ("runs-open", "run-log-fold"):
            for event in ("change", "expand"):
                for dependency in page.events(elem_id, event):
                    values = [secret, {}][:len(dependency["inputs"])]
                    assert "secret recipes" not in json.dumps(page.send(dependency, values))


def test_everyone_may_look_where_the_owner_allows_it(settings, store):
    run_id = finished_run(store, name="open recipes")
    with serve(replace(settings, owners=("ann",), public_view=True)) as studio:
        answer = Page(studio.url).draw(run_id)
        assert "open recipes" in answer


def test_stop_resume_and_delete_through_the_page(settings, store, live_run):
    with serve(settings) as studio:
        page = Page(studio.url)
        assert "still" in json.dumps(page.press("run-delete-sure", live_run))
        assert page.press("run-stop", live_run)["success"]
        # pressed twice it is still the polite stop
        page.press("run-stop", live_run)
        assert (store.run_dir(live_run) / "stop_request").read_text() == "stop\n"
        deadline = time.monotonic() + LONG_S
        while store.get(live_run).is_live:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert page.press("run-resume", live_run)["success"]
        assert store.get(live_run).is_live
        done = finished_run(store)
        assert page.press("run-delete-sure", done)["success"]
        assert done not in [view.run_id for view in store.list()]


def test_a_tick_without_news_says_nothing(settings, store):
    run_id = run_until_end(store)
    info = store.run_dir(run_id) / "run.json"
    # its age is on the page, and is no news
    old = {"created_at": (datetime.now(UTC) - timedelta(days=100)).isoformat()}
    info.write_text(json.dumps(json.loads(info.read_text()) | old))
    with serve(settings) as studio:
        page = Page(studio.url)
        first = page.send(page.tick(), [run_id, {}, False])["output"]["data"]
        marks = next(part for part in first if isinstance(part, dict) and part.get("run") == run_id)
        second = json.dumps(page.send(page.tick(), [run_id, marks, False])["output"]["data"])
        assert len(second) < 2000 and "Recipe" not in second and "<" not in second
        assert len(json.dumps(first)) > 5000


def test_an_address_that_leads_nowhere_is_answered(settings):
    with serve(settings) as studio:
        page = Page(studio.url)
        for run in ("../../etc", "x" * 5000, "20260101-000000-gone-0000", "<script>"):
            answer = page.draw(run)
            assert "This run is not here" in answer
            assert "script" not in run or "&lt;script&gt;" in answer


def test_forged_cursors_are_answered_from_the_tail(settings, store):
    run_id = run_until_end(store)
    with serve(settings) as studio:
        page = Page(studio.url)
        tick = page.log_tick()
        for offset in (-5, 10**12, "no", None, {"a": 1}):
            answer = page.send(tick, [run_id, {"run": run_id, "offset": offset}])
            assert answer["success"] and "scripted worker: train" in json.dumps(answer)


def test_every_viewer_gets_the_charts(settings, store):
    """What viewers share was once taken apart by the first of them."""
    run_id = run_until_end(store)
    with serve(settings) as studio:
        answers = [page.send(page.charts_tick(), [run_id, ""])["output"]["data"] for page in [Page(studio.url)] * 3]
    assert answers[0] == answers[1] == answers[2]
    charts = [part for part in answers[0] if isinstance(part, dict) and "value" in part]
    assert len(charts) == 4 and all(len(chart["value"]["data"]) > 5 for chart in charts)

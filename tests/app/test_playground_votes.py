"""Blind votes over the wire: all that the server sends until the vote, who may vote, and what is kept."""

import json
import random
import re
from dataclasses import replace

import httpx
import pytest

from studio import cli
from studio.data.prepare import prepare
from studio.data.shapes import refusal
from studio.errors import DataError
from studio.evaluation.votes import read_votes
from studio.preset import files
from studio.runs.playground import release
from studio.runs.store import RunStore
from studio.settings import Settings
from tests.conftest import LONG_S, serve
from tests.finished_run import finished_run

PROMPT = "6 blindly"
BASE, TUNED = "0 1 2 3 4 5", "5 4 3 2 1 0"
DRAWN = ["Be brief.", 0, 1, 64, 1, ""]


class Visitor:
    """One page's session; `send` returns every byte that the server says to an event, and its last message."""

    def __init__(self, url: str):
        self._http = httpx.Client(base_url=url, timeout=LONG_S)
        config = self._http.get("/config").raise_for_status().json()
        self.functions = config["dependencies"]
        self._ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
        self._session = f"visitor{random.getrandbits(60)}"
        self._duel = ""

    def send(self, function: dict, data: list) -> tuple[str, dict]:
        self._http.post("/gradio_api/queue/join", json={
            "data": data, "fn_index": function["id"], "session_hash": self._session}).raise_for_status()
        said = []
        with self._http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self._session}) as stream:
            for line in stream.iter_lines():
                said.append(line)
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") == "process_completed":
                    return "\n".join(said), message
        raise AssertionError("the event had no end")

    def _noted(self, answer: tuple[str, dict]) -> tuple[str, dict]:
        """Keep the id of the two answers, as the page's hidden box does."""
        found = re.search(r'"([0-9a-f]{16})"', answer[0])
        self._duel = found[1] if found else ""
        return answer

    def ask(self, run_id: str, prompt: str = PROMPT, rival: str | None = None) -> tuple[str, dict]:
        function = next(entry for entry in self.functions if entry["api_name"] == "answer")
        sides = [{"messages": []}, {"messages": []}]
        return self._noted(self.send(function, [run_id, None, rival, prompt, *sides, True, *DRAWN]))

    def ask_next(self, run_id: str) -> tuple[str, dict]:
        function = next(entry for entry in self.functions if entry["api_name"] == "answer_next")
        return self._noted(self.send(function, [run_id, None, None, self._duel, *DRAWN]))

    def vote(self, choice: str) -> tuple[str, dict]:
        target = [self._ids[f"playground-vote-{choice}"], "click"]
        return self.send(next(entry for entry in self.functions if target in entry["targets"]), [self._duel])


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("votes")
    return replace(Settings.from_environment({"STUDIO_DATA_DIR": str(data_dir)}), worker_module="tests.fake_infer")


@pytest.fixture(scope="module")
def url(settings):
    with serve(settings) as studio:
        yield studio.url
        release(settings)


@pytest.fixture
def run_id(settings):
    store = RunStore(settings)
    run_id = finished_run(store)
    (store.run_dir(run_id) / "data").mkdir()
    (store.run_dir(run_id) / "data" / "heldout.jsonl").write_text("".join(
        json.dumps({"prompt": f"{number} blindly", "completion": f"wanted {number}"}) + "\n" for number in (2, 3)))
    return run_id


def downloaded(url, run_id, name):
    return httpx.get(f"{url}/download/{run_id}/{name}", timeout=LONG_S)


def votes(settings, run_id):
    return read_votes(RunStore(settings).run_dir(run_id)).votes


@pytest.mark.parametrize(("tuned_first", "texts"), [(False, [BASE, TUNED]), (True, [TUNED, BASE])])
def test_nothing_on_the_wire_names_a_model_before_the_vote(url, settings, run_id, monkeypatch, tuned_first, texts):
    monkeypatch.setattr(random.SystemRandom, "shuffle", lambda self, names: names.sort(reverse=tuned_first))
    visitor = Visitor(url)
    said, last = visitor.ask(run_id)
    assert last["success"], last
    assert all(said.count(json.dumps(text)) > 0 for text in texts)
    assert not [word for word in ("base", "tuned", "tokens/s", " in 0.1") if word in said.lower()]
    answer, last = visitor.vote("b")
    names = ["tuned model", "base model"] if tuned_first else ["base model", "tuned model"]
    assert last["success"] and f"Answer A: {names[0]}" in answer and f"Answer B: {names[1]}" in answer
    kept, = votes(settings, run_id)
    assert [kept.a.text, kept.b.text] == texts and kept.choice == "b" and kept.blind
    assert {BASE: "base", TUNED: run_id}[kept.a.text] == kept.a.model
    assert kept.sampling == {"temperature": 0, "top_p": 1, "max_tokens": 64, "seed": 1}
    assert kept.messages == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]


def test_a_second_press_and_a_press_without_answers_keep_nothing(url, settings, run_id):
    visitor = Visitor(url)
    _, last = visitor.vote("a")
    assert not last["success"] and "no two answers to vote on" in last["output"]["error"]
    visitor.ask(run_id)
    for choice in ("tie", "a"):
        assert visitor.vote(choice)[1]["success"]
    assert [vote.choice for vote in votes(settings, run_id)] == ["tie"]


def test_held_out_rows_are_asked_one_after_the_other_until_each_has_a_vote(url, settings, run_id):
    visitor = Visitor(url)
    for number in (2, 3):
        said, last = visitor.ask_next(run_id)
        assert last["success"] and f"wanted {number}" in said
        visitor.vote("both_bad")
    assert [vote.messages[-1]["content"] for vote in votes(settings, run_id)] == ["2 blindly", "3 blindly"]
    _, last = visitor.ask_next(run_id)
    assert not last["success"] and "Every held-out row has a vote" in last["output"]["error"]


def test_a_long_example_is_sent_whole_only_to_who_picks_it(url, settings, run_id):
    visitor, prompt = Visitor(url), "x" * 300 + "y" * 700
    rows = RunStore(settings).run_dir(run_id) / "data" / "heldout.jsonl"
    rows.write_text(json.dumps({"prompt": prompt, "completion": "{}"}))
    events = {entry["api_name"]: entry for entry in visitor.functions}
    offered, last = visitor.send(events["pick"], [run_id, True])
    assert last["success"] and "x" * 300 in offered and "y" * 10 not in offered
    picked, last = visitor.send(events["pick_example"], [0, run_id])
    assert last["success"] and prompt in picked


def test_two_runs_are_compared_and_the_win_rate_names_the_other(url, settings, run_id):
    visitor, rival = Visitor(url), finished_run(RunStore(settings), name="cookbook")
    # the drop-down offers the other runs once this one is picked
    visitor.send(next(entry for entry in visitor.functions if entry["api_name"] == "pick"), [run_id, True])
    _, last = visitor.ask(run_id, rival=rival)
    assert last["success"], last
    answer, _ = visitor.vote("a")
    kept, = votes(settings, run_id)
    assert {kept.a.model, kept.b.model} == {run_id, rival}
    assert f"preferred to cookbook in {100 * (kept.a.model == run_id)} % of 1 blind vote" in answer


def test_a_base_model_alone_is_not_compared(url):
    _, last = Visitor(url).ask("owner/name")
    assert not last["success"] and "Pick a run" in last["output"]["error"]


def test_only_the_owner_votes(url, settings, run_id):
    with serve(replace(settings, owners=("someone",))) as studio:
        visitor = Visitor(studio.url)
        for _, last in (visitor.ask(run_id), visitor.ask_next(run_id), visitor.vote("a")):
            assert not last["success"] and "Only the owner" in last["output"]["error"]
    assert votes(settings, run_id) == []


def voted(settings, visitor, run_id, choices=("a", "tie")):
    for number, choice in enumerate(choices):
        visitor.ask(run_id, prompt=f"{number + 3} blindly")
        visitor.vote(choice)
    return votes(settings, run_id)[0]


def test_the_run_hands_out_its_votes_and_preference_rows(url, settings, run_id):
    for name in ("votes.jsonl", "preferences.jsonl"):
        assert downloaded(url, run_id, name).status_code == 404
    vote = voted(settings, Visitor(url), run_id)
    kept = downloaded(url, run_id, "votes.jsonl").text.splitlines()
    assert [json.loads(line)["choice"] for line in kept] == ["a", "tie"]
    answer = downloaded(url, run_id, "preferences.jsonl")
    assert [json.loads(line)["chosen"][0]["content"] for line in answer.text.splitlines()] == [vote.a.text]
    assert f"{run_id}-preferences.jsonl" in answer.headers["content-disposition"]


def test_a_preset_is_made_from_the_votes_and_its_start_says_what_is_not_trained_yet(url, settings, run_id):
    visitor = Visitor(url)
    press = next(entry for entry in visitor.functions if entry["api_name"] == "take_votes")
    _, last = visitor.send(press, [run_id])
    assert not last["success"] and "No vote on recipes prefers one of two answers yet" in last["output"]["error"]
    voted(settings, visitor, run_id, ("a", "b", "a"))
    _, last = visitor.send(press, [run_id])
    preset = files.loads(last["output"]["data"][3])
    assert preset.name == "recipes-votes" and preset.data.format == "preference"
    with pytest.raises(DataError, match="a chosen and a rejected answer, which this version examines but cannot train"):
        raise refusal(prepare(preset, settings).source.shape.format)


def test_the_command_line_tells_the_votes_and_exports_them(url, settings, run_id, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STUDIO_DATA_DIR", str(settings.data_dir))
    target = tmp_path / "dpo.jsonl"
    assert cli.main(["votes", run_id, "--export", str(target)]) == 2
    assert "No vote on recipes prefers one" in capsys.readouterr().err and not target.exists()
    assert cli.main(["votes", run_id]) == 0 and "Nobody has voted on recipes yet" in capsys.readouterr().out
    vote = voted(settings, Visitor(url), run_id)
    assert cli.main(["votes", run_id, "--export", str(target), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["votes"], facts["blind"], facts["exported"]["rows"]) == (2, 2, 1)
    rate, = facts["win_rates"]
    won = vote.a.model == run_id
    assert (rate["wins"], rate["losses"], rate["ties"], rate["value"]) == (int(won), int(not won), 1, float(won))
    assert json.loads(target.read_text())["rejected"][0]["content"] == vote.b.text
    assert cli.main(["votes", run_id]) == 0
    assert f"preferred to base model in {100 * won} % of 1 blind vote" in capsys.readouterr().out

"""What a service's failures cost in a comparison: what the report tells of them, and what is asked again."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from studio.evaluation.answers import AnswerFile
from studio.evaluation.judge import Pair
from studio.evaluation.ways import Example
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.events import EventWriter, read_events
from studio.settings import Settings
from studio.worker.phase import Phase
from studio.worker.services import answer_by_endpoint, judge_pairs
from tests.chat_service import Said, completion, serve_chats

ROWS = [Example(f"question {i}", "city") for i in range(5)]


@pytest.fixture
def phase(tmp_path):
    return Phase("evaluate", tmp_path, Preset(), Settings(data_dir=tmp_path), EventWriter(tmp_path))


def asked(phase, service, **values):
    """The phase with both services at this address."""
    preset = files.override(phase.preset, {
        "evaluation.endpoint_url": service.url, "evaluation.endpoint_model": "big", "evaluation.judge_url": service.url,
        "evaluation.judge_model": "judge", "evaluation.requests_at_once": 1})
    return replace(phase, preset=preset)


def kept(phase):
    return AnswerFile(phase.run_dir / "answers.jsonl")


def test_a_judges_reply_not_in_form_is_asked_again(phase):
    replies = ["[[A]]", "hm", "[[A]]", "[[B]]"]
    pairs = [Pair("q", "a", "tuned", "other"), Pair("q", "a", "same", "same")]
    with serve_chats(lambda body: Said(completion(replies.pop(0)))) as service:
        assert judge_pairs(asked(phase, service), pairs, kept(phase))["unclear"] == 1
        again = judge_pairs(asked(phase, service), pairs, kept(phase))
        assert (again["unclear"], again["ties"]) == (0, 2) and len(replies) == 1, "the reply in form is kept"


def test_the_report_tells_what_a_failing_service_cost_and_neither_its_address_nor_its_words(phase):
    def answer(body):
        return Said({"error": {"message": "inner words"}}, 401) if "2" in str(body["messages"]) else Said(
            completion("city"))

    with serve_chats(answer) as service:
        assert answer_by_endpoint(asked(phase, service), None, ROWS, kept(phase)) is None
    warning = next(event.values["message"] for event in read_events(phase.run_dir)[0] if event.type == "warning")
    assert urlsplit(service.url).netloc in warning and "inner words" in warning
    assert phase.notes == ["The other service is left out: it gave 2 of 5 answers. The run's log says why."]


def test_a_row_that_a_working_service_cannot_answer_is_empty_and_asked_again(phase, monkeypatch):
    monkeypatch.setattr("studio.evaluation.endpoint.ATTEMPTS", 1)
    broken = ["question 1"]
    with serve_chats(lambda body: Said({}, 500) if body["messages"][-1]["content"] in broken else Said(
            completion("city"))) as service:
        found = answer_by_endpoint(asked(phase, service), lambda text, **_: {"input_ids": []}, ROWS, kept(phase))
        assert [answer.text for answer in found.answers] == ["city", "", "city", "city", "city"]
        assert phase.notes[0].startswith("The other service: no answer to 1 of 5 rows, which count as they are")
        again = answer_by_endpoint(asked(phase, service), lambda text, **_: {"input_ids": []}, ROWS, kept(phase))
        assert again.answers[1].text == "", "the row fails again, and the others are kept all the same"
        broken.clear()
        mended = answer_by_endpoint(asked(phase, service), None, ROWS, kept(phase))
    assert [answer.text for answer in mended.answers] == ["city"] * 5

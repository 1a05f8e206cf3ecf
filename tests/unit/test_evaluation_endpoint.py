"""A model behind an address, over real HTTP: order, patience with a busy service, and a plain sentence for the rest."""

import threading
import time

import pytest

from studio.errors import EndpointError
from studio.evaluation import endpoint
from studio.evaluation.endpoint import ENDPOINT_KEY, JUDGE_KEY, Service, ask_all, key_for, pasted
from tests.chat_service import Said, completion, serve_chats

KEY = "sk-very-secret"


def chats(count):
    return [[{"role": "user", "content": f"question {i}"}] for i in range(count)]


def echo(body):
    return Said(completion(f" answer to {body['messages'][-1]['content']} "))


def asked(service, count=1, **values):
    """All replies by index."""
    options = {"model": "big", "timeout_s": 60} | values
    return dict(ask_all(Service(service.url, **options), chats(count), 16, first_wait_s=0.01))


def failure(answer, count=1, **values) -> EndpointError:
    with serve_chats(answer) as service, pytest.raises(EndpointError) as caught:
        asked(service, count, **values)
    return caught.value


def test_every_chat_gets_its_own_answer_greedily_and_some_at_once():
    together, most, met = [], [], threading.Event()

    def answer(body):
        together.append(body)
        most.append(len(together))
        if len(together) > 1:
            met.set()
        # the first two are asked one by one; the others wait for one another
        if body["messages"][0]["content"] not in ("question 0", "question 1"):
            met.wait(60)
        time.sleep(0.02)
        together.pop()
        return echo(body)

    began = time.monotonic()
    with serve_chats(answer) as service:
        replies = asked(service, 9, key=KEY, at_once=3)
    assert {i: reply.text for i, reply in replies.items()} == {i: f"answer to question {i}" for i in range(9)}
    assert 1 < max(most) <= 3 and most[0] == 1
    assert service.requests[0] | {"messages": 0} == {"model": "big", "temperature": 0, "max_tokens": 16, "messages": 0}
    assert set(service.keys) == {f"Bearer {KEY}"}
    assert (replies[0].prompt_tokens, replies[0].tokens, replies[0].cut) == (7, 3, False)
    assert 0.02 <= replies[0].seconds < time.monotonic() - began


def test_an_answer_of_nothing_and_one_that_was_cut_are_answers():
    replies = [completion(None), completion("one two", "length", usage=None)]
    with serve_chats(lambda body: Said(replies.pop(0))) as service:
        empty, cut = asked(service, 2).values()
    assert (empty.text, empty.refused) == ("", "")
    assert (cut.text, cut.cut, cut.prompt_tokens, cut.tokens) == ("one two", True, None, None)


@pytest.mark.parametrize("first", [
    Said({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.05"}), Said({}, 503), Said("oops", 502), None,
    Said("<html>", 200)])
def test_a_trouble_that_passes_is_waited_for(first):
    answers = [first, Said(completion("there"))]
    with serve_chats(lambda body: answers.pop(0)) as service:
        assert asked(service)[0].text == "there"
    assert len(service.requests) == 2


def test_a_busy_service_is_left_alone_as_long_as_it_asks_for():
    times = []

    def answer(body):
        times.append(time.monotonic())
        return Said({}, 429, {"Retry-After": "0.3"}) if len(times) == 2 else echo(body)

    with serve_chats(answer) as service:
        assert len(asked(service, 4, at_once=1)) == 4
    assert times[2] - times[1] >= 0.3


@pytest.mark.parametrize(("said", "words"), [
    (Said({}, 500), "fails with status 500"), (None, "broke off the connection"),
    (Said("<html>no</html>"), "does not answer as an OpenAI-compatible service does"),
    (Said({"choices": []}), "does not answer as an OpenAI-compatible service does")])
def test_what_does_not_pass_is_given_up_after_four_tries(said, words):
    with serve_chats(lambda body: said) as service, pytest.raises(EndpointError, match=words):
        asked(service, 5)
    assert len(service.requests) == 5, "one other chat is tried, once"


def test_a_row_on_which_a_working_service_fails_costs_that_row_alone():
    def answer(body):
        return Said({}, 500) if "1" in str(body["messages"]) else echo(body)

    with serve_chats(answer) as service:
        replies = asked(service, 4, at_once=1)
        alone = dict(ask_all(Service(service.url, "big", timeout_s=60), chats(2)[1:], 16, answered_before=True,
                             first_wait_s=0.01))
    assert [i for i, reply in replies.items() if reply.refused] == [1]
    assert alone[0].refused == "fails with status 500" and len(service.requests) == 3 + 4 + 4


def test_where_the_first_row_is_the_bad_one_the_others_are_answered():
    def answer(body):
        return None if "0" in str(body["messages"]) else echo(body)

    with serve_chats(answer) as service:
        replies = asked(service, 4)
    assert [replies[i].refused for i in range(4)] == ["broke off the connection", "", "", ""]


def test_a_service_that_goes_down_meanwhile_is_given_up_after_three_rows():
    def answer(body):
        return echo(body) if body["messages"][0]["content"] in ("question 0", "question 1") else Said({}, 500)

    with serve_chats(answer) as service, pytest.raises(EndpointError, match="fails with status 500"):
        asked(service, 50, at_once=1)
    assert len(service.requests) == 2 + 3 * 4


def test_a_busy_service_may_ask_for_longer_than_one_that_fails(monkeypatch):
    monkeypatch.setattr(endpoint, "LONGEST_WAIT_S", 0.05)
    answers = [Said({}, 429, {"Retry-After": "0.1"}), Said(completion("there"))]
    with serve_chats(lambda body: answers.pop(0)) as service:
        assert asked(service)[0].text == "there"
    assert "503" in failure(lambda body: Said({}, 503, {"Retry-After": "0.1"})).message


@pytest.mark.parametrize(("said", "words"), [
    (Said({"error": {"message": f"Incorrect API key {KEY}"}}, 401), r"refuses the key \(Incorrect API key \[key\]\)"),
    (Said({}, 404), "status 404"), (Said("", 307, {"Location": "http://example.com"}), "another address"),
    (Said({"error": {"message": "You exceeded your quota"}}, 429), "exceeded your quota"),
    (Said({}, 429, {"Retry-After": "3600"}), "asked too often")])
def test_what_waiting_cannot_mend_is_said_at_once(said, words):
    with serve_chats(lambda body: said) as service, pytest.raises(EndpointError, match=words) as caught:
        asked(service, 3, key=KEY)
    assert len(service.requests) == 1 and KEY not in str(caught.value)


def test_a_service_that_is_not_there_or_never_answers():
    with serve_chats(echo) as service:
        pass
    with pytest.raises(EndpointError, match="cannot be reached"):
        asked(service)
    ended = threading.Event()
    with serve_chats(lambda body: ended.wait(60) and None) as service:
        with pytest.raises(EndpointError, match="has not answered within"):
            asked(service, timeout_s=0.05)
        ended.set()


def test_answers_without_end_are_not_read_to_the_end(monkeypatch):
    monkeypatch.setattr(endpoint, "REPLY_BYTES", 1000)
    assert "broke off" in failure(lambda body: Said("x" * 5000)).message


@pytest.mark.parametrize("packing", ["gzip", "br", "identity, gzip"])
def test_packed_replies_are_refused_unread(packing):
    assert "packed" in failure(lambda body: Said("no gzip at all", headers={"Content-Encoding": packing})).message


def test_plain_replies_are_asked_for():
    with serve_chats(lambda body: Said(completion("x"), headers={"Content-Encoding": "Identity"})) as service:
        assert asked(service)[0].text == "x"
    assert service.encodings == ["identity"]


@pytest.mark.parametrize("url", [
    "http://a..b/v1", f"http://{'a' * 70}.com/v1", "http://a\x00b/v1", "http://h/\x01", "http://xn--/v1"])
def test_an_address_that_cannot_be_looked_up_costs_its_own_part_only(url):
    with pytest.raises(EndpointError):
        list(ask_all(Service(url, "big"), chats(1), 16, first_wait_s=0.001))


@pytest.mark.parametrize(("usage", "counts"), [
    ({"prompt_tokens": 10**400, "completion_tokens": -5}, (None, None)), ("many", (None, None)),
    ({"prompt_tokens": 7, "completion_tokens": "x"}, (7, None)), ({"completion_tokens": 3}, (None, 3)),
    ({"prompt_tokens": 10**9, "completion_tokens": 10**9 + 1}, (10**9, None))])
def test_counts_that_cannot_be_are_no_counts(usage, counts):
    with serve_chats(lambda body: Said(completion("x") | {"usage": usage})) as service:
        reply = asked(service)[0]
    assert (reply.text, reply.prompt_tokens, reply.tokens) == ("x", *counts)


def test_replies_that_came_before_the_end_are_not_lost():
    def answer(body):
        return echo(body) if body["messages"][0]["content"] in ("question 0", "question 1") else Said({}, 500)

    got = []
    with serve_chats(answer) as service, pytest.raises(EndpointError):
        got.extend(ask_all(Service(service.url, "big", at_once=1), chats(6), 16, first_wait_s=0.01))
    assert sorted((index, bool(reply.refused)) for index, reply in got) == [
        (0, False), (1, False), (2, True), (3, True)], "in the order in which they are seen to have come"


def test_a_row_that_is_refused_costs_that_row_alone():
    def answer(body):
        return Said({"error": {"message": "filtered"}}, 400) if "2" in str(body["messages"]) else echo(body)

    with serve_chats(answer) as service:
        replies = asked(service, 5)
    assert [i for i, reply in replies.items() if reply.refused] == [2]
    assert replies[2].refused == "status 400 (filtered)"


def test_a_service_that_refuses_everything_is_given_up():
    error = failure(lambda body: Said({"error": {"message": "no such model"}}, 400), 50)
    assert "refuses every request: status 400 (no such model)" in error.message


def test_models_that_want_other_settings_are_asked_as_they_want():
    def answer(body):
        for name, better in (("max_tokens", "Use 'max_completion_tokens' instead."), ("temperature", "temperature")):
            if name in body:
                return Said({"error": {"message": better}}, 400)
        return echo(body)

    with serve_chats(answer) as service:
        assert len(asked(service, 3)) == 3
    assert service.requests[-1]["max_completion_tokens"] == 16 and len(service.requests) == 5


def test_who_stops_listening_ends_the_asking():
    with serve_chats(echo) as service:
        replies = ask_all(Service(service.url, "big", at_once=1), chats(500), 16)
        next(replies), next(replies)
        replies.close()
    assert len(service.requests) < 20


def test_the_key_is_shown_nowhere_and_no_odd_one_is_sent():
    assert KEY not in repr(Service("http://h/v1", "big", KEY))
    with pytest.raises(EndpointError, match="characters that no key has") as caught:
        list(ask_all(Service("http://h/v1", "big", f"{KEY}\nX-Other: 1"), chats(1), 16))
    assert KEY not in str(caught.value)


def test_the_machines_own_openai_key_goes_to_no_other_address():
    machine = {"OPENAI_API_KEY": KEY}
    assert key_for(ENDPOINT_KEY, "https://api.openai.com/v1", machine) == KEY
    assert key_for(ENDPOINT_KEY, "https://api.openai.com:443/v1", machine) == KEY
    assert key_for(ENDPOINT_KEY, "https://api.openai.com.evil.example/v1", machine) == ""
    assert key_for(ENDPOINT_KEY, "http://api.openai.com/v1", machine) == "", "never unprotected"
    assert key_for(ENDPOINT_KEY, "https://other/v1", machine | {"OPENAI_BASE_URL": "https://other/v1"}) == KEY


def test_keys_of_the_environment_go_to_their_own_address_only():
    machine = {"ENDPOINT_API_KEY": KEY, "JUDGE_API_KEY": "sk-judge", "ENDPOINT_BASE_URL": "https://mine.example/v1",
               "JUDGE_BASE_URL": "http://127.0.0.1:8000"}
    assert key_for(ENDPOINT_KEY, "https://mine.example:443/v2", machine) == KEY
    assert key_for(JUDGE_KEY, "http://127.0.0.1:8000/v1", machine) == "sk-judge"
    for url in ("http://mine.example/v1", "https://mine.example:8443/v1", "https://collector.example/v1",
                "https://mine.example.collector.example/v1", "http://127.0.0.1:8000/v1"):
        assert key_for(ENDPOINT_KEY, url, machine) == "", url
    homeless = {"ENDPOINT_API_KEY": KEY, "ENDPOINT_BASE_URL": "https://h:port/"}
    assert key_for(ENDPOINT_KEY, "https://mine.example/v1", homeless) == ""
    assert key_for(ENDPOINT_KEY, "https://mine.example/v1", {"ENDPOINT_API_KEY": KEY}) == ""


def test_a_key_pasted_for_the_run_goes_to_the_address_in_its_preset():
    given = {pasted(ENDPOINT_KEY): KEY, "ENDPOINT_API_KEY": "own", "ENDPOINT_BASE_URL": "https://mine.example/v1"}
    assert key_for(ENDPOINT_KEY, "https://any.example/v1", given) == KEY
    assert key_for(ENDPOINT_KEY, "https://mine.example/v1", given) == KEY
    assert key_for(JUDGE_KEY, "https://any.example/v1", given) == ""


@pytest.mark.parametrize(("url", "private"), [
    ("https://h/v1", True), ("http://h/v1", False), ("http://localhost:8000/v1", True), ("http://127.3.2.1/v1", True),
    ("http://[::1]:8000/v1", True), ("http://10.0.0.1/v1", False), ("http://localhost.h/v1", False),
    ("http://127.0.0.1.h/v1", False), ("http://a\x00b", False)])
def test_a_key_is_sent_by_https_or_stays_on_this_machine(url, private):
    asker = endpoint._Asker(Service(url, "big", KEY), 16, 1.0)
    assert ("Authorization" in asker.client.headers) == private
    asker.client.close()


def test_who_asks_for_a_key_over_http_is_told_why_none_was_sent(monkeypatch):
    monkeypatch.setattr(endpoint, "_is_loopback", lambda host: False)
    with serve_chats(lambda body: Said({}, 401)) as service, pytest.raises(EndpointError) as caught:
        asked(service, key=KEY)
    assert service.keys == [None]
    assert "asks for a key" in caught.value.message and "https" in caught.value.hint

"""Renting an Inference Endpoint, asked of the stand-in by the real client: what it costs, and each refusal."""

import pytest
from huggingface_hub import constants

from studio.errors import HubError, RunError
from studio.publishing import deploy_model, endpoints
from studio.publishing.endpoints import Machine, Record, cheapest, list_machines, read_record
from tests import hub_endpoints
from tests.finished_run import finished_run
from tests.hub_server import HubServer
from tests.pushed_run import pushed_run

LIMIT_S = 60
T4 = "aws-us-east-1-nvidia-t4-x1@0.5"


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as hub:
        # huggingface_hub has no variable for this address
        monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{hub.endpoint}/v2")
        hub.token = hub.add_user("ana")
        yield hub


def machine(hub) -> Machine:
    return list_machines(hub.token, "ana", limit_s=LIMIT_S)[0]


def refusal(call) -> HubError:
    with pytest.raises(HubError) as caught:
        call()
    assert caught.value.message.endswith(".") and caught.value.hint
    return caught.value


def test_nvidia_machines_are_listed_the_cheapest_first_with_the_hubs_own_price(hub):
    machines = list_machines(hub.token, "ana", limit_s=LIMIT_S)
    assert [(found.id, found.price_per_hour) for found in machines] == [
        ("aws-us-east-1-nvidia-t4-x1", 0.5), ("gcp-us-east4-nvidia-l4-x1", 0.7), ("aws-us-east-1-nvidia-l4-x1", 0.8),
        ("gcp-us-east4-nvidia-a100-x1", 3.6)]


def test_a_price_that_is_not_stated_is_said_to_be_unknown(hub, store, monkeypatch):
    monkeypatch.setattr(hub_endpoints, "COMPUTES", [(*compute[:9], None, compute[10])
                                                    for compute in hub_endpoints.COMPUTES])
    found = machine(hub)
    assert found.price_per_hour is None
    error = refusal(lambda: endpoints.create(pushed_run(store), found, hub.token, limit_s=LIMIT_S))
    assert "at a price that the Hub did not state" in error.message


def test_the_cheapest_machine_is_there_and_holds_the_model(hub):
    machines = list_machines(hub.token, "ana", limit_s=LIMIT_S)
    assert cheapest(machines, 1e9).id == "aws-us-east-1-nvidia-t4-x1"
    assert cheapest(machines, 20e9).id == "aws-us-east-1-nvidia-l4-x1", "the cheaper L4 is not available"
    assert cheapest(machines, None).id == "aws-us-east-1-nvidia-t4-x1"
    assert cheapest(machines, 500e9) is None


def test_an_endpoint_is_for_callers_with_a_token_and_goes_down_to_zero(hub, store):
    view = pushed_run(store)
    made = endpoints.create(view, machine(hub), hub.token, confirmed=T4, limit_s=LIMIT_S)
    asked = hub.endpoints["ana", "recipes"]
    assert asked["type"] == "authenticated"
    assert asked["compute"]["scaling"] == {"minReplica": 0, "maxReplica": 1, "scaleToZeroTimeout": 15}
    assert asked["compute"]["instanceType"] == "nvidia-t4" and asked["provider"]["vendor"] == "aws"
    assert asked["model"]["repository"] == "ana/recipes" and asked["model"]["args"] == ["--max-model-len", "1024"]
    assert "vLLM" in asked["model"]["image"]
    assert (made.state, made.costs, made.url) == ("pending", False, "")
    record = read_record(view.run_dir)
    assert record == Record("ana", "recipes", "aws-us-east-1-nvidia-t4-x1", 0.5)
    assert hub.token not in (view.run_dir / "endpoint.json").read_text()


def test_nothing_is_rented_without_a_yes(hub, store):
    view = pushed_run(store)
    error = refusal(lambda: endpoints.create(view, machine(hub), hub.token, limit_s=LIMIT_S))
    assert "$0.50 an hour, until it is paused or deleted" in error.message
    assert not hub.endpoints and hub.count("ep-create") == 0
    record = Record("ana", "recipes", "x", None)
    assert "did not state" in refusal(lambda: endpoints.resume(record, hub.token)).message


def test_it_is_looked_at_paused_resumed_and_deleted(hub, store):
    view = pushed_run(store)
    endpoints.create(view, machine(hub), hub.token, confirmed=T4, limit_s=LIMIT_S)
    record = read_record(view.run_dir)
    hub.endpoints["ana", "recipes"]["status"] |= {"state": "running", "url": "https://x.endpoints.example"}
    running = endpoints.status(record, hub.token, limit_s=LIMIT_S)
    assert running.costs and running.url == "https://x.endpoints.example"
    assert endpoints.pause(record, hub.token, limit_s=LIMIT_S).state == "paused"
    assert endpoints.resume(record, hub.token, confirmed=True, limit_s=LIMIT_S).state == "pending"
    endpoints.delete(view.run_dir, record, hub.token, limit_s=LIMIT_S)
    assert not hub.endpoints and read_record(view.run_dir) is None
    endpoints.delete(view.run_dir, record, hub.token, limit_s=LIMIT_S)  # gone already
    assert "deleted elsewhere" in refusal(lambda: endpoints.status(record, hub.token, limit_s=LIMIT_S)).message


def test_only_a_pushed_merged_model_can_be_served(hub, store):
    with pytest.raises(RunError, match="was not pushed"):
        endpoints.servable(store.get(finished_run(store)))
    with pytest.raises(RunError, match="no merged model"):
        endpoints.servable(pushed_run(store, ("adapter",)))


def test_a_machine_that_is_too_small_is_refused_before_it_is_rented(hub, store, monkeypatch):
    view = pushed_run(store)
    found = machine(hub)
    monkeypatch.setattr(deploy_model, "gpu_bytes", lambda model: 30e9)
    error = refusal(lambda: endpoints.create(view, found, hub.token, confirmed=found.offer, limit_s=LIMIT_S))
    assert "needs about 30 GB of GPU memory, and Nvidia T4 has 16 GB" in error.message
    assert not hub.endpoints


@pytest.mark.parametrize(("fault", "cause", "step"), [
    ({"status": 401}, "does not accept the token for Inference Endpoints", "permission for Inference Endpoints"),
    ({"status": 402, "message": "Payment required."}, 'a means of payment of ana: "Payment required"', "billing"),
    ({"status": 403}, "may not manage Inference Endpoints of ana", "Use a token of ana"),
    ({"status": 409}, "ana has an endpoint called recipes already", "another name"),
    ({"status": 400, "message": "Name already exists."}, "called recipes already", "another name"),
    ({"status": 400, "message": "Quota exceeded for nvidia-t4"}, "quota of ana for this machine is used up", "another"),
    ({"status": 422, "message": "unknown region"}, 'refused the request while creating the endpoint: "unknown region"',
     "another machine or region"),
    ({"status": 429}, "asks to slow down", "was made all the same"),
    ({"status": 500}, "The Hub failed (status 500)", "was made all the same"),
    ({"drop": "answer"}, "The connection to the Hub broke", "whether recipes was made all the same"),
])
def test_each_refusal_has_its_sentence_and_nothing_is_tried_twice(hub, store, fault, cause, step):
    view, found = pushed_run(store), machine(hub)
    hub.fail("ep-create", times=9, **fault)
    error = refusal(lambda: endpoints.create(view, found, hub.token, confirmed=found.offer, limit_s=LIMIT_S))
    assert cause in error.message and step in error.hint
    assert hub.count("ep-create") == 1
    kept = read_record(view.run_dir)
    assert kept and kept.state == "asked" if "made all the same" in step else kept is None


def test_silence_ends_with_where_to_look(hub, store):
    view, found = pushed_run(store), machine(hub)
    hub.fail("ep-create", hang=True)
    error = refusal(lambda: endpoints.create(view, found, hub.token, confirmed=found.offer, limit_s=0.3))
    assert "has not answered" in error.message and "cost money" in error.hint
    hub.fail("ep-get", status=500)
    error = refusal(lambda: endpoints.status(Record("ana", "recipes", "x", 0.5), hub.token, limit_s=LIMIT_S))
    assert "Push again" not in error.hint and "Try again" in error.hint


def test_without_a_token_nothing_is_asked(hub):
    assert "No Hub token" in refusal(lambda: list_machines(None, "ana")).message
    assert not hub.requests


def test_an_endpoint_whose_answer_never_came_is_not_lost(hub, store):
    view = pushed_run(store)
    hub.fail("ep-create", drop="answer")
    refusal(lambda: endpoints.create(view, machine(hub), hub.token, confirmed=T4, limit_s=LIMIT_S))
    assert hub.endpoints and read_record(view.run_dir).state == "asked", "it was made all the same"
    with pytest.raises(RunError, match="has an endpoint, recipes of ana"):
        endpoints.create(view, machine(hub), hub.token, confirmed=T4, limit_s=LIMIT_S)
    assert hub.count("ep-create") == 1
    assert endpoints.act("refresh", view.run_dir, hub.token).state == "pending"
    assert read_record(view.run_dir).state == "made"


def test_of_two_who_rent_at_once_one_is_refused(hub, store, monkeypatch):
    view, found = pushed_run(store), machine(hub)
    endpoints.create(view, found, hub.token, confirmed=T4, limit_s=LIMIT_S)
    looks = iter([None, read_record(view.run_dir)])
    monkeypatch.setattr(endpoints, "read_record", lambda run_dir: next(looks))
    with pytest.raises(RunError, match="has an endpoint"):
        endpoints.create(view, found, hub.token, confirmed=T4, limit_s=LIMIT_S)
    assert hub.count("ep-create") == 1 and not list(view.run_dir.glob(".endpoint*"))


@pytest.mark.parametrize("shown", ["aws-us-east-1-nvidia-t4-x1@0.4", "gcp-us-east4-nvidia-l4-x1@0.7", "yes"])
def test_a_yes_is_to_one_machine_at_one_price(hub, store, shown):
    view = pushed_run(store)
    error = refusal(lambda: endpoints.create(view, machine(hub), hub.token, confirmed=shown, limit_s=LIMIT_S))
    assert "now $0.50 an hour" in error.message and T4 in error.hint
    assert hub.count("ep-create") == 0 and read_record(view.run_dir) is None

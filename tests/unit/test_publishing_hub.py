"""Whose token it is and whether it may push, asked of the stand-in Hub by the real client."""

import time

import pytest

from studio.errors import HubError
from studio.publishing import hub as pushing
from studio.publishing.hub import Account, check_push, resolve_token, stated_licence, whose_token
from studio.publishing.licences import NONE, Licence
from tests.hub_server import HubServer


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setattr(pushing, "CHECK_WAITS_S", (0.01, 0.01))
    with HubServer() as hub:
        yield hub


def refusal(hub: HubServer, repo_id: str, token: str | None, **options) -> HubError:
    with pytest.raises(HubError) as caught:
        check_push(repo_id, token, endpoint=hub.endpoint, **options)
    assert caught.value.message.endswith(".") and caught.value.hint
    return caught.value


def test_a_write_token_may_push_to_its_own_account(hub):
    checked = check_push("ana/new", hub.add_user("ana"), endpoint=hub.endpoint)
    assert (checked.repo_id, checked.exists, checked.account.name) == ("ana/new", False, "ana")
    assert not hub.repos, "a check writes nothing"


def test_a_name_without_owner_goes_to_the_tokens_account(hub):
    assert check_push("new", hub.add_user("ana"), endpoint=hub.endpoint).repo_id == "ana/new"


def test_an_organisation_counts_only_with_a_writing_role(hub):
    token = hub.add_user("ana", orgs={"acme": "write", "other": "read"})
    assert check_push("acme/new", token, endpoint=hub.endpoint).repo_id == "acme/new"
    assert "may not publish under other" in refusal(hub, "other/new", token).message


def test_somebody_elses_name_is_refused_with_a_name_that_works(hub):
    hub.add_repo("ben/taken")
    error = refusal(hub, "ben/taken", hub.add_user("ana"))
    assert "ana may not publish under ben" in error.message
    assert "ana/taken" in error.hint
    assert error.field == "publish.hub_model_id"


def test_no_token_a_wrong_token_and_a_reading_token(hub):
    assert refusal(hub, "ana/x", None).message == "No Hub token was found."
    assert "does not accept the token" in refusal(hub, "ana/x", "hf_wrong").message
    assert "can only read" in refusal(hub, "ana/x", hub.add_user("ana", role="read")).message


def test_a_fine_grained_token_is_judged_by_its_scopes(hub):
    def scope(name, *permissions):
        return [{"entity": {"type": "user", "name": name}, "permissions": list(permissions)}]

    account = hub.add_user("ana", role="fineGrained", scoped=scope("ana", "repo.write"))
    assert check_push("ana/new", account, endpoint=hub.endpoint).repo_id == "ana/new"
    reading = hub.add_user("ana", role="fineGrained", scoped=scope("ana", "repo.content.read"))
    assert "no write access" in refusal(hub, "ana/new", reading).message
    single = hub.add_user("ana", role="fineGrained", scoped=scope("ana/one", "repo.write"))
    assert "may not create it" in refusal(hub, "ana/one", single).message
    hub.add_repo("ana/one", private=True)
    assert check_push("ana/one", single, endpoint=hub.endpoint).exists


@pytest.mark.parametrize("name", ["", "a/b/c", "ana/has space", "ana/--x", "ana/x.git", "ana/" + "x" * 97])
def test_unusable_names(hub, name):
    refusal(hub, name, hub.add_user("ana"))


def test_a_public_repository_is_refused_for_a_private_push(hub):
    token = hub.add_user("ana")
    hub.add_repo("ana/open", private=False)
    assert "ana/open is public" in refusal(hub, "ana/open", token).message
    assert check_push("ana/open", token, private=False, endpoint=hub.endpoint).exists


def test_a_push_takes_away_what_would_make_another_model_of_the_new_one(hub):
    stale = {"special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "tokenizer.model", "template",
             "system", "params", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json",
             "generation_config.json", "adapter/chat_template.jinja", "gguf/params",
             "additional_chat_templates/tools.jinja"}
    mine = {"NOTES.md", "picture.png", "eval/results.json", "eval/special_tokens_map.json", "requirements.txt",
            "template.md"}
    hub.add_repo("ana/x", dict.fromkeys(stale | mine | {"README.md", "config.json", "model.safetensors"}, b"x"),
                 private=True)
    found = check_push("ana/x", hub.add_user("ana"), sent=["README.md", "config.json", "model.safetensors"],
                       endpoint=hub.endpoint).there
    assert set(found.removed) == stale
    assert set(found.replaced) == stale | {"README.md", "config.json", "model.safetensors"}


def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_told(hub):
    token = hub.add_user("ana")
    hub.fail("whoami", times=1, status=503)
    hub.fail("info", times=1, drop="request")
    assert check_push("ana/x", token, endpoint=hub.endpoint).repo_id == "ana/x"
    hub.fail("whoami", times=99, status=500)
    assert "status 500" in refusal(hub, "ana/x", token).message


def test_a_hub_that_asks_to_wait_longer_than_anybody_does_is_no_silent_one(hub):
    hub.fail("whoami", times=99, status=429, message="Too many", headers={"Retry-After": "45"})
    error = refusal(hub, "ana/x", hub.add_user("ana"))
    assert "asks to slow down" in error.message and "Wait 45 s" in error.hint
    assert hub.count("whoami") == 1, "told at once"
    with pytest.raises(HubError, match="slow down"):
        whose_token("hf_x", endpoint=hub.endpoint)


def test_a_server_that_never_answers_is_given_up(hub):
    hub.fail("whoami", hang=True)
    started = time.monotonic()
    assert "has not answered for 1 s" in refusal(hub, "ana/x", hub.add_user("ana"), limit_s=0.5 + 0.1).message
    assert time.monotonic() - started < pushing.CHECK_LIMIT_S and not hub.released.is_set()


def test_a_hub_that_cannot_be_reached(monkeypatch):
    monkeypatch.setattr(pushing, "CHECK_WAITS_S", ())
    with pytest.raises(HubError, match="connection to the Hub broke while checking the token"):
        check_push("ana/x", "hf_x", endpoint="http://127.0.0.1:9")


def test_whose_token(hub):
    token = hub.add_user("ana", orgs={"acme": "admin"})
    assert whose_token(token, endpoint=hub.endpoint) == Account("ana", "write", ("acme",))


def test_the_licence_of_a_base_model_is_read_from_its_card(hub):
    hub.add_repo("base/known", {"README.md": b"---\nlicense: apache-2.0\n---\n# Base\n"})
    hub.add_repo("base/silent")
    hub.add_repo("rows/two", {"README.md": b"---\nlicense:\n- mit\n- gpl-3.0\n---\n"}, kind="datasets")
    hub.add_repo("base/own", {"README.md": b"---\nlicense: other\nlicense_name: llama3\nlicense_link: LICENSE\n---\n"})
    assert stated_licence("rows/two", None, kind="dataset", endpoint=hub.endpoint) == Licence("other")
    assert stated_licence("base/known", None, endpoint=hub.endpoint) == Licence("apache-2.0")
    assert stated_licence("base/own", None, endpoint=hub.endpoint) == Licence(
        "other", "llama3", f"{hub.endpoint}/base/own/blob/main/LICENSE"), "a file of that repository"
    assert stated_licence("base/silent", None, endpoint=hub.endpoint) == NONE
    assert stated_licence("base/gone", None, endpoint=hub.endpoint) == NONE
    assert stated_licence("/a/folder/of/mine", None, endpoint=hub.endpoint) == NONE


def test_a_pasted_token_comes_first_then_the_signed_in_one_then_the_machines(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_machine")
    assert resolve_token(" hf_pasted ", "hf_oauth") == "hf_pasted"
    assert resolve_token("", "hf_oauth") == "hf_oauth"
    assert resolve_token() == "hf_machine"

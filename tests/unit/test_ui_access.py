"""Who may look, who may act."""

from pathlib import Path

import gradio as gr
import pytest

from studio.errors import AccessError
from studio.settings import Settings
from studio.ui import access
from studio.ui.access import hub_token, is_owner, may_look, require_owner, require_viewer


def person(name):
    return gr.OAuthProfile({"preferred_username": name, "name": name, "profile": "", "picture": ""})


def settings(**fields):
    return Settings(data_dir=Path("/nowhere"), **fields)


@pytest.mark.parametrize(("fields", "profile", "acts", "looks"), [
    ({}, None, True, True),
    ({"on_space": True}, person("bob"), False, False),
    ({"owners": ("ann",)}, None, False, False),
    ({"owners": ("ann",)}, person("ann"), True, True),
    ({"owners": ("ann",)}, person("bob"), False, False),
    ({"owners": ("ann",), "public_view": True}, person("bob"), False, True),
    ({"owners": ("ann",), "public_view": True}, None, False, True),
    ({"owners": ("ann",), "password": "x"}, None, True, True),
    ({"owners": ("ann",), "password": "x", "on_space": True}, None, False, False),
])
def test_owners_act_and_guests_look_where_allowed(fields, profile, acts, looks):
    assert (is_owner(settings(**fields), profile), may_look(settings(**fields), profile)) == (acts, looks)
    for rule, allowed in ((require_owner, acts), (require_viewer, looks)):
        if allowed:
            rule(settings(**fields), profile)
        else:
            with pytest.raises(AccessError):
                rule(settings(**fields), profile)


def test_a_pasted_token_comes_first_and_a_sign_in_that_ends_comes_last(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_machine")
    signed_in = gr.OAuthToken(token="hf_person", scope="", expires_at=0)
    assert hub_token(settings(), signed_in, " hf_pasted ") == "hf_pasted"
    assert hub_token(settings(), signed_in) == "hf_machine"
    monkeypatch.setattr(access, "get_token", lambda: None)
    assert hub_token(settings(), signed_in) == "hf_person"
    assert hub_token(settings(), None) is None

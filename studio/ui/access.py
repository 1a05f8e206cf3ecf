"""Who may look and who may act. Hiding a button protects nothing, so every handler that acts asks here."""

import os

import gradio as gr
from huggingface_hub import get_token

from studio.errors import AccessError
from studio.settings import Settings


def is_owner(settings: Settings, profile: gr.OAuthProfile | None) -> bool:
    """Whether this person may start, stop, delete and publish.

    Without owners everyone may, except on a Space, where strangers come by. Off a Space a password, where set, has been
    asked before the page.
    """
    if not settings.owners:
        return not settings.on_space
    if settings.password and not settings.on_space:
        return True
    return profile is not None and profile.username in settings.owners


def require_owner(settings: Settings, profile: gr.OAuthProfile | None) -> None:
    """Raise `AccessError` unless this person may act."""
    if not is_owner(settings, profile):
        raise AccessError(
            "Only the owner of this studio may do this.",
            "Sign in as the owner, or duplicate the Space to work in your own." if sign_in_offered(settings)
            else "Open the studio as its owner.")


def may_look(settings: Settings, profile: gr.OAuthProfile | None) -> bool:
    """Whether this person may see runs and data."""
    return settings.public_view or is_owner(settings, profile)


def require_viewer(settings: Settings, profile: gr.OAuthProfile | None) -> None:
    """Raise `AccessError` unless this person may look."""
    if not may_look(settings, profile):
        raise AccessError("This studio is private.", "Sign in as its owner.")


def sign_in_offered(settings: Settings) -> bool:
    """Whether the page can offer "Sign in with Hugging Face": only a Space with `hf_oauth: true` can."""
    return settings.on_space and bool(os.environ.get("OAUTH_CLIENT_ID"))


def hub_token(settings: Settings, token: gr.OAuthToken | None, pasted: str = "") -> str | None:
    """The token to use on the Hub for this person: pasted, else of the machine, else signed in (on a Space).

    The machine's own (the secret HF_TOKEN of a Space) comes before the sign-in, which ends after two days and would
    leave a long run without. It serves the owner only; callers check that before.
    """
    if pasted.strip():
        return pasted.strip()
    return get_token() or (token.token if token is not None else None)

"""Who sends a request, read from its cookies as Gradio itself does, for what does not go through an event handler."""

import time

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.settings import Settings


def request_may_look(settings: Settings, gradio_app: FastAPI, request: Request) -> bool:
    """The rule of `access.may_look`."""
    if settings.password:
        cookies = (f"access-token-{gradio_app.cookie_id}", f"access-token-unsecure-{gradio_app.cookie_id}")
        return any(gradio_app.tokens.get(request.cookies.get(name)) for name in cookies)
    if settings.public_view or not (settings.owners or settings.on_space):
        return True
    return _signed_in_as(request) in settings.owners


def request_from_owner(settings: Settings, gradio_app: FastAPI, request: Request) -> bool:
    """The rule of `access.is_owner`."""
    if not request_may_look(settings, gradio_app, request):
        return False
    if not settings.on_space and (settings.password or not settings.owners):
        return True
    return _signed_in_as(request) in settings.owners


class OwnersUpload:
    """Middleware that takes files from owners only: Gradio would store up to two gigabytes of any visitor of a Space.

    A password, where set, has been asked by Gradio.
    """

    def __init__(self, app: ASGIApp, settings: Settings):
        self._app = app
        self._guards = not settings.password and bool(settings.owners or settings.on_space)
        self._owners = settings.owners

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._guards and _is_upload(scope) and _signed_in_as(Request(scope)) not in self._owners:
            await PlainTextResponse("Only the owner of this studio may upload.", 401)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_upload(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/upload")


def _signed_in_as(request: Request) -> str:
    """Name on the Hub of who has signed in on a Space, "" for a stranger."""
    info = request.scope.get("session", {}).get("oauth_info")
    if info is None:
        return ""
    expires_at = info.get("expires_at")  # Gradio leaves it out where the provider names none
    expired = expires_at is not None and expires_at < time.time()
    return "" if expired else info["userinfo"]["preferred_username"]

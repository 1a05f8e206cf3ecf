"""A Chromium for the tests: the system's own, driven by Playwright; each test gets a fresh context and page."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from studio.settings import Settings
from tests.conftest import Studio, serve

# far beyond what a machine needs that does ten things at once
WAIT_MS = 90_000
ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--no-first-run", "--disable-dev-shm-usage"]
NO_DEFECTS = ("Failed to load resource", "Failed to fetch", "AbortError", "Unexpected error Connection errored out")
expect.set_options(timeout=WAIT_MS)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser, started once."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.fail("The browser tests need Chromium: apt-get install chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, request) -> Iterator[Page]:
    """A page of 1280 by 860 in a context of its own; a script error on it fails the test."""
    if "studio" in request.fixturenames:
        request.getfixturevalue("studio")  # so that the page is closed before its server is
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if _is_defect(message) else None)
    yield page
    context.close()
    assert not errors, errors


@pytest.fixture
def serving(page) -> Callable[..., AbstractContextManager[Studio]]:
    """Serve other settings within the block; the page ends before its server, whose end it would report as an error."""
    @contextmanager
    def serving(settings: Settings, open_run: str = "") -> Iterator[Studio]:
        with serve(settings, open_run) as served:
            yield served
            page.close()

    return serving


def _is_defect(message: ConsoleMessage) -> bool:
    """Errors of scripts; a refused request, or one that a reload or the server's end broke off, is none."""
    return message.type == "error" and not message.text.startswith(NO_DEFECTS)

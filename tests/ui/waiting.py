"""Waiting for what no locator can express; each helper ends as soon as it is so."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Page

LIMIT_S = 120
# spinners turn for ever; what fades in or slides does not
_STANDS = """() => document.getAnimations().every(
  one => one.playState !== 'running' || one.effect?.getComputedTiming().endTime === Infinity)"""


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.1)


def stand_still(page: Page) -> None:
    """Wait until nothing on the page fades or moves any more: what fades in is pale until it stands."""
    page.wait_for_function(_STANDS)


def kept(page: Page, key: str) -> str:
    """What the browser keeps under a key, encrypted: it differs after each writing."""
    return page.evaluate("key => localStorage[key] || ''", key)


def wait_until_kept(page: Page, key: str, before: str) -> None:
    """Wait until something was written under a key since `before` was kept there."""
    page.wait_for_function("([key, before]) => localStorage[key] !== before", arg=[key, before])


def wait_for_tick(page: Page) -> None:
    """Wait until the server has answered something that the page asked from now on, as the header does every 3 s."""
    with page.expect_response(lambda response: response.ok and "/run/predict" in response.url):
        pass


def files_below(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files below a folder and what they hold; one that a process replaces or removes meanwhile is left out."""
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                yield Path(place, name), Path(place, name).read_bytes()
            except FileNotFoundError:
                continue

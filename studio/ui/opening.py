"""Keeps a part of the page unseen until it holds what it opens with: a click or a word before that would be lost."""

from typing import Any


def show_after(loaded: Any, elem_id: str) -> None:
    """Show the part `elem_id`, which the style sheet hides until then, once a load event has answered or failed."""
    loaded.then(js=f"() => {{ document.documentElement.classList.add('{elem_id}-opened') }}",
                queue=False, show_progress="hidden", api_visibility="private")

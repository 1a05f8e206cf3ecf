"""The ways of using a run's model in a terminal: commands to copy, when to choose each, and what it needs."""

from dataclasses import asdict
from typing import Any

from studio.publishing.deploy import WAYS, Way, model_here, model_on_hub, way
from studio.runs.store import RunView
from studio.texts import text


def find_ways(view: RunView, name: str, from_hub: bool) -> list[Way]:
    """The way called `name`, or all; from the Hub where asked for and pushed. Raises `RunError`."""
    model = (model_on_hub(view) if from_hub else None) or model_here(view)
    return [way(each, model) for each in ([name] if name else WAYS)]


def facts(ways: list[Way]) -> list[dict[str, Any]]:
    """The ways as JSON."""
    return [asdict(way) for way in ways]


def print_ways(ways: list[Way]) -> None:
    """Title, when, needs, what to copy, notes."""
    for number, way in enumerate(ways):
        print(("\n" if number else "") + f"# {way.title}\n{way.when}\n{text('deploy.needs')}: {way.needs}")
        for note in way.notes:
            print(f"- {note}")
        if way.missing:
            print(way.missing)
        for block in way.blocks:
            print(f"\n## {block.title}\n\n{block.code}")

"""The commands for choosing what to start from: presets, and models and data sets on the Hub."""

import argparse
import sys
from typing import Any

from studio.commands.arguments import changes, command, read_preset, with_changes
from studio.commands.outcome import tell
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.store import RunStore
from studio.terminal.layout import print_table


def add(commands: Any) -> None:
    command(commands, "presets", _presets, "list presets")
    search = command(
        commands, "search", _search, "search the Hub for base models or data sets; without network, this machine")
    search.add_argument("kind", choices=["models", "datasets"], help="what to look for")
    search.add_argument("query", metavar="QUERY", nargs="*", help="words of the name; none for the most used")
    search.add_argument("--limit", type=int, default=20, metavar="N", help="how many at most (default 20, at most 200)")
    search.add_argument("--all", action="store_true", help="also what cannot be trained here, with the reason")
    search.add_argument("--preset", metavar="PRESET", default="", help="say what fits with this preset's settings")
    with_changes(search, "e.g. lora.r=8")


def _presets(store: RunStore, arguments: argparse.Namespace) -> None:
    found, broken = files.list_readable(store.settings)
    facts = [{"name": path.stem, "path": str(path), "description": preset.description}
             for path, preset in found.items()]
    tell(arguments, facts, lambda: print_table([[fact["name"], fact["description"]] for fact in facts]))
    for error in broken:
        print(error, file=sys.stderr)


def _search(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio.publishing.browse_shelf import Search, look
    from studio.publishing.hub import resolve_token
    from studio.terminal import search

    changed = changes(arguments)
    preset = read_preset(store.settings, arguments)[0] if arguments.preset else files.override(Preset(), changed)
    asked = Search(" ".join(arguments.query), everything=arguments.all, limit=arguments.limit)
    shelf = look(arguments.kind, "hub", asked, store.settings, store.list(), resolve_token() or False)
    tell(arguments, search.facts(arguments.kind, shelf, preset),
         lambda: search.print_shelf(arguments.kind, shelf, preset))

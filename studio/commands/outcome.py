"""How a command ends: facts as JSON or in words, and a run that is followed or goes on by itself."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from studio import terminal
from studio.runs.store import RunStore, RunView

EXIT_MISTAKE = 2


def tell(arguments: argparse.Namespace, facts: Any, in_words: Callable[[], None]) -> None:
    """Print the facts with `--json`, else the same in words."""
    if arguments.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
    else:
        in_words()


def follow_or_detach(store: RunStore, view: RunView, arguments: argparse.Namespace) -> int:
    """The exit code of a command that started work on a run."""
    if arguments.detach:
        tell(arguments, {"run_id": view.run_id}, lambda: terminal.print_started(view))
        return 0
    return follow(store, view.run_id, arguments)


def follow(store: RunStore, run_id: str, arguments: argparse.Namespace) -> int:
    """Follow to the end; exit code 0 only when COMPLETED with all that was started."""
    view = terminal.follow(store, run_id, quiet=arguments.json)
    tell(arguments, terminal.facts(view), lambda: terminal.print_run(view))
    return 0 if terminal.ended_well(view) else 1

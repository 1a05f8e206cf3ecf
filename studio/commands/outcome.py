"""How a command ends: facts as JSON or in words, and a run that is followed or goes on by itself."""

import argparse
import json
from collections.abc import Callable
from typing import Any

from studio.runs.store import RunStore, RunView
from studio.terminal.follow import follow
from studio.terminal.run import ended_well, facts, print_run, print_started

EXIT_MISTAKE = 2


def tell(arguments: argparse.Namespace, said: Any, in_words: Callable[[], None]) -> None:
    """Print the facts with `--json`, else the same in words."""
    if arguments.json:
        print(json.dumps(said, indent=2, ensure_ascii=False, default=str))
    else:
        in_words()


def followed_or_detached(store: RunStore, view: RunView, arguments: argparse.Namespace) -> int:
    """The exit code of a command that started work on a run."""
    if arguments.detach:
        tell(arguments, {"run_id": view.run_id}, lambda: print_started(view))
        return 0
    return followed(store, view.run_id, arguments)


def followed(store: RunStore, run_id: str, arguments: argparse.Namespace) -> int:
    """Follow to the end; exit code 0 only when COMPLETED with all that was started."""
    view = follow(store, run_id, quiet=arguments.json)
    tell(arguments, facts(view), lambda: print_run(view))
    return 0 if ended_well(view) else 1

"""The commands around a model's answers: ask one question, and how people voted on answers."""

import argparse
from pathlib import Path
from typing import Any

from studio.commands.arguments import on_run
from studio.commands.outcome import tell
from studio.runs.store import RunStore


def add(commands: Any) -> None:
    chat = on_run(commands, "chat", _chat, "ask a run's model one question")
    chat.add_argument("--prompt", required=True, help="the question")
    chat.add_argument("--base", action="store_true", help="ask the untouched base model instead")
    votes = on_run(commands, "votes", _votes, "say how a run's model did in the playground's blind votes")
    votes.add_argument("--export", metavar="FILE", default="", help="write the votes as preference rows for DPO, too")


def _chat(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio.runs.playground import chat_once

    answer = chat_once(store, store.find(arguments.run).run_id, arguments.prompt, base=arguments.base)
    tell(arguments, {"answer": answer}, lambda: print(answer))


def _votes(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio.terminal import votes

    view = store.find(arguments.run)
    exported = votes.export(view, Path(arguments.export)) if arguments.export else None
    facts = votes.facts(view, exported)
    tell(arguments, facts, lambda: votes.print_votes(store, view, exported))

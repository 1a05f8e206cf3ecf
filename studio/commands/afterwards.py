"""The commands that do more with a trained run: compare again, merge, write GGUF files, check them, ask the slope."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from studio import start
from studio.commands.arguments import assignment, located, on_run, with_changes, working
from studio.commands.outcome import followed_or_detached, tell
from studio.evaluation.other import Other, find_other
from studio.evaluation.slope import slope_of
from studio.publishing.exports import GGUF_KINDS
from studio.runs import launcher
from studio.runs.events import RunStage
from studio.runs.store import RunStore
from studio.terminal.follow import follow


def add(commands: Any) -> None:
    evaluate = working(on_run(commands, "evaluate", _evaluate, "compare the tuned model with the other ways again"))
    evaluate.add_argument("--on", metavar="DATA", default="",
                          help="ask the rows of this file or data set instead of the held-out rows")
    beside = evaluate.add_mutually_exclusive_group()
    beside.add_argument("--against", metavar="RUN2[@STEP]", default="",
                        help="compare with this run's model too, or with its checkpoint of that step")
    beside.add_argument("--checkpoint", metavar="STEP", type=int, default=0,
                        help="compare with this run's own checkpoint of that step too")
    with_changes(evaluate, "compare otherwise, e.g. evaluation.metric=chrf or plan.machine_price_per_hour=0.4")
    merge = working(on_run(commands, "merge", _repeat, "merge adapter and base model again"))
    merge.set_defaults(phase="merge")
    gguf = working(on_run(
        commands, "gguf", _gguf, "write GGUF files for llama.cpp and Ollama, merging first where needed"))
    gguf.add_argument("--kind", action="append", required=True, choices=GGUF_KINDS, help="kind of file; repeatable")
    parity = working(on_run(
        commands, "parity", _repeat, "check that the exported files answer as the trained model does"))
    parity.set_defaults(phase="parity")
    working(on_run(
        commands, "slope", _slope, "would more rows help: train on a quarter and on half of the rows, too"))


def _evaluate(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    path = Path(arguments.on)
    against = find_other(store, arguments.against) if arguments.against else Other(view.run_id, arguments.checkpoint)
    start.evaluate(store, view.run_id, str(path.resolve()) if arguments.on and path.exists() else arguments.on,
                   against=str(against) if arguments.against or arguments.checkpoint else "",
                   settings=[located(*assignment(text)) for text in arguments.set])
    return followed_or_detached(store, view, arguments)


def _repeat(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    launcher.run_phases(store, view.run_id, [arguments.phase], start.child_environment())
    return followed_or_detached(store, view, arguments)


def _gguf(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    start.export_gguf(store, view.run_id, arguments.kind)
    return followed_or_detached(store, view, arguments)


def _slope(store: RunStore, arguments: argparse.Namespace) -> int:
    from studio.ui.run_slope import sentence  # with the words of the page

    view = store.find(arguments.run)
    started = start.start_slope(store, view.run_id)
    if arguments.detach:
        tell(arguments, {"started": started}, lambda: print(f"Started {len(started)} runs on parts of the rows."))
        return 0
    ended = [follow(store, run_id, quiet=arguments.json) for run_id in started]
    slope = slope_of(store, view.run_id)
    tell(arguments, slope and dataclasses.asdict(slope), lambda: print(sentence(slope)))
    return 0 if all(view.state.stage is RunStage.COMPLETED for view in ended) else 1

"""The commands of a run's life: check, start, list, show, follow, stop, resume, delete."""

import argparse
import dataclasses
from typing import Any

from studio import start
from studio.commands.arguments import command, on_preset, on_run, read_preset, working
from studio.commands.outcome import EXIT_MISTAKE, followed, followed_or_detached, tell
from studio.data import doctor_client
from studio.preset import files
from studio.runs import launcher
from studio.runs.events import RunStage
from studio.runs.store import RunStore
from studio.terminal.doctor import print_verdict
from studio.terminal.outlook import print_outlook
from studio.terminal.run import facts, print_run, print_runs


def add(commands: Any) -> None:
    run = on_preset(working(command(commands, "run", _run, "start a run from a preset")))
    run.add_argument("--name", default="", help="a name for the run")
    run.add_argument("--yes", action="store_true", help="push to a repository that holds something already")
    baselines = on_preset(working(command(
        commands, "baselines", _baselines, "try what the untouched model reaches, without tuning")))
    baselines.add_argument("--name", default="", help="a name for the run")
    on_preset(command(commands, "check", _check, "say what would go wrong, without starting"))
    command(commands, "runs", _runs, "list runs")
    on_run(commands, "show", _show, "show one run")
    on_run(commands, "follow", _follow, "show a run's progress to its end")
    on_run(commands, "stop", _stop, "stop a run after this step; a second time at once")
    working(on_run(commands, "resume", _resume, "continue a run from where it stopped"))
    on_run(commands, "delete", _delete, "delete a run with all it holds")


def _run(store: RunStore, arguments: argparse.Namespace) -> int:
    preset, origin = read_preset(store.settings, arguments)
    outlook = start.look_ahead(preset, store.settings)
    if outlook.may_start and (examination := doctor_client.examine_small(preset, store.settings)):
        report = examination.wait(doctor_client.SMALL_LIMIT_S).report
        examination.cancel()
        if report and not arguments.json:
            print_verdict(report)
    if not arguments.json and outlook.may_start:
        print_outlook(outlook)
    run_id = start.start(store, preset, outlook, name=arguments.name, origin=origin, confirmed=arguments.yes)
    return followed_or_detached(store, store.get(run_id), arguments)


def _baselines(store: RunStore, arguments: argparse.Namespace) -> int:
    preset, origin = read_preset(store.settings, arguments)
    preset = files.override(preset, {"publish.push_to_hub": False})
    outlook = start.look_ahead(preset, store.settings)
    run_id = start.start_baselines(store, preset, outlook, name=arguments.name, origin=origin)
    return followed_or_detached(store, store.get(run_id), arguments)


def _check(store: RunStore, arguments: argparse.Namespace) -> int:
    preset, _ = read_preset(store.settings, arguments)
    outlook = start.look_ahead(preset, store.settings)
    tell(arguments, dataclasses.asdict(outlook), lambda: print_outlook(outlook, say_clear=True))
    return 0 if outlook.may_start else EXIT_MISTAKE


def _runs(store: RunStore, arguments: argparse.Namespace) -> None:
    views = store.list()
    tell(arguments, [facts(view) for view in views], lambda: print_runs(views))


def _show(store: RunStore, arguments: argparse.Namespace) -> None:
    view = store.find(arguments.run)
    tell(arguments, facts(view), lambda: print_run(view))


def _follow(store: RunStore, arguments: argparse.Namespace) -> int:
    return followed(store, store.find(arguments.run).run_id, arguments)


def _stop(store: RunStore, arguments: argparse.Namespace) -> None:
    view = store.find(arguments.run)
    asked_before = view.state.stage is RunStage.STOPPING
    launcher.stop(store, view.run_id)
    polite = "finishes its step, saves a checkpoint, then stops; stop again to end it at once"
    # only a training has a step to finish; answers that were given are kept in any case
    said = "ends at once" if asked_before or view.state.phase != "train" else polite
    tell(arguments, {"run_id": view.run_id}, lambda: print(f"{view.name} {said}."))


def _resume(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    start.resume(store, view.run_id)
    return followed_or_detached(store, view, arguments)


def _delete(store: RunStore, arguments: argparse.Namespace) -> None:
    # what cannot be read has no name, only its folder's
    run_id = arguments.run if arguments.run in store.unreadable() else store.find(arguments.run).run_id
    store.delete(run_id)
    tell(arguments, {"run_id": run_id}, lambda: print(f"The run {run_id} is deleted."))

"""`python -m studio ...`: parse, call one function of the core, print. A person's mistake ends with exit code 2."""

import argparse
import dataclasses
import getpass
import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio import start, terminal, terminal_doctor, words
from studio.data import doctor_client
from studio.errors import DataError, PresetError, StudioError
from studio.evaluation.other import Other, find_other
from studio.evaluation.slope import slope_of
from studio.preset import files
from studio.preset.flatten import PATHS, flatten
from studio.preset.schema import Preset
from studio.publishing.exports import GGUF_KINDS
from studio.runs import launcher
from studio.runs.events import RunStage
from studio.runs.store import RunStore, RunView
from studio.settings import Settings

EXIT_MISTAKE, EXIT_INTERRUPTED = 2, 130


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 the run did not complete, 2 the request was refused,
    130 interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.command(RunStore(Settings.from_environment()), arguments) or 0
    except StudioError as error:
        if arguments.json:
            print(json.dumps({"error": error.message, "hint": error.hint, "field": error.field}))
        else:
            print(f"{error}", file=sys.stderr)
        return EXIT_MISTAKE
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _serve(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio import app  # gradio takes seconds to import and no other command needs it

    app.launch(store.settings, open_run=store.find(arguments.open).run_id if arguments.open else "")


def _run(store: RunStore, arguments: argparse.Namespace) -> int:
    preset, origin = _preset(store.settings, arguments)
    outlook = start.look_ahead(preset, store.settings)
    if outlook.may_start and (examination := doctor_client.examine_small(preset, store.settings)):
        report = examination.wait(doctor_client.SMALL_LIMIT_S).report
        examination.cancel()
        if report and not arguments.json:
            terminal_doctor.print_verdict(report)
    if not arguments.json and outlook.may_start:
        terminal.print_outlook(outlook)
    run_id = start.start(store, preset, outlook, name=arguments.name, origin=origin, confirmed=arguments.yes)
    if arguments.detach:
        _print(arguments, {"run_id": run_id}, lambda: terminal.print_started(store.get(run_id)))
        return 0
    return _followed(store, run_id, arguments)


def _baselines(store: RunStore, arguments: argparse.Namespace) -> int:
    preset, origin = _preset(store.settings, arguments)
    preset = files.override(preset, {"publish.push_to_hub": False})
    outlook = start.look_ahead(preset, store.settings)
    run_id = start.start_baselines(store, preset, outlook, name=arguments.name, origin=origin)
    return _followed_or_detached(store, store.get(run_id), arguments)


def _check(store: RunStore, arguments: argparse.Namespace) -> int:
    preset, _ = _preset(store.settings, arguments)
    outlook = start.look_ahead(preset, store.settings)
    _print(arguments, dataclasses.asdict(outlook), lambda: terminal.print_outlook(outlook, say_clear=True))
    return 0 if outlook.may_start else EXIT_MISTAKE


def _runs(store: RunStore, arguments: argparse.Namespace) -> None:
    views = store.list()
    _print(arguments, [terminal.facts(view) for view in views], lambda: terminal.print_runs(views))


def _show(store: RunStore, arguments: argparse.Namespace) -> None:
    view = store.find(arguments.run)
    _print(arguments, terminal.facts(view), lambda: terminal.print_run(view))


def _follow(store: RunStore, arguments: argparse.Namespace) -> int:
    return _followed(store, store.find(arguments.run).run_id, arguments)


def _stop(store: RunStore, arguments: argparse.Namespace) -> None:
    view = store.find(arguments.run)
    asked_before = view.state.stage is RunStage.STOPPING
    launcher.stop(store, view.run_id)
    polite = "finishes its step, saves a checkpoint, then stops; stop again to end it at once"
    # only a training has a step to finish; answers that were given are kept in any case
    said = "ends at once" if asked_before or view.state.phase != "train" else polite
    _print(arguments, {"run_id": view.run_id}, lambda: print(f"{view.name} {said}."))


def _resume(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    start.resume(store, view.run_id)
    return _followed_or_detached(store, view, arguments)


def _delete(store: RunStore, arguments: argparse.Namespace) -> None:
    # what cannot be read has no name, only its folder's
    run_id = arguments.run if arguments.run in store.unreadable() else store.find(arguments.run).run_id
    store.delete(run_id)
    _print(arguments, {"run_id": run_id}, lambda: print(f"The run {run_id} is deleted."))


def _evaluate(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    path = Path(arguments.on)
    against = find_other(store, arguments.against) if arguments.against else Other(view.run_id, arguments.checkpoint)
    start.evaluate(store, view.run_id, str(path.resolve()) if arguments.on and path.exists() else arguments.on,
                   against=str(against) if arguments.against or arguments.checkpoint else "",
                   settings=[_located(*_assignment(text)) for text in arguments.set])
    return _followed_or_detached(store, view, arguments)


def _merge(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    launcher.run_phases(store, view.run_id, ["merge"], start.child_environment())
    return _followed_or_detached(store, view, arguments)


def _gguf(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    start.export_gguf(store, view.run_id, arguments.kind)
    return _followed_or_detached(store, view, arguments)


def _parity(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    launcher.run_phases(store, view.run_id, ["parity"], start.child_environment())
    return _followed_or_detached(store, view, arguments)


def _slope(store: RunStore, arguments: argparse.Namespace) -> int:
    from studio.ui.run_slope import sentence  # with the words of the page

    view = store.find(arguments.run)
    started = start.start_slope(store, view.run_id)
    if arguments.detach:
        _print(arguments, {"started": started}, lambda: print(f"Started {len(started)} runs on parts of the rows."))
        return 0
    ended = [terminal.follow(store, run_id, quiet=arguments.json) for run_id in started]
    slope = slope_of(store, view.run_id)
    _print(arguments, slope and dataclasses.asdict(slope), lambda: print(sentence(slope)))
    return 0 if all(view.state.stage is RunStage.COMPLETED for view in ended) else 1


def _publish(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    if arguments.cancel:
        start.cancel_publish(store, view.run_id)
        _print(arguments, {"run_id": view.run_id},
               lambda: print(f"The push of {view.name} is cancelled. It is not pushed until you publish it again."))
        return 0
    publish = files.override(view.preset, {
        "publish.hub_model_id": arguments.repo, "publish.hub_private_repo": not arguments.public,
        "publish.what": arguments.what, "publish.separate_repos": arguments.separate,
        "publish.hub_revision": arguments.branch, "publish.hub_tag": arguments.tag,
        "publish.create_pr": arguments.create_pr, "publish.hub_collection": arguments.collection,
        "publish.load_test": arguments.load_test}).publish
    start.publish(store, view.run_id, publish, confirmed=arguments.yes)
    return _followed_or_detached(store, view, arguments)


def _deploy(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio import terminal_deploy

    ways = terminal_deploy.find_ways(store.find(arguments.run), arguments.way, not arguments.here)
    _print(arguments, terminal_deploy.facts(ways), lambda: terminal_deploy.print_ways(ways))


def _space(store: RunStore, arguments: argparse.Namespace) -> int:
    from studio import terminal_deploy
    from studio.publishing import space

    view = store.find(arguments.run)
    request = terminal_deploy.plan_space(view, arguments.repo, public=arguments.public, hardware=arguments.hardware,
                                         with_examples=arguments.examples)
    space.require_confirmed(request.hardware, arguments.yes)
    secret = getpass.getpass("Token for the Space (it may only read the model): ") if arguments.add_token else ""
    start.make_space(store, view.run_id, request, space_token=secret, confirmed=arguments.yes)
    return _followed_or_detached(store, view, arguments)


def _endpoint(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio import terminal_deploy

    found = terminal_deploy.ask_endpoint(store.find(arguments.run), arguments.action, arguments.machine, arguments.yes)
    facts = [dataclasses.asdict(each) for each in found] if isinstance(found, list) else found and vars(found)
    _print(arguments, facts, lambda: terminal_deploy.print_endpoint(found))


def _chat(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio.runs.playground import chat_once

    answer = chat_once(store, store.find(arguments.run).run_id, arguments.prompt, base=arguments.base)
    _print(arguments, {"answer": answer}, lambda: print(answer))


def _votes(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio import terminal_votes

    view = store.find(arguments.run)
    exported = terminal_votes.export(view, Path(arguments.export)) if arguments.export else None
    facts = terminal_votes.facts(view, exported)
    _print(arguments, facts, lambda: terminal_votes.print_votes(store, view, exported))


def _presets(store: RunStore, arguments: argparse.Namespace) -> None:
    found, broken = files.list_readable(store.settings)
    facts = [{"name": path.stem, "path": str(path), "description": preset.description}
             for path, preset in found.items()]
    _print(arguments, facts, lambda: terminal.print_table([[fact["name"], fact["description"]] for fact in facts]))
    for error in broken:
        print(error, file=sys.stderr)


def _search(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio import terminal_search
    from studio.publishing.browse_shelf import Search, look
    from studio.publishing.hub import resolve_token

    changes = dict(_assignment(text) for text in arguments.set)
    preset = _preset(store.settings, arguments)[0] if arguments.preset else files.override(Preset(), changes)
    asked = Search(" ".join(arguments.query), everything=arguments.all, limit=arguments.limit)
    shelf = look(arguments.kind, "hub", asked, store.settings, store.list(), resolve_token() or False)
    _print(arguments, terminal_search.facts(arguments.kind, shelf, preset),
           lambda: terminal_search.print_shelf(arguments.kind, shelf, preset))


def _doctor(store: RunStore, arguments: argparse.Namespace) -> int:
    """Exit code 1 where training would refuse rows, or no tokens can be counted. Ctrl-C ends the reading early."""
    from studio.data import doctor, token_client

    fields = {"data.dataset_name": arguments.data[0]}
    fields |= {"model.model_name_or_path": arguments.model} if arguments.model else {}
    fields |= {"training.max_length": arguments.max_length} if arguments.max_length is not None else {}
    preset = files.override(Preset(), fields | dict(_assignment(text) for text in arguments.set))
    heldout = preset.data.model_copy(update={"dataset_name": arguments.heldout}) if arguments.heldout else None
    line = terminal.LiveLine(arguments.json)
    ended = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: ended.set())
    try:
        report = doctor.examine(
            preset.data, store.settings, more=arguments.data[1:], heldout=heldout, stopped=ended.is_set,
            thorough=not arguments.quick,
            progress=lambda share, rows: line.show(f"{words.percent(share)}  {rows:,} rows"))
    except StudioError:
        raise
    except Exception as error:  # the data are anybody's: whatever they break, the person gets a sentence
        raise DataError(f"The examination broke off: {type(error).__name__}, {words.plain(str(error), 200)}.",
                        "Try another file; if this one is sound, report it with these words.") from error
    finally:
        line.clear()
        signal.signal(signal.SIGINT, before)
    if arguments.model and report.usable_rows and report.complete:
        line.show("counting tokens")
        try:
            report.tokens = token_client.count_tokens(
                arguments.data, preset, store.settings, report.usable_rows, exact=arguments.exact)
        except StudioError as error:  # what was found in the rows stays
            report.tokens_error = {"message": error.message, "hint": error.hint, "field": error.field}
    line.clear()
    _print(arguments, report.as_json(), lambda: terminal_doctor.print_report(report))
    return 0 if report.may_start and report.tokens_error is None else 1


def _export(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio import terminal_export
    from studio.data.export import export

    preset = _preset_or_data(store.settings, arguments)
    exported = export(preset, store.settings, Path(arguments.to))
    pushed = terminal_export.push(
        exported, preset, store.settings, arguments.push, private=not arguments.public, quiet=arguments.json,
    ) if arguments.push else None
    facts = dataclasses.asdict(exported) | {"pushed": dataclasses.asdict(pushed) if pushed else None}
    _print(arguments, facts, lambda: terminal_export.print_export(exported, pushed))


def _preset_or_data(settings: Settings, arguments: argparse.Namespace) -> Preset:
    """The preset that is named, or the default one with the data that is named, and the `--set` changes."""
    named = arguments.preset
    if named.endswith((".yaml", ".yml")) or named in (path.stem for path in files.list_presets(settings)):
        return _preset(settings, arguments)[0]
    changes = dict(_assignment(text) for text in arguments.set)
    return files.override(Preset(), {"data.dataset_name": named} | changes)


def _schema(store: RunStore, arguments: argparse.Namespace) -> None:
    print(json.dumps(Preset.model_json_schema(), indent=2, ensure_ascii=False))


def _preset(settings: Settings, arguments: argparse.Namespace) -> tuple[Preset, Preset]:
    """The preset a command names, with its `--set` changes, and the preset as it was in the file."""
    path = Path(arguments.preset)
    if not path.suffix:
        path = next((p for p in files.list_presets(settings) if p.stem == arguments.preset), path)
    origin = files.load(path)
    preset = files.override(origin, dict(_assignment(text) for text in arguments.set))
    return files.override(preset, dict(_located(*field) for field in flatten(preset).items())), origin


def _assignment(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise PresetError(f'"{text}" is no assignment.', "Write --set training.learning_rate=1e-4.")
    return name.strip(), value  # the schema reads numbers, switches and lists from text


def _located(name: str, value: Any) -> tuple[str, Any]:
    """The assignment with a path that is there made absolute: the run must find it from any folder."""
    is_path = name in PATHS and value and Path(value).exists()
    return name, str(Path(value).resolve()) if is_path else value


def _followed_or_detached(store: RunStore, view: RunView, arguments: argparse.Namespace) -> int:
    if arguments.detach:
        _print(arguments, {"run_id": view.run_id}, lambda: terminal.print_started(view))
        return 0
    return _followed(store, view.run_id, arguments)


def _followed(store: RunStore, run_id: str, arguments: argparse.Namespace) -> int:
    """Follow to the end; exit code 0 only when COMPLETED with all that was started."""
    view = terminal.follow(store, run_id, quiet=arguments.json)
    _print(arguments, terminal.facts(view), lambda: terminal.print_run(view))
    return 0 if terminal.ended_well(view) else 1


def _print(arguments: argparse.Namespace, facts: Any, in_words: Callable[[], None]) -> None:
    if arguments.json:
        print(json.dumps(facts, indent=2, ensure_ascii=False, default=str))
    else:
        in_words()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m studio", description="Fine-tune open language models without code.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable, help: str, among: Any = commands) -> argparse.ArgumentParser:
        sub = among.add_parser(name, help=help, description=help)
        sub.set_defaults(command=function)
        sub.add_argument("--json", action="store_true", help="print facts as JSON")
        return sub

    def on_run(name: str, function: Callable, help: str) -> argparse.ArgumentParser:
        sub = command(name, function, help)
        sub.add_argument("run", metavar="RUN", help='id, start of an id, name, or "last"')
        return sub

    def working(sub: argparse.ArgumentParser) -> argparse.ArgumentParser:
        wait = sub.add_mutually_exclusive_group()
        wait.add_argument("--follow", dest="detach", action="store_false", help="show progress to the end (default)")
        wait.add_argument("--detach", dest="detach", action="store_true", help="return at once; the run goes on")
        sub.set_defaults(detach=False)
        return sub

    def on_preset(sub: argparse.ArgumentParser, metavar: str = "PRESET") -> argparse.ArgumentParser:
        also = "" if metavar == "PRESET" else "; or a file with rows, or owner/name on the Hub"
        sub.add_argument(
            "preset", metavar=metavar, help=f"a YAML file, or the name of a preset from `presets`{also}")
        sub.add_argument(
            "--set", action="append", default=[], metavar="FIELD=VALUE", help="change a field, e.g. lora.r=8")
        return sub

    serve = command("serve", _serve, "serve the studio's page")
    serve.add_argument("--open", metavar="RUN", default="", help="print and open the page at this run")
    run = on_preset(working(command("run", _run, "start a run from a preset")))
    run.add_argument("--name", default="", help="a name for the run")
    run.add_argument("--yes", action="store_true", help="push to a repository that holds something already")
    on_preset(working(command("baselines", _baselines, "try what the untouched model reaches, without tuning")
                      )).add_argument("--name", default="", help="a name for the run")
    on_preset(command("check", _check, "say what would go wrong, without starting"))
    command("runs", _runs, "list runs")
    on_run("show", _show, "show one run")
    on_run("follow", _follow, "show a run's progress to its end")
    on_run("stop", _stop, "stop a run after this step; a second time at once")
    working(on_run("resume", _resume, "continue a run from where it stopped"))
    on_run("delete", _delete, "delete a run with all it holds")
    evaluate = working(on_run("evaluate", _evaluate, "compare the tuned model with the other ways again"))
    evaluate.add_argument("--on", metavar="DATA", default="",
                          help="ask the rows of this file or data set instead of the held-out rows")
    beside = evaluate.add_mutually_exclusive_group()
    beside.add_argument("--against", metavar="RUN2[@STEP]", default="",
                        help="compare with this run's model too, or with its checkpoint of that step")
    beside.add_argument("--checkpoint", metavar="STEP", type=int, default=0,
                        help="compare with this run's own checkpoint of that step too")
    evaluate.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE",
                          help="compare otherwise, e.g. evaluation.metric=chrf or plan.machine_price_per_hour=0.4")
    working(on_run("merge", _merge, "merge adapter and base model again"))
    gguf = working(on_run("gguf", _gguf, "write GGUF files for llama.cpp and Ollama, merging first where needed"))
    gguf.add_argument("--kind", action="append", required=True, choices=GGUF_KINDS, help="kind of file; repeatable")
    working(on_run("parity", _parity, "check that the exported files answer as the trained model does"))
    working(on_run("slope", _slope, "would more rows help: train on a quarter and on half of the rows, too"))
    publish = working(on_run("publish", _publish, "push a run's model to the Hub"))
    wanted = publish.add_mutually_exclusive_group(required=True)
    wanted.add_argument("--repo", metavar="OWNER/NAME", help="repository on the Hub")
    wanted.add_argument("--cancel", action="store_true", help="end a push, or give up one that is paused")
    publish.add_argument("--public", action="store_true", help="let everyone see it (default: private)")
    publish.add_argument("--what", metavar="FORMS", default="merged",
                         help="merged, adapter, gguf, or several: merged,gguf (default: merged)")
    publish.add_argument("--separate", action="store_true", help="a repository for each form: NAME-adapter, NAME-GGUF")
    publish.add_argument("--branch", default="", help="push to this branch, made where it is missing (default: main)")
    publish.add_argument("--tag", default="", help="give this version a tag, such as v1")
    publish.add_argument("--create-pr", action="store_true", help="send it as a pull request; nothing is replaced")
    publish.add_argument("--collection", metavar="TITLE", default="", help="put the repositories into a collection")
    publish.add_argument("--load-test", action="store_true", help="load it from the Hub afterwards and ask it")
    publish.add_argument("--yes", action="store_true", help="write to a repository that holds something already")
    deploy = on_run("deploy", _deploy, "commands and code to use a run's model")
    deploy.add_argument("--way", metavar="WAY", default="", help="vllm, tgi, llama.cpp, ollama or transformers alone")
    deploy.add_argument("--here", action="store_true", help="from this machine's folders, also after a push")
    demo = working(on_run("space", _space, "make a chat demo of a pushed model as a Space"))
    demo.add_argument("--repo", metavar="OWNER/NAME", default="", help="the Space (default: the model's name, -demo)")
    demo.add_argument("--public", action="store_true", help="let everyone open it (default: private)")
    demo.add_argument("--hardware", default="cpu-basic", help="what it runs on; all but cpu-basic costs money")
    demo.add_argument("--yes", action="store_true", help="I know what this hardware costs while the Space runs")
    demo.add_argument("--examples", action="store_true", help="show held-out questions as examples")
    demo.add_argument("--add-token", action="store_true", help="ask for a token and put it into the Space's secrets")
    endpoint = on_run("endpoint", _endpoint, "an Inference Endpoint for a pushed model (tried against a stand-in only)")
    endpoint.add_argument("action", choices=["machines", "create", "refresh", "pause", "resume", "delete"],
                          help="machines lists them with prices; refresh says how the endpoint stands")
    endpoint.add_argument("--machine", metavar="ID@PRICE", default="",
                          help="what to rent, as machines lists it; without it, create names the cheapest")
    endpoint.add_argument("--yes", action="store_true", help="I know that it costs money until it is paused or deleted")
    chat = on_run("chat", _chat, "ask a run's model one question")
    chat.add_argument("--prompt", required=True, help="the question")
    chat.add_argument("--base", action="store_true", help="ask the untouched base model instead")
    votes = on_run("votes", _votes, "say how a run's model did in the playground's blind votes")
    votes.add_argument("--export", metavar="FILE", default="", help="write the votes as preference rows for DPO, too")
    command("presets", _presets, "list presets")
    search = command("search", _search, "search the Hub for base models or data sets; without network, this machine")
    search.add_argument("kind", choices=["models", "datasets"], help="what to look for")
    search.add_argument("query", metavar="QUERY", nargs="*", help="words of the name; none for the most used")
    search.add_argument("--limit", type=int, default=20, metavar="N", help="how many at most (default 20, at most 200)")
    search.add_argument("--all", action="store_true", help="also what cannot be trained here, with the reason")
    search.add_argument("--preset", metavar="PRESET", default="", help="say what fits with this preset's settings")
    search.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="e.g. lora.r=8")
    examined = command("doctor", _doctor, "examine a data set: what is wrong with which rows, and is it enough")
    examined.add_argument("data", metavar="DATA", nargs="+", help="files (also .gz, .zip), or owner/name on the Hub")
    examined.add_argument("--heldout", metavar="FILE", default="", help="rows to judge by: what of them is in DATA too")
    examined.add_argument("--model", default="", help="count tokens with this model's tokenizer and chat template")
    examined.add_argument("--max-length", type=int, metavar="N", help="longest row in tokens (default: the preset's)")
    examined.add_argument("--quick", action="store_true", help="rows only: look for no duplicates, languages, secrets")
    examined.add_argument("--exact", action="store_true", help="count every row's tokens, however many there are")
    examined.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="e.g. data.prompt_column=question")
    data = commands.add_parser("data", help="work with data sets", description="Work with data sets.")
    exported = on_preset(command("export", _export, "write a preset's rows, cleaned, as JSON Lines",
                                 data.add_subparsers(required=True, metavar="WHAT")), "PRESET_OR_DATA")
    exported.add_argument("--to", required=True, metavar="FOLDER", help="where the files are written")
    exported.add_argument("--push", metavar="OWNER/NAME", default="", help="push them as a data set to the Hub, too")
    exported.add_argument("--public", action="store_true", help="let everyone see it there (default: private)")
    command("schema", _schema, "print the preset's JSON schema")
    return parser

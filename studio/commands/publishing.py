"""The commands that bring a run's model to others: publish, deploy, a demo Space, an Inference Endpoint."""

import argparse
import dataclasses
import getpass
from typing import Any

from studio import start
from studio.commands.arguments import on_run, working
from studio.commands.outcome import followed_or_detached, tell
from studio.preset import files
from studio.runs.store import RunStore


def add(commands: Any) -> None:
    publish = working(on_run(commands, "publish", _publish, "push a run's model to the Hub"))
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

    deploy = on_run(commands, "deploy", _deploy, "commands and code to use a run's model")
    deploy.add_argument("--way", metavar="WAY", default="", help="vllm, tgi, llama.cpp, ollama or transformers alone")
    deploy.add_argument("--here", action="store_true", help="from this machine's folders, also after a push")

    demo = working(on_run(commands, "space", _space, "make a chat demo of a pushed model as a Space"))
    demo.add_argument("--repo", metavar="OWNER/NAME", default="", help="the Space (default: the model's name, -demo)")
    demo.add_argument("--public", action="store_true", help="let everyone open it (default: private)")
    demo.add_argument("--hardware", default="cpu-basic", help="what it runs on; all but cpu-basic costs money")
    demo.add_argument("--yes", action="store_true", help="I know what this hardware costs while the Space runs")
    demo.add_argument("--examples", action="store_true", help="show held-out questions as examples")
    demo.add_argument("--add-token", action="store_true", help="ask for a token and put it into the Space's secrets")

    endpoint = on_run(
        commands, "endpoint", _endpoint, "an Inference Endpoint for a pushed model (tried against a stand-in only)")
    endpoint.add_argument("action", choices=["machines", "create", "refresh", "pause", "resume", "delete"],
                          help="machines lists them with prices; refresh says how the endpoint stands")
    endpoint.add_argument("--machine", metavar="ID@PRICE", default="",
                          help="what to rent, as machines lists it; without it, create names the cheapest")
    endpoint.add_argument("--yes", action="store_true", help="I know that it costs money until it is paused or deleted")


def _publish(store: RunStore, arguments: argparse.Namespace) -> int:
    view = store.find(arguments.run)
    if arguments.cancel:
        start.cancel_publish(store, view.run_id)
        tell(arguments, {"run_id": view.run_id},
             lambda: print(f"The push of {view.name} is cancelled. It is not pushed until you publish it again."))
        return 0
    publish = files.override(view.preset, {
        "publish.hub_model_id": arguments.repo, "publish.hub_private_repo": not arguments.public,
        "publish.what": arguments.what, "publish.separate_repos": arguments.separate,
        "publish.hub_revision": arguments.branch, "publish.hub_tag": arguments.tag,
        "publish.create_pr": arguments.create_pr, "publish.hub_collection": arguments.collection,
        "publish.load_test": arguments.load_test}).publish
    start.publish(store, view.run_id, publish, confirmed=arguments.yes)
    return followed_or_detached(store, view, arguments)


def _deploy(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio.terminal import deploy

    ways = deploy.find_ways(store.find(arguments.run), arguments.way, not arguments.here)
    tell(arguments, deploy.facts(ways), lambda: deploy.print_ways(ways))


def _space(store: RunStore, arguments: argparse.Namespace) -> int:
    from studio.publishing import space
    from studio.terminal import deploy

    view = store.find(arguments.run)
    request = deploy.plan_space(view, arguments.repo, public=arguments.public, hardware=arguments.hardware,
                                with_examples=arguments.examples)
    space.require_confirmed(request.hardware, arguments.yes)
    secret = getpass.getpass("Token for the Space (it may only read the model): ") if arguments.add_token else ""
    start.make_space(store, view.run_id, request, space_token=secret, confirmed=arguments.yes)
    return followed_or_detached(store, view, arguments)


def _endpoint(store: RunStore, arguments: argparse.Namespace) -> None:
    from studio.terminal import deploy

    found = deploy.ask_endpoint(store.find(arguments.run), arguments.action, arguments.machine, arguments.yes)
    facts = [dataclasses.asdict(each) for each in found] if isinstance(found, list) else found and vars(found)
    tell(arguments, facts, lambda: deploy.print_endpoint(found))

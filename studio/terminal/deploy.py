"""Using a run's model, in a terminal: commands to copy, a demo Space, an Inference Endpoint."""

from dataclasses import asdict
from typing import Any

from studio import words
from studio.errors import RunError
from studio.publishing import endpoints, space
from studio.publishing.deploy import WAYS, Way, way
from studio.publishing.deploy_model import gpu_bytes, model_here, model_on_hub
from studio.publishing.endpoints import Machine, Rented, price_words
from studio.publishing.hub import resolve_token
from studio.publishing.space import SpaceRequest
from studio.runs.store import RunView
from studio.terminal.layout import print_table
from studio.texts import text


def find_ways(view: RunView, name: str, from_hub: bool) -> list[Way]:
    """The way called `name`, or all; from the Hub where asked for and pushed. Raises `RunError`."""
    model = (model_on_hub(view) if from_hub else None) or model_here(view)
    return [way(each, model) for each in ([name] if name else WAYS)]


def facts(ways: list[Way]) -> list[dict[str, Any]]:
    """The ways as JSON."""
    return [asdict(found) for found in ways]


def print_ways(ways: list[Way]) -> None:
    """Title, when, needs, what to copy, notes."""
    for number, found in enumerate(ways):
        print(("\n" if number else "") + f"# {found.title}\n{found.when}\n{text('deploy.needs')}: {found.needs}")
        for note in found.notes:
            print(f"- {note}")
        if found.missing:
            print(found.missing)
        for block in found.blocks:
            print(f"\n## {block.title}\n\n{block.code}")


def plan_space(view: RunView, repo_id: str, *, public: bool, hardware: str, with_examples: bool) -> SpaceRequest:
    """The demo that a command line asks for. Raises `RunError` as `space.plan` does."""
    from studio.ui.deploy_space_view import questions  # those of the page

    return space.plan(view, repo_id, private=not public, hardware=hardware,
                      examples=questions(view) if with_examples else ())


def ask_endpoint(view: RunView, action: str, machine_id: str, confirmed: bool) -> list[Machine] | Rented | None:
    """List machines, or do one thing with the run's endpoint; None after a deletion. Raises `StudioError`."""
    token = resolve_token()
    if action not in ("machines", "create"):
        return endpoints.act(action, view.run_dir, token, confirmed=confirmed)
    machines = endpoints.list_machines(token, endpoints.owner(view))
    if action == "machines":
        return machines
    need = gpu_bytes(endpoints.servable(view))
    named = machine_id.partition("@")[0]
    wanted = next((machine for machine in machines if machine.id == named), None) if named else \
        endpoints.cheapest(machines, need)
    if wanted is None:
        raise RunError(text("deploy.endpoint.none"), "Name one that `endpoint RUN machines` lists.")
    return endpoints.create(view, wanted, token, confirmed=machine_id if confirmed else "")


def print_endpoint(found: list[Machine] | Rented | None) -> None:
    """Machines with prices, or how the endpoint stands."""
    if found is None:
        print(text("deploy.endpoint.deleted"))
    elif isinstance(found, Rented):
        costs = "It costs money now." if found.costs else text("deploy.endpoint.costs_not")
        print(f"{text('deploy.endpoint.state', **asdict(found))} {costs} {found.url}".rstrip())
    else:
        print_table([[machine.offer, machine.name, words.size(machine.gpu_bytes), price_words(machine.price_per_hour),
                      "" if machine.available else "not available now"] for machine in found])
    print(text("deploy.endpoint.stand_in"))

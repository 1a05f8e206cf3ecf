"""What the endpoint part of "Use it" says: machines and prices, how the endpoint stands, what it costs. No Gradio."""

from studio import words
from studio.errors import RunError
from studio.publishing import deploy_code, deploy_model, endpoints
from studio.publishing.endpoints import Machine, Record, Rented, price_words
from studio.publishing.pushed import pushed_mark
from studio.runs.store import RunView
from studio.texts import text
from studio.ui.deploy_view import render

Choices = list[tuple[str, str]]


def problem(view: RunView) -> str:
    """Why no endpoint can serve the run's model, "" where one can."""
    try:
        endpoints.servable(view)
    except RunError as error:
        return str(error)
    return ""


def is_possible(view: RunView) -> bool:
    """Whether there is anything to press: an endpoint that was made, or a model that one can serve."""
    return record_of(view) is not None or not problem(view)


def choices(view: RunView, machines: list[Machine]) -> tuple[Choices, str | None]:
    """The machines as (label, offer), and the one to begin with: the cheapest that is there and holds the model."""
    need = deploy_model.gpu_bytes(endpoints.servable(view))
    first = endpoints.cheapest(machines, need)
    return [(_option(machine, need), machine.offer) for machine in machines], first.offer if first else None


def status_html(view: RunView, rented: Rented | None = None) -> str:
    """What is in the way, or what is known of the run's endpoint; `rented` is what its service just said."""
    record = endpoints.read_record(view.run_dir)
    client = None
    if rented is not None and rented.url:
        client = deploy_code.client_code(f"{rented.url}/v1", rented.model, endpoints.servable(view), from_login=True)
    return render("deploy_endpoint.html", problem="" if record else problem(view), record=record, rented=rented,
                  client=client, price=price_words(record.price_per_hour) if record else "")


def deleted_html() -> str:
    """What is shown after a deletion."""
    return render("deploy_endpoint.html", problem=text("deploy.endpoint.deleted"), record=None, rented=None,
                  client=None, price="")


def mark(view: RunView) -> str:
    """Changes when the part starts with something else; what its buttons do, they show themselves."""
    return f"{view.run_id} {pushed_mark(view)}"


def record_of(view: RunView) -> Record | None:
    return endpoints.read_record(view.run_dir)


def _option(machine: Machine, need: float | None) -> str:
    option = text("deploy.endpoint.option", name=machine.name, vendor=machine.vendor, region=machine.region,
                  type=machine.instance_type, size=machine.instance_size, memory=words.size(machine.gpu_bytes),
                  price=price_words(machine.price_per_hour))
    if not machine.available:
        return text("deploy.endpoint.unavailable", option=option)
    return option if endpoints.holds(machine, need) else text("deploy.endpoint.too_small", option=option)

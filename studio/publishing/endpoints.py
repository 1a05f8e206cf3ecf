"""Inference Endpoints: machines of the Hub that serve a pushed model for money. Create, look, pause, resume, delete.

Tried against a stand-in only: nobody here has paid for one. Each call is short, is given up where no answer comes, and
is never repeated by itself where it could rent a second machine.
"""

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from huggingface_hub import HfApi, InferenceEndpoint, constants
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from studio import words
from studio.errors import HubError, RunError
from studio.publishing import deploy_model
from studio.publishing.calls import within
from studio.publishing.hub_errors import AGAIN, TOKENS_PAGE, hub_error, no_token
from studio.runs.store import RunView

Answer = TypeVar("Answer")

RECORD = "endpoint.json"
FIELD = "endpoint"
LIMIT_S = 30
# without a request for so long, in minutes, it goes down to nothing and costs nothing
SCALE_TO_ZERO_MIN = 15
# of the GPU's memory vLLM takes this share for itself
USABLE_SHARE = 0.9
AVAILABLE = frozenset({"available", "low_availability"})
VLLM_IMAGE = {"vLLM": {"url": "vllm/vllm-openai:v0.23.0", "port": 8000}}
BILLING_PAGE = "https://huggingface.co/settings/billing"
SERVICE_PAGE = "https://endpoints.huggingface.co"
MAX_NAME = 32
CREATING = "creating the endpoint"
# states in which it costs money
COSTING = frozenset({"initializing", "running", "updating", "updateFailed"})


@dataclass(frozen=True)
class Machine:
    """A kind of machine that can be rented; `price_per_hour` in US dollars, None where the Hub did not say.

    `vendor` is whose cloud it stands in, `region` where, `instance_type` and `instance_size` which and how many GPUs.
    """

    id: str
    vendor: str
    region: str
    instance_type: str
    instance_size: str
    name: str
    gpu_bytes: float
    price_per_hour: float | None
    available: bool

    @property
    def offer(self) -> str:
        """The machine at its price, which is what a person says yes to."""
        return f"{self.id}@{'unknown' if self.price_per_hour is None else f'{self.price_per_hour:g}'}"


@dataclass(frozen=True)
class Rented:
    """An endpoint as its service reports it; `url` is "" before it has one."""

    namespace: str
    name: str
    model: str
    state: str
    url: str
    message: str = ""

    @property
    def costs(self) -> bool:
        return self.state in COSTING


@dataclass(frozen=True)
class Record:
    """What a run's folder keeps of the endpoint made for it; `state` is asked until the service has said yes."""

    namespace: str
    name: str
    machine: str
    price_per_hour: float | None
    state: Literal["asked", "made"] = "made"


class RefusedError(HubError):
    """The service said no: nothing was rented."""


def list_machines(token: str | None, namespace: str, *, limit_s: float = LIMIT_S) -> list[Machine]:
    """The NVIDIA machines the account may rent, the cheapest first. Raises `HubError`."""
    headers = build_hf_headers(token=_required(token))

    def listed() -> list[Machine]:
        # asked without the client's own method, which 1.33 has and 2.4 has not
        answer = get_session().get(f"{constants.INFERENCE_ENDPOINTS_ENDPOINT}/provider/{namespace}", headers=headers)
        hf_raise_for_status(answer)
        return [_machine(compute, vendor["name"], region["name"]) for vendor in answer.json()["vendors"]
                for region in vendor["regions"] for compute in region["computes"]
                if compute["accelerator"] == "gpu" and compute["instanceType"].startswith("nvidia")]

    machines = _asked("reading what machines cost", namespace, limit_s, listed)
    return sorted(machines, key=lambda machine: (machine.price_per_hour or 0, machine.id))


def cheapest(machines: list[Machine], need_bytes: float | None) -> Machine | None:
    """The cheapest machine to be had that holds a model of that need, in bytes; None where there is none."""
    return next((machine for machine in machines if machine.available and holds(machine, need_bytes)), None)


def holds(machine: Machine, need_bytes: float | None) -> bool:
    """Whether a machine's GPU holds the model; where its size is not known, any may."""
    return need_bytes is None or need_bytes <= USABLE_SHARE * machine.gpu_bytes


def servable(view: RunView) -> deploy_model.Model:
    """The pushed model, if an endpoint can serve it. Raises `RunError`: not pushed, or only as adapter or GGUF."""
    model = deploy_model.model_on_hub(view)
    if model is None:
        raise RunError("An endpoint needs the model on the Hub's main branch, and this run was not pushed there.",
                       "Publish the merged model first.", FIELD)
    if not model.merged:
        raise RunError("The Hub holds no merged model of this run, and vLLM on the endpoint needs one.",
                       "Publish the merged model too.", FIELD)
    return model


def create(view: RunView, machine: Machine, token: str | None, *, name: str = "", confirmed: str = "",
           limit_s: float = LIMIT_S) -> Rented:
    """Rent `machine` for the run's pushed model, for callers with a token only, down to zero when nobody asks.

    `confirmed` is the offer that a person was shown and wants to pay for. The endpoint is noted before it is asked for,
    so that none is lost. Raises `HubError`: not confirmed, machine too small, or the service refuses; `RunError` where
    the run has one.
    """
    model = servable(view)
    _require_none(read_record(view.run_dir))
    if not confirmed:
        raise HubError(f"An endpoint costs money: {price_words(machine.price_per_hour)}, until it is paused or "
                       "deleted.", f"Confirm that you want to pay for {machine.offer}.", FIELD)
    if confirmed != machine.offer:
        raise HubError(f"It is now {price_words(machine.price_per_hour)} for {machine.id}, not what was shown.",
                       f"Look up the machines again, then confirm {machine.offer} if you want to pay that.", FIELD)
    if not holds(machine, deploy_model.gpu_bytes(model)):
        raise HubError(f"The model needs about {words.size(deploy_model.gpu_bytes(model) or 0)} of GPU memory, and "
                       f"{machine.name} has {words.size(machine.gpu_bytes)}.", "Choose a larger machine.", FIELD)
    namespace = owner(view)
    name = deploy_model.slug(name or model.name)[:MAX_NAME].strip("-")
    api = HfApi(token=_required(token))
    asked = Record(namespace, name, machine.id, machine.price_per_hour, "asked")
    _note_asked(view.run_dir, asked)
    try:
        made = _asked(CREATING, namespace, limit_s, lambda: api.create_inference_endpoint(
            name, namespace=namespace, repository=model.merged, framework="pytorch", task="text-generation",
            accelerator="gpu", vendor=machine.vendor, region=machine.region, instance_type=machine.instance_type,
            instance_size=machine.instance_size, min_replica=0, max_replica=1, scale_to_zero_timeout=SCALE_TO_ZERO_MIN,
            type="authenticated", custom_image=VLLM_IMAGE,
            container_args=["--max-model-len", str(model.max_length)]), name)
    except RefusedError:
        (view.run_dir / RECORD).unlink()
        raise
    write_record(view.run_dir, replace(asked, state="made"))
    return _rented(made, namespace)


def status(record: Record, token: str | None, *, limit_s: float = LIMIT_S) -> Rented:
    """How the endpoint stands now. Raises `HubError`, also where it is gone."""
    return _act(record, token, limit_s, "looking at the endpoint", lambda api: api.get_inference_endpoint)


def pause(record: Record, token: str | None, *, limit_s: float = LIMIT_S) -> Rented:
    """Stop it and its costs, until it is resumed. Raises `HubError`."""
    return _act(record, token, limit_s, "pausing the endpoint", lambda api: api.pause_inference_endpoint)


def resume(record: Record, token: str | None, *, confirmed: bool = False, limit_s: float = LIMIT_S) -> Rented:
    """Start it again, and its costs. Raises `HubError`."""
    if not confirmed:
        raise HubError(f"From now on it costs money again: {price_words(record.price_per_hour)}.",
                       "Confirm that you want to pay for it.", FIELD)
    return _act(record, token, limit_s, "resuming the endpoint", lambda api: api.resume_inference_endpoint)


def delete(run_dir: Path, record: Record, token: str | None, *, limit_s: float = LIMIT_S) -> None:
    """Delete it for good; one that is gone already is fine. Raises `HubError`."""
    api = HfApi(token=_required(token))

    def delete_it() -> None:
        try:
            api.delete_inference_endpoint(record.name, namespace=record.namespace)
        except HfHubHTTPError as error:
            if error.response.status_code != 404:
                raise

    _asked("deleting the endpoint", record.namespace, limit_s, delete_it, record.name)
    (run_dir / RECORD).unlink(missing_ok=True)


def act(name: str, run_dir: Path, token: str | None, *, confirmed: bool = False) -> Rented | None:
    """Do "refresh", "pause", "resume" or "delete" with the endpoint made for a run; None after a deletion.

    Raises `RunError` where none was made, `HubError` as the functions of these names do.
    """
    record = read_record(run_dir)
    if record is None:
        raise RunError("No endpoint was made for this run.", "Rent one first.", FIELD)
    if name == "delete":
        delete(run_dir, record, token)
        return None
    if name == "resume":
        return resume(record, token, confirmed=confirmed)
    rented = pause(record, token) if name == "pause" else status(record, token)
    if record.state == "asked":
        write_record(run_dir, replace(record, state="made"))
    return rented


def owner(view: RunView) -> str:
    """The account whose model would be served, and which pays. Raises `RunError` as `servable` does."""
    return servable(view).merged.split("/")[0]


def read_record(run_dir: Path) -> Record | None:
    """The endpoint made for a run, None where none was."""
    try:
        return Record(**json.loads((run_dir / RECORD).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def write_record(run_dir: Path, record: Record) -> None:
    """Note the endpoint that was made; only the server or the command line writes this."""
    partial = run_dir / f".{RECORD}.{os.getpid()}"
    partial.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / RECORD)


def _note_asked(run_dir: Path, record: Record) -> None:
    """Write the first record of a run. Raises `RunError` where another was written just now."""
    try:
        with open(run_dir / RECORD, "x", encoding="utf-8") as file:
            file.write(json.dumps(asdict(record)) + "\n")
    except FileExistsError:
        _require_none(read_record(run_dir))


def _require_none(record: Record | None) -> None:
    if record is not None:
        raise RunError(f"The run has an endpoint, {record.name} of {record.namespace}, which may cost money.",
                       "Look how it stands; delete it before you rent another.", FIELD)


def price_words(price_per_hour: float | None) -> str:
    """"$0.50 an hour", or that the price is not known."""
    if price_per_hour is None:
        return "at a price that the Hub did not state"
    return f"{words.money(price_per_hour)} an hour"


def _machine(compute: dict[str, Any], vendor: str, region: str) -> Machine:
    return Machine(
        compute["id"], vendor, region, compute["instanceType"], compute["instanceSize"], compute["architecture"],
        (compute.get("gpuMemoryGb") or 0) * 1e9, compute.get("pricePerHour"), compute["status"] in AVAILABLE)


def _act(record: Record, token: str | None, limit_s: float, doing: str,
         method: Callable[[HfApi], Callable[..., InferenceEndpoint]]) -> Rented:
    api = HfApi(token=_required(token))
    found = _asked(doing, record.namespace, limit_s,
                   lambda: method(api)(record.name, namespace=record.namespace), record.name)
    return _rented(found, record.namespace)


def _rented(found: InferenceEndpoint, namespace: str) -> Rented:
    return Rented(namespace, found.name, found.repository, str(found.status), found.url or "",
                  found.raw["status"].get("message", ""))


def _required(token: str | None) -> str:
    if not token:
        raise no_token()
    return token


def _asked(doing: str, namespace: str, limit_s: float, call: Callable[[], Answer], name: str = "") -> Answer:
    """Call within the limit, and say what a refusal means. Nothing is repeated: it may have rented all the same."""

    def work() -> Answer:
        try:
            return call()
        except Exception as error:
            said = _refusal(error, doing, namespace, name) or hub_error(error, doing, namespace)
            if said is None:
                raise
            raise said from None

    try:
        return within(limit_s, doing, work)
    except HubError as error:
        if error.field == FIELD:
            raise
        # silence, a broken connection, a failing server: nobody knows whether a machine was rented
        hint = f"Look at {SERVICE_PAGE} whether {name} was made all the same: it would cost money. Then try again."
        if doing != CREATING:
            hint = error.hint.replace(AGAIN, "Try again.")
        raise HubError(error.message, hint, FIELD) from None


def _quoted(error: HfHubHTTPError) -> str:
    said = " ".join((error.server_message or "").split())[:240].rstrip(".")
    return f': "{said}"' if said else ""


def _refusal(error: Exception, doing: str, namespace: str, name: str) -> RefusedError | None:
    """What the service's refusal means; None for failures that every call to the Hub shares."""
    if not isinstance(error, HfHubHTTPError):
        return None
    status, quoted = error.response.status_code, _quoted(error)
    if status == 401:
        return RefusedError("The Hub does not accept the token for Inference Endpoints; it is wrong or has expired.",
                        f"Make one with write access and the permission for Inference Endpoints at {TOKENS_PAGE}.",
                        FIELD)
    if status == 402:
        return RefusedError(f"The Hub asks for a means of payment of {namespace}{quoted}.",
                        f"Add a card or credits at {BILLING_PAGE}, then try again.", FIELD)
    if status == 403:
        return RefusedError(f"The token may not manage Inference Endpoints of {namespace}{quoted}.",
                        f"Use a token of {namespace} with the permission for Inference Endpoints from {TOKENS_PAGE}.",
                        FIELD)
    if status == 404:
        return RefusedError(f"There is no endpoint {name} of {namespace}; it was deleted elsewhere.",
                        "Delete it here too, then rent again where you need it.", FIELD)
    if status == 409 or (status == 400 and "already exists" in quoted):
        return RefusedError(f"{namespace} has an endpoint called {name} already.", "Give this one another name.", FIELD)
    if "quota" in quoted.lower():
        return RefusedError(f"The quota of {namespace} for this machine is used up{quoted}.",
                        f"Choose another machine, or ask for more at {SERVICE_PAGE}.", FIELD)
    if status in (400, 422):
        return RefusedError(f"The service refused the request while {doing}{quoted}.",
                        "Choose another machine or region.", FIELD)
    return None

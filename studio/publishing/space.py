"""A chat demo of a pushed model as a Space of its own: what it holds, what is checked first, and the push itself.

The files come from `space_template/`. A token is put into the Space only where a person typed one for that purpose.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from huggingface_hub import HfApi, SpaceCardData

from studio import words
from studio.errors import HubError, RunError
from studio.publishing import deploy_model, hub
from studio.publishing.calls import explained, patiently
from studio.publishing.names import is_local
from studio.publishing.push import Reporter, Watchdog, run_phase
from studio.publishing.pushed import last_push
from studio.publishing.release import ReleaseFile
from studio.publishing.upload import Destination, push_files
from studio.runs.estimates import SPACE_PRICES
from studio.runs.events import EventWriter
from studio.runs.store import RunView

TEMPLATE = Path(__file__).parent / "space_template"
REQUEST = "space.json"
FIELD = "space"
# the variable in which a token typed for the Space reaches the process that adds it
TOKEN_VARIABLE = "STUDIO_SPACE_TOKEN"
FREE_HARDWARE = "cpu-basic"
# memory in bytes that a model may fill on each, of the GPU where there is one
HARDWARE_BYTES = {
    "cpu-basic": 16e9, "cpu-upgrade": 32e9, "t4-small": 16e9, "t4-medium": 16e9, "l4x1": 24e9, "a10g-small": 24e9,
    "l40sx1": 48e9, "a100-large": 80e9,
}
# paid hardware goes to sleep after so long without a visitor, in seconds
SLEEP_S = 3600
CPU_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu\n"
SDK_VERSION, PYTHON_VERSION = "6.31.0", "3.11"
COMMIT = "Chat demo of {model}"
MAX_EXAMPLES, MAX_EXAMPLE_CHARACTERS = 4, 500


@dataclass(frozen=True)
class SpaceRequest:
    """A demo Space: where to, for whom to see, on what, and what it says. Never a token.

    `base` is the base model of an adapter, "" for a whole model; `folder` is the adapter's within its repository.
    `revision` is the commit that the push made, `base_revision` what the adapter was trained on; `adapter_settings`
    says that generation settings lie beside the adapter.
    """

    repo_id: str
    model: str
    model_is_private: bool
    title: str
    description: str
    system_prompt: str
    max_length: int
    max_new_tokens: int
    base: str = ""
    folder: str = ""
    revision: str = "main"
    base_revision: str = "main"
    adapter_settings: bool = False
    examples: tuple[str, ...] = ()
    private: bool = True
    hardware: str = FREE_HARDWARE


def plan(view: RunView, repo_id: str = "", *, private: bool = True, hardware: str = FREE_HARDWARE,
         examples: tuple[str, ...] = ()) -> SpaceRequest:
    """The demo of a run's pushed model. Raises `RunError`: not pushed, no chat, an adapter whose base is not on the
    Hub, hardware that is unknown or too small."""
    model = deploy_model.model_on_hub(view)
    if model is None or not (model.merged or model.adapter):
        raise RunError("A demo needs the model on the Hub's main branch, and this run was not pushed there.",
                       "Publish the model first.", FIELD)
    if not model.is_chat:
        raise RunError("The demo is a chat, and this model has no chat template: it continues texts.",
                       "Train it with model.chat_template=chatml to chat with it.", FIELD)
    if not model.merged and is_local(view.preset.model.model_name_or_path):
        raise RunError("Only the adapter is on the Hub, and its base model is not.", "Publish the merged model.", FIELD)
    _check_hardware(model, hardware)
    name = model.merged or model.adapter
    return SpaceRequest(
        repo_id.strip() or f"{name}-demo", name, model.private, view.name, view.preset.description,
        model.system_prompt, model.max_length, model.max_new_tokens, "" if model.merged else model.base,
        "" if model.merged else model.folder, _commit(view, name), view.preset.model.model_revision,
        not model.merged and model.adapter_settings,
        tuple(example[:MAX_EXAMPLE_CHARACTERS] for example in examples[:MAX_EXAMPLES]), private, hardware)


def memory_bytes(model: deploy_model.Model, hardware: str) -> float | None:
    """What the demo takes of the hardware's memory: 32 bit on a CPU, 16 bit on a GPU; None where it is not known."""
    if model.shape is None:
        return None
    per_weight = 4 if hardware.startswith("cpu") else 2
    return deploy_model.serving_bytes(model, per_weight * model.shape.parameters, deploy_model.GPU_SERVER_BYTES)


def require_confirmed(hardware: str, confirmed: bool) -> None:
    """Raise `HubError` for hardware that costs money where nobody said yes to its price."""
    if hardware != FREE_HARDWARE and not confirmed:
        raise HubError(f"{hardware} costs {words.money(SPACE_PRICES[hardware])} an hour while the Space runs.",
                       "Confirm that you want to pay for it, or take the free hardware.", FIELD)


def smallest_hardware(model: deploy_model.Model) -> str:
    """The cheapest hardware that holds the model, free if that does; "" where none does."""
    fitting = [name for name, size in HARDWARE_BYTES.items() if (memory_bytes(model, name) or 0) <= size]
    return min(fitting, key=lambda name: SPACE_PRICES[name], default="")


def check_space(request: SpaceRequest, token: str | None, *, endpoint: str | None = None,
                limit_s: float = hub.CHECK_LIMIT_S) -> str:
    """Check token, name and what is there already; returns the Space's full name. Raises `HubError`."""
    check = hub.check_push(request.repo_id, token, private=request.private, kind="space", endpoint=endpoint,
                           limit_s=limit_s)
    if check.there is not None and not check.there.title.startswith(COMMIT.format(model="")):
        raise HubError(f'There is a Space {check.repo_id} already; its last commit is '
                       f'"{words.plain(check.there.title)}".', "Choose another name for the demo.", FIELD)
    return check.repo_id


def write_request(run_dir: Path, request: SpaceRequest) -> None:
    """Note the request, in place of an earlier one."""
    partial = run_dir / f".{REQUEST}.{os.getpid()}"
    partial.write_text(json.dumps(asdict(request), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / REQUEST)


def read_request(run_dir: Path) -> SpaceRequest:
    """The last request. Raises `RunError` where nothing was asked."""
    try:
        asked = json.loads((run_dir / REQUEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError("No demo Space was asked for.", "Make one on the run's page.", FIELD) from None
    return SpaceRequest(**asked | {"examples": tuple(asked["examples"])})


def stage(run_dir: Path, request: SpaceRequest) -> list[ReleaseFile]:
    """Write the Space's files into the run's folder and return them; app.py is sent as it is."""
    staged = run_dir / "space"
    staged.mkdir(exist_ok=True)
    demo = {name: value for name, value in asdict(request).items()
            if name not in ("repo_id", "model_is_private", "private", "hardware")}
    requirements = (TEMPLATE / "requirements.txt").read_text(encoding="utf-8")
    written = {
        "demo.json": json.dumps(demo, indent=2, ensure_ascii=False) + "\n",
        "README.md": _readme(request),
        # the usual build of torch brings gigabytes of CUDA along
        "requirements.txt": (CPU_INDEX if request.hardware.startswith("cpu") else "") + requirements,
        "app.py": (TEMPLATE / "app.py").read_text(encoding="utf-8"),
    }
    for name, content in written.items():
        (staged / name).write_text(content, encoding="utf-8")
    return [ReleaseFile(staged / name, name, (staged / name).stat().st_size) for name in written]


def make_space(run_dir: Path, silence_s: float) -> int:
    """The space phase of a run, in a process of its own; returns the exit code as `push.publish` does."""
    return run_phase(run_dir, "space", silence_s, _make)


def _make(run_dir: Path, journal: EventWriter, watchdog: Watchdog) -> dict:
    request = read_request(run_dir)
    watchdog.alive("checking the token and the Space")
    token, secret = hub.resolve_token(), os.environ.get(TOKEN_VARIABLE, "")
    repo_id = check_space(request, token, limit_s=watchdog.limit_s)
    files = stage(run_dir, request)
    api = HfApi(token=token)
    if secret:
        # before the files, so that the first start finds it
        watchdog.alive("creating the Space")
        patiently(lambda: api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=request.private,
                                          exist_ok=True), "creating the Space", repo_id)
        watchdog.alive("adding the secret HF_TOKEN")
        patiently(lambda: api.add_space_secret(repo_id, "HF_TOKEN", secret), "adding the secret HF_TOKEN", repo_id)
    result = push_files(files, Destination(repo_id, request.private), token, kind="space",
                        message=COMMIT.format(model=request.model),
                        on_progress=Reporter(journal, watchdog, [files], "space"))
    if request.hardware != FREE_HARDWARE:
        watchdog.alive("asking for the hardware")
        explained(lambda: api.request_space_hardware(repo_id, request.hardware, sleep_time=SLEEP_S),
                  "asking for the hardware", repo_id)
    return vars(result) | {"hardware": request.hardware, "settings_url": f"{result.url}/settings",
                           "needs_secret": request.model_is_private and not secret}


def _commit(view: RunView, repo_id: str) -> str:
    """The commit that the last push left in a repository."""
    pushed = last_push(view)
    assert pushed is not None  # the model on the Hub is of it
    return next(each["commit"] for each in pushed.get("repositories", [pushed]) if each["repo_id"] == repo_id)


def _check_hardware(model: deploy_model.Model, hardware: str) -> None:
    if not hardware:
        raise RunError("No hardware is chosen for the demo.", "Choose one; all but the first costs money.", FIELD)
    if hardware not in HARDWARE_BYTES:
        raise RunError(f"There is no hardware called {words.plain(hardware)}.",
                       f"Choose one of: {', '.join(HARDWARE_BYTES)}.", FIELD)
    need = memory_bytes(model, hardware)
    if need is not None and need > HARDWARE_BYTES[hardware]:
        enough = smallest_hardware(model)
        raise RunError(
            f"The demo needs about {words.size(need)}, and {hardware} has {words.size(HARDWARE_BYTES[hardware])}.",
            f"Choose {enough} or larger." if enough else "It is too large for these Spaces; serve it with vLLM.", FIELD)


def _readme(request: SpaceRequest) -> str:
    title = words.plain(request.title)  # a line of --- would end the head
    head = SpaceCardData(
        title=title, emoji="💬", colorFrom="gray", colorTo="green", sdk="gradio", sdk_version=SDK_VERSION,
        python_version=PYTHON_VERSION, app_file="app.py", models=[request.model], tags=["fine-tune-studio"],
        suggested_hardware=request.hardware, pinned=False)
    text = (TEMPLATE / "README.md").read_text(encoding="utf-8")
    return text.format(head=head.to_yaml(), title=title, model=request.model)

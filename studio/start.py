"""Everything between "start" and a working run, for every skin alike: the whole preflight, then the launch."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TypeVar

from studio.data import doctor_client
from studio.data.preview_client import preview
from studio.errors import CheckError, RunError, StudioError
from studio.evaluation.other import read_other, require_other
from studio.evaluation.request import EvaluateRequest
from studio.evaluation.request import write_request as write_evaluate_request
from studio.evaluation.slope import SHARES, clones_on_parts, may_have_slope
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.publishing.hub import check_push, resolve_token
from studio.publishing.release import model_files
from studio.publishing.request import PublishRequest, read_request, write_request
from studio.runs import launcher
from studio.runs.base_model import shape_of
from studio.runs.checks import Finding, check_device, check_disk, check_memory, check_settings
from studio.runs.device import Device, probe_device
from studio.runs.estimates import (
    MemoryEstimate,
    RowLengths,
    TimeEstimate,
    estimate_memory,
    estimate_money,
    estimate_time,
    price_per_hour,
)
from studio.runs.store import BASELINES, RunStore
from studio.settings import Settings

Answer = TypeVar("Answer")

LEVELS = ("error", "warning", "info")
# fields that matter only once something is trained, exported or published
OF_TRAINING = ("training.", "lora.", "method.", "export.", "publish.", "evaluation.early_stopping_patience")
NO_KEYS: Mapping[str, str] = {}
DATA_REPORT_FILE = "data_report.json"


@dataclass(frozen=True)
class Outlook:
    """What is known before a run: findings (worst first), device, and estimates where they can be made.

    `money` is in US dollars, None where the machine's price is not known.
    """

    findings: list[Finding]
    device: Device
    memory: MemoryEstimate | None = None
    time: TimeEstimate | None = None
    money: float | None = None

    @property
    def may_start(self) -> bool:
        return all(finding.level != "error" for finding in self.findings)


def look_ahead(preset: Preset, settings: Settings, token: str | None = None) -> Outlook:
    """The whole preflight of a preset here: takes seconds; what a person can mend is a finding, not an exception."""
    device = probe_device()
    findings = [*check_device(preset, device), *check_settings(preset)]
    seen = _try(findings, lambda: preview(preset, settings, rows=1, token=token))
    shape = _try(findings, lambda: shape_of(preset.model, settings, token))
    memory = time = money = None
    if seen is not None:
        findings += [Finding(**asdict(problem)) for problem in seen.problems]
    if shape is not None:
        lengths = RowLengths(seen.train_rows, seen.mean_tokens, seen.longest_tokens) if seen else None
        memory = estimate_memory(preset, shape, device, lengths)
        findings += check_memory(preset, memory, device)
        findings += check_disk(preset, shape, shutil.disk_usage(settings.data_dir).free)
        if lengths:
            time = estimate_time(preset, shape, device, lengths)
    price = price_per_hour(settings)
    if time is not None and price is not None:
        money = estimate_money(time.seconds, price)
    if preset.publish.push_to_hub:
        _try(findings, lambda: check_push(preset.publish.hub_model_id, resolve_token() if token is None else token,
                                          private=preset.publish.hub_private_repo))
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return Outlook(findings, device, memory, time, money)


def start(store: RunStore, preset: Preset, outlook: Outlook, *, name: str = "", origin: Preset | None = None,
          parent: str = "", token: str | None = None, keys: Mapping[str, str] = NO_KEYS) -> str:
    """Start a run whose preflight is `outlook`; returns its id. Raises `CheckError` if an error was found.

    What the data doctor found in just this data goes with the run. `keys` are those of other services, by variable.
    """
    _require_startable(outlook.findings)
    report = doctor_client.kept_report(preset, store.settings, token)
    run_id = launcher.start(
        store, preset, name=name, origin=origin, parent=parent,
        environment=child_environment(token, keys))
    if report is not None:
        (store.run_dir(run_id) / DATA_REPORT_FILE).write_text(json.dumps(report))
    return run_id


def start_baselines(store: RunStore, preset: Preset, outlook: Outlook, *, name: str = "", origin: Preset | None = None,
                    parent: str = "", token: str | None = None, keys: Mapping[str, str] = NO_KEYS) -> str:
    """Try what the untouched model reaches on the held-out rows, with nothing trained; returns the run's id.

    What would only keep the training from starting is no hindrance. Raises `CheckError` as `start` does.
    """
    hindrances = [finding for finding in outlook.findings if not finding.field.startswith(OF_TRAINING)]
    if not preset.evaluation.compare_rows:
        hindrances.append(Finding("error", "No held-out row shall be compared, so nothing can be tried.",
                                  "Set evaluation.compare_rows to 80.", "evaluation.compare_rows"))
    _require_startable(hindrances)
    return launcher.start(store, preset, name=name or f"{preset.name}, without tuning", origin=origin, parent=parent,
                          environment=child_environment(token, keys), kind=BASELINES)


def resume(store: RunStore, run_id: str, token: str | None = None) -> list[str]:
    """Continue a run; one that will push is checked for token and repository first. Returns the phases to come.

    Raises `RunError` (live, nothing left to do) or `HubError`.
    """
    view = store.get(run_id)
    token = token or resolve_token()
    if "publish" in launcher.remaining_phases(view):
        request = read_request(view.run_dir, view.preset)
        check_push(request.repo_id, token, private=request.private)
    return launcher.resume(store, run_id, child_environment(token))


def evaluate(store: RunStore, run_id: str, data: str = "", token: str | None = None, against: str = "") -> None:
    """Compare the ways again, on the rows of another data set and with another model (see other.py) where named.

    Raises `RunError` if the run is live, or the other model is not there.
    """
    if against:
        require_other(store, run_id, read_other(against))
    launcher.run_phases(store, run_id, ["evaluate"], child_environment(token),
                        prepare=lambda run_dir: write_evaluate_request(run_dir, EvaluateRequest(data, against)))


def start_slope(store: RunStore, run_id: str, token: str | None = None) -> list[str]:
    """Repeat a run's training on a quarter and on half of its rows, as far as that is not done; returns the new ids.

    The clones are judged by the same held-out rows and are neither merged nor published. Raises `RunError` for a run
    without judged answers, `CheckError` where the training cannot start.
    """
    view = store.get(run_id)
    if not may_have_slope(view):
        raise RunError(f"{view.name} has no judged answers that a part of its rows could be set against.",
                       "Compare it first, on its own held-out rows; they must hold questions and answers.")
    done = {clone.preset.data.train_share for clone in clones_on_parts(store, run_id)
            if clone.is_live or clone.report is not None}
    presets = [override(view.preset, {
        "data.train_share": share, "evaluation.few_shot_examples": 0, "evaluation.retrieval_rows": 0,
        "evaluation.guard": False, "evaluation.endpoint_url": "", "evaluation.judge_url": "",
        "export.save_merged": False, "publish.push_to_hub": False}) for share in SHARES if share not in done]
    outlook = look_ahead(presets[0], store.settings, token) if presets else None
    return [start(store, preset, outlook, name=f"{view.name}, {preset.data.train_share:.0%} of the rows",
                  origin=view.preset, parent=run_id, token=token) for preset in presets]


def publish(store: RunStore, run_id: str, request: PublishRequest, token: str | None = None) -> None:
    """Check token and repository, then push a finished run in a process of its own.

    Raises `HubError` (token, rights, name) or `RunError` (live, nothing trained).
    """
    token = token or resolve_token()
    model_files(store.run_dir(run_id), request.what)
    checked = check_push(request.repo_id, token, private=request.private)
    complete = PublishRequest(checked.repo_id, request.private, request.what)
    launcher.run_phases(store, run_id, ["publish"], child_environment(token),
                        prepare=lambda run_dir: write_request(run_dir, complete))


def _require_startable(findings: list[Finding]) -> None:
    """Raise `CheckError` with the first error among the findings."""
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        more = f" There are {len(errors) - 1} more problems." if len(errors) > 1 else ""
        raise CheckError(f"{errors[0].message}{more}", errors[0].hint, errors[0].field)


def child_environment(token: str | None = None, keys: Mapping[str, str] = NO_KEYS) -> dict[str, str]:
    """Hub token and keys of other services for a run's processes, where there are any; they travel in no other way."""
    token = token or resolve_token()
    given = {name: key.strip() for name, key in keys.items() if key.strip()}
    return given | ({"HF_TOKEN": token} if token else {})


def _try(findings: list[Finding], check: Callable[[], Answer]) -> Answer | None:
    """The check's answer, or None with its failure among the findings; the same failure is noted once."""
    try:
        return check()
    except StudioError as error:
        finding = Finding.of(error)
        if finding not in findings and not any(known.field and known.field == finding.field for known in findings):
            findings.append(finding)
        return None

"""Everything between "start" and a working run, for every skin alike: the whole preflight, then the launch."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from studio.data import doctor_client, doctor_reports
from studio.data.preview_client import preview
from studio.errors import CheckError, RunError, StudioError
from studio.evaluation.costs import training_price
from studio.evaluation.other import read_other, require_other
from studio.evaluation.request import EvaluateRequest, comparison_settings
from studio.evaluation.request import read_request as read_evaluate_request
from studio.evaluation.request import write_request as write_evaluate_request
from studio.evaluation.slope import SHARES, clones_on_parts, may_have_slope
from studio.preset.files import override
from studio.preset.schema import Preset, PublishSection
from studio.publishing import exports, parity, space
from studio.publishing.gguf_request import GgufRequest
from studio.publishing.gguf_request import write_request as write_gguf_request
from studio.publishing.hub import PushCheck, resolve_token
from studio.publishing.release import model_files
from studio.publishing.repositories import (
    check_request,
    commits_there,
    complete,
    confirm,
    exists_error,
    in_words,
    met_by_plan,
    replacing,
    require_confirmed,
    unconfirmed,
)
from studio.publishing.request import cancel_request, read_request, write_request
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
DATA_REPORT_FILE = doctor_reports.REPORT_FILE


@dataclass(frozen=True)
class Outlook:
    """What is known before a run: findings (worst first), device, and estimates where they can be made.

    `money` is in US dollars, None where the machine's price is not known. `meets` holds the repositories that the
    planned push would write to although they hold something, by name, with their last commits; `replaced` says so in
    words, "" where it needs nobody's yes.
    """

    findings: list[Finding]
    device: Device
    memory: MemoryEstimate | None = None
    time: TimeEstimate | None = None
    money: float | None = None
    meets: dict[str, str] = field(default_factory=dict)
    replaced: str = ""

    @property
    def may_start(self) -> bool:
        return all(finding.level != "error" for finding in self.findings)


def look_ahead(preset: Preset, settings: Settings, token: str | None = None,
               tell: Callable[[str], None] = lambda part: None) -> Outlook:
    """The whole preflight of a preset here: takes seconds; what a person can mend is a finding, not an exception.

    `tell` hears which part begins, where it takes time: rows, model or hub.
    """
    device = probe_device()
    findings = [*check_device(preset, device), *check_settings(preset)]
    tell("rows")
    seen = _try(findings, lambda: preview(preset, settings, token))
    tell("model")
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
    price = training_price(preset.plan, price_per_hour(settings))
    if time is not None and price is not None:
        money = estimate_money(time.seconds, price)
    met: list[PushCheck] = []
    if preset.publish.push_to_hub:
        tell("hub")
        met = _try(findings, lambda: met_by_plan(preset.publish, resolve_token() if token is None else token)) or []
        findings += [Finding("warning", replacing(check), "Start only if you mean this repository.",
                             "publish.hub_model_id") for check in met]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    return Outlook(findings, device, memory, time, money, commits_there(met), in_words(met))


def start(store: RunStore, preset: Preset, outlook: Outlook, *, name: str = "", origin: Preset | None = None,
          parent: str = "", token: str | None = None, keys: Mapping[str, str] = NO_KEYS, confirmed: bool = False,
          told: str | None = None) -> str:
    """Start a run whose preflight is `outlook`; returns its id.

    What the data doctor found in just this data goes with the run; where it has not looked yet, the training has it
    look. `keys` are those of other services, by variable.

    `confirmed` says yes to the repositories that hold something and that the planned push would write to. It counts
    only where `told`, what the person has read of them, still holds; None takes it as it is. Raises `CheckError` if an
    error was found, `ExistsError` where such a yes is missing.
    """
    _require_startable(outlook.findings)
    if outlook.replaced and not (confirmed and told in (None, outlook.replaced)):
        raise exists_error(outlook.replaced, "--set publish.create_pr=true")
    report = doctor_client.kept_report(preset, store.settings, token)

    def keep_report(run_dir: Path) -> None:
        if report is not None:
            doctor_reports.write(report, run_dir / DATA_REPORT_FILE)

    run_id = launcher.start(
        store, preset, name=name, origin=origin, parent=parent,
        environment=child_environment(token, keys), prepare=keep_report)
    if outlook.meets:
        confirm(store.run_dir(run_id), preset.publish, outlook.meets)
    return run_id


def start_baselines(store: RunStore, preset: Preset, outlook: Outlook, *, name: str = "", origin: Preset | None = None,
                    parent: str = "", token: str | None = None, keys: Mapping[str, str] = NO_KEYS) -> str:
    """Try what the untouched model reaches on the held-out rows, with nothing trained; returns the run's id.

    What would only keep the training from starting is no hindrance. Raises `CheckError` as `start` does.
    """
    hindrances = [finding for finding in outlook.findings if not finding.field.startswith(OF_TRAINING)]
    if not preset.evaluation.compare_rows:
        hindrances.append(Finding("error", "No held-out row is to be compared, so nothing can be tried.",
                                  "Set evaluation.compare_rows to 80.", "evaluation.compare_rows"))
    _require_startable(hindrances)
    return launcher.start(store, preset, name=name or f"{preset.name}, without tuning", origin=origin, parent=parent,
                          environment=child_environment(token, keys), kind=BASELINES)


def resume(store: RunStore, run_id: str, token: str | None = None, keys: Mapping[str, str] = NO_KEYS) -> list[str]:
    """Continue a run; one that will push is checked for token and repository first. Returns the phases to come.

    `keys` as for `start`: those pasted there ended with its processes.
    Raises `RunError` (live, nothing left to do) or `HubError`.
    """
    view = store.get(run_id)
    token = token or resolve_token()
    phases = launcher.remaining_phases(view)
    if "publish" in phases:  # a training forgets what was asked of the earlier weights
        check_request(view.preset.publish if "train" in phases else read_request(view.run_dir, view.preset), token)
    return launcher.resume(store, run_id, child_environment(token, keys))


def evaluate(store: RunStore, run_id: str, data: str = "", token: str | None = None, against: str = "",
             settings: Iterable[tuple[str, Any]] = (), keys: Mapping[str, str] = NO_KEYS) -> None:
    """Compare the ways again, on the rows of another data set and with another model (see other.py) where named.

    `settings` are fields of the groups evaluation and plan with values in place of the preset's: those of evaluation
    hold for this comparison, those of plan stay with the run. `keys` as for `start`. Raises `RunError` if the run is
    live, or the other model is not there, `PresetError` for a field that no comparison reads, or a bad value.
    """
    if against:
        require_other(store, run_id, read_other(against))
    request = EvaluateRequest(data, against, comparison_settings(store.get(run_id).preset, settings))
    launcher.run_phases(store, run_id, ["evaluate"], child_environment(token, keys),
                        prepare=lambda run_dir: write_evaluate_request(run_dir, request))


def start_slope(store: RunStore, run_id: str, token: str | None = None) -> list[str]:
    """Repeat a run's training on a quarter and on half of its rows, as far as that is not done; returns the new ids.

    The clones are judged by the same held-out rows and are neither merged nor published. Raises `RunError` for a run
    without judged answers, `CheckError` where the training cannot start.
    """
    view = store.get(run_id)
    if not may_have_slope(view):
        raise RunError(f"{view.name} has no judged answers that a part of its rows could be set against.",
                       "Compare it first, on its own held-out rows and by another metric than perplexity; they must "
                       "hold questions and answers.")
    done = {clone.preset.data.train_share for clone in clones_on_parts(store, run_id)
            if clone.is_live or clone.report is not None}
    # judged as the run was judged last
    presets = [override(view.preset, read_evaluate_request(view.run_dir).settings | {
        "data.train_share": share, "evaluation.few_shot_examples": 0, "evaluation.retrieval_rows": 0,
        "evaluation.guard": False, "evaluation.endpoint_url": "", "evaluation.judge_url": "",
        "export.save_merged": False, "publish.push_to_hub": False}) for share in SHARES if share not in done]
    outlook = look_ahead(presets[0], store.settings, token) if presets else None
    return [start(store, preset, outlook, name=f"{view.name}, {preset.data.train_share:.0%} of the rows",
                  origin=view.preset, parent=run_id, token=token) for preset in presets]


def export_gguf(store: RunStore, run_id: str, kinds: Sequence[str], token: str | None = None) -> None:
    """Write GGUF files of the kinds named, after a merge where the merged model is missing or older than the adapter.

    Raises `PresetError` for a kind there is not, `RunError` if the run is live or has no trained model.
    """
    view = store.get(run_id)
    chosen = override(view.preset, {"export.gguf": list(kinds)}).export.gguf
    if not chosen:
        raise RunError("No kind of GGUF file is chosen.", "Choose at least one; q4_k_m suits most.", "export.gguf")
    phases = ["gguf"] if exports.is_merged(view.run_dir) or not view.has_adapter else ["merge", "gguf"]
    launcher.run_phases(store, run_id, phases, child_environment(token),
                        prepare=lambda run_dir: write_gguf_request(run_dir, GgufRequest(chosen)))


def publish(store: RunStore, run_id: str, request: PublishSection, token: str | None = None, *,
            confirmed: bool = False, told: str | None = None) -> None:
    """Check token and repositories, then push a finished run in a process of its own.

    Exports that were not compared with the trained model as they are now are compared first.

    `confirmed` says that a repository which holds something may be written to as it is now; one that this run was
    pushed to before needs no such word. It counts only where `told`, what the person has read of these repositories,
    still holds; None takes it as it is. Raises `HubError` (token, rights, name), `ExistsError`, or `RunError` (live,
    nothing trained, an export that answers otherwise than the trained model).
    """
    token = token or resolve_token()
    run_dir = store.run_dir(run_id)
    model_files(run_dir, request.what)
    checks = check_request(request, token, run_dir)
    asked = complete(request, checks)
    named = unconfirmed(run_dir, asked, checks)
    if confirmed and told in (None, in_words(named)):
        confirm(run_dir, asked, commits_there(named))
    require_confirmed(run_dir, asked, checks)
    unchecked = parity.needs_check(run_dir, parity.forms_of(run_dir, asked.what))
    launcher.run_phases(store, run_id, ["parity", "publish"] if unchecked else ["publish"], child_environment(token),
                        prepare=lambda run_dir: write_request(run_dir, asked))


def cancel_publish(store: RunStore, run_id: str) -> None:
    """End a push, also one that is paused, and keep the preset's from taking its place until somebody asks again.

    Nothing of it shows on the Hub; a repository that a running push has made is removed where it is still empty, that
    of a paused one stays. Raises `RunError` while the run does something else: it would fail at the push.
    """
    view = store.get(run_id)
    if view.is_live and not view.state.pushes:
        raise RunError(f"{view.name} pushes nothing at the moment; it is at work on something else.",
                       "Stop it, or cancel the push once it runs.")
    # first, so that a push which begins just now reads it
    cancel_request(view.run_dir)
    if view.is_live:
        launcher.stop(store, run_id)


def make_space(store: RunStore, run_id: str, request: space.SpaceRequest, token: str | None = None,
               space_token: str = "", *, confirmed: bool = False) -> None:
    """Check token and name, then make a demo Space of a pushed run in a process of its own.

    `space_token` is put into the Space as its secret HF_TOKEN; it was typed for just that. `confirmed` says that what
    its hardware costs will be paid. Raises `HubError` (price, token, rights, name) or `RunError` (live).
    """
    space.require_confirmed(request.hardware, confirmed)
    token = token or resolve_token()
    asked = replace(request, repo_id=space.check_space(request, token))
    launcher.run_phases(store, run_id, ["space"], child_environment(token, {space.TOKEN_VARIABLE: space_token}),
                        prepare=lambda run_dir: space.write_request(run_dir, asked))


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

"""What the Publish tab says: which runs can be published, their files, the card, and how a push stands. No Gradio here.

Names and cards are hostile text: everything goes through a template that escapes it, or through Gradio's sanitiser.
"""

import base64
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import words
from studio.errors import HubError, RunError, StudioError
from studio.preset import files as preset_files
from studio.preset.schema import Preset, PublishSection
from studio.publishing import card, deploy, deploy_model, hub, licences, release
from studio.publishing.card_doubts import doubts
from studio.publishing.licences import Licence
from studio.publishing.loss_curve import draw_loss_curve
from studio.publishing.release import CURVE, ReleaseFile
from studio.publishing.repositories import check_request, complete, in_words, unconfirmed
from studio.publishing.request import Target, is_cancelled, last_request, read_request, targets
from studio.publishing.run_facts import RunFacts
from studio.runs.events import PhaseState
from studio.runs.store import RunStore, RunView
from studio.texts import text

HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
LOOK_UP_LIMIT_S = 8
# what not every push has, and an earlier studio did not know
UNSAID = {"collection": "", "revision": "", "tag": "", "pull_request": ""}
# the fields of the schema that the form asks, in its order
FIELDS = ("what", "hub_model_id", "hub_private_repo", "separate_repos", "hub_revision", "hub_tag", "create_pr",
          "hub_collection", "load_test")
# what happens between the click and the model on the Hub
STEPS = ("parity", "publish")
Standing = Literal["new", "busy", "pushing", "paused", "failed", "done"]

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)
_templates.globals.update(text=text, words=words)


@dataclass(frozen=True)
class LookedUp:
    """What the Hub said: whose token it is (or why that is not known), and the base model's licence as one string
    (`licences.Licence.packed`), "" if unknown.

    `orgs` are the organisations that the token may publish under.
    """

    account: str
    problem: str
    licence: str
    orgs: tuple[str, ...] = ()


def choices(store: RunStore) -> list[tuple[str, str]]:
    """The runs that have something to publish, newest first, as (label, run id)."""
    return [(f"{view.name} ({words.age(view.info['created_at'])})", view.run_id)
            for view in store.list() if view.has_merged or view.has_adapter]


def proposed(view: RunView) -> PublishSection:
    """What the form starts with: the last request, else the preset's, else a name made from the run's."""
    asked = read_request(view.run_dir, view.preset)
    offered = release.available(view.run_dir)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", view.name).strip("-.") or "my-model"
    return asked.model_copy(update={
        "hub_model_id": asked.hub_model_id or slug, "push_to_hub": False,
        "what": [form for form in asked.what if form in offered] or offered[:1]})


def standing(view: RunView) -> Standing:
    """Where the run's publishing stands; busy means that another phase is at work, paused that a push was stopped
    and not cancelled."""
    if view.is_live:
        cancelled = view.state.phase == "parity" and not _is_asked_for(view)
        return "pushing" if view.state.pushes and not cancelled else "busy"
    name, step = _step(view)
    if name == "publish" and step.result is not None:
        return "done"
    if step.error:
        return "failed"
    return "paused" if name and _is_asked_for(view) else "new"


def _is_asked_for(view: RunView) -> bool:
    """Whether a push is wanted: by the last request, or where there was none by the run's plan; not one that was
    cancelled."""
    if last_request(view.run_dir):
        return True
    return not is_cancelled(view.run_dir) and view.preset.publish.push_to_hub


def _step(view: RunView) -> tuple[str, PhaseState]:
    """The step that publishing is at: the push, or the check of the exports before it while that has not ended well.

    A check that was asked for by itself is no step of a push.
    """
    begun = {name: view.state.phases[name] for name in STEPS if name in view.state.phases}
    check, push = begun.get("parity"), begun.get("publish")
    if check is not None and "publish" in check.asked and check.result is None and (
            push is None or check.started_at > push.started_at):
        return "parity", check
    return ("publish", push) if push is not None else ("", PhaseState())


def status_html(view: RunView) -> str:
    """How the push stands: progress, or the failure with its next step, or the result with some ways to use it."""
    stands, (name, phase) = standing(view), _step(view)
    result = phase.result or {} if name == "publish" else {}
    model = deploy_model.model_on_hub(view) if result else None
    return _render(
        "publish_status.html", stands=stands, view=view, phase=phase, result=UNSAID | result,
        repositories=[UNSAID | pushed for pushed in result.get("repositories", [result])], loaded=_loaded(result),
        examples=deploy.usage_examples(model) if model else [], share=phase.done / phase.total if phase.total else None,
        of_bytes=phase.unit == "bytes")


def _loaded(result: dict[str, Any]) -> list[dict[str, Any]]:
    """What was loaded from the Hub after a push; an earlier studio loaded the first repository alone."""
    tried = result.get("load_test")
    if not tried:
        return []
    return tried.get("loaded") or [tried | {"repo_id": result["repo_id"], "file": "", "reason": ""}]


def files_html(view: RunView, request: PublishSection, licence: str, card_text: str) -> str:
    """The files of a push with sizes, how far each is while a push runs, and the notes on card and licence."""
    curve, goals = _curve(view.run_dir, _journal_time(view)), targets(request)
    try:
        planned = [release.planned_files(view.run_dir, goal, len(card_text.encode()), len(curve)) for goal in goals]
    except RunError as error:
        return _render("publish_missing.html", error=error)
    files = [file for each in planned for file in each]
    (name, phase), stands = _step(view), standing(view)
    pushing = name == "publish" and stands in ("pushing", "paused")
    # repositories are counted once all bytes are sent
    sent = math.inf if phase.unit == "repositories" else phase.done
    marks = iter(file_marks(files, sent if pushing else 0, moving=stands == "pushing"))
    groups = [(goal.repo_id, [(file, next(marks)) for file in each]) for goal, each in zip(goals, planned, strict=True)]
    base, base_licence = view.preset.model.model_name_or_path, Licence.unpacked(licence)
    return _render("publish_files.html", groups=groups, marked=pushing, licence=str(base_licence), count=len(files),
                   base=base, conflicts=_conflicts(view, goals[0], card_text, base_licence),
                   total=sum(file.size_bytes for file in files))


def _conflicts(view: RunView, goal: Target, card_text: str, licence: Licence) -> list[str]:
    try:
        card.check(card_text)
    except RunError:
        return []  # said where the card is saved
    base, trained = view.preset.model.model_name_or_path, view.state.phases.get("train", PhaseState())
    return [*licences.conflicts(licences.stated_in(card_text), base, licence),
            *doubts(view.run_dir, goal, trained.ended_at)]


def file_marks(files: list[ReleaseFile], done_bytes: float, moving: bool = True) -> list[str]:
    """"sent", "sending" or "waiting" for each file: they go one after the other, and none while nothing is `moving`."""
    marks, behind = [], 0
    for file in files:
        sending = moving and "sending" not in marks and "waiting" not in marks
        behind += file.size_bytes
        marks.append("sent" if behind <= done_bytes else "sending" if sending else "waiting")
    return marks


def card_text(view: RunView, request: PublishSection, licence: str) -> str:
    """The card as it would be pushed now, to the first repository."""
    return card.current(view.run_dir, targets(request)[0], Licence.unpacked(licence))


def card_preview(view: RunView, written: str) -> str:
    """The card as Markdown for the page: without its head, with the curve inside the text."""
    curve = _curve(view.run_dir, _journal_time(view))
    body = HEAD.sub("", written, count=1)
    return body.replace(f"({CURVE})", f"(data:image/png;base64,{base64.b64encode(curve).decode()})") if curve else body


def head_html(written: str) -> str:
    """The card's YAML head, folded: the Hub shows it as tags."""
    found = HEAD.match(written)
    return _render("publish_head.html", head=found[1]) if found else ""


def note_html(edited: bool) -> str:
    """Whether the card is the studio's or a person's."""
    return _render("publish_note.html", note=text("publish.card.edited" if edited else "publish.card.fresh"))


def look_up(view: RunView, token: str | None) -> LookedUp:
    """Ask the Hub for what the form shows of it; takes some seconds and never fails."""
    if token is None:
        return LookedUp("", "", "")
    try:
        account = hub.whose_token(token, limit_s=LOOK_UP_LIMIT_S)
    except HubError as error:
        return LookedUp("", str(error), "")
    try:
        licence = hub.stated_licence(view.preset.model.model_name_or_path, token, limit_s=LOOK_UP_LIMIT_S).packed()
    except HubError:
        licence = ""  # the push asks again, and says so
    return LookedUp(account.name, "", licence, account.orgs)


def look_there(view: RunView, request: PublishSection, token: str | None) -> str:
    """What the push would replace in repositories that hold something and need a word of the person first; "" for
    nothing, and where that cannot be said: the push itself asks again. Takes some seconds."""
    if token is None:
        return ""
    try:
        checks = check_request(request, token, view.run_dir)
    except StudioError:
        return ""
    return in_words(unconfirmed(view.run_dir, complete(request, checks), checks))


def replaced_html(replaced: str) -> str:
    """What the push would replace, beside the box that says yes to it; titles of commits are hostile text."""
    return _render("publish_note.html", note=replaced)


def account_html(token: str | None, found: LookedUp | None) -> str:
    """Whose token it is. `found` None means that the Hub is being asked."""
    return _render("publish_account.html", has_token=token is not None, found=found)


def request_of(*values: Any) -> PublishSection:
    """The form as a request, from the values of FIELDS in order. Raises `PresetError` for what the schema refuses."""
    named = {f"publish.{name}": value.strip() if isinstance(value, str) else value
             for name, value in zip(FIELDS, values, strict=True)}
    return preset_files.override(Preset(), named).publish


def values_of(request: PublishSection) -> list[Any]:
    """A request as the values of FIELDS."""
    dumped = request.model_dump()
    return [dumped[name] for name in FIELDS]


def owners(found: LookedUp) -> list[str]:
    """Whom the repository can belong to."""
    return [found.account, *found.orgs] if found.account else []


def owned_by(owner: str, repo_id: str) -> str:
    """The repository's name under another owner."""
    return f"{owner}/{repo_id.split('/')[-1]}"


def empty_html() -> str:
    """What to do where no run can be published."""
    return _render("publish_empty.html")


@lru_cache(maxsize=8)
def _curve(run_dir: Path, _changed: float) -> bytes:
    """The run's loss curve, drawn once for each state of its journal; empty where there is too little to draw."""
    facts = RunFacts.read(run_dir)
    return draw_loss_curve(facts.losses, facts.eval_losses) or b""


def _journal_time(view: RunView) -> float:
    return (view.run_dir / "events.jsonl").stat().st_mtime


def _render(template: str, **values: Any) -> str:
    return _templates.get_template(template).render(**values)

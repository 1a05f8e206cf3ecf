"""What the Publish tab says: which runs can be published, their files, the card, and how a push stands. No Gradio here.

Names and cards are hostile text: everything goes through a template that escapes it, or through Gradio's sanitiser.
"""

import base64
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from studio import words
from studio.errors import HubError, RunError
from studio.publishing import card, hub, release
from studio.publishing.loss_curve import draw_loss_curve
from studio.publishing.release import CURVE, ReleaseFile, What
from studio.publishing.request import PublishRequest, read_request
from studio.publishing.run_facts import RunFacts
from studio.runs.events import PhaseState
from studio.runs.store import RunStore, RunView
from studio.texts import text

HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
LOOK_UP_LIMIT_S = 8
Standing = Literal["new", "busy", "pushing", "failed", "done"]

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
    trim_blocks=True, lstrip_blocks=True, auto_reload=False)
_templates.globals.update(text=text, words=words)


@dataclass(frozen=True)
class LookedUp:
    """What the Hub said: whose token it is (or why that is not known), and the base model's licence, "" if unknown."""

    account: str
    problem: str
    licence: str


def choices(store: RunStore) -> list[tuple[str, str]]:
    """The runs that have something to publish, newest first, as (label, run id)."""
    return [(f"{view.name} ({words.age(view.info['created_at'])})", view.run_id)
            for view in store.list() if view.has_merged or view.has_adapter]


def proposed(view: RunView) -> PublishRequest:
    """What the form starts with: the last request, else the preset's, else a name made from the run's."""
    asked = read_request(view.run_dir, view.preset)
    offered = release.available(view.run_dir)
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", view.name).strip("-.") or "my-model"
    return PublishRequest(asked.repo_id or slug, asked.private, asked.what if asked.what in offered else offered[0])


def standing(view: RunView) -> Standing:
    """Where the run's publishing stands; busy means that another phase is at work."""
    phase = view.state.phases.get("publish")
    if view.is_live:
        return "pushing" if view.state.phase == "publish" else "busy"
    if phase is None:
        return "new"
    return "done" if phase.result is not None else "failed"


def status_html(view: RunView) -> str:
    """How the push stands: progress, or the failure with its next step, or the result with three ways to use it."""
    stands, phase = standing(view), view.state.phases.get("publish", PhaseState())
    result = phase.result or {}
    request = read_request(view.run_dir, view.preset)
    pushed = PublishRequest(result["repo_id"], result["private"], result["what"]) if result else None
    examples = card.usage_examples(pushed, view.preset) if pushed else []
    return _render(
        "publish_status.html", stands=stands, view=view, phase=phase, result=result, examples=examples, request=request,
        share=phase.done / phase.total if phase.total else None,
        error=phase.error or view.state.error or text("publish.status.stopped"), hint=phase.hint or view.state.hint)


def files_html(view: RunView, request: PublishRequest, licence: str, card_text: str) -> str:
    """The files of a push with sizes, how far each is while a push runs, and the note on the licence."""
    try:
        curve = _curve(view.run_dir, _journal_time(view))
        files = release.planned_files(view.run_dir, request.what, len(card_text.encode()), len(curve))
    except RunError as error:
        return _render("publish_missing.html", error=error)
    phase = view.state.phases.get("publish", PhaseState())
    pushing = standing(view) == "pushing"
    marks = file_marks(files, phase.done if pushing else 0)
    return _render("publish_files.html", rows=list(zip(files, marks, strict=True)), marked=pushing, licence=licence,
                   total=sum(file.size_bytes for file in files), base=view.preset.model.model_name_or_path)


def file_marks(files: list[ReleaseFile], done_bytes: float) -> list[str]:
    """"sent", "sending" or "waiting" for each file: they go one after the other."""
    marks, behind = [], 0
    for file in files:
        sending = "sending" not in marks and "waiting" not in marks
        behind += file.size_bytes
        marks.append("sent" if behind <= done_bytes else "sending" if sending else "waiting")
    return marks


def card_text(view: RunView, request: PublishRequest, licence: str) -> str:
    """The card as it would be pushed now."""
    return card.current(view.run_dir, request, licence)


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
        account = hub.whose_token(token, limit_s=LOOK_UP_LIMIT_S).name
    except HubError as error:
        return LookedUp("", str(error), "")
    base = view.preset.model.model_name_or_path
    return LookedUp(account, "", hub.stated_licence(base, token, limit_s=LOOK_UP_LIMIT_S))


def account_html(token: str | None, found: LookedUp | None) -> str:
    """Whose token it is. `found` None means that the Hub is being asked."""
    return _render("publish_account.html", has_token=token is not None, found=found)


def request_of(repo_id: str, private: bool, what: What) -> PublishRequest:
    """The form as a request."""
    return PublishRequest(repo_id.strip(), private, what)


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

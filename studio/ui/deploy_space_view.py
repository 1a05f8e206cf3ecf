"""What the demo part of "Use it" says: whether a demo can be made, on which hardware, and how it stands. No Gradio."""

from dataclasses import dataclass
from typing import Literal

from studio import words
from studio.errors import RunError
from studio.publishing import deploy_model, space
from studio.publishing.pushed import pushed_mark
from studio.runs.estimates import SPACE_PRICES
from studio.runs.events import PhaseState
from studio.runs.store import RunView
from studio.texts import text
from studio.ui.deploy_view import render
from studio.ui.held_out import examples

Standing = Literal["impossible", "busy", "making", "new", "failed", "done"]


@dataclass(frozen=True)
class SpaceForm:
    """What the form starts with; `hardware` holds (label, name), and `chosen` is free or None."""

    repo_id: str
    hardware: list[tuple[str, str]]
    chosen: str | None
    asks_for_secret: bool


def standing(view: RunView) -> Standing:
    """Where the making of a demo stands."""
    phase = view.state.phases.get("space")
    if view.is_live:
        return "making" if view.state.phase == "space" else "busy"
    if problem(view):
        return "impossible"
    if phase is None:
        return "new"
    return "done" if phase.result is not None else "failed"


def problem(view: RunView) -> str:
    """Why no demo can be made of the run, "" where one can; that a model is too large is said by its hardware."""
    model = deploy_model.model_on_hub(view)
    if model is None:
        return text("deploy.space.unpushed")
    try:
        space.plan(view, hardware=space.smallest_hardware(model) or space.FREE_HARDWARE)
    except RunError as error:
        return str(error)
    return ""


def form(view: RunView) -> SpaceForm | None:
    """What to ask for a demo, None where none can be made."""
    model = deploy_model.model_on_hub(view)
    if model is None or problem(view):
        return None
    smallest = space.smallest_hardware(model)
    planned = space.plan(view, hardware=smallest)
    options = [(_option(model, name), name) for name in space.HARDWARE_BYTES]
    chosen = smallest if smallest == space.FREE_HARDWARE else None
    return SpaceForm(planned.repo_id, options, chosen, planned.model_is_private)


def to_confirm(hardware: str | None) -> list[tuple[str, str]]:
    """What to say yes to before hardware is paid for, as (label, hardware); nothing for the free one."""
    if hardware in (None, space.FREE_HARDWARE):
        return []
    return [(text("deploy.space.confirm_price", name=hardware, price=words.money(SPACE_PRICES[hardware])), hardware)]


def questions(view: RunView) -> tuple[str, ...]:
    """The held-out questions that a demo would show."""
    return tuple(found.prompt for found in examples(view, space.MAX_EXAMPLES))


def questions_html(view: RunView, wanted: bool) -> str:
    """The questions, before they are shown to others; nothing where none are wanted."""
    return render("deploy_questions.html", questions=questions(view)) if wanted else ""


def status_html(view: RunView) -> str:
    """How the demo stands: what is in the way, progress, failure, or where it is."""
    phase = view.state.phases.get("space", PhaseState())
    model = deploy_model.model_on_hub(view)
    return render("deploy_space.html", stands=standing(view), view=view, phase=phase, result=phase.result or {},
                  problem="" if view.is_live else problem(view), model=(model.merged or model.adapter) if model else "",
                  error=phase.error or view.state.error or text("deploy.space.stopped"),
                  hint=phase.hint or view.state.hint)


def form_mark(view: RunView) -> str:
    """Changes when the form starts with something else."""
    return f"{view.run_id} {pushed_mark(view)}"


def status_mark(view: RunView) -> str:
    """Changes when the status looks different."""
    phase = view.state.phases.get("space", PhaseState())
    return f"{form_mark(view)} {standing(view)} {phase.ended_at} {phase.message}"


def _option(model: deploy_model.Model, name: str) -> str:
    memory, price = words.size(space.HARDWARE_BYTES[name]), words.money(SPACE_PRICES[name])
    kind = "free" if name == space.FREE_HARDWARE else "cpu" if name.startswith("cpu") else "gpu"
    option = text(f"deploy.space.{kind}", name=name, memory=memory, price=price)
    fits = (space.memory_bytes(model, name) or 0) <= space.HARDWARE_BYTES[name]
    return option if fits else text("deploy.space.too_small", option=option)

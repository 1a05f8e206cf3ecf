"""What the Playground tab shows, worked out without Gradio: choices, state and counts as words."""

import html

from studio import words
from studio.errors import RunError
from studio.preset import files
from studio.runs.playground import Delta, PlaygroundStage, PlaygroundStatus, Target, checkpoints, rivals, weights_folder
from studio.runs.store import RUN_ID, RunStore, RunView
from studio.settings import Settings
from studio.texts import text

ICONS = {
    PlaygroundStage.EMPTY: "○", PlaygroundStage.LOADING: "◔", PlaygroundStage.READY: "●",
    PlaygroundStage.FAILED: "✕", PlaygroundStage.BUSY: "■",
}

Choices = list[tuple[str, str]]


def model_choices(settings: Settings, views: list[RunView]) -> Choices:
    """(label, value) of what can be talked to: runs with weights, newest first, then the base models known here."""
    runs = [(text("playground.choice.run", name=view.name, age=words.age(view.info["created_at"])), view.run_id)
            for view in views if weights_choices(view)]
    # a preset that cannot be read is told by the gallery of the Train tab
    presets = [*files.list_readable(settings)[0].values(), *(view.preset for view in views)]
    names = dict.fromkeys(preset.model.model_name_or_path for preset in presets)
    return runs + [(text("playground.choice.base", name=name), name) for name in names]


def weights_choices(view: RunView) -> Choices:
    """(label, value) of a run's weights: the final ones ("") and each checkpoint, newest first."""
    final = [(text("playground.choice.final"), "")] if weights_folder(view) else []
    return final + [(text("playground.choice.checkpoint", step=words.count(int(name.rsplit("-", 1)[1]))), name)
                    for name in checkpoints(view)]


def is_run(choice: str) -> bool:
    """Whether a choice names a run; anything else is a base model."""
    return RUN_ID.fullmatch(choice) is not None


def rival_choices(view: RunView, views: list[RunView]) -> Choices:
    """(label, value) of what a run can be compared with: its base model (""), then other runs, newest first."""
    return [(text("playground.base.label"), ""), *(
        (text("playground.choice.run", name=other.name, age=words.age(other.info["created_at"])), other.run_id)
        for other in rivals(view, views))]


def target_of(choice: str | None, weights: str | None, rival: str | None) -> Target:
    """The choice of the three drop-downs as what to load."""
    if is_run(choice or ""):
        return Target(run_id=choice, checkpoint=weights or "", rival=rival or "")
    return Target(model=(choice or "").strip())


def target_name(store: RunStore, target: Target) -> str:
    """A target as a person knows it: "quickstart, final weights"."""
    if not target.run_id:
        return target.model
    try:
        name = store.get(target.run_id).name
    except RunError:
        name = target.run_id
    step = target.checkpoint.rsplit("-", 1)[-1]
    which = text("playground.choice.checkpoint", step=step) if target.checkpoint else text("playground.choice.final")
    whole = f"{name}, {which[0].lower()}{which[1:]}"
    if not target.rival:
        return whole
    return text("playground.choice.against", name=whole, rival=target_name(store, Target(target.rival)))


def status_html(status: PlaygroundStatus, name: str) -> str:
    """The line that says whether a model is loaded; `name` is the target's."""
    stage = status.stage.value.lower()
    facts = {"name": name, "time": words.duration(status.seconds)}
    if status.stage is PlaygroundStage.READY:
        said = status.facts
        facts |= {"device": said["device"].upper(), "dtype": said["dtype"], "context": words.count(said["context"])}
    detail = " ".join(part for part in (status.message, status.hint) if part)
    if status.stage in (PlaygroundStage.READY, PlaygroundStage.LOADING) or not detail:
        detail = text(f"playground.state.{stage}.detail", **facts)
        if status.stage is PlaygroundStage.LOADING and status.message:
            detail += f" {status.message}."
    word = text(f"playground.state.{stage}.word")
    return (f'<p class="playground-state" data-stage="{stage}"><span aria-hidden="true">{ICONS[status.stage]}</span> '
            f"<strong>{html.escape(word)}</strong> <span>{html.escape(detail)}</span></p>")


def answer_facts(last: Delta) -> str:
    """Counts under an answer: "42 tokens in 0.8 s, 55 tokens/s; prompt 96 tokens; cut at the limit"."""
    parts = text(
        "playground.facts.counts", tokens=words.count(last.usage["completion_tokens"]),
        prompt=words.count(last.usage["prompt_tokens"]), time=f"{last.timings['total_s']:.1f} s",
        speed=words.figure(last.timings["tokens_per_s"]))
    return parts + (text("playground.facts.cut") if last.finish_reason == "length" else "")


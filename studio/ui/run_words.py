"""What a run's state means to a person: the word and icon of its stage, how far it is, what can be done next."""

from dataclasses import dataclass

from studio import words
from studio.evaluation.slope import may_have_slope
from studio.runs.events import RunStage
from studio.runs.launcher import planned_phases, remaining_phases
from studio.runs.store import BASELINES, RunView
from studio.texts import text

# outlines on a 16 by 16 grid; colour is never the only sign of a stage
ICONS = {
    RunStage.QUEUED: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 5v3.5l2.5 1.5",
    RunStage.STARTING: "M8 2a6 6 0 1 1-6 6",
    RunStage.RUNNING: "M5 3l8 5-8 5z",
    RunStage.STOPPING: "M5 4v8M11 4v8",
    RunStage.COMPLETED: "M3 8.5l3.5 3.5L13 4.5",
    RunStage.STOPPED: "M4 4h8v8H4z",
    RunStage.FAILED: "M4 4l8 8M12 4l-8 8",
    RunStage.LOST: "M2 14L8 2.5 14 14zM8 7v3M8 12v.2",
}
TONES = {
    RunStage.QUEUED: "waiting", RunStage.STARTING: "working", RunStage.RUNNING: "working",
    RunStage.STOPPING: "waiting", RunStage.COMPLETED: "good", RunStage.STOPPED: "waiting",
    RunStage.FAILED: "bad", RunStage.LOST: "bad",
}


# what a stop leaves, by phase: a training has a step to finish, the others end at once
KEPT = {"": "", "train": "", "baselines": "_answers", "evaluate": "_answers", "merge": "_model", "gguf": "_model",
        "parity": "_model", "publish": "_model", "space": "_model"}
UNITS = frozenset({"steps", "rows", "files", "answers", "verdicts", "questions", "texts"})


@dataclass(frozen=True)
class NextStep:
    """What to do now, in a sentence, and the actions on offer; `primary` is the one to take ("" for none).

    Actions: stop, stop_now, resume, talk, publish, evaluate, compare_with, slope, merge, clone, delete.
    """

    sentence: str
    primary: str
    actions: tuple[str, ...]
    resume_label: str = ""


@dataclass(frozen=True)
class PhaseMark:
    """One planned phase of a run and where it stands: done, now, failed, or ahead."""

    name: str
    word: str
    status: str


@dataclass(frozen=True)
class StageLook:
    """How a stage is shown: outline of its icon, colour class, word."""

    icon: str
    tone: str
    word: str


def stage_look(view: RunView) -> StageLook:
    """Icon, colour class and word of the run's stage."""
    stage = view.state.stage
    return StageLook(ICONS[stage], TONES[stage], stage_word(view))


def stage_word(view: RunView) -> str:
    """One or two words for the stage; while a phase works, the phase's own."""
    state = view.state
    if state.stage is RunStage.RUNNING and state.phase:
        return text(f"runs.phase_now.{state.phase}")
    return text(f"runs.stage.{state.stage.value.lower()}")


def progress_words(view: RunView) -> str:
    """How far the present phase is: "step 120 of 400, 6 min 20 s left"; "" where nothing is counted."""
    phase = view.state.phases.get(view.state.phase)
    if not phase or not phase.total:
        return ""
    if phase.unit == "bytes":
        done, total, unit = words.size(phase.done), words.size(phase.total), ""
    else:
        done, total = words.count(round(phase.done)), words.count(round(phase.total))
        unit = text(f"runs.unit.{phase.unit}") if phase.unit in UNITS else phase.unit
    amount = text("runs.progress.amount", done=done, total=total, unit=unit).strip()
    return ", ".join(part for part in (amount, eta_words(view)) if part)


def eta_words(view: RunView) -> str:
    """"6 min 20 s left", "" while it cannot be said."""
    if view.eta_s is None:
        return ""
    return text("runs.progress.eta", time=words.duration(max(1.0, view.eta_s)))


def phase_marks(view: RunView) -> list[PhaseMark]:
    """The phases of this run in order, those of its preset and any that were run besides."""
    state = view.state
    names = planned_phases(view.preset, view.kind)
    names += [name for name in ("evaluate", "merge", "gguf", "parity", "publish", "space")
              if name in state.phases and name not in names]
    return [PhaseMark(name, text(f"runs.phase.{name}"), _status(view, name)) for name in names]


def next_step(view: RunView) -> NextStep:
    """What to do with a run in this stage."""
    stage = view.state.stage
    kept = KEPT[view.state.phase]
    if stage is RunStage.STOPPING:
        return NextStep(text(f"runs.next.stopping{kept}"), "", ("stop_now",))
    if view.is_live:
        key = "queued" if stage is RunStage.QUEUED else f"live{kept}"
        return NextStep(text(f"runs.next.{key}"), "", ("stop", "clone"))
    later = (*_model_actions(view), "clone", "delete")
    left = remaining_phases(view)
    if view.kind == BASELINES and not left:
        return NextStep(text("runs.next.baselines"), "clone", later)
    if stage is RunStage.COMPLETED and not left:
        talkative = "talk" in later
        return NextStep(text("runs.next.completed" if talkative else "runs.next.completed_empty"),
                        "talk" if talkative else "clone", later)
    if not left:
        return NextStep(text("runs.next.nothing_left"), "talk" if "talk" in later else "", later)
    what = left[0] if left[0] in ("train", "baselines") else "later"
    sentence = text(f"runs.next.{stage.value.lower()}_{what}")
    # to resume is to do these again; "publish" leads to the form, where the name can be mended
    others = (action for action in later if action != left[0] or action == "publish")
    return NextStep(sentence, "resume", ("resume", *others), _resume_label(view, left[0]))


def action_label(view: RunView, action: str) -> str:
    """The label of an action's button; what was done before is done again."""
    phase = view.state.phases.get(action)
    again = phase is not None and phase.good is not None and action in ("evaluate", "merge")
    return text(f"runs.button.{action}_again" if again else f"runs.button.{action}")


def failed_where(view: RunView) -> str:
    """Heading over the cause: "Training failed at step 12"."""
    phase = view.state.phase or "train"
    if view.state.stage is RunStage.LOST:
        return text("runs.failure.lost")
    where = text(f"runs.failure.{phase}")
    return text("runs.failure.at_step", where=where, step=words.count(view.state.step)) \
        if phase == "train" and view.state.step else where


def _resume_label(view: RunView, phase: str) -> str:
    if phase == "train":
        return text("runs.button.resume" if view.state.checkpoints else "runs.button.start_again")
    return text(f"runs.button.retry_{phase}")


def _model_actions(view: RunView) -> tuple[str, ...]:
    """What a trained model allows."""
    if not (view.has_adapter or view.has_merged):
        return ()
    can_merge = view.has_adapter and not view.preset.method.full_finetuning
    has_parts = view.preset.evaluation.compare_rows > 0 and may_have_slope(view)
    return ("talk", "publish", "evaluate", "compare_with", *(["slope"] if has_parts else []),
            *(["merge"] if can_merge else []))


def _status(view: RunView, name: str) -> str:
    phase = view.state.phases.get(name)
    if view.is_live and view.state.phase == name:
        return "now"
    if phase and phase.error:
        return "failed"
    if phase and phase.good is not None:
        return "done"
    return "failed" if view.state.stage in (RunStage.FAILED, RunStage.LOST) and view.state.phase == name else "ahead"

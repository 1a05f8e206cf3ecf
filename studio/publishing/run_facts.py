"""What a run folder records of its training, for the model card; facts that were not recorded stay empty."""

import json
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from studio.errors import RunError
from studio.evaluation.request import kept_plan
from studio.evaluation.saved import read_report
from studio.preset import files
from studio.preset.schema import Preset
from studio.publishing import deploy_model
from studio.publishing.dataset import spoken
from studio.publishing.exports import list_exports
from studio.publishing.parity_words import card_prompts, card_words
from studio.runs.events import RunState, read_events
from studio.runs.trainings import Effort, training_effort

CARD_PACKAGES = ("unsloth", "trl", "transformers", "peft", "torch")


@dataclass(frozen=True)
class RunFacts:
    """One run's preset with its plan as it was written last, its report and record.

    Losses are (step, loss); `train_rows` is None before training, and `trained_at` is when it ended (ISO 8601), ""
    where that was not recorded.

    `languages` are ISO 639 codes, as the data doctor found them in the rows; `ggufs` the (kind, file) that were
    exported; `checked` what the parity check found as (form, line), and `checked_prompts` what it asked. `is_chat` says
    that the model formats chats, `learned_texts` that its rows were plain texts, `adapter_settings` that generation
    settings lie beside the adapter.
    """

    preset: Preset
    report: dict[str, Any] | None
    losses: list[tuple[int, float]]
    eval_losses: list[tuple[int, float]]
    steps: int
    trained_at: str
    effort: Effort
    train_rows: int | None
    heldout_rows: int | None
    device: str
    packages: dict[str, str]
    base_note: str
    languages: list[str]
    ggufs: list[tuple[str, Path]]
    checked: list[tuple[str, str]]
    checked_prompts: str
    is_chat: bool
    learned_texts: bool
    adapter_settings: bool

    @property
    def has_curve(self) -> bool:
        return len(self.losses) > 1

    @classmethod
    def read(cls, run_dir: Path) -> "RunFacts":
        """Read the folder of a run that has been trained."""
        state = RunState()
        for event in read_events(run_dir)[0]:
            state.apply(event)
        record, examined = _json(run_dir / "environment.json"), _json(run_dir / "data_report.json")
        preset = files.override(files.load(run_dir / "preset.yaml"), kept_plan(run_dir))
        return cls(
            preset=preset,
            report=_report(run_dir),
            losses=_series(state.logs, "loss"),
            eval_losses=_series(state.evals, "eval_loss"),
            steps=state.step,
            trained_at=state.phases["train"].ended_at if "train" in state.phases else "",
            effort=training_effort(run_dir),
            train_rows=record["rows"]["train"] if record else None,
            heldout_rows=record["rows"]["heldout"] if record else None,
            device=record["device"]["name"] if record else "",
            packages=_packages(record["packages"]) if record else {},
            base_note=record["base_model"]["note"] if record else "",
            languages=spoken(examined["languages"]) if examined else [],
            ggufs=[(export.kind, export.path) for export in list_exports(run_dir) if export.form == "gguf"],
            checked=card_words(run_dir), checked_prompts=card_prompts(run_dir),
            is_chat=deploy_model.formats_chats(run_dir), learned_texts=_learned_texts(run_dir, preset),
            adapter_settings=deploy_model.has_adapter_settings(run_dir))


def _report(run_dir: Path) -> dict[str, Any] | None:
    """The report; one that cannot be read says nothing, which the run's page tells and no publishing waits for."""
    try:
        return read_report(run_dir)
    except RunError:
        return None


def _learned_texts(run_dir: Path, preset: Preset) -> bool:
    """Whether the rows were plain texts, by the first that was trained on; by the preset where none is there."""
    try:
        with open(run_dir / "data" / "train.jsonl", encoding="utf-8", newline="\n") as rows:
            first = rows.readline()
    except FileNotFoundError:
        first = ""
    return "text" in json.loads(first) if first else preset.data.format == "text"


def _packages(recorded: dict[str, str]) -> dict[str, str]:
    return {name: recorded[name] for name in CARD_PACKAGES if name in recorded}


def _series(history: list[tuple[int, dict[str, float]]], metric: str) -> list[tuple[int, float]]:
    """(step, value) of the steps that logged a finite value."""
    return [(step, metrics[metric]) for step, metrics in history if metric in metrics and isfinite(metrics[metric])]


def _json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None

"""What a comparison was asked to use: `evaluate.json` in the run folder, written by the page or the command line.

Fields of the group evaluation hold for one comparison. Those of the group plan are what a person says of their use
case: they stay with the run, for later comparisons and for the model card.
"""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from studio import words
from studio.errors import PresetError
from studio.preset import files
from studio.preset.flatten import flatten
from studio.preset.schema import Preset

FILE = "evaluate.json"
PLAN = "plan."
SECTIONS = ("evaluation.", PLAN)
# of the group evaluation, but they steer the training
OF_TRAINING = frozenset({"evaluation.eval_strategy", "evaluation.eval_steps", "evaluation.early_stopping_patience"})
# a value may hold lines of its own, as evaluation.checks does
NEXT_SETTING = re.compile(r"\n(?=[ \t]*[a-z_]+\.[a-z_0-9]+[ \t]*=)")


@dataclass(frozen=True)
class EvaluateRequest:
    """The data set whose rows are asked, "" for the run's own held-out rows, another model to compare with
    (see other.py), "" for none, and by dotted name the fields to use in place of those of the run's preset."""

    data: str = ""
    against: str = ""
    settings: dict[str, Any] = field(default_factory=dict)


def read_assignments(written: str) -> list[tuple[str, str]]:
    """Settings as a person writes them, "field = value" on lines of their own, parted into name and value.

    Raises `PresetError` where a line is none.
    """
    settings = []
    for line in NEXT_SETTING.split(written.strip()) if written.strip() else []:
        name, sign, value = line.partition("=")
        if not sign:
            raise PresetError(f'"{words.plain(line, 80)}" sets nothing.', "Write evaluation.metric=chrf, one a line.")
        settings.append((name.strip(), value.strip()))
    return settings


def comparison_settings(preset: Preset, assignments: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """What a comparison is to do otherwise than the run's preset says, checked and as the schema reads it.

    Raises `PresetError` for a field that no comparison reads, or a bad value.
    """
    asked = dict(assignments)
    changed = flatten(files.override(preset, asked))
    for name in asked:
        if not name.startswith(SECTIONS) or name in OF_TRAINING:
            raise PresetError(f'"{name}" is not read by a comparison.',
                              "Change fields of the groups evaluation and plan; clone the run to train it otherwise.",
                              field=name)
    return {name: changed[name] for name in asked}


def write_request(run_dir: Path, request: EvaluateRequest) -> None:
    """Note what was asked for, in place of an earlier request; of that the plan stays, as far as it is not changed."""
    asked = asdict(replace(request, settings=kept_plan(run_dir) | request.settings))
    partial = run_dir / f".{FILE}.{os.getpid()}"
    partial.write_text(json.dumps(asked) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / FILE)


def forget_request(run_dir: Path) -> None:
    """Compare on the run's own held-out rows again, with no other run and by its preset; the plan stays."""
    if kept_plan(run_dir):
        write_request(run_dir, EvaluateRequest())
    else:
        (run_dir / FILE).unlink(missing_ok=True)


def kept_plan(run_dir: Path) -> dict[str, Any]:
    """The plan's fields that were written since the run was started, by dotted name."""
    return {name: value for name, value in read_request(run_dir).settings.items() if name.startswith(PLAN)}


def read_request(run_dir: Path) -> EvaluateRequest:
    """What was asked for last."""
    try:
        return EvaluateRequest(**json.loads((run_dir / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return EvaluateRequest()

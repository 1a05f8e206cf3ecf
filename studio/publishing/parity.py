"""Whether the exported files of a run answer as the trained model does: `parity.json`, written by the phase `parity`.

A form is something that can be published: "merged", "adapter", or a file such as "gguf/recipes.Q4_K_M.gguf", named by
its path in the run folder. A check counts only for the very files it was made of, and for the adapter it was made
against. Imports no torch; docs/parity.md says what is compared and what stops a push.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from studio.errors import RunError
from studio.publishing.exports import Export, is_own, list_exports

# a check of an older studio, which looked for less, does not count
RULES = 2
FILE = "parity.json"
ADAPTER, MERGED = "adapter", "merged"
# gigabytes: told apart by size and time, all else by content
WEIGHTS = frozenset({".safetensors", ".gguf"})
CHECK_FIRST = "Check it first: `python -m studio parity RUN`, or publish from the page, which checks by itself."

Outcome = Literal["same", "close", "differs", "unread", "refused"]
State = Literal["missing", "stale", "passed", "refused"]
Fingerprint = dict[str, str]


@dataclass(frozen=True)
class Difference:
    """Where the answers part: the prompt's number and the token's, counted from 1, and both texts from there on."""

    prompt: int
    token: int
    reference: str
    form: str


@dataclass(frozen=True)
class Figures:
    """How near a form is to the trained model.

    Greedy answers: `equal_tokens` and `equal_answers` are shares, `first` is the first difference. Teacher-forced
    reference answers: `max_abs` is the largest difference of a logit, `mean_kl` the mean Kullback-Leibler divergence in
    nats, `same_top` the share of places with the same likeliest token. worker/parity_figures.py holds the formulas.
    """

    equal_tokens: float
    equal_answers: float
    max_abs: float
    mean_kl: float
    same_top: float
    first: Difference | None = None


@dataclass(frozen=True)
class FormCheck:
    """What was found of one form. `sentence` and `hint` say why it is refused, or what one should know of it.

    `kind` is how its weights are stored ("bfloat16", "Q4_K_M"); `files` and `reference` are the fingerprints of what
    was checked and of the adapter it was checked against; without `figures` it could not be asked.
    """

    form: str
    kind: str
    outcome: Outcome
    files: Fingerprint
    reference: Fingerprint
    sentence: str = ""
    hint: str = ""
    figures: Figures | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Parity:
    """The checks of a run's forms; `prompts` were asked, taken from `source`. `mark` tells what was asked of which
    trained model from all else. `number_format` is where and in which one, "" where memory lacked to ask anything.

    `training_kl` is how far the untouched base model is from the trained one, in the measure of `Figures.mean_kl`: what
    the training changed. None where all weights were trained.
    """

    mark: str
    prompts: int
    source: Literal["heldout", "text", "guard"]
    number_format: str
    training_kl: float | None = None
    forms: dict[str, FormCheck] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """Whether forms may be published; `sentence` and `hint` say why not."""

    state: State
    sentence: str = ""
    hint: str = ""


def verdict(run_dir: Path, forms: Iterable[str]) -> Verdict:
    """Whether all of `forms` were checked as they are now and found sound. Reads small files only, no weights."""
    parity, unchecked = read(run_dir), Verdict("passed")
    for form in forms:
        check = parity.forms.get(form) if parity else None
        if check is None:
            unchecked = Verdict("missing", f"{name(form)} has not been compared with the trained model.", CHECK_FIRST)
        elif not is_current(run_dir, check):
            unchecked = Verdict("stale", f"{name(form)} has changed since it was compared with the trained model.",
                                CHECK_FIRST)
        elif check.outcome == "refused":
            return Verdict("refused", check.sentence, check.hint)
    return unchecked


def needs_check(run_dir: Path, forms: Iterable[str]) -> bool:
    """Whether the phase `parity` must run before these forms are published. Raises `RunError` where one is refused."""
    found = verdict(run_dir, forms)
    if found.state == "refused":
        raise RunError(found.sentence, found.hint)
    return found.state != "passed"


def require_parity(run_dir: Path, forms: Iterable[str]) -> None:
    """Raise `RunError` unless these forms were checked as they are now and found sound."""
    found = verdict(run_dir, forms)
    if found.state != "passed":
        raise RunError(found.sentence, found.hint)


def form_of(run_dir: Path, export: Export) -> str:
    """The name of an export here: its path in the run folder."""
    return export.path.relative_to(run_dir).as_posix()


def forms_of(run_dir: Path, what: Iterable[str]) -> list[str]:
    """The run's forms of the named kinds ("merged", "adapter", "gguf")."""
    return [form_of(run_dir, export) for export in list_exports(run_dir) if export.form in what]


def is_current(run_dir: Path, check: FormCheck) -> bool:
    """Whether a check was made of the files there are now."""
    return check.files == fingerprint(run_dir, check.form) and check.reference == fingerprint(run_dir, ADAPTER)


def fingerprint(run_dir: Path, form: str) -> Fingerprint:
    """What tells the files of a form from all others, by name: weights by size and time, the rest by content.

    Empty where the run has no such form.
    """
    path = run_dir / form
    paths = [path] if path.is_file() else sorted(path.rglob("*"))
    return {file.relative_to(run_dir).as_posix(): _mark(file) for file in paths
            if is_own(file, run_dir) and not any(part.startswith(".") for part in file.relative_to(run_dir).parts)}


def name(form: str) -> str:
    """A form at the head of a sentence."""
    return {MERGED: "The merged model", ADAPTER: "The adapter"}.get(form) or Path(form).name


def read(run_dir: Path) -> Parity | None:
    """What was checked, None where nothing was, or by a studio with other rules, or where the file is torn."""
    try:
        values = json.loads((run_dir / FILE).read_text(encoding="utf-8"))
        if values.pop("rules") != RULES:
            return None
        forms = {form: _form_check(check) for form, check in values.pop("forms").items()}
        return Parity(**values, forms=forms)
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write(run_dir: Path, parity: Parity) -> None:
    """Replace parity.json."""
    partial = run_dir / f".{FILE}"
    partial.write_text(json.dumps({"rules": RULES, **asdict(parity)}, indent=2, ensure_ascii=False) + "\n",
                       encoding="utf-8")
    os.replace(partial, run_dir / FILE)


def _form_check(values: dict[str, Any]) -> FormCheck:
    figures = values.pop("figures")
    if figures is not None:
        first = figures.pop("first")
        figures = Figures(**figures, first=Difference(**first) if first else None)
    return FormCheck(**values, figures=figures)


def _mark(path: Path) -> str:
    if path.suffix in WEIGHTS:
        found = path.stat()
        return f"{found.st_size} {found.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]

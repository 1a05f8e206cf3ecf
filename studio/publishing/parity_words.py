"""The parity check in words: a row a form, for page and terminal, and the sentences of the model card."""

from dataclasses import dataclass
from pathlib import Path

from studio import words
from studio.publishing import parity
from studio.publishing.exports import list_exports
from studio.publishing.parity import FormCheck, Parity
from studio.texts import text


@dataclass(frozen=True)
class FormRow:
    """One form: its name, figures as a person reads them ("" without), and what was found.

    `outcome` is that of the check, "stale" or "missing" where none holds, or "old" for what an earlier training left;
    `sentence` and `hint` go with it, `first`
    tells where the answers part.
    """

    name: str
    outcome: str
    verdict: str
    answers: str = ""
    tokens: str = ""
    kl: str = ""
    max_abs: str = ""
    sentence: str = ""
    hint: str = ""
    first: str = ""


@dataclass(frozen=True)
class ParityWords:
    """The rows of a run's forms; `asked` and `changed` say what the figures come from, "" before any check."""

    rows: list[FormRow]
    asked: str = ""
    changed: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether every form was checked as it is now."""
        return all(row.outcome not in ("stale", "missing") for row in self.rows)


def parity_words(run_dir: Path) -> ParityWords:
    """What is known of every form that a run has."""
    found, rows = parity.read(run_dir), []
    for export in list_exports(run_dir):
        form = parity.form_of(run_dir, export)
        check = found.forms.get(form) if found else None
        rows.append(_row(run_dir, form, check) if export.fresh else
                    FormRow(_name(form), "old", text("parity.verdict.old"),
                            sentence=text("parity.old", form=_name(form))))
    if found is None:
        return ParityWords(rows)
    changed = "" if found.training_kl is None else text("parity.changed", kl=words.figure(found.training_kl))
    return ParityWords(rows, _asked(found), changed)


def card_words(run_dir: Path) -> list[tuple[str, str]]:
    """(form, line) of each form that was checked as it is now, for the model card; form as in `Export.form`."""
    found, said = parity.read(run_dir), []
    for export in list_exports(run_dir) if found else []:
        check = found.forms.get(parity.form_of(run_dir, export))
        if check is None or not parity.is_current(run_dir, check):
            continue
        if check.outcome == "unread":
            said.append((export.form, f"{_name(check.form)}: {check.sentence}"))
        if check.figures is None:
            continue
        figures = check.figures
        said.append((export.form, (
            f"{_name(check.form)}: {words.percent(figures.equal_answers)} of the answers equal, same likeliest token "
            f"at {words.percent(figures.same_top)} of the places, mean KL divergence {words.figure(figures.mean_kl)} "
            f"nats a token, largest difference of a logit {words.figure(figures.max_abs)}")))
    return said


def card_prompts(run_dir: Path) -> str:
    """What was asked, as part of a sentence in the card; "" where nothing was."""
    kinds = {"heldout": "held-out prompts", "text": "beginnings of held-out texts", "guard": "general questions"}
    found = parity.read(run_dir)
    return f"{words.count(found.prompts)} {kinds[found.source]}" if found and found.number_format else ""


def _row(run_dir: Path, form: str, check: FormCheck | None) -> FormRow:
    if check is None or not parity.is_current(run_dir, check):
        outcome = "missing" if check is None else "stale"
        return FormRow(_name(form), outcome, text(f"parity.verdict.{outcome}"))
    verdict, figures = text(f"parity.verdict.{check.outcome}"), check.figures
    if figures is None:
        return FormRow(_name(form), check.outcome, verdict, sentence=check.sentence, hint=check.hint)
    first = text("parity.first", **vars(figures.first)) if figures.first else ""
    return FormRow(
        _name(form), check.outcome, verdict, words.percent(figures.equal_answers), words.percent(figures.equal_tokens),
        f"{words.figure(figures.mean_kl)} nats", words.figure(figures.max_abs), check.sentence, check.hint, first)


def _asked(found: Parity) -> str:
    if not found.number_format:
        return text("parity.asked.nothing")
    return text(f"parity.asked.{found.source}", count=words.count(found.prompts), where=found.number_format)


def _name(form: str) -> str:
    if form in (parity.MERGED, parity.ADAPTER):
        return text(f"parity.form.{form}")
    return text("parity.form.gguf", kind=Path(form).stem.rsplit("-", 1)[-1])

"""The phase `parity`: do the exported files of a run answer as the trained model does? Writes parity.json.

What the training used is the measure: base model and adapter weights with the preset's strength, the base's tokenizer
with the preset's chat template. Every form is then read from its own files alone: vocabulary, template, end of answers
and generation settings first, then its weights. One model is in memory at a time. docs/parity.md has the rules.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from studio import words
from studio.errors import ModelError, RunError
from studio.evaluation.answers import weights_mark
from studio.publishing import parity
from studio.publishing.exports import list_exports
from studio.publishing.parity import MERGED, FormCheck, Parity
from studio.publishing.request import is_cancelled, last_request
from studio.runs.device import probe_device
from studio.worker import base_model, parity_figures
from studio.worker.base_model import BaseModel
from studio.worker.parity_faults import Expected, Fault, find_fault
from studio.worker.parity_figures import Change, Logits, greedy_answers, score_answers
from studio.worker.parity_forms import (
    Opened,
    Place,
    check_heads,
    find_places,
    free,
    load_form,
    load_reference,
    no_place,
    no_room_to_unpack,
    open_form,
    settings_of,
    vocabulary_rows,
)
from studio.worker.parity_prompts import choose_prompts, special_ids, taught_end, with_dialogue
from studio.worker.phase import Phase
from studio.worker.tokenizer import load_tokenizer

# enough to see a model run on, drift or change its words
MAX_NEW_TOKENS = 64
CONTEXT_TOKENS = 4096
REFERENCE_FILE = ".parity.npz"
PARTS = ("values", "total", "top")


@dataclass(frozen=True)
class Trained:
    """The trained model's side: where it was asked, what it answered, and what it and the untouched base model computed
    at each token.

    `untouched` is None where all weights were trained.
    """

    place: Place
    answers: list[list[int]]
    logits: Logits
    untouched: Logits | None

    @property
    def training_kl(self) -> float | None:
        """How far the untouched base model is from the trained one, in nats a token."""
        return None if self.untouched is None else parity_figures.mean_divergence(self.logits, self.untouched)

    def change(self, form: Logits) -> Change | None:
        """What the training changed, beside a form."""
        if self.untouched is None:
            return None
        return Change(self.training_kl, parity_figures.mean_divergence(self.untouched, form))


def compare(phase: Phase) -> dict:
    """Check every form that the run has and that was not found sound as it is now; returns the phase's facts.

    Raises `RunError` where there is nothing to check, or where a form is refused that is to be published; of any form,
    where nothing is to be. Others are warned of.
    """
    exports = list_exports(phase.run_dir)
    forms = [parity.form_of(phase.run_dir, export) for export in exports if export.fresh]
    if not forms:
        raise RunError("The run has no exported model to check.", "Merge it first: `python -m studio merge RUN`.")
    for export in exports:
        if not export.fresh:
            phase.journal.warning(f"{parity.name(parity.form_of(phase.run_dir, export))} is older than the trained "
                                  "model and was not checked. Make it again.")
    check = Check(phase, base_model.locate(phase.preset.model, phase.settings))
    found = check.run(forms)
    stopping = [form for form in to_publish(phase, forms) if found.forms[form].outcome == "refused"]
    for form in forms:
        if found.forms[form].sentence and form not in stopping:
            phase.journal.warning(found.forms[form].sentence)
    if stopping:
        more = f" {words.count(len(stopping) - 1)} more exports are refused." if len(stopping) > 1 else ""
        raise RunError(f"{found.forms[stopping[0]].sentence}{more}", found.forms[stopping[0]].hint)
    return {"prompts": found.prompts, "source": found.source,
            "forms": {form: found.forms[form].outcome for form in forms}}


def to_publish(phase: Phase, forms: list[str]) -> list[str]:
    """Those of the forms that a push will send, by its request or the preset; all where no push is asked for."""
    asked = last_request(phase.run_dir)
    if asked is None and phase.preset.publish.push_to_hub and not is_cancelled(phase.run_dir):
        asked = phase.preset.publish
    sent = forms if asked is None else parity.forms_of(phase.run_dir, asked.what)
    return [form for form in forms if form in sent]


class Check:
    """One check of a run: the prompts, what the training used, and the forms one after the other."""

    def __init__(self, phase: Phase, base: BaseModel):
        self.phase, self.base, self.preset = phase, base, phase.preset
        self.tokenizer = load_tokenizer(base.folder, phase.preset.model)
        self.prompts = choose_prompts(phase, self.tokenizer, CONTEXT_TOKENS)
        self.written = with_dialogue(self.prompts, self.tokenizer)
        self.expected = self._expected()
        self.asked = self.expected.prompts[:len(self.prompts.prompts)]
        self.places = find_places(base.folder, probe_device())
        self.lacking = "" if self.places else no_place(base.folder)
        self.answer_tokens = min(MAX_NEW_TOKENS, phase.preset.evaluation.max_new_tokens)
        self.done = self.total = 0

    def run(self, forms: list[str]) -> Parity:
        """Check the forms that have to be, each noted in parity.json as soon as it is done."""
        mark, run_dir = self._mark(), self.phase.run_dir
        found = parity.read(run_dir)
        if found is None or found.mark != mark:
            found = Parity(mark, len(self.asked), self.prompts.source, "")
        # what was refused is looked at again: a disk or a driver may have been the reason
        kept = {form: check for form, check in found.forms.items()
                if form in forms and check.outcome != "refused" and parity.is_current(run_dir, check)}
        missing = [form for form in forms if form not in kept]
        if not missing:
            return found
        trained = None
        if self.places:
            trained = _read_reference(run_dir / REFERENCE_FILE, mark, self.places)
            self.total = 2 * len(self.asked) * (len(missing) + (trained is None))
            trained = trained or self.ask_trained()
            _write_reference(run_dir / REFERENCE_FILE, mark, trained, self.places)
            found = replace(found, training_kl=trained.training_kl, number_format=trained.place.words)
        found = replace(found, forms=kept)
        for number, form in enumerate(missing, start=1):
            found.forms[form] = self.check_form(form, trained)
            free()
            parity.write(run_dir, found)
            # a form that is refused for its files is asked nothing
            self.done = self.total - 2 * len(self.asked) * (len(missing) - number)
            print(f"{parity.name(form)}: {found.forms[form].outcome} {found.forms[form].sentence}".strip(), flush=True)
        return found

    def check_form(self, form: str, trained: Trained | None) -> FormCheck:
        """What one form is worth, from its files alone; without `trained` as far as that shows without asking it."""
        started, run_dir = time.monotonic(), self.phase.run_dir
        empty = FormCheck(form, "", "refused", parity.fingerprint(run_dir, form),
                          parity.fingerprint(run_dir, parity.ADAPTER))
        self._say(f"{parity.name(form)}: reading its files", 0)
        opened = open_form(run_dir, form, self.base, self.preset, self.expected, self.tokenizer, self.written.written)
        fault = opened if isinstance(opened, Fault) else find_fault(form, self.expected, opened.shipped)
        if fault is not None:
            kind = opened.kind if isinstance(opened, Opened) else ""
            return replace(empty, kind=kind, sentence=fault.sentence, hint=fault.hint)
        reason, hint = opened.reason, "Try it in llama.cpp before you rely on it."
        if not reason and trained is not None and (run_dir / form).is_file():
            reason = no_room_to_unpack(self.base.folder, trained.place)
        if not reason and trained is None:
            reason, hint = self.lacking, "Check it on a machine with more memory, or try it before you rely on it."
        if reason:
            fault = check_heads(run_dir, form, self.base)
            if fault is not None:
                return replace(empty, kind=opened.kind, sentence=fault.sentence, hint=fault.hint)
            return replace(empty, kind=opened.kind, outcome="unread", hint=hint,
                           sentence=f"The weights of {_inside(form)} were not compared: {reason}")
        model = load_form(run_dir, form, self.base, trained.place)
        if isinstance(model, Fault):
            return replace(empty, kind=opened.kind, sentence=model.sentence, hint=model.hint)
        answers = self._answers(model, sorted(opened.shipped.stop_ids), parity.name(form))
        logits = score_answers(model, self.asked, trained.answers, trained.logits.ids,
                               self._scoring(parity.name(form)))
        figures = parity_figures.compare(trained.logits, logits, answers, trained.answers, self.tokenizer.decode)
        judged = parity_figures.judge(form, opened.kind, opened.quantised, figures, trained.change(logits))
        return replace(judged, files=empty.files, reference=empty.reference,
                       seconds=round(time.monotonic() - started, 1))

    def ask_trained(self) -> Trained:
        """Answers and logits of the trained model and of the untouched base, at the first place where they are numbers.

        Raises `ModelError` where they are none at any.
        """
        for place in self.places:
            trained = self._ask_at(place)
            free()
            if np.isfinite(trained.logits.total).all():
                self.done += len(self.asked)
                return trained
            print(f"The trained model computes no numbers in {place.words}.", flush=True)
            self.done = 0
        raise ModelError("The trained model computes values that are no numbers, so nothing can be compared with it.",
                         "Check on a machine with memory for float32, or train again with a lower "
                         "training.learning_rate.")

    def _ask_at(self, place: Place) -> Trained:
        self._say("Loading the trained model", 0)
        model = load_reference(self.phase.run_dir, self.base, self.preset, place)
        answers = self._answers(model, sorted(self.expected.stop_ids), "The trained model")
        logits = score_answers(model, self.asked, answers, say=self._scoring("The trained model"))
        if self.preset.method.full_finetuning:
            return Trained(place, answers, logits, None)
        with model.disable_adapter():
            return Trained(place, answers, logits, score_answers(model, self.asked, answers, logits.ids))

    def _answers(self, model: Any, stop_ids: list[int], who: str) -> list[list[int]]:
        self._say(f"{who} answers", 0)
        pad = self.tokenizer.pad_token_id
        answers = greedy_answers(model, self.asked, stop_ids, self.tokenizer.eos_token_id or 0 if pad is None else pad,
                                 self.answer_tokens, lambda done: self._say(f"{who} answers", done))
        self.done += len(self.asked)
        return answers

    def _scoring(self, who: str) -> Callable[[int], None]:
        return lambda done: self._say(f"{who}: comparing logits", done)

    def _expected(self) -> Expected:
        tokenizer, folder = self.tokenizer, self.base.folder
        texts, prompts = self.written.written(tokenizer)
        ends, settings = settings_of(folder)
        end = taught_end(self.phase, tokenizer)
        stops = ends | {token for token in (end, tokenizer.eos_token_id) if token is not None}
        return Expected(
            vocabulary=tokenizer.get_vocab(), special=special_ids(tokenizer), rows=vocabulary_rows(folder),
            eos_id=tokenizer.eos_token_id, end_id=end, stop_ids=frozenset(stops), settings=settings,
            has_template=tokenizer.chat_template is not None, texts=texts, prompts=prompts,
            write=lambda token: tokenizer.decode([token]))

    def _mark(self) -> str:
        """Tells what is asked of which trained model, how and where, from all else."""
        said = [parity.RULES, self.asked, self.answer_tokens, sorted(self.expected.stop_ids),
                [place.words for place in self.places], weights_mark(self.base.folder),
                parity.fingerprint(self.phase.run_dir, parity.ADAPTER), self.preset.lora.model_dump_json(),
                self.preset.model.model_dump_json()]
        if self.preset.method.full_finetuning:
            said.append(weights_mark(self.phase.run_dir / MERGED))
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]

    def _say(self, message: str, done: int) -> None:
        self.phase.journal.progress(self.phase.name, self.done + done, self.total, "answers", message)


def _inside(form: str) -> str:
    """A form within a sentence."""
    return parity.name(form).replace("The ", "the ")


def _read_reference(path: Path, mark: str, places: list[Place]) -> Trained | None:
    """What the trained model answered in an earlier check that was stopped, None where it was asked otherwise."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["mark"]) != mark:
                return None
            tokens, answers = iter(kept["tokens"].tolist()), []
            for length in kept["lengths"].tolist():
                answers.append([next(tokens) for _ in range(length)])
            sides = [Logits(kept["ids"], *(kept[f"{side}_{name}"] for name in PARTS)) if f"{side}_top" in kept else None
                     for side in ("trained", "untouched")]
            return Trained(places[int(kept["place"])], answers, *sides)
    except (FileNotFoundError, ValueError, KeyError, EOFError):
        return None


def _write_reference(path: Path, mark: str, trained: Trained, places: list[Place]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    sides = {"trained": trained.logits} | ({"untouched": trained.untouched} if trained.untouched else {})
    arrays = {f"{side}_{name}": vars(logits)[name] for side, logits in sides.items() for name in PARTS}
    with open(partial, "wb") as file:
        np.savez(file, mark=np.array(mark), place=np.array(places.index(trained.place)),
                 lengths=np.array(list(map(len, trained.answers))),
                 tokens=np.array([token for answer in trained.answers for token in answer]), ids=trained.logits.ids,
                 **arrays)
    os.replace(partial, path)

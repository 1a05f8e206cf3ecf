"""The model card of a run: written from what the run recorded, and never again once a person has edited it.

It says what is known and leaves out what is not; nothing in it is guessed.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard

from studio import words
from studio.errors import RunError
from studio.evaluation.summary import metric_name, rows_words, summarise
from studio.evaluation.ways import TUNED
from studio.preset import files
from studio.preset.schema import Preset
from studio.publishing import card_texts as texts
from studio.publishing import deploy, deploy_model
from studio.publishing.card_head import head, renamed
from studio.publishing.licences import NONE, Licence, stated_in
from studio.publishing.loss_curve import draw_loss_curve
from studio.publishing.names import hub_dataset, is_local, public_names
from studio.publishing.pushed import places_in
from studio.publishing.release import CURVE
from studio.publishing.request import Target
from studio.publishing.run_facts import RunFacts

MARK = re.compile(r"\n<!-- written by the studio, (\w{16}); an edited card is kept as it is -->\n?\Z")


def current(run_dir: Path, target: Target, licence: Licence = NONE) -> str:
    """The card as a push would send it to its first repository now: the edited one where a person has edited it, else
    a fresh one."""
    body = edited(run_dir)
    if not body:
        return build(RunFacts.read(run_dir), target, licence)
    try:
        check(body)
    except RunError:
        return body  # the push says so
    return renamed(body, target)


def edited(run_dir: Path) -> str:
    """The card a person has edited, "" where there is none."""
    try:
        text = (run_dir / "card.md").read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    mark = MARK.search(text)
    body = MARK.sub("\n", text)
    return "" if mark and mark[1] == _digest(body) else body


def save_edited(run_dir: Path, text: str) -> None:
    """Keep a person's card. Raises `RunError` where its head is not readable YAML."""
    body = text.rstrip() + "\n"
    check(body)
    _replace(run_dir / "card.md", body)


def discard_edited(run_dir: Path) -> None:
    """Forget a person's changes; the next card is written from the run again."""
    (run_dir / "card.md").unlink(missing_ok=True)


def check(text: str) -> None:
    """Raise `RunError` where the Hub would not read the card: its head must be a YAML mapping between two ---."""
    try:
        ModelCard(text)
    except Exception as error:  # ValueError, or whatever the YAML reader raises
        reason = str(error).splitlines()[0]
        raise RunError(f"The head of the model card cannot be read: {reason}.",
                       "Mend the lines between the two --- at its top, or write the card anew.") from None


def write(run_dir: Path, targets: Sequence[Target], licence: Licence) -> list[str]:
    """Write card.md and the loss curve into the run folder; returns each repository's card, without the studio's mark.

    card.md is the first repository's. A person's card serves that one alone: what it says of files and code is of
    that repository. The others get their own, under the licence that the person has chosen.
    """
    facts = RunFacts.read(run_dir)
    curve = draw_loss_curve(facts.losses, facts.eval_losses)
    if curve is not None:
        (run_dir / CURVE).write_bytes(curve)
    body = edited(run_dir)
    if body:
        check(body)
        chosen = stated_in(body)
        others = [build(facts, target, licence, chosen if chosen.id else licence) for target in targets[1:]]
        return [renamed(body, targets[0]), *others]
    bodies = [build(facts, target, licence) for target in targets]
    mark = f"\n<!-- written by the studio, {_digest(bodies[0])}; an edited card is kept as it is -->\n"
    _replace(run_dir / "card.md", bodies[0].rstrip("\n") + mark)
    return bodies


def build(facts: RunFacts, target: Target, licence: Licence, chosen: Licence | None = None) -> str:
    """The whole card: YAML head for the Hub, then Markdown.

    `licence` is the base model's; the head states it, or the `chosen` one.
    """
    preset = public_preset(facts.preset)
    parts = [
        texts.TITLE.format(name=target.repo_id.split("/")[-1], summary=_summary(facts, preset, target)),
        _purpose(facts, preset),
        texts.USE.format(usage=_usage(facts, target)),
        _results(facts, target),
        _training(facts, preset),
        _checked(facts, target),
        texts.LIMITS.format(measured=_measured(facts), licence=_licence(preset, licence)),
        _preset(preset),
    ]
    yaml = head(preset, target, chosen or licence, facts)
    return f"---\n{yaml}\n---\n\n" + "\n\n".join(part.strip() for part in parts if part) + "\n"


def _preset(preset: Preset) -> str:
    """The preset as a block of code."""
    yaml = files.dumps(preset, comments=False).rstrip()
    return texts.PRESET.format(preset=yaml, fence=_fence(yaml))


def _fence(code: str) -> str:
    """A fence that is longer than any that a prompt in the code holds."""
    return "`" * (max((len(ticks) for ticks in re.findall("`{3,}", code)), default=2) + 1)


def public_preset(preset: Preset) -> Preset:
    """The preset as others may see it: files of this machine by name, without their folders; no services, no prices."""
    return files.override(preset, {
        **public_names(preset), "evaluation.endpoint_url": "", "evaluation.judge_url": "",
        # what a person pays and how much they sell is nobody else's business
        "plan.requests_per_month": 0, "plan.price_per_million_input_tokens": 0.0,
        "plan.price_per_million_output_tokens": 0.0, "plan.machine_price_per_hour": 0.0})


def _summary(facts: RunFacts, preset: Preset, target: Target) -> str:
    base = _base_link(preset)
    kind = "all weights of" if preset.method.full_finetuning else "a LoRA adapter for"
    said = f"{preset.description.rstrip('.')}.\n\n" if preset.description else ""
    leading, *others = target.forms
    form = texts.FORMS["whole" if leading == "merged" and preset.method.full_finetuning else leading]
    if others:
        form = f"{form} {' '.join(texts.FOLDERS[other] for other in others)}"
    whole = f"[{target.stems_from}](https://huggingface.co/{target.stems_from})"
    beside = f" {texts.BESIDE[leading].format(whole=whole)}" if target.stems_from else ""
    return f"{said}Made by training {kind} {base} with {_training_kind(facts)}. {form}{beside}"


def _purpose(facts: RunFacts, preset: Preset) -> str:
    """What the person has written down of the task; "" where that is nothing."""
    said = {"Use case": preset.plan.use_case, "A good answer": preset.plan.good_answer,
            "System prompt that it was trained with": preset.data.system_prompt,
            "Language of the training rows": ", ".join(facts.languages)}
    lines = [f"{name}: {value}" for name, value in said.items() if value]
    return texts.PURPOSE.format(lines=_listed(lines)) if lines else ""


def _usage(facts: RunFacts, target: Target) -> str:
    return "\n\n".join(
        texts.USE_WAY.format(way=name, language=language, code=code, fence=_fence(code))
        for name, language, code in usage_examples(facts, target))


def usage_examples(facts: RunFacts, target: Target) -> list[tuple[str, str, str]]:
    """Ways to use what a repository holds, as (name, language, code)."""
    places = places_in(target.repo_id, target.forms)
    model = deploy_model.published(public_preset(facts.preset), places, ggufs=facts.ggufs, is_chat=facts.is_chat,
                             adapter_settings=facts.adapter_settings)
    examples = deploy.usage_examples(model)
    if "gguf" in target.forms[1:]:
        examples += deploy.usage_examples(replace(model, merged="", adapter=""))
    return examples


def _results(facts: RunFacts, target: Target) -> str:
    if facts.report is None:
        return texts.NO_RESULTS
    rows = [f"| {_metric(name, figures)} | {_figure(figures['base'])} | {_figure(figures['tuned'])} |"
            for name, figures in facts.report["metrics"].items()]
    duels = texts.DUELS.format(**{name: words.count(facts.report[name]) for name in ("wins", "ties", "losses")})
    judged_on = rows_words(facts.report) + ("" if facts.report["data"] else ", which the training never saw")
    return texts.RESULTS.format(rows="\n".join(rows), judged_on=judged_on, duels=duels) + (
        texts.ROUNDED if "gguf" in target.forms else "") + _ways(facts.report)


def _ways(report: dict[str, Any]) -> str:
    """The other ways of asking and the verdict; "" where they were not compared."""
    summary = summarise(report)
    if summary is None:
        return ""
    rows = [f"| {row.name} | {row.figure} | {row.gain} | {row.prompt_tokens} | {row.answer_tokens} | {row.seconds} |"
            for row in summary.rows]
    return texts.WAYS.format(
        headline=summary.headline,
        grounds=_listed([*summary.grounds, *summary.further, *summary.notes]), metric=_cell(summary.metric),
        rows="\n".join(rows), asked=_asked(report["ways"]),
        better=_listed(summary.better), worse=_listed(summary.worse))


def _asked(ways: dict[str, Any]) -> str:
    """How the base model got the rows; plain text, which asks nothing, has no seconds."""
    alone = ["alone", *(said for way, said in texts.PROMPTS.items() if way in ways)]
    named = alone[0] if len(alone) == 1 else f"{', '.join(alone[:-1])} and {alone[-1]}"
    seconds = f" {texts.SECONDS}" if "seconds_per_request" in ways[TUNED] else ""
    return f"The base model got the same rows {named}.{seconds}"


def _listed(lines: list[str]) -> str:
    """Lines as a Markdown list; what a person wrote over several lines stays one item."""
    return "\n".join(f"- {' '.join(line.split())}" for line in lines)


def _cell(name: str) -> str:
    """A name that cannot end its cell of a table."""
    return name.replace("|", "\\|").replace("\n", " ")


def _metric(name: str, figures: dict[str, Any]) -> str:
    return _cell(metric_name(name)) + ("" if figures["higher_is_better"] else " (lower is better)")


def _measured(facts: RunFacts) -> str:
    if facts.report is None:
        return "Nobody has measured how well it does; try it on your own input before you rely on it."
    source = "" if facts.report["data"] else " of the same source as the training rows"
    return (f"The figures above come from {rows_words(facts.report)}{source}. "
            "They say nothing about other kinds of input.")


def _figure(measure: dict[str, Any]) -> str:
    low, high = measure["interval"]
    return f"{words.figure(measure['value'])} ({words.figure(low)} to {words.figure(high)})"


def _checked(facts: RunFacts, target: Target) -> str:
    """How near the published files are to the trained model; "" where none of them was compared with it."""
    lines = [line for form, line in facts.checked if form in target.forms]
    if not lines:
        return ""
    asked = texts.ASKED.format(prompts=facts.checked_prompts) if facts.checked_prompts else ""
    return texts.CHECKED.format(asked=asked, lines=_listed(lines))


def _training(facts: RunFacts, preset: Preset) -> str:
    rows = {"Base model": f"{_base_link(preset)}{_note(facts)}", "Data": _data(facts, preset),
            "Method": _method(facts, preset)}
    if facts.steps:
        rows["Steps"] = f"{_count(facts.steps)}{_duration(facts)}"
    if facts.effort.wh is not None:
        rows["Energy"] = f"{words.energy(facts.effort.wh)} ({texts.METERED[facts.effort.wh_of]})"
    if facts.device:
        rows["Hardware"] = facts.device
    if facts.packages:
        rows["Software"] = ", ".join(f"{name} {version}" for name, version in facts.packages.items())
    if facts.losses:
        rows["Last loss"] = f"{words.figure(facts.losses[-1][1])} on training rows" + (
            f", {words.figure(facts.eval_losses[-1][1])} on held-out rows" if facts.eval_losses else "")
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows.items())
    curve = f"\n![Training and held-out loss over steps]({CURVE})" if facts.has_curve else ""
    return texts.TRAINING.format(rows=table) + curve


def _note(facts: RunFacts) -> str:
    return f". {facts.base_note.rstrip('.')}" if facts.base_note else ""


def _duration(facts: RunFacts) -> str:
    return f" in {words.duration(facts.effort.seconds)}" if facts.effort.seconds else ""


def _data(facts: RunFacts, preset: Preset) -> str:
    dataset = hub_dataset(facts.preset)
    name = f"[{dataset}](https://huggingface.co/datasets/{dataset})" if dataset else f"`{preset.data.dataset_name}`"
    if not dataset:
        bundled = preset.data.dataset_name.startswith("bundled:")
        name += " (comes with Fine-Tune Studio)" if bundled else " (not published)"
    if facts.train_rows is None:
        return name
    return f"{name}, {_count(facts.train_rows)} rows to learn from, {_count(facts.heldout_rows)} held out"


def _training_kind(facts: RunFacts) -> str:
    return "continued pretraining on plain texts" if facts.learned_texts else "supervised fine-tuning"


def _method(facts: RunFacts, preset: Preset) -> str:
    training = preset.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    shape = "all weights" if preset.method.full_finetuning else (
        f"{'QLoRA' if preset.model.load_in_4bit else 'LoRA'}, rank {preset.lora.r}, alpha {preset.lora.lora_alpha}")
    return (f"{_training_kind(facts)}, {shape}, learning rate {words.figure(training.learning_rate)} "
            f"({training.lr_scheduler_type}), {rows} rows a step, seed {training.seed}")


def _licence(preset: Preset, licence: Licence) -> str:
    base = preset.model.model_name_or_path
    if not licence.id:
        return f"The terms of the base model {base} apply; read them there before you use this model."
    named = f"`{licence.id}`" + (f", {licence.name}" if licence.name else "")
    link = f" ({licence.link})" if licence.link else ""
    return f"The base model {base} states the licence {named}{link}; its terms go on to apply to this model."


def _base_link(preset: Preset) -> str:
    base = preset.model.model_name_or_path
    return f"`{base}`" if is_local(base) else f"[{base}](https://huggingface.co/{base})"


def _count(number: int | None) -> str:
    return "no" if not number else words.count(number)


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)

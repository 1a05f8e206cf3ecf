"""The model card of a run: written from what the run recorded, and never again once a person has edited it.

It says what is known and leaves out what is not; nothing in it is guessed.
"""

import hashlib
import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from studio import words
from studio.errors import RunError
from studio.evaluation.summary import metric_name, plan_lines, rows_words, summarise
from studio.evaluation.ways import TUNED
from studio.preset import files
from studio.preset.schema import Preset
from studio.publishing import card_texts as texts
from studio.publishing import deploy
from studio.publishing.loss_curve import draw_loss_curve
from studio.publishing.release import CURVE
from studio.publishing.request import PublishRequest
from studio.publishing.run_facts import RunFacts

MARK = re.compile(r"\n<!-- written by the studio, (\w{16}); an edited card is kept as it is -->\n?\Z")
PLAN_SHOWN = ("use_case", "good_answer")  # the rest is between the person and their bills
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def current(run_dir: Path, request: PublishRequest, licence: str = "") -> str:
    """The card as a push would send it now: the edited one where a person has edited it, else a fresh one."""
    return edited(run_dir) or build(RunFacts.read(run_dir), request, licence)


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


def write(run_dir: Path, request: PublishRequest, licence: str) -> str:
    """Write card.md and the loss curve into the run folder and return the card's text, without the studio's mark."""
    facts = RunFacts.read(run_dir)
    curve = draw_loss_curve(facts.losses, facts.eval_losses)
    if curve is not None:
        (run_dir / CURVE).write_bytes(curve)
    body = edited(run_dir)
    if body:
        check(body)
        return body
    body = build(facts, request, licence)
    mark = f"\n<!-- written by the studio, {_digest(body)}; an edited card is kept as it is -->\n"
    _replace(run_dir / "card.md", body.rstrip("\n") + mark)
    return body


def build(facts: RunFacts, request: PublishRequest, licence: str) -> str:
    """The whole card: YAML head for the Hub, then Markdown. `licence` is the base model's, "" where unknown."""
    preset = public_preset(facts.preset)
    parts = [
        texts.TITLE.format(name=request.repo_id.split("/")[-1], summary=_summary(preset, request)),
        texts.USE.format(usage=_usage(preset, request)),
        _results(facts),
        _training(facts, preset),
        texts.LIMITS.format(measured=_measured(facts), licence=_licence(preset, licence)),
        _preset(preset),
    ]
    head = _head(preset, request, licence, facts)
    return f"---\n{head}\n---\n\n" + "\n\n".join(part.strip() for part in parts if part) + "\n"


def _preset(preset: Preset) -> str:
    """The preset as a block of code."""
    yaml = files.dumps(preset, comments=False).rstrip()
    return texts.PRESET.format(preset=yaml, fence=_fence(yaml))


def _fence(code: str) -> str:
    """A fence that is longer than any that a prompt in the code holds."""
    return "`" * (max((len(ticks) for ticks in re.findall("`{3,}", code)), default=2) + 1)


def public_preset(preset: Preset) -> Preset:
    """The preset as others may see it: files of this machine by name, without their folders; no prices."""
    data, model = preset.data.dataset_name, preset.model.model_name_or_path
    return files.override(preset, {
        "data.dataset_name": Path(data).name if Path(data).is_absolute() else data,
        "model.model_name_or_path": Path(model).name if _is_local(model) else model,
        # what a person pays and how much they sell is nobody else's business
        "plan.requests_per_month": 0, "plan.price_per_million_input_tokens": 0.0,
        "plan.price_per_million_output_tokens": 0.0, "plan.machine_price_per_hour": 0.0})


def _head(preset: Preset, request: PublishRequest, licence: str, facts: RunFacts) -> str:
    base = preset.model.model_name_or_path
    on_hub = not _is_local(facts.preset.model.model_name_or_path)
    dataset = _hub_dataset(facts.preset)
    data = ModelCardData(
        base_model=base if on_hub else None,
        base_model_relation=("adapter" if request.what == "adapter" else "finetune") if on_hub else None,
        library_name="peft" if request.what == "adapter" else "transformers",
        pipeline_tag="text-generation",
        license=licence or None,
        datasets=[dataset] if dataset else None,
        tags=["fine-tune-studio", "unsloth", "trl", "full" if preset.method.full_finetuning else "lora"],
        model_name=request.repo_id.split("/")[-1],
        eval_results=_eval_results(facts, preset) or None)
    return data.to_yaml()


def _eval_results(facts: RunFacts, preset: Preset) -> list[EvalResult]:
    """The tuned model's figures in the Hub's own form, so that its pages can show them.

    None of rows from elsewhere: the Hub would name them as those of the training's data set.
    """
    dataset = _hub_dataset(facts.preset)
    if facts.report is None or facts.report["data"]:
        return []
    return [
        EvalResult(task_type="text-generation", dataset_type=dataset or "private",
                   dataset_name=f"held-out rows of {preset.data.dataset_name}", metric_type=name,
                   metric_name=metric_name(name), metric_value=round(figures["tuned"]["value"], 4))
        for name, figures in facts.report["metrics"].items()]


def _summary(preset: Preset, request: PublishRequest) -> str:
    base = _base_link(preset)
    kind = "all weights of" if preset.method.full_finetuning else "a LoRA adapter for"
    forms = {"merged": "This repository holds the merged model.", "adapter": "This repository holds the adapter alone.",
             "both": "This repository holds the merged model, and the adapter in the folder `adapter`."}
    said = f"{preset.description.rstrip('.')}.\n\n" if preset.description else ""
    form = "This repository holds the whole model." if preset.method.full_finetuning else forms[request.what]
    return f"{said}Made by training {kind} {base} with supervised fine-tuning. {form}"


def _usage(preset: Preset, request: PublishRequest) -> str:
    examples = usage_examples(request, preset)
    return "\n\n".join(
        texts.USE_WAY.format(way=name, language=language, code=code, fence=_fence(code))
        for name, language, code in examples)


def usage_examples(request: PublishRequest, preset: Preset) -> list[tuple[str, str, str]]:
    """Ways to use the published model, as (name, language, code)."""
    places = deploy.pushed_places({"repo_id": request.repo_id, "what": request.what})
    return deploy.usage_examples(deploy.published(public_preset(preset), places))


def _results(facts: RunFacts) -> str:
    if facts.report is None:
        return texts.NO_RESULTS
    rows = [f"| {_metric(name, figures)} | {_figure(figures['base'])} | {_figure(figures['tuned'])} |"
            for name, figures in facts.report["metrics"].items()]
    duels = texts.DUELS.format(**{name: words.count(facts.report[name]) for name in ("wins", "ties", "losses")})
    judged_on = rows_words(facts.report) + ("" if facts.report["data"] else ", which the training never saw")
    return texts.RESULTS.format(rows="\n".join(rows), judged_on=judged_on, duels=duels) + _ways(facts.report)


def _ways(report: dict[str, Any]) -> str:
    """The other ways of asking and the verdict; "" where they were not compared."""
    summary = summarise(report)
    if summary is None:
        return ""
    rows = [f"| {row.name} | {row.figure} | {row.gain} | {row.prompt_tokens} | {row.answer_tokens} | {row.seconds} |"
            for row in summary.rows]
    planned = [f"{name}: {value}" for name, value in plan_lines(report, PLAN_SHOWN)]
    return texts.WAYS.format(
        plan=f"{_listed(planned)}\n\n" if planned else "", headline=summary.headline,
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


def _training(facts: RunFacts, preset: Preset) -> str:
    lines = [f"- Base model: {_base_link(preset)}{_note(facts)}", f"- Data: {_data(facts, preset)}",
             f"- Method: {_method(preset)}"]
    if facts.steps:
        lines.append(f"- Steps: {_count(facts.steps)}{_duration(facts)}")
    if facts.device:
        lines.append(f"- Hardware: {facts.device}")
    if facts.packages:
        lines.append("- Software: " + ", ".join(f"{name} {version}" for name, version in facts.packages.items()))
    if facts.losses:
        lines.append(f"- Last loss: {words.figure(facts.losses[-1][1])} on training rows"
                     + (f", {words.figure(facts.eval_losses[-1][1])} on held-out rows" if facts.eval_losses else ""))
    curve = f"\n![Training and held-out loss over steps]({CURVE})" if facts.has_curve else ""
    return texts.TRAINING.format(lines="\n".join(lines)) + curve


def _note(facts: RunFacts) -> str:
    return f". {facts.base_note.rstrip('.')}" if facts.base_note else ""


def _duration(facts: RunFacts) -> str:
    return f" in {words.duration(facts.train_seconds)}" if facts.train_seconds else ""


def _data(facts: RunFacts, preset: Preset) -> str:
    dataset = _hub_dataset(facts.preset)
    name = f"[{dataset}](https://huggingface.co/datasets/{dataset})" if dataset else f"`{preset.data.dataset_name}`"
    if not dataset:
        bundled = preset.data.dataset_name.startswith("bundled:")
        name += " (comes with Fine-Tune Studio)" if bundled else " (not published)"
    if facts.train_rows is None:
        return name
    return f"{name}, {_count(facts.train_rows)} rows to learn from, {_count(facts.heldout_rows)} held out"


def _method(preset: Preset) -> str:
    training = preset.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    shape = "all weights" if preset.method.full_finetuning else (
        f"{'QLoRA' if preset.model.load_in_4bit else 'LoRA'}, rank {preset.lora.r}, alpha {preset.lora.lora_alpha}")
    return (f"supervised fine-tuning, {shape}, learning rate {words.figure(training.learning_rate)} "
            f"({training.lr_scheduler_type}), {rows} rows a step, seed {training.seed}")


def _licence(preset: Preset, licence: str) -> str:
    base = preset.model.model_name_or_path
    return (f"The base model {base} states the licence `{licence}`; its terms go on to apply to this model."
            if licence else f"The terms of the base model {base} apply; read them there before you use this model.")


def _base_link(preset: Preset) -> str:
    base = preset.model.model_name_or_path
    return f"`{base}`" if _is_local(base) else f"[{base}](https://huggingface.co/{base})"


def _hub_dataset(preset: Preset) -> str:
    """The data set's Hub id, "" for a file or the bundled rows."""
    name = preset.data.dataset_name
    known = HUB_ID.fullmatch(name) and not Path(name).suffix and not Path(name).exists()
    return name if known else ""


def _is_local(model: str) -> bool:
    is_file = model.lower().endswith(".gguf") or model.startswith((".", "~")) or Path(model).exists()
    return is_file or not HUB_ID.fullmatch(model)


def _count(number: int | None) -> str:
    return "no" if not number else words.count(number)


def _digest(text: str) -> str:
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)

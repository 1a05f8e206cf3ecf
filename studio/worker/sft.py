"""Supervised fine-tuning from top to bottom: rows, model, trainer, train, save."""

import shutil
from pathlib import Path

# isort: off
import unsloth  # noqa: F401  before anything that imports transformers
# isort: on
import torch
from datasets import Dataset, disable_progress_bars
from transformers import EarlyStoppingCallback, GenerationConfig, PrinterCallback, ProgressCallback, set_seed
from trl import SFTConfig, SFTTrainer, pack_dataset

from studio.data import account
from studio.data.chunks import cut_documents
from studio.data.jsonl import read_jsonl, write_jsonl
from studio.data.prepare import Prepared, prepare
from studio.data.render import Rendered, render_each, render_rows
from studio.data.shapes import refusal
from studio.data.sources import fingerprint
from studio.errors import DataError
from studio.preset.schema import Preset
from studio.runs.checks import require_device
from studio.runs.device import probe_device
from studio.worker import arguments, base_model, checkpoints, environment
from studio.worker import model as models
from studio.worker.base_model import BaseModel
from studio.worker.callbacks import JournalCallback
from studio.worker.energy import EnergyMeter, find_counters
from studio.worker.examination import RunExamination
from studio.worker.generation_settings import write_generation_settings
from studio.worker.parity_prompts import taught_end
from studio.worker.phase import Phase

ROWS_FILES = ("data/train.jsonl", "data/heldout.jsonl")


class Trainer(SFTTrainer):
    """TRL's trainer, whose measurements draw no random numbers from the training: a run that is stopped, measured less
    and resumed learns just what an unbroken one does."""

    def evaluate(self, *args, **kwargs):
        with torch.random.fork_rng():
            return super().evaluate(*args, **kwargs)


def train(phase: Phase) -> dict:
    """Train the run's preset and save adapter/ (LoRA) or merged/ (all weights); resumes from the newest checkpoint.

    Returns the phase's facts. Raises `StudioError` for what the person can mend.
    """
    preset, run_dir, device = phase.preset, phase.run_dir, probe_device()
    disable_progress_bars()
    require_device(preset, device)
    checkpoint = checkpoints.newest(run_dir / "checkpoints")
    if checkpoint:
        phase.say(f"Resuming from {checkpoint.name}")

    with RunExamination(phase, resuming=checkpoint is not None) as examination:
        phase.say("Reading the data")
        train_rows, heldout_rows, prepared = _rows(phase, resuming=checkpoint is not None)
        examination.begin()

        phase.say(f"Finding the base model {preset.model.model_name_or_path}, or downloading it")
        base = base_model.locate(preset.model, phase.settings)
        if base.note:
            print(base.note, flush=True)
            phase.journal.warning(base.note)
        phase.say("Loading the base model")
        set_seed(preset.training.seed)
        model, tokenizer = models.load_base(preset, base, device)

        phase.say("Tokenising the rows")
        if prepared is not None:
            cut_documents(prepared, tokenizer, preset)
        train_rendered = _render(tokenizer, train_rows, preset, prepared, "train")
        heldout_rendered = _render(tokenizer, heldout_rows, preset, prepared, "heldout")
        if prepared is not None:
            _keep_rows(phase, prepared)
            train_rows, heldout_rows = prepared.train, prepared.heldout
        train_set = _trainable(phase, train_rendered, "training", prepared)
        heldout_set = _trainable(phase, heldout_rendered, "held-out", prepared) if heldout_rendered else None

    compiled = False
    if not preset.method.full_finetuning:
        if not device.is_gpu:
            compiled = environment.choose_compile(model.num_parameters(), _tokens_to_see(train_set, preset))
        if compiled:
            # a layer that cannot be compiled is run as it is
            torch._dynamo.config.suppress_errors = True
        model = models.add_adapter(model, preset)
    if preset.training.packing:
        train_set = pack_dataset(train_set, preset.training.max_length, "bfd")

    config = SFTConfig(**arguments.sft_arguments(preset, run_dir / "checkpoints", heldout_set is not None))
    journal_callback = JournalCallback(run_dir, preset, phase.journal)
    callbacks = [journal_callback]
    if preset.evaluation.early_stopping_patience:
        callbacks.append(EarlyStoppingCallback(preset.evaluation.early_stopping_patience))
    trainer = Trainer(
        model=model, processing_class=tokenizer, train_dataset=train_set, eval_dataset=heldout_set, args=config,
        callbacks=callbacks)
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)

    environment.record(run_dir, device, {
        "seed": preset.training.seed,
        "data_fingerprint": fingerprint(train_rows + heldout_rows),
        "rows": {"train": len(train_rows), "heldout": len(heldout_rows)},
        "base_model": {"name": base.name, "note": base.note},
        "settings": {"dtype": str(model.dtype).removeprefix("torch."), "bf16": config.bf16, "fp16": config.fp16,
                     "optim": str(config.optim.value), "threads": environment.threads(), "compiled": compiled},
    })

    phase.say("Training")
    with EnergyMeter(find_counters(_gpus())) as energy:
        outcome = trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)

    state = trainer.state
    phase.journal.progress("train", state.global_step, state.max_steps, "steps", "Saving the model")
    end = taught_end(phase, tokenizer)
    if preset.method.full_finetuning:
        _save_whole(trainer.model, tokenizer, preset, base, run_dir / "merged", end)
    else:
        models.save_adapter(trainer.model, tokenizer, base, run_dir / "adapter", end)
        shutil.rmtree(run_dir / "merged", ignore_errors=True)  # an earlier adapter's
    _forget_what_earlier_weights_reached(run_dir)
    return {
        "stopped": journal_callback.stopped, "steps": state.global_step,
        "train_loss": outcome.training_loss, "train_seconds": round(outcome.metrics["train_runtime"], 3),
        **energy.facts(),
        "best_eval_loss": state.best_metric, "resumed_from": checkpoint.name if checkpoint else "",
        "output": "merged" if preset.method.full_finetuning else "adapter",
    }


def _rows(phase: Phase, resuming: bool) -> tuple[list[dict], list[dict], Prepared | None]:
    """Training and held-out rows; a resumed run takes those it began with, whatever became of their source."""
    files = [phase.run_dir / name for name in ROWS_FILES]
    if resuming and all(file.is_file() for file in files):
        return read_jsonl(files[0]), read_jsonl(files[1]), None
    prepared = prepare(phase.preset, phase.settings)
    if error := refusal(prepared.source.shape.format):
        raise error
    return prepared.train, prepared.heldout, prepared


def _render(tokenizer, rows: list[dict], preset: Preset, prepared: Prepared | None, side: str) -> list[Rendered]:
    """The rows as tokens. Those the template refuses are left out where the preset takes no offence at bad rows.

    Rows that are cut or left without a token to learn are noted. Raises `DataError`.
    """
    if prepared is None:
        return render_rows(tokenizer, rows, preset)
    outcomes = render_each(tokenizer, rows, preset)
    refused = {i: outcome for i, outcome in enumerate(outcomes) if isinstance(outcome, DataError)}
    if refused and (preset.data.bad_rows == "stop" or (side == "train" and len(refused) == len(rows))):
        raise prepared.refusal(side, refused)
    prepared.leave_out(side, "template_refuses", {i: error.message for i, error in refused.items()})
    rendered = [outcome for outcome in outcomes if isinstance(outcome, Rendered)]
    prepared.note_tokens(side, [(row.trained_tokens, row.length, row.truncated) for row in rendered])
    return rendered


def _gpus() -> list[str]:
    """The GPUs that this process trains on, as their driver names them."""
    return [f"GPU-{torch.cuda.get_device_properties(i).uuid}" for i in range(torch.cuda.device_count())]


def _keep_rows(phase: Phase, prepared: Prepared) -> None:
    """Write the rows into the run folder, with the account of every row left out or changed, and warn of those."""
    for name, rows in zip(ROWS_FILES, (prepared.train, prepared.heldout), strict=True):
        write_jsonl(phase.run_dir / name, rows)
    write_jsonl(phase.run_dir / account.ACCOUNT_FILE, prepared.account())
    # the trainer counts these itself
    counted = ("all_labels_masked", "truncated")
    for entries, done in ((prepared.left_out, "left out"), (prepared.changed, "changed")):
        told = [entry for entry in entries if entry.reason not in counted]
        if told:
            phase.journal.warning(f"{len(told):,} {'row is' if len(told) == 1 else 'rows are'} {done}: "
                                  f"{account.in_words(told)}. {account.ACCOUNT_FILE} lists them.")
    leakage = prepared.leakage
    found = ((leakage.exact, "are training rows too"), (leakage.near, "are nearly the same as a training row"),
             (leakage.same_question, "ask a question that a training row asks"))
    leaks = [f"{len(rows):,} {how}" for rows, how in found if rows]
    if leaks:
        phase.journal.warning(f"Of the held-out rows {', '.join(leaks)}: the scores may flatter.")


def _trainable(phase: Phase, rendered: list[Rendered], kind: str, prepared: Prepared | None) -> Dataset:
    """The rows as tokens and labels; those without a learned token are left out and counted in a warning.

    Raises `DataError` when none is left, since such a run would learn nothing and report a loss of 0, and for any of
    them where bad rows stop a run; one that is resumed was let in.
    """
    max_length = phase.preset.training.max_length
    kept = [row for row in rendered if row.trained_tokens]
    emptied = [row for row in rendered if not row.trained_tokens]
    by_cut = sum(row.truncated for row in emptied)
    if not kept and by_cut:
        longest = max(row.length for row in rendered)
        raise DataError(
            f"No {kind} row has a token to learn: each is cut at {max_length} tokens, before its answer begins.",
            f"Raise training.max_length; the longest row has {longest} tokens.", "training.max_length")
    if not kept:
        raise DataError(f"No {kind} row has a token to learn: there is no assistant turn in them.",
                        "Give rows with answers, or set method.assistant_only_loss to false.", "data.dataset_name")
    if prepared is not None and phase.preset.data.bad_rows == "stop" and (error := prepared.emptied()):
        raise error
    if emptied:
        phase.journal.warning(
            f"{len(emptied)} of {len(rendered)} {kind} rows are left out: they have nothing to learn"
            + (f", {by_cut} of them because they are cut at {max_length} tokens." if by_cut else "."))
    if cut := sum(row.truncated for row in kept):
        phase.journal.warning(f"{cut} of {len(rendered)} {kind} rows are longer than {max_length} tokens and are cut.")
    return Dataset.from_dict({"input_ids": [row.input_ids for row in kept], "labels": [row.labels for row in kept]})


def _tokens_to_see(rows: Dataset, preset: Preset) -> int:
    """Tokens the run trains on in all, padding apart."""
    training = preset.training
    tokens = sum(map(len, rows["input_ids"]))
    total = tokens * training.num_train_epochs
    if training.max_steps > 0:
        rows_seen = training.max_steps * training.per_device_train_batch_size * training.gradient_accumulation_steps
        total = min(total, tokens / len(rows) * rows_seen)
    return round(total)


def _forget_what_earlier_weights_reached(run_dir: Path) -> None:
    """After a resume, the comparison of the weights before must not pass for one of the new ones."""
    for name in ("report.json", "report.html", "predictions.jsonl"):
        (run_dir / name).unlink(missing_ok=True)


def _save_whole(model, tokenizer, preset: Preset, base: BaseModel, folder: Path, end: int | None) -> None:
    """Write all weights in 16 bit; training is over, so the model itself is converted."""
    if model.dtype == torch.float32:
        model = model.to(torch.bfloat16)
    # transformers refuses to save settings that many base models come with; theirs are copied
    model.generation_config = GenerationConfig.from_model_config(model.config)
    with models.replaced(folder) as partial:
        model.save_pretrained(partial, max_shard_size=models.shard_size(preset))
        tokenizer.save_pretrained(partial)
        write_generation_settings(base.folder, partial, end)

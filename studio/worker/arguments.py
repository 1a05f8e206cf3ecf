"""The preset in the words of Unsloth, PEFT and TRL: what is passed to each call, without importing any of them."""

from pathlib import Path
from typing import Any

from studio.errors import CheckError
from studio.preset.schema import Preset
from studio.runs.device import Device


def load_arguments(preset: Preset, folder: Path, device: Device, training: bool = True) -> dict[str, Any]:
    """Arguments of `FastLanguageModel.from_pretrained` for the model in `folder`, to train it or only to use it.

    dtype None lets Unsloth choose: bfloat16 where the device computes it natively, else float16 on a GPU and float32 on
    a CPU. Whole models trained on a CPU hold their weights in float32, since small corrections vanish in bfloat16.
    """
    dtype = None if preset.model.dtype == "auto" else preset.model.dtype
    whole = preset.method.full_finetuning and training
    if dtype is None and whole and not device.is_gpu:
        dtype = "float32"
    return dict(
        model_name=str(folder),
        max_seq_length=preset.training.max_length,
        dtype=dtype,
        load_in_4bit=preset.model.load_in_4bit and not preset.method.full_finetuning,
        full_finetuning=whole,
        use_gradient_checkpointing="unsloth" if preset.training.gradient_checkpointing else False,
        random_state=preset.training.seed,
        trust_remote_code=False,
        use_safetensors=True,
    )


def held_as(preset: Preset, device: Device) -> list[Any]:
    """What tells the form and place that weights are used in from all others: device, 4 bits, number format.

    "auto" is the same number format on the same device.
    """
    values = load_arguments(preset, Path(), device, training=False)
    return [device.name, values["load_in_4bit"], values["dtype"]]


def lora_arguments(preset: Preset) -> dict[str, Any]:
    """Arguments of `FastLanguageModel.get_peft_model`."""
    return dict(
        r=preset.lora.r,
        lora_alpha=preset.lora.lora_alpha,
        lora_dropout=preset.lora.lora_dropout,
        target_modules=list(preset.lora.target_modules),
        modules_to_save=list(preset.lora.modules_to_save) or None,
        use_rslora=preset.lora.use_rslora,
        use_gradient_checkpointing="unsloth" if preset.training.gradient_checkpointing else False,
        random_state=preset.training.seed,
        max_seq_length=preset.training.max_length,
        bias="none",
    )


def sft_arguments(preset: Preset, output_dir: Path, has_heldout: bool) -> dict[str, Any]:
    """Arguments of TRL's `SFTConfig`.

    The rows come tokenised and labelled (`studio.data.render`), so TRL prepares nothing. With early stopping a
    checkpoint is written at each measurement, since the best weights are read back from there. Raises `CheckError` for
    early stopping without measurements.
    """
    training, evaluation = preset.training, preset.evaluation
    eval_strategy = evaluation.eval_strategy if has_heldout else "no"
    early_stopping = evaluation.early_stopping_patience > 0
    if early_stopping and eval_strategy == "no":
        raise CheckError("Early stopping needs held-out rows and a measurement on them.",
                         "Set evaluation.eval_strategy to epoch or steps and data.test_size above 0.",
                         "evaluation.early_stopping_patience")
    return dict(
        output_dir=str(output_dir),
        max_length=training.max_length,
        num_train_epochs=training.num_train_epochs,
        max_steps=training.max_steps,
        per_device_train_batch_size=training.per_device_train_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_ratio,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
        optim=training.optim,
        packing=training.packing,
        eval_packing=False,
        gradient_checkpointing=training.gradient_checkpointing,
        neftune_noise_alpha=training.neftune_noise_alpha or None,
        seed=training.seed,
        logging_steps=training.logging_steps,
        logging_nan_inf_filter=False,
        save_strategy=eval_strategy if early_stopping else "steps",
        save_steps=evaluation.eval_steps if early_stopping else training.save_steps,
        save_total_limit=training.save_total_limit,
        eval_strategy=eval_strategy,
        eval_steps=evaluation.eval_steps,
        per_device_eval_batch_size=evaluation.per_device_eval_batch_size,
        load_best_model_at_end=early_stopping,
        metric_for_best_model="eval_loss" if early_stopping else None,
        restore_callback_states_from_checkpoint=early_stopping,
        **_precision(preset),
        dataset_kwargs={"skip_prepare_dataset": True},
        report_to="none",
        disable_tqdm=True,
    )


def _precision(preset: Preset) -> dict[str, bool]:
    """Mixed precision; left to TRL and Unsloth unless the person chose a number format."""
    if preset.model.dtype == "float32":
        return dict(bf16=False, fp16=False)
    if preset.model.dtype == "float16":
        return dict(bf16=False, fp16=True)
    return dict(bf16=True) if preset.model.dtype == "bfloat16" else {}

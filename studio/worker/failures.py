"""The best known cause and next step for a failure that is not a StudioError, read from the exception itself."""

import errno

OUT_OF_MEMORY = (
    "Lower training.per_device_train_batch_size (raise gradient_accumulation_steps by the same factor) or "
    "training.max_length, switch training.gradient_checkpointing on, or take a smaller model.")


def explain(error: BaseException) -> tuple[str, str]:
    """Cause and next step, one sentence each; an unknown failure is named by its last line."""
    text = str(error).strip()
    kind = type(error).__name__
    if kind in ("OutOfMemoryError", "AcceleratorError") or "CUDA out of memory" in text:
        return "The GPU's memory ran out.", f"{OUT_OF_MEMORY} With LoRA, model.load_in_4bit also helps."
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
        return "The machine's memory ran out.", OUT_OF_MEMORY
    if (isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)) or "No space left" in text:
        return "The disk is full.", "Delete old runs or lower training.save_total_limit, then resume."
    if isinstance(error, FloatingPointError):
        return text, ("Lower training.learning_rate, raise training.warmup_ratio, or set model.dtype to float32; "
                      "then start the run anew.")
    last_line = text.splitlines()[-1][:300] if text else "no message"
    return f"The worker failed with {kind}: {last_line}", "The log holds the whole traceback."

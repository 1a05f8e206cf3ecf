"""Failures of the machine are named with what to change."""

import errno

import pytest

from studio.worker.failures import explain


class OutOfMemoryError(RuntimeError):
    """Stands for torch.cuda's error of this name, which cannot be raised without a GPU."""


@pytest.mark.parametrize("error, cause, step", [
    (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "GPU's memory", "per_device_train_batch_size"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "machine's memory", "max_length"),
    (MemoryError(), "machine's memory", "max_length"),
    (OSError(errno.ENOSPC, "No space left on device"), "disk is full", "Delete old runs"),
    (RuntimeError("SafetensorError: I/O error: No space left on device"), "disk is full", "Delete old runs"),
    (FloatingPointError("The loss is no longer a number at step 3."), "step 3", "learning_rate"),
    (KeyError("labels"), "KeyError", "log"),
    (RuntimeError(""), "RuntimeError", "log"),
])
def test_cause_and_next_step(error, cause, step):
    message, hint = explain(error)
    assert cause in message and step in hint

"""What the trainer tells the world at each step: journal, log, stop request. Costs well under a millisecond a step."""

import math
import time
from pathlib import Path

import psutil
import torch
from transformers import TrainerCallback

from studio.preset.schema import Preset
from studio.runs.events import EventWriter

PROGRESS_EVERY_S = 0.5


class JournalCallback(TrainerCallback):
    """Writes progress, metrics, measurements and checkpoints to the journal, and ends training when asked to.

    Metrics keep TRL's names; added are `tokens_per_second` (of the steps since the last line, measurements and
    checkpoints apart), `memory_bytes` (resident on a CPU, peak reserved on a GPU) and `eta_s`.
    """

    def __init__(self, run_dir: Path, preset: Preset, journal: EventWriter):
        self._journal = journal
        self._save_steps = preset.training.save_steps
        self._stop_request = run_dir / "stop_request"
        self._process = psutil.Process()
        self.stopped = False

    def on_train_begin(self, args, state, control, **_):
        self._first_step, self._began = state.global_step, time.monotonic()
        self._busy_s = self._logged_busy_s = 0.0
        self._logged_tokens = None
        self._last_progress = 0.0
        self._journal.progress("train", state.global_step, state.max_steps, "steps")

    def on_step_begin(self, args, state, control, **_):
        self._step_began = time.monotonic()

    def on_step_end(self, args, state, control, **_):
        now = time.monotonic()
        self._busy_s += now - self._step_began
        if now - self._last_progress > PROGRESS_EVERY_S or state.global_step >= state.max_steps:
            self._last_progress = now
            self._journal.progress("train", state.global_step, state.max_steps, "steps")
        if state.global_step % self._save_steps == 0:
            control.should_save = True
        if self._stop_request.exists():
            self.stopped = True
            control.should_training_stop = control.should_save = True
            control.should_evaluate = False

    def on_epoch_end(self, args, state, control, **_):
        # the trainer ends the epoch, and would measure, when it is stopped in the middle of one
        if self.stopped:
            control.should_evaluate = False

    def on_log(self, args, state, control, logs, **_):
        if "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise FloatingPointError(f"The loss is no longer a number at step {state.global_step}.")
        metrics = logs | {"memory_bytes": self._memory_bytes(), "eta_s": round(self._eta_s(state), 1)}
        # Unsloth's trainer for CUDA does not count tokens in every version
        if "num_tokens" in logs:
            metrics["tokens_per_second"] = round(self._tokens_per_second(logs["num_tokens"]), 1)
        self._journal.log(state.global_step, metrics)
        print(_line(state, metrics), flush=True)

    def on_evaluate(self, args, state, control, metrics, **_):
        self._journal.eval(state.global_step, metrics)
        print(f"step {state.global_step}: eval_loss {metrics['eval_loss']:.4f}", flush=True)

    def on_save(self, args, state, control, **_):
        name = f"checkpoint-{state.global_step}"
        self._journal.checkpoint(state.global_step, f"checkpoints/{name}")
        print(f"step {state.global_step}: saved {name}", flush=True)

    def _tokens_per_second(self, tokens: float) -> float:
        """TRL counts on after a resume, so the first line of a process has only its own steps to judge by."""
        before = tokens if self._logged_tokens is None and self._first_step else self._logged_tokens or 0
        seconds = self._busy_s - self._logged_busy_s
        self._logged_tokens, self._logged_busy_s = tokens, self._busy_s
        return (tokens - before) / seconds if seconds else 0.0

    def _eta_s(self, state) -> float:
        done = state.global_step - self._first_step
        return (time.monotonic() - self._began) / done * (state.max_steps - state.global_step) if done else 0.0

    def _memory_bytes(self) -> int:
        return torch.cuda.max_memory_reserved() if torch.cuda.is_available() else self._process.memory_info().rss


def _line(state, metrics: dict) -> str:
    """One line of worker.log for a person to read."""
    parts = [f"step {state.global_step}/{state.max_steps}", f"loss {metrics['loss']:.4f}",
             f"learning_rate {metrics['learning_rate']:.2e}"]
    if "tokens_per_second" in metrics:
        parts.append(f"{metrics['tokens_per_second']:.0f} tokens/s")
    minutes, seconds = divmod(round(metrics["eta_s"]), 60)
    return "  ".join([*parts, f"{minutes}:{seconds:02d} left"])

"""What the studio costs: `studio run` against a bare Unsloth script with the same settings, in turns.

usage: python benchmarks/overhead.py [--steps 20] [--rounds 2]

Asserts that both give the same loss at every step and prints the ratio of the training times (studio / bare, the best
of each, so that other work on the machine disturbs less). Exit code 0 only when the ratio is at most 1.03. Printed
beside is the whole train phase, from the worker's start to the saved adapter, against the whole script.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

PROJECT_DIR = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT_DIR))

from studio.preset import files  # noqa: E402
from studio.preset.schema import Preset  # noqa: E402
from studio.runs.events import read_events  # noqa: E402
from studio.runs.store import RunStore  # noqa: E402
from studio.settings import Settings  # noqa: E402
from studio.worker import base_model, environment  # noqa: E402

LIMIT = 1.03
ROWS = PROJECT_DIR / "presets" / "data" / "recipes" / "train.jsonl"


class Training(NamedTuple):
    """One training: seconds of it, seconds of the whole process around it, and the loss of each step."""

    train_s: float
    process_s: float
    losses: list[float]


def main() -> int:
    """Run both in turns and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_environment({"STUDIO_DATA_DIR": folder})
        environment.prepare(settings)
        # the studio would choose so for a run as short as this; the script must do the same
        os.environ |= {"UNSLOTH_CPU_COMPILE": "0", "STUDIO_DATA_DIR": folder}
        model_dir = base_model.locate(Preset().model, settings).folder
        studio, bare = [], []
        for number in range(arguments.rounds):
            studio.append(run_studio(settings, model_dir, arguments.steps))
            bare.append(run_bare(Path(folder) / f"bare-{number}", model_dir, arguments.steps))
            print(f"round {number + 1}: training: studio {studio[-1].train_s:.1f} s, bare {bare[-1].train_s:.1f} s; "
                  f"whole process: studio {studio[-1].process_s:.1f} s, bare {bare[-1].process_s:.1f} s", flush=True)
    curves = [training.losses for training in studio + bare]
    assert all(curve == curves[0] for curve in curves), f"The loss curves differ: {curves}"
    first, last = curves[0][0], curves[0][-1]
    print(f"{arguments.steps} steps, loss {first:.4f} -> {last:.4f}, the same at every step in all runs")
    ratio = compare("training", [run.train_s for run in studio], [run.train_s for run in bare])
    compare("whole process", [run.process_s for run in studio], [run.process_s for run in bare])
    return 0 if ratio <= LIMIT else 1


def compare(what: str, studio: list[float], bare: list[float]) -> float:
    """Print and return the ratio of the best times (seconds)."""
    ratio = min(studio) / min(bare)
    print(f"{what}: studio {min(studio):.1f} s, bare script {min(bare):.1f} s, ratio {ratio:.3f}"
          + (f" (limit {LIMIT})" if what == "training" else ""))
    return ratio


def run_studio(settings: Settings, model_dir: Path, steps: int) -> Training:
    """Train with `studio run`."""
    preset = files.override(Preset(), {
        "model.model_name_or_path": str(model_dir), "data.dataset_name": str(ROWS), "data.test_size": 0.0,
        "training.max_length": 256, "training.max_steps": steps, "training.per_device_train_batch_size": 8,
        "training.gradient_accumulation_steps": 1, "training.learning_rate": 1e-3, "training.save_steps": 1000,
        "training.gradient_checkpointing": False, "evaluation.compare_rows": 0, "export.save_merged": False})
    files.save(preset, settings.data_dir / "overhead.yaml")
    command = [sys.executable, "-m", "studio", "run", str(settings.data_dir / "overhead.yaml"), "--follow", "--json"]
    subprocess.run(command, cwd=PROJECT_DIR, check=True, stdout=subprocess.DEVNULL)
    events, _ = read_events(RunStore(settings).find("last").run_dir)
    started = next(event for event in events if event.type == "stage" and event.values["stage"] == "STARTING")
    done = next(event for event in events if event.type == "done")
    process_s = (datetime.fromisoformat(done.time) - datetime.fromisoformat(started.time)).total_seconds()
    losses = [event.values["metrics"]["loss"] for event in events if event.type == "log"]
    return Training(done.values["result"]["train_seconds"], process_s, losses)


def run_bare(out_dir: Path, model_dir: Path, steps: int) -> Training:
    """Train with the bare script."""
    out_dir.mkdir()
    command = [sys.executable, str(PROJECT_DIR / "benchmarks" / "bare_unsloth.py"),
               str(model_dir), str(ROWS), str(out_dir), str(steps)]
    began = time.monotonic()
    subprocess.run(command, cwd=out_dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process_s = time.monotonic() - began
    outcome = json.loads((out_dir / "outcome.json").read_text())
    return Training(outcome["train_seconds"], process_s, outcome["losses"])


if __name__ == "__main__":
    sys.exit(main())

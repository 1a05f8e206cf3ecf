"""What the studio costs: its train phase against a bare Unsloth script with the same settings, in turns.

usage: python benchmarks/overhead.py [--steps 20] [--rounds 2]

Asserts that both give the same loss at every step and prints the ratio of the training times (studio / bare, the best
of each, so that other work on the machine disturbs less). Exit code 0 only when the ratio is at most 1.03.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT_DIR))

from studio.preset import files  # noqa: E402
from studio.preset.schema import Preset  # noqa: E402
from studio.runs.events import read_events  # noqa: E402
from studio.settings import Settings  # noqa: E402
from studio.worker import base_model, environment  # noqa: E402

LIMIT = 1.03
ROWS = PROJECT_DIR / "presets" / "data" / "recipes" / "train.jsonl"


def main() -> int:
    """Run both in turns and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder))
        environment.prepare(settings)
        os.environ["UNSLOTH_CPU_COMPILE"] = "0"
        model_dir = base_model.locate(Preset().model, settings).folder
        studio, bare = [], []
        for number in range(arguments.rounds):
            studio.append(run_studio(settings, model_dir, arguments.steps, number))
            bare.append(run_bare(Path(folder) / f"bare-{number}", model_dir, arguments.steps))
            print(f"round {number + 1}: studio {studio[-1][0]:.1f} s, bare {bare[-1][0]:.1f} s", flush=True)
    curves = [losses for _, losses in studio + bare]
    assert all(curve == curves[0] for curve in curves), f"The loss curves differ: {curves}"
    ratio = min(studio)[0] / min(bare)[0]
    first, last = curves[0][0], curves[0][-1]
    print(f"{arguments.steps} steps, loss {first:.4f} -> {last:.4f}, the same at every step in all runs")
    print(f"training time: studio {min(studio)[0]:.1f} s, bare script {min(bare)[0]:.1f} s, ratio {ratio:.3f} "
          f"(limit {LIMIT})")
    return 0 if ratio <= LIMIT else 1


def run_studio(settings: Settings, model_dir: Path, steps: int, number: int) -> tuple[float, list[float]]:
    """Train a run in the studio's worker; returns seconds of training and the loss of each step."""
    run_dir = settings.runs_dir / f"overhead-{number}"
    run_dir.mkdir(parents=True)
    preset = files.override(Preset(), {
        "model.model_name_or_path": str(model_dir), "data.dataset_name": str(ROWS), "data.test_size": 0.0,
        "training.max_length": 256, "training.max_steps": steps, "training.per_device_train_batch_size": 8,
        "training.gradient_accumulation_steps": 1, "training.learning_rate": 1e-3, "training.save_steps": 1000,
        "training.gradient_checkpointing": False})
    files.save(preset, run_dir / "preset.yaml")
    (run_dir / "run.json").write_text("{}")
    command = [sys.executable, "-m", "studio.worker", "train", str(run_dir)]
    subprocess.run(command, cwd=PROJECT_DIR, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    events, _ = read_events(run_dir)
    seconds = next(event.values["result"]["train_seconds"] for event in events if event.type == "done")
    return seconds, [event.values["metrics"]["loss"] for event in events if event.type == "log"]


def run_bare(out_dir: Path, model_dir: Path, steps: int) -> tuple[float, list[float]]:
    """Train with the bare script; returns the same."""
    out_dir.mkdir()
    command = [sys.executable, str(PROJECT_DIR / "benchmarks" / "bare_unsloth.py"),
               str(model_dir), str(ROWS), str(out_dir), str(steps)]
    subprocess.run(command, cwd=out_dir, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    outcome = json.loads((out_dir / "outcome.json").read_text())
    return outcome["train_seconds"], outcome["losses"]


if __name__ == "__main__":
    sys.exit(main())

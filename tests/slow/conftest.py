"""Real runs of the real worker with tiny models: run folders, rows, and one process that does the phases."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studio.data.doctor_reports import REPORT_FILE
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.events import Event, read_events
from tests.conftest import LONG_S
from tests.tiny_model import make_tiny_model

PROJECT_DIR = Path(__file__).resolve().parents[2]
KEY = "sk-for-the-header-alone"
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "UNSLOTH_CPU_COMPILE": "0",
         "PASTED_ENDPOINT_API_KEY": KEY, "PASTED_JUDGE_API_KEY": KEY}


@dataclass
class Runs:
    """A data folder with run folders in it, and the means to work on them."""

    data_dir: Path
    model: Path
    host: subprocess.Popen

    def create(self, rows: list[dict], name: str = "run", **overrides: Any) -> Path:
        """A run folder whose preset trains the tiny model on `rows`; `overrides` use __ for the dot."""
        run_dir = self.data_dir / "runs" / name
        run_dir.mkdir(parents=True)
        source = self.data_dir / f"{name}.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        values = {
            "model.model_name_or_path": str(self.model), "data.dataset_name": str(source), "data.test_size": 0.25,
            "training.max_length": 128, "training.max_steps": 6, "training.gradient_checkpointing": False,
            "training.per_device_train_batch_size": 4, "training.gradient_accumulation_steps": 1,
            "evaluation.max_new_tokens": 16, "evaluation.per_device_eval_batch_size": 4,
        } | {key.replace("__", "."): value for key, value in overrides.items()}
        files.save(files.override(Preset(), values), run_dir / "preset.yaml")
        # as of data that were examined before the start
        (run_dir / REPORT_FILE).write_text("{}")
        (run_dir / "run.json").write_text(json.dumps({"run_id": name, "name": name, "git_revision": "0" * 40}))
        return run_dir

    def work(self, phase: str, run_dir: Path) -> int:
        """Do a phase; returns the worker's exit code."""
        self.host.stdin.write(f"{phase} {run_dir}\n")
        self.host.stdin.flush()
        return int(self.host.stdout.readline())

    def train(self, run_dir: Path) -> dict:
        """Train and return the phase's result; a failure shows the log."""
        assert self.work("train", run_dir) == 0, (run_dir / "worker.log").read_text()
        return results(run_dir)[-1]


def events(run_dir: Path, type: str) -> list[Event]:
    """The journal's events of one type."""
    return [event for event in read_events(run_dir)[0] if event.type == type]


def results(run_dir: Path) -> list[dict]:
    """What the phases reported when they were done, in order."""
    return [event.values["result"] for event in events(run_dir, "done")]


def losses(run_dir: Path) -> dict[int, float]:
    """Training loss by step; a step trained again after a resume counts as it was last."""
    return {event.values["step"]: event.values["metrics"]["loss"] for event in events(run_dir, "log")}


def chats(count: int, answer: str = "city {i}") -> list[dict]:
    """Short chats, each different."""
    return [{"messages": [{"role": "user", "content": f"question {i}"},
                          {"role": "assistant", "content": answer.format(i=i)}]} for i in range(count)]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def worker_host(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.slow.worker_host"], cwd=PROJECT_DIR, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env=os.environ | QUIET | {"HF_HOME": str(home)})
    yield process
    process.stdin.close()
    assert process.wait(LONG_S) == 0


@pytest.fixture
def runs(tmp_path, tiny_model, worker_host) -> Runs:
    return Runs(tmp_path, tiny_model, worker_host)

"""What only an NVIDIA GPU can show: 4-bit loading, packing, 8-bit optimizer, merge, and memory below the estimate.

`python -m pytest tests/gpu` on a machine with a GPU; skipped elsewhere.
"""

import json
import os
import subprocess
import sys

import pytest

from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.device import probe_device
from studio.runs.events import read_events
from studio.runs.store import RunStore

pytestmark = pytest.mark.skipif(not probe_device().is_gpu, reason="needs an NVIDIA GPU")

MODEL = os.environ.get("STUDIO_TEST_MODEL", "HuggingFaceTB/SmolLM2-135M-Instruct")
QLORA = {
    "model.model_name_or_path": MODEL, "model.load_in_4bit": True, "training.optim": "adamw_8bit",
    "training.packing": True, "training.max_length": 512, "training.max_steps": 20, "training.learning_rate": 1e-3,
    "evaluation.compare_rows": 8, "evaluation.max_new_tokens": 48,
}


def work(store: RunStore, run_id: str, phase: str) -> dict:
    """Do a phase in a fresh worker; returns its result, or fails with the log's end."""
    run_dir = store.run_dir(run_id)
    done = subprocess.run([sys.executable, "-m", "studio.worker", phase, str(run_dir)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [event.values["result"] for event in read_events(run_dir)[0] if event.type == "done"][-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from studio.settings import Settings

    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path_factory.mktemp("gpu"))})
    store = RunStore(settings)
    run_id = store.create(files.override(Preset(), QLORA), name="qlora")
    work(store, run_id, "train")
    return store, run_id


def test_the_loss_of_a_packed_qlora_run_falls(trained):
    store, run_id = trained
    logs = store.get(run_id).state.logs
    assert len(logs) == 20
    assert sum(metrics["loss"] for _, metrics in logs[-5:]) < 0.7 * sum(metrics["loss"] for _, metrics in logs[:5])


def test_memory_is_measured_and_the_environment_names_the_card(trained):
    store, run_id = trained
    view = store.get(run_id)
    assert view.environment["device"]["kind"] == "cuda"
    assert 0 < view.state.logs[-1][1]["memory_bytes"] < probe_device().memory_bytes


def test_a_qlora_run_is_compared_and_merged(trained):
    store, run_id = trained
    assert work(store, run_id, "evaluate")["rows"] == 8
    work(store, run_id, "merge")
    merged = store.run_dir(run_id) / "merged"
    assert "quantization_config" not in json.loads((merged / "config.json").read_text())
    assert any(merged.glob("*.safetensors"))

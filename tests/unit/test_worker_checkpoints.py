"""A run resumes from the newest checkpoint that was written to its end."""

import json

from studio.worker import checkpoints


def checkpoint(folder, step, weights="adapter_model.safetensors"):
    path = folder / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in (weights, "optimizer.pt", "scheduler.pt"):
        (path / name).write_bytes(b"x")
    (path / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    return path


def test_newest_counts_by_step_not_by_name(tmp_path):
    for step in (9, 100, 20):
        checkpoint(tmp_path, step)
    assert checkpoints.newest(tmp_path).name == "checkpoint-100"


def test_cut_off_checkpoints_are_passed_over(tmp_path):
    whole = checkpoint(tmp_path, 10, "model.safetensors.index.json")
    (checkpoint(tmp_path, 20) / "trainer_state.json").unlink()
    (checkpoint(tmp_path, 30) / "trainer_state.json").write_text('{"global_st')
    (checkpoint(tmp_path, 40) / "optimizer.pt").unlink()
    (checkpoint(tmp_path, 50) / "adapter_model.safetensors").unlink()
    assert checkpoints.newest(tmp_path) == whole


def test_no_checkpoint(tmp_path):
    assert checkpoints.newest(tmp_path) is None
    assert checkpoints.newest(tmp_path / "checkpoints") is None

"""The merge phase: one model that plain transformers loads and that answers as base and adapter did."""

import json
import shutil

import pytest
from conftest import chats, events, results


@pytest.fixture
def trained(runs):
    """A run whose adapter moves the tiny model's answers visibly."""
    run_dir = runs.create(chats(16), training__max_steps=30, training__learning_rate=3e-2, lora__lora_alpha=64)
    runs.train(run_dir)
    return run_dir


def greedy(model, tokenizer) -> list[int]:
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "question 3"}], add_generation_prompt=True, return_tensors="pt", return_dict=True)
    return model.generate(**ids, max_new_tokens=24, do_sample=False)[0].tolist()


def test_merged_model_answers_as_base_with_adapter(runs, trained):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert runs.work("merge", trained) == 0, (trained / "worker.log").read_text()
    merged = AutoModelForCausalLM.from_pretrained(trained / "merged", dtype="auto")
    assert merged.dtype == torch.bfloat16
    tokenizer = AutoTokenizer.from_pretrained(trained / "merged")
    base = AutoModelForCausalLM.from_pretrained(runs.model, dtype=torch.float32)
    untouched = greedy(base, tokenizer)
    tuned = PeftModel.from_pretrained(base, trained / "adapter")
    wanted = greedy(tuned, tokenizer)
    assert greedy(merged.float(), tokenizer) == wanted != untouched

    ids = torch.tensor([wanted])
    with torch.inference_mode():
        assert torch.allclose(merged(ids).logits, tuned(ids).logits, atol=0.1)


def test_merge_can_be_repeated_and_replaces_the_old_model(runs, trained):
    (trained / "merged").mkdir()
    (trained / "merged" / "stale.txt").write_text("left by an earlier merge")
    partial = trained / ".merged.partial"
    partial.mkdir()
    (partial / "half.safetensors").write_text("left by a merge that was killed")
    for _ in range(2):
        assert runs.work("merge", trained) == 0
    names = {path.name for path in (trained / "merged").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not names & {"stale.txt", "half.safetensors", "README.md"}
    assert [path.name for path in trained.glob(".*")] == []
    result = results(trained)[-1]
    assert result["size_bytes"] == sum(path.stat().st_size for path in (trained / "merged").iterdir())


def test_failed_merge_leaves_adapter_and_old_model_as_they_were(runs, trained):
    assert runs.work("merge", trained) == 0
    before = (trained / "merged" / "model.safetensors").read_bytes()
    shutil.move(runs.model / "model.safetensors", runs.data_dir / "away")
    try:
        assert runs.work("merge", trained) == 3
    finally:
        shutil.move(runs.data_dir / "away", runs.model / "model.safetensors")
    assert "model.safetensors" in events(trained, "error")[-1].values["message"]
    assert (trained / "merged" / "model.safetensors").read_bytes() == before
    assert runs.work("merge", trained) == 0


def test_file_size_limit_splits_the_weights(runs):
    run_dir = runs.create(chats(16), export__max_shard_size_gb=0.0001)
    runs.train(run_dir)
    assert runs.work("merge", run_dir) == 0
    index = json.loads((run_dir / "merged" / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 1


def test_run_without_a_model_is_refused(runs):
    run_dir = runs.create(chats(8))
    assert runs.work("merge", run_dir) == 3
    assert "no trained model" in events(run_dir, "error")[0].values["message"]

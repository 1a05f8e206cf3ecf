"""The merge phase: one model that plain transformers loads and that answers as base and adapter did."""

import json
import shutil

import pytest
from conftest import chats, events, results

from studio.publishing.exports import list_exports
from tests.tiny_model import make_tiny_model


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
    (trained / ".merge-buffers").mkdir()
    for _ in range(2):
        assert runs.work("merge", trained) == 0
    names = {path.name for path in (trained / "merged").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not names & {"stale.txt", "half.safetensors", "README.md"}
    assert [path.name for path in trained.glob(".*")] == []
    assert [(export.name, export.fresh) for export in list_exports(trained)] == [("adapter", True), ("merged", True)]
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


def same_weights(folder, other) -> None:
    """Both models have the same tensors of the same type, bit for bit."""
    import torch
    from transformers import AutoModelForCausalLM

    one, two = (AutoModelForCausalLM.from_pretrained(path, dtype="auto").state_dict() for path in (folder, other))
    assert set(one) == set(two)
    different = [name for name in one if one[name].dtype != torch.bfloat16 or not torch.equal(one[name], two[name])]
    assert not different


def test_merging_piece_by_piece_gives_what_unsloth_gives(runs, trained, monkeypatch, tmp_path):
    from studio.worker import merge_by_shard

    assert runs.work("merge", trained) == 0
    told = []
    # pieces of a few rows, and files of a few tensors
    monkeypatch.setattr(merge_by_shard, "PIECE_VALUES", 1000)
    weights = merge_by_shard.merge(runs.model, trained / "adapter", tmp_path, 60_000, lambda *at: told.append(at))
    same_weights(tmp_path, trained / "merged")
    assert weights == results(trained)[-1]["parameters"] and told[-1] == (2 * weights, 2 * weights)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    shards = sorted(tmp_path.glob("model-*-of-*.safetensors"))
    assert len(shards) > 1 and all(shard.stat().st_size < 65_000 for shard in shards)


def test_piecewise_as_peft_does_it_with_rslora_and_layers_trained_whole(tiny_model, tmp_path):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from studio.worker import merge_by_shard

    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    tuned = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, use_rslora=True, init_lora_weights=False,
                                            target_modules=["q_proj", "down_proj"], modules_to_save=["norm"]))
    with torch.no_grad():
        tuned.base_model.model.model.norm.weight.add_(1)
    tuned.save_pretrained(tmp_path / "adapter")
    (tmp_path / "merged").mkdir()
    merge_by_shard.merge(tiny_model, tmp_path / "adapter", tmp_path / "merged", 10**9, lambda *at: None)
    tuned.merge_and_unload().to(torch.bfloat16).save_pretrained(tmp_path / "peft")
    same_weights(tmp_path / "merged", tmp_path / "peft")


def test_an_adapter_that_is_more_than_lora_is_refused_piecewise(tiny_model, tmp_path):
    import torch
    from safetensors.torch import save_file

    from studio.errors import ModelError
    from studio.worker import merge_by_shard

    (tmp_path / "adapter_config.json").write_text(
        json.dumps({"fan_in_fan_out": False, "lora_alpha": 8, "use_rslora": False}))
    for name in ("model.layers.0.self_attn.q_proj.lora_magnitude_vector", "model.layers.9.norm.weight"):
        save_file({f"base_model.model.{name}": torch.ones(4)}, tmp_path / "adapter_model.safetensors")
        with pytest.raises(ModelError, match=r"magnitude_vector|model\.layers\.9\.norm"):
            merge_by_shard.merge(tiny_model, tmp_path, tmp_path, 10**9, lambda *at: None)


def test_a_base_model_that_was_given_a_template_stops_where_its_turns_end(runs, tmp_path):
    """Found by the parity check: the merged model knew its base's end of text alone, and talked on."""
    base = make_tiny_model(tmp_path / "base", chat_template=None)
    for name, values in {"generation_config.json": {"eos_token_id": 0}, "config.json": {"eos_token_id": 0},
                         "tokenizer_config.json": {"eos_token": "<|endoftext|>"}}.items():
        (base / name).write_text(json.dumps(json.loads((base / name).read_text()) | values))
    run_dir = runs.create(chats(16), training__max_steps=2, model__model_name_or_path=str(base),
                          model__chat_template="chatml")
    runs.train(run_dir)
    assert runs.work("merge", run_dir) == 0, (run_dir / "worker.log").read_text()
    for form in ("adapter", "merged"):
        assert json.loads((run_dir / form / "generation_config.json").read_text())["eos_token_id"] == [0, 2]

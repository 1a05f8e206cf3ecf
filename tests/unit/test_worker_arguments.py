"""Every preset field that concerns training reaches a call of Unsloth, PEFT or TRL; what cannot work is refused."""

from pathlib import Path

import pytest

from studio.errors import CheckError
from studio.preset.files import override
from studio.preset.flatten import flatten, leaves
from studio.preset.schema import Preset
from studio.runs.device import Device
from studio.worker import arguments

CPU = Device("cpu", "CPU", 16 * 10**9, 0, 2)
GPU = Device("cuda", "GPU", 16 * 10**9, 0, 8, 8.0)
OLD_GPU = Device("cuda", "Tesla T4", 16 * 10**9, 0, 8, 7.5)
# what else reads a field, and where its reading is tested
READ_ELSEWHERE = {
    "model.model_name_or_path": "base_model", "model.model_revision": "base_model", "model.chat_template": "tokenizer",
    "method.name": "only sft exists", "method.assistant_only_loss": "render", "method.completion_only_loss": "render",
    "evaluation.compare_rows": "evaluate", "evaluation.metric": "evaluate", "evaluation.max_new_tokens": "evaluate",
    "evaluation.few_shot_examples": "ways", "evaluation.few_shot_choice": "ways", "evaluation.retrieval_rows": "ways",
    "evaluation.max_prompt_length": "evaluate", "evaluation.base_system_prompt": "ways",
    "evaluation.numeric_tolerance": "numeric", "evaluation.sql_schema": "sql", "evaluation.checks": "checks",
    "evaluation.guard": "evaluate", "evaluation.endpoint_url": "endpoint", "evaluation.endpoint_model": "endpoint",
    "evaluation.judge_url": "judge", "evaluation.judge_model": "judge", "evaluation.judge_against": "judge",
    "evaluation.embedding_model": "embedding", "evaluation.requests_at_once": "endpoint",
    "evaluation.request_timeout_s": "endpoint",
    "evaluation.early_stopping_patience": "callback, and load_best_model_at_end below",
}
OTHER = {
    "model.dtype": "bfloat16", "lora.target_modules": ["q_proj"], "lora.modules_to_save": ["lm_head"],
    "training.lr_scheduler_type": "cosine", "training.optim": "adafactor", "evaluation.eval_strategy": "steps",
}


def everything(preset: Preset) -> dict:
    return {"load": arguments.load_arguments(preset, Path("base"), GPU), "lora": arguments.lora_arguments(preset),
            "sft": arguments.sft_arguments(preset, Path("out"), has_heldout=True)}


def other_value(name, value):
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    return value + 7 if isinstance(value, int) else value / 2 + 0.125


@pytest.mark.parametrize("name", [
    name for name, _ in leaves()
    if name.split(".")[0] in ("model", "method", "lora", "training", "evaluation") and name not in READ_ELSEWHERE])
def test_field_reaches_the_trainer(name):
    preset = Preset()
    changed = override(preset, {name: other_value(name, flatten(preset)[name])})
    assert everything(changed) != everything(preset)


def test_early_stopping_reads_the_best_weights_back_from_a_checkpoint_of_each_measurement():
    preset = override(Preset(), {"evaluation.early_stopping_patience": 2, "evaluation.eval_strategy": "steps",
                                 "evaluation.eval_steps": 7})
    values = arguments.sft_arguments(preset, Path("out"), has_heldout=True)
    assert values["load_best_model_at_end"] and values["metric_for_best_model"] == "eval_loss"
    assert (values["save_strategy"], values["save_steps"], values["eval_steps"]) == ("steps", 7, 7)
    with pytest.raises(CheckError) as error:
        arguments.sft_arguments(preset, Path("out"), has_heldout=False)
    assert error.value.field == "evaluation.early_stopping_patience"


def test_nothing_is_measured_without_held_out_rows():
    assert arguments.sft_arguments(Preset(), Path("out"), has_heldout=False)["eval_strategy"] == "no"


def test_no_code_of_a_model_and_no_pickles_are_ever_loaded():
    values = arguments.load_arguments(Preset(), Path("base"), CPU)
    assert values["trust_remote_code"] is False and values["use_safetensors"] is True


def test_whole_models_train_in_float32_on_a_cpu_only():
    preset = override(Preset(), {"method.full_finetuning": True, "model.load_in_4bit": True})
    assert arguments.load_arguments(preset, Path("base"), CPU)["dtype"] == "float32"
    assert arguments.load_arguments(preset, Path("base"), CPU, training=False)["dtype"] is None
    on_gpu = arguments.load_arguments(preset, Path("base"), GPU)
    assert on_gpu["dtype"] is None and on_gpu["load_in_4bit"] is False


def test_weights_are_told_apart_by_device_and_by_the_form_they_are_really_held_in():
    four_bits = override(Preset(), {"model.load_in_4bit": True})
    whole = override(four_bits, {"method.full_finetuning": True})
    forms = [arguments.held_as(preset, device) for preset, device in [
        (four_bits, GPU), (four_bits, OLD_GPU), (whole, GPU), (override(whole, {"model.dtype": "float32"}), GPU)]]
    assert all(forms.count(form) == 1 for form in forms)
    assert arguments.held_as(override(whole, {"model.load_in_4bit": False}), GPU) == forms[2], "4 bits were no choice"

"""The preflight and the estimates: what cannot work is refused with a change that settles it."""

import pytest

from studio.errors import CheckError
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs import checks
from studio.runs.device import Device
from studio.runs.estimates import GIB, RowLengths, Verdict, disk_bytes, estimate_memory, estimate_money, estimate_time
from studio.runs.model_shape import KNOWN_CONFIGS, ModelShape

CPU = Device("cpu", "CPU, 2 cores", 24 * GIB, 0, 2)
T4 = Device("cuda", "Tesla T4", int(14.6 * GIB), 0, 4, 7.5)
A100 = Device("cuda", "NVIDIA A100-SXM4-80GB", int(79.3 * GIB), 0, 12, 8.0)
SMOL = ModelShape.from_config(KNOWN_CONFIGS["HuggingFaceTB/SmolLM2-135M-Instruct"])
QWEN_4B = ModelShape.from_config(KNOWN_CONFIGS["Qwen/Qwen3-4B-Instruct-2507"])
LLAMA_8B = ModelShape(4096, 14336, 32, 128256, 32, 8, 128, False, 131072)


def preset(**fields):
    return files.override(Preset(), {name.replace("__", "."): value for name, value in fields.items()})


def test_what_leaves_the_machine_is_said_and_a_service_needs_a_model():
    findings = checks.check_settings(preset(evaluation__endpoint_url="https://api.example.com/v1"))
    assert [(finding.level, finding.field) for finding in findings] == [
        ("error", "evaluation.endpoint_model"), ("info", "evaluation.endpoint_url")]
    assert findings[1].message == "Held-out rows are sent to api.example.com."
    unsafe = checks.check_settings(preset(evaluation__judge_url="http://judge:80/v1", evaluation__judge_model="big"))
    assert [finding.level for finding in unsafe] == ["warning", "info"] and "unprotected" in unsafe[0].message
    here = checks.check_settings(preset(evaluation__judge_url="http://[::1]:80/v1", evaluation__judge_model="big",
                                        evaluation__judge_against="endpoint"))
    assert [finding.level for finding in here] == ["info", "error"]
    assert checks.check_settings(preset()) == []


@pytest.mark.parametrize("fields", [
    {"model__load_in_4bit": True}, {"training__packing": True}, {"training__optim": "adamw_8bit"},
    {"training__optim": "paged_adamw_8bit"}, {"model__dtype": "float16"},
])
def test_what_needs_a_gpu_is_refused_on_a_cpu_and_its_fix_settles_it(fields):
    asked = preset(**fields)
    (finding,) = checks.check_device(asked, CPU)
    assert finding.level == "error" and finding.field == next(iter(fields)).replace("__", ".")
    assert checks.check_device(files.override(asked, finding.fix), CPU) == []
    assert checks.check_device(asked, A100) == []
    with pytest.raises(CheckError) as refused:
        checks.require_device(asked, CPU)
    assert refused.value.field == finding.field
    checks.require_device(asked, A100)


def test_bfloat16_is_refused_on_a_card_without_it():
    (finding,) = checks.check_device(preset(model__dtype="bfloat16"), T4)
    assert finding.fix == {"model.dtype": "auto"}


def test_four_bit_and_full_training_exclude_each_other():
    (finding,) = checks.check_device(preset(model__load_in_4bit=True, method__full_finetuning=True), A100)
    assert finding.level == "error"


def test_settings_that_are_rarely_meant_are_named():
    found = checks.check_settings(preset(evaluation__early_stopping_patience=2, evaluation__eval_strategy="no"))
    assert [finding.level for finding in found] == ["error"]
    found = checks.check_settings(preset(data__test_size=0, data__dataset_name="a/b"))
    assert [finding.field for finding in found] == ["data.test_size"]
    found = checks.check_settings(preset(method__full_finetuning=True))
    assert [finding.fix for finding in found] == [{"training.learning_rate": 2e-5}]
    found = checks.check_settings(preset(evaluation__metric="embedding_similarity"))
    assert [finding.field for finding in found] == ["evaluation.embedding_model"]
    assert checks.check_settings(Preset()) == []


def test_a_planned_push_of_what_the_run_does_not_make_is_refused_and_its_fix_settles_it():
    def asked(**fields):
        return preset(publish__push_to_hub=True, publish__hub_model_id="ana/x", training__learning_rate=1e-5, **fields)

    for fields, fix in (
            ({"publish__what": ["merged", "gguf"]}, {"export.gguf": ["q4_k_m"]}),
            ({"publish__what": ["adapter"], "method__full_finetuning": True}, {"publish.what": ["merged"]}),
            ({"publish__what": ["merged", "adapter"], "method__full_finetuning": True}, {"publish.what": ["merged"]}),
            # GGUF files alone are never loaded from the Hub: the fix of a full training must not end there
            ({"publish__what": ["adapter", "gguf"], "method__full_finetuning": True, "export__gguf": ["q8_0"],
              "publish__load_test": True}, {"publish.what": ["merged", "gguf"]})):
        (finding,) = checks.check_settings(asked(**fields))
        assert (finding.level, finding.fix) == ("error", fix)
        assert checks.check_settings(files.override(asked(**fields), finding.fix)) == []
    assert checks.check_settings(asked(publish__what=["merged", "gguf"], export__gguf=["q8_0"])) == []
    assert checks.check_settings(preset(publish__what=["gguf"])) == [], "nothing is planned"


def test_shapes_count_the_published_parameters():
    assert SMOL.parameters == 134_515_008
    assert QWEN_4B.parameters == pytest.approx(4.02e9, rel=0.01)
    assert LLAMA_8B.parameters == pytest.approx(8.03e9, rel=0.01)


def test_the_worked_example_of_an_8b_qlora_on_a_t4():
    asked = preset(model__load_in_4bit=True, training__max_length=2048, training__packing=True)
    needed = estimate_memory(asked, LLAMA_8B, T4).total / GIB
    assert 6.5 < needed < 9.5


def test_a_4b_model_in_16_bit_is_too_big_for_a_t4_and_4_bit_is_the_fix():
    asked = preset(training__per_device_train_batch_size=8)
    estimate = estimate_memory(asked, LLAMA_8B, T4)
    (finding,) = checks.check_memory(asked, estimate, T4)
    assert finding.level == "error" and finding.fix == {"model.load_in_4bit": True}
    assert estimate.verdict(A100) is Verdict.FITS


def test_smollm_on_two_cores_needs_what_was_measured():
    # measured: 1.25 GB resident at batch 4, 73 tokens, without checkpointing
    asked = preset(training__per_device_train_batch_size=4, training__gradient_checkpointing=False)
    needed = estimate_memory(asked, SMOL, CPU, RowLengths(64, 73, 80)).total / GIB
    assert needed == pytest.approx(1.25, rel=0.25)


def test_time_counts_steps_and_grows_with_the_rows():
    asked = preset(training__num_train_epochs=2, training__per_device_train_batch_size=4,
                   training__gradient_accumulation_steps=2)
    short, long = (estimate_time(asked, SMOL, CPU, RowLengths(rows, 80, 100)) for rows in (80, 800))
    assert (short.steps, long.steps) == (20, 200)
    assert long.seconds > 5 * short.seconds and long.low_s < long.seconds < long.high_s
    unknown = Device("cuda", "Strange Card", 24 * GIB, 0, 4, 9.0)
    assert estimate_time(asked, SMOL, unknown, RowLengths(80, 80, 100)) is None


def test_l40s_is_not_taken_for_an_l4():
    fast, slow = (Device("cuda", name, 40 * GIB, 0, 4, 8.9) for name in ("NVIDIA L40S", "NVIDIA L4"))
    lengths = RowLengths(1000, 500, 900)
    quick, long = (estimate_time(Preset(), QWEN_4B, device, lengths) for device in (fast, slow))
    assert quick.seconds < long.seconds


def test_money_is_billed_by_the_started_minute():
    assert estimate_money(61, 0.60) == pytest.approx(0.02)


def test_a_full_disk_is_an_error():
    needed = disk_bytes(Preset(), SMOL)
    assert checks.check_disk(Preset(), SMOL, int(needed + 2 * GIB)) == []
    (finding,) = checks.check_disk(Preset(), SMOL, int(needed))
    assert finding.level == "error" and "disk" in finding.message


def test_gguf_files_and_what_they_are_made_from_count_to_the_disk():
    plain = files.override(Preset(), {"export.save_merged": False})
    more = [disk_bytes(files.override(plain, {"export.gguf": kinds}), SMOL) - disk_bytes(plain, SMOL)
            for kinds in (["f16"], ["q4_k_m"], ["bf16", "q4_k_m"])]
    per_weight = [size / SMOL.parameters for size in more]
    assert per_weight == pytest.approx([4, 4.8, 4.8]), "merged, bf16 and the kinds themselves"

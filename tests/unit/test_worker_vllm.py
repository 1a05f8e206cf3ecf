"""vLLM instead of our own batches: when it is taken, what it is asked, and what happens where it fails.

A package with the signatures of vLLM 0.14 (`LLM`, `SamplingParams`, `LoRARequest`) stands at the edge; the process that
calls it is the real one.
"""

from types import SimpleNamespace

import pytest

from studio.errors import ModelError
from studio.evaluation.answers import Answer
from studio.evaluation.ways import BASE, TUNED
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.device import Device
from studio.runs.events import EventWriter, read_events
from studio.settings import Settings
from studio.worker import vllm_answers
from studio.worker.phase import Phase
from studio.worker.vllm_answers import Engine, answered, is_offered, settings, stop_ids

GPU = Device("cuda", "A100", 80_000_000_000, 0, 8, 8.0)
T4 = Device("cuda", "T4", 16_000_000_000, 0, 8, 7.5)
CPU = Device("cpu", "CPU", 8_000_000_000, 0, 2)

VLLM = '''
from types import SimpleNamespace
import json, os

class SamplingParams:
    def __init__(self, *, temperature=1.0, max_tokens=16, stop_token_ids=None, detokenize=True):
        assert temperature == 0.0 and detokenize is False
        self.max_tokens, self.stop_token_ids = max_tokens, stop_token_ids

class LLM:
    def __init__(self, model, *, skip_tokenizer_init=False, trust_remote_code=False, dtype="auto", seed=None,
                 gpu_memory_utilization=0.9, max_model_len=None, enable_lora=False, max_lora_rank=16):
        print("Loading weights")
        if "broken" in model:
            raise ValueError("no kernel image\\nis available")
        assert skip_tokenizer_init and not trust_remote_code and max_model_len
        self.enable_lora = enable_lora

    def generate(self, prompts, sampling_params=None, *, use_tqdm=True, lora_request=None):
        assert lora_request is None or (self.enable_lora and lora_request.lora_int_id == 1)
        assert not use_tqdm
        shift = 100 if lora_request else 0
        said = [[token + shift for token in prompt["prompt_token_ids"]] for prompt in prompts]
        said = [ids[:sampling_params.max_tokens - 1] + sampling_params.stop_token_ids[:1] for ids in said]
        return [SimpleNamespace(outputs=[SimpleNamespace(token_ids=tuple(ids))]) for ids in said]
'''
LORA = '''
class LoRARequest:
    def __init__(self, lora_name, lora_int_id, lora_path):
        assert lora_name and lora_path
        self.lora_int_id = lora_int_id
'''
TOKENIZER = SimpleNamespace(
    eos_token_id=7, decode=lambda ids, skip_special_tokens: " ".join(map(str, ids)))


class Rows:
    """The rows that are left to be answered, and the answers they got."""

    longest = 40

    def __init__(self, sides):
        self.sides, self.got = set(sides), {}

    def answer(self, side, batches):
        self.got[side] = [batch[i].text for batch in batches([[11, 12], [21]]) for i in sorted(batch)]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """vLLM, as far as it is called."""
    site = tmp_path / "site"
    (site / "vllm" / "lora").mkdir(parents=True)
    (site / "vllm" / "__init__.py").write_text(VLLM)
    (site / "vllm" / "lora" / "__init__.py").write_text("")
    (site / "vllm" / "lora" / "request.py").write_text(LORA)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(vllm_answers, "probe_device", lambda: GPU)


@pytest.fixture
def phase(tmp_path):
    run_dir = tmp_path / "runs" / "one"
    run_dir.mkdir(parents=True)
    preset = files.override(Preset(), {"evaluation.max_new_tokens": 3})
    return Phase("evaluate", run_dir, preset, Settings(data_dir=tmp_path), EventWriter(run_dir))


def weights(folder, adapter, base="base"):
    for name in ("base", "broken", "tuned"):
        (folder / name).mkdir()
    (folder / "tuned" / "adapter_config.json").write_text('{"r": 24}')
    return SimpleNamespace(base=SimpleNamespace(folder=folder / base), trained=folder / "tuned", adapter=adapter)


def warnings(phase):
    return [event.values["message"] for event in read_events(phase.run_dir)[0] if event.type == "warning"]


def test_vllm_is_taken_only_on_a_gpu_where_it_is_installed_and_weights_are_in_16_bit(installed):
    in_4_bit = files.override(Preset(), {"model.load_in_4bit": True})
    assert is_offered(Preset(), GPU) and not is_offered(Preset(), CPU) and not is_offered(in_4_bit, GPU)


def test_vllm_is_not_taken_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(vllm_answers.importlib.util, "find_spec", lambda name: None)
    assert not is_offered(Preset(), GPU)


@pytest.mark.parametrize(("adapter", "tuned"), [(True, ["111 112", "121"]), (False, ["11 12", "21"])])
def test_each_side_is_answered_by_its_weights(installed, phase, tmp_path, adapter, tuned):
    rows = Rows([BASE, TUNED])
    assert answered(phase, weights(tmp_path, adapter), TOKENIZER, lambda engine: rows) is rows
    assert rows.got == {BASE: ["11 12", "21"], TUNED: tuned} and warnings(phase) == []


def test_nothing_is_started_where_nothing_is_left_to_answer(installed, phase, tmp_path, monkeypatch):
    monkeypatch.setattr(vllm_answers, "Engine", None)
    assert answered(phase, weights(tmp_path, True), TOKENIZER, lambda engine: Rows([])) is not None


def test_a_vllm_that_does_not_start_is_said_and_left(installed, phase, tmp_path):
    assert answered(phase, weights(tmp_path, True, "broken"), TOKENIZER, lambda engine: Rows([BASE])) is None
    (said,) = warnings(phase)
    assert said.startswith("vLLM cannot answer here (ValueError: no kernel image).")


def test_answers_end_at_a_stop_token_or_at_the_limit(installed, tmp_path, monkeypatch):
    monkeypatch.setattr(vllm_answers, "AT_ONCE", 2)
    with Engine(tmp_path, "", settings(Preset(), GPU, 40, "")) as engine:
        batches = list(engine.answers([[1, 2], [7, 5], [3, 4, 5]], False, TOKENIZER, 4, [7]))
        (cut,) = engine.answers([[3, 4, 5]], False, TOKENIZER, 3, [9])
    assert [sorted(batch) for batch in batches] == [[0, 1], [2]]
    first = batches[0][0]
    assert first == Answer("1 2", 2, 2, first.seconds, cut=False) and first.seconds >= 0
    assert batches[0][1].text == "" and batches[1][2].text == "3 4 5"
    assert cut[0].text == "3 4" and not cut[0].cut


def test_a_process_that_dies_is_an_error_with_its_cause(installed, tmp_path):
    with pytest.raises(ModelError, match="vLLM cannot answer here"), Engine(
            tmp_path, "", {"max_model_len": 0}) as engine:
        list(engine.answers([[1]], False, TOKENIZER, 4, [7]))


def test_settings_take_unsloths_number_format_and_room_for_the_rank(tmp_path):
    (tmp_path / "adapter_config.json").write_text('{"r": 24}')
    found = settings(Preset(), GPU, 300, str(tmp_path))
    assert (found["dtype"], found["max_model_len"], found["max_lora_rank"]) == ("bfloat16", 300, 32)
    assert settings(Preset(), T4, 300, "")["dtype"] == "float16"
    assert settings(files.override(Preset(), {"model.dtype": "float32"}), T4, 300, "")["dtype"] == "float32"


@pytest.mark.parametrize(("named", "found"), [
    ("", [7]), ('{"eos_token_id": 2}', [2, 7]), ('{"eos_token_id": [7, 9]}', [7, 9])])
def test_an_answer_ends_where_tokenizer_or_model_say(tmp_path, named, found):
    if named:
        (tmp_path / "generation_config.json").write_text(named)
    assert stop_ids(TOKENIZER, tmp_path) == found
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "generation_config.json").write_text('{"eos_token_id": 5}')
    assert stop_ids(TOKENIZER, tmp_path, adapter) == sorted([5, *found])

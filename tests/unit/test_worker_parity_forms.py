"""Where models are asked, and what is no fault of an export: memory, disk, driver. No model is made."""

import json

import pytest
import torch
from safetensors.torch import save_file

from studio.errors import ModelError
from studio.runs.device import Device
from studio.worker import parity_forms
from studio.worker.base_model import BaseModel
from studio.worker.parity_faults import Fault
from studio.worker.parity_forms import Place, check_heads, find_places, load_form, no_place, no_room_to_unpack
from studio.worker.stored_weights import count_weights

CPU = Device("cpu", "CPU", 0, 0, 2)
GPU = Device("cuda", "GPU", 0, 0, 2, 8.0)
T4 = Device("cuda", "T4", 0, 0, 2, 7.5)
GB = 10**9
WEIGHT, NORM = "model.layers.0.mlp.up_proj.weight", "model.norm.weight"


@pytest.fixture
def memory(monkeypatch):
    """Give machine and GPU so many bytes of free memory, and the model so many weights."""
    def given(weights: float, cpu: float, gpu: float = 0) -> None:
        monkeypatch.setattr(parity_forms, "count_weights", lambda folder: int(weights))
        monkeypatch.setattr(parity_forms, "free_memory_bytes", lambda: int(cpu))
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (int(gpu), int(gpu)))
    return given


@pytest.mark.parametrize(("device", "weights", "cpu", "gpu", "places"), [
    (CPU, 1e9, 24, 0, [("cpu", torch.float32), ("cpu", torch.bfloat16)]),
    (CPU, 4e9, 12, 0, [("cpu", torch.bfloat16)]),
    (GPU, 4e9, 4, 15, [("cuda", torch.bfloat16)]),
    (T4, 4e9, 12, 15, [("cuda", torch.float16), ("cuda", torch.bfloat16), ("cpu", torch.bfloat16)]),
    (GPU, 7.6e9, 12, 15, [])])
def test_places_have_room_within_the_container_and_the_gpu(memory, tmp_path, device, weights, cpu, gpu, places):
    memory(weights, cpu * GB, gpu * GB)
    assert find_places(tmp_path, device) == [Place(*place) for place in places]
    if not places:
        assert "20 GB of memory, and 12 GB are free" in no_place(tmp_path)


def test_a_gguf_file_is_unpacked_in_the_machines_memory_whatever_the_gpu_has(memory, tmp_path):
    memory(4e9, 12 * GB, 40 * GB)
    assert "unpacking them needs 17 GB" in no_room_to_unpack(tmp_path, Place("cuda", torch.float32))
    memory(1e9, 12 * GB, 40 * GB)
    assert no_room_to_unpack(tmp_path, Place("cuda", torch.float32)) == ""


def test_weights_packed_to_4_bit_count_two_a_byte_and_their_figures_none(tmp_path):
    save_file({WEIGHT: torch.zeros(4096, 1, dtype=torch.uint8), f"{WEIGHT}.absmax": torch.zeros(128),
               f"{WEIGHT}.quant_map": torch.zeros(16), NORM: torch.zeros(64),
               f"{WEIGHT}.quant_state.bitsandbytes__nf4": torch.zeros(78, dtype=torch.uint8)},
              tmp_path / "model.safetensors")
    assert count_weights(tmp_path) == 8192 + 64


@pytest.mark.parametrize("error", [
    torch.OutOfMemoryError("CUDA out of memory."), MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: an illegal memory access was encountered"), OSError(5, "Input/output error"),
    OSError(116, "Stale file handle")])
def test_trouble_of_the_machine_is_no_verdict(monkeypatch, tmp_path, error):
    def fail(*of):
        raise error

    (tmp_path / "merged").mkdir()
    monkeypatch.setattr(parity_forms, "_load_whole", fail)
    with pytest.raises(ModelError):
        load_form(tmp_path, "merged", BaseModel(tmp_path, "base"), Place("cpu", torch.float32))


def test_a_folder_that_is_away_is_no_verdict_and_a_file_that_is_missing_is_one(monkeypatch, tmp_path):
    def fail(*of):
        raise FileNotFoundError(2, "No such file")

    monkeypatch.setattr(parity_forms, "_load_whole", fail)
    ask = (tmp_path, "merged", BaseModel(tmp_path, "base"), Place("cpu", torch.float32))
    with pytest.raises(ModelError, match="could not be read just now"):
        load_form(*ask)
    (tmp_path / "merged").mkdir()
    assert isinstance(load_form(*ask), Fault)


@pytest.fixture
def heads(tmp_path):
    """A base and what stands for its exports, with a few tensors."""
    tensors = {WEIGHT: torch.zeros(6, 4, dtype=torch.bfloat16), NORM: torch.zeros(4, dtype=torch.bfloat16),
               "lm_head.weight": torch.zeros(9, 4, dtype=torch.bfloat16)}
    for name in ("base", "merged", "adapter"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": True}))
    save_file(tensors, tmp_path / "base" / "model.safetensors")
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        json.dumps({"fan_in_fan_out": False, "lora_alpha": 8, "use_rslora": False}))

    def check(form: str, tensors: dict, cut: bool = False) -> str:
        file = tmp_path / form / ("model.safetensors" if form == "merged" else "adapter_model.safetensors")
        save_file(tensors, file)
        if cut:
            file.write_bytes(file.read_bytes()[:-10])
        found = check_heads(tmp_path, form, BaseModel(tmp_path / "base", "base"))
        return found.sentence if found else ""

    return tensors, check


def test_heads_tell_what_is_missing_cut_or_of_another_shape(heads):
    tensors, check = heads
    assert check("merged", tensors) == ""
    assert check("merged", {name: tensors[name] for name in (WEIGHT, NORM)}) == "", "tied to the embeddings"
    assert f"is not whole: {WEIGHT}" in check("merged", {NORM: tensors[NORM]})
    assert "has the shape [4, 4]" in check("merged", tensors | {WEIGHT: torch.zeros(4, 4)})
    assert "cannot be loaded" in check("merged", tensors, cut=True)


def test_heads_tell_an_adapter_of_another_model_and_one_that_holds_no_numbers(heads):
    _, check = heads
    module = f"base_model.model.{WEIGHT.removesuffix('.weight')}"
    sound = {f"{module}.lora_A.weight": torch.ones(2, 4), f"{module}.lora_B.weight": torch.ones(6, 2)}
    assert check("adapter", sound) == ""
    assert "has not got in that shape" in check("adapter", sound | {f"{module}.lora_B.weight": torch.ones(7, 2)})
    assert "no numbers" in check("adapter", sound | {f"{module}.lora_A.weight": torch.full((2, 4), float("nan"))})

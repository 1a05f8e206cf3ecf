"""The forms of a run's model: what is there, how large, and whether it is of the present weights."""

import json
import shutil
import struct
from collections import namedtuple

import pytest

from studio.errors import CheckError, ModelError
from studio.preset.files import validate
from studio.preset.schema import Preset
from studio.publishing import exports
from studio.publishing.exports import expected_sizes, gguf_record, list_exports, modelfile_of, write_record
from studio.publishing.gguf_request import GgufRequest, forget_request, read_request, write_request

DiskUsage = namedtuple("DiskUsage", "total used free")


def safetensors(shapes, fill=0):
    """A file with tensors of 16 bits of these shapes."""
    head, offset = {}, 0
    for name, (rows, columns) in shapes.items():
        head[name] = {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [offset, offset + 2 * rows * columns]}
        offset += 2 * rows * columns
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes([fill]) * offset


def write_weights(folder, fill=0, shapes=(("layer.weight", (8, 8)),)):
    folder.mkdir(exist_ok=True)
    name = "adapter_model" if folder.name == "adapter" else "model"
    (folder / f"{name}.safetensors").write_bytes(safetensors(dict(shapes), fill))
    (folder / ("adapter_config.json" if folder.name == "adapter" else "config.json")).write_text("{}")


def write_gguf(run_dir, kind="q8_0", name="recipes"):
    file = run_dir / "gguf" / f"{name}-{kind.upper()}.gguf"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"GGUF" * 50)
    modelfile_of(file).write_text(f"FROM ./{file.name}\n")
    write_record(gguf_record(file), run_dir / "merged")
    return file


@pytest.fixture
def run_dir(tmp_path):
    """A run with adapter and merged model."""
    write_weights(tmp_path / "adapter")
    write_weights(tmp_path / "merged")
    write_record(tmp_path / "merged" / exports.MERGED_RECORD, tmp_path / "adapter")
    return tmp_path


def freshness(run_dir):
    return {export.name: export.fresh for export in list_exports(run_dir)}


def test_each_form_is_listed_with_its_files_and_size(run_dir):
    file = write_gguf(run_dir)
    adapter, merged, gguf = list_exports(run_dir)
    assert [adapter.form, merged.form, gguf.form] == ["adapter", "merged", "gguf"]
    assert [path.name for path in merged.files] == ["model.safetensors", "config.json"]
    assert merged.size_bytes == sum(path.stat().st_size for path in merged.files)
    assert (gguf.kind, gguf.name, gguf.path, gguf.files[0]) == ("q8_0", "q8_0", file, file)
    assert gguf.modelfile == modelfile_of(file) and gguf.size_bytes > file.stat().st_size
    assert freshness(run_dir) == {"adapter": True, "merged": True, "q8_0": True}


def test_a_run_without_a_model_has_no_forms(tmp_path):
    assert list_exports(tmp_path) == []


def test_what_was_made_from_earlier_weights_is_stale(run_dir):
    write_gguf(run_dir)
    write_weights(run_dir / "merged", fill=1)
    assert freshness(run_dir) == {"adapter": True, "merged": True, "q8_0": False}
    write_gguf(run_dir)
    write_weights(run_dir / "adapter", fill=2)
    assert freshness(run_dir) == {"adapter": True, "merged": False, "q8_0": False}, "a new training makes all stale"


def test_a_copied_run_folder_keeps_its_forms_fresh(run_dir, tmp_path_factory):
    write_gguf(run_dir)
    copy = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(run_dir, copy, copy_function=shutil.copyfile)
    assert all(freshness(copy).values()), "times say nothing in a copy"


def test_a_half_written_file_is_no_form(run_dir):
    file = write_gguf(run_dir)
    file.rename(file.with_name(f".{file.name}.partial"))
    assert set(freshness(run_dir)) == {"adapter", "merged"}


def test_expected_sizes_are_those_of_real_files(tmp_path):
    """SmolLM2-135M, whose files were measured."""
    layer = {"self_attn.q_proj": (576, 576), "self_attn.k_proj": (192, 576), "self_attn.v_proj": (192, 576),
             "self_attn.o_proj": (576, 576), "mlp.gate_proj": (1536, 576), "mlp.up_proj": (1536, 576),
             "mlp.down_proj": (576, 1536)}
    shapes = {f"model.layers.{i}.{name}.weight": shape for i in range(30) for name, shape in layer.items()}
    shapes["model.embed_tokens.weight"] = (49152, 576)
    with open(tmp_path / "model.safetensors", "wb") as file:
        text = json.dumps({name: {"dtype": "BF16", "shape": list(shape)} for name, shape in shapes.items()}).encode()
        file.write(struct.pack("<Q", len(text)) + text + b"0")
    real = {"f16": 270_885_728, "q8_0": 144_810_848, "q6_k": 138_382_688, "q5_k_m": 112_103_264, "q4_k_m": 105_453_920}
    for kind, size in expected_sizes(tmp_path, list(real)).items():
        assert abs(size / real[kind] - 1) < 0.1, kind


def test_a_full_disk_is_said_before_anything_is_made(run_dir, monkeypatch):
    free = DiskUsage(10**9, 10**9, 9_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: free)
    exports.require_disk(run_dir, ["q8_0"])
    with pytest.raises(CheckError, match=r"f16, q4_k_m as GGUF need 12 MB of disk while they are made, and 9\.0 MB"):
        exports.require_disk(run_dir, ["f16", "q4_k_m"])


def test_a_torn_weights_file_is_said_to_be_one(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelError, match=r"model\.safetensors is no whole"):
        expected_sizes(tmp_path, ["f16"])


def test_the_kinds_asked_for_last_come_before_those_of_the_preset(tmp_path):
    preset = validate({"export": {"gguf": "f16 q4_k_m"}})
    assert read_request(tmp_path, preset) == GgufRequest(["f16", "q4_k_m"])
    write_request(tmp_path, GgufRequest(["q8_0"]))
    assert read_request(tmp_path, preset) == GgufRequest(["q8_0"])
    assert read_request(tmp_path, Preset()) == GgufRequest(["q8_0"])
    forget_request(tmp_path)
    assert read_request(tmp_path, preset) == GgufRequest(["f16", "q4_k_m"])

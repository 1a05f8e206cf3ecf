"""Merging piece by piece: what it refuses before it writes a byte. No model is made."""

import json

import pytest
import torch
from safetensors.torch import save_file

from studio.errors import ModelError
from studio.worker.merge_by_shard import merge

NAME = "model.norm.weight"


def merge_of(folder, weight: torch.Tensor, adapter: dict[str, torch.Tensor]) -> None:
    for name in ("base", "adapter", "merged"):
        (folder / name).mkdir()
    save_file({NAME: weight}, folder / "base" / "model.safetensors")
    save_file(adapter, folder / "adapter" / "adapter_model.safetensors")
    (folder / "adapter" / "adapter_config.json").write_text(
        json.dumps({"fan_in_fan_out": False, "lora_alpha": 8, "use_rslora": False}))
    merge(folder / "base", folder / "adapter", folder / "merged", 10**9, lambda *at: None)


@pytest.mark.parametrize("adapter", [
    {f"base_model.model.{NAME}": torch.ones(6, 4)},
    {"base_model.model.model.norm.lora_A.weight": torch.ones(2, 4),
     "base_model.model.model.norm.lora_B.weight": torch.ones(6, 2)}])
def test_an_adapter_for_weights_of_another_shape_is_refused_before_anything_is_written(tmp_path, adapter):
    with pytest.raises(ModelError, match=r"model\.norm\.weight as 6 x 4, and the base model as 8 x 4"):
        merge_of(tmp_path, torch.ones(8, 4), adapter)
    assert list((tmp_path / "merged").iterdir()) == []

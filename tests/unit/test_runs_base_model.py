"""What is known of a base model before it is loaded: a wrong token and broken files are told as what they are."""

import pytest

from studio.errors import ModelError, UnknownShapeError
from studio.preset.schema import ModelSection
from studio.runs.base_model import hub_config, known_shape, shape_of
from studio.runs.model_shape import KNOWN_CONFIGS, ModelShape
from studio.settings import Settings
from tests.hub_server import HubServer
from tests.hub_shelf import ask_there

SMOL = KNOWN_CONFIGS["HuggingFaceTB/SmolLM2-135M-Instruct"]


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as hub:
        ask_there(hub, monkeypatch)
        yield hub


def test_an_expired_token_is_told_also_for_a_public_model_and_a_broken_config(hub, tmp_path):
    hub.add_repo("lab/public", files={"config.json": b"{}"})
    hub.add_repo("lab/broken", files={"config.json": b"<html>"})
    assert hub_config(ModelSection(model_name_or_path="lab/public"), tmp_path, None) == {}
    with pytest.raises(ModelError, match=r"does not accept your token.*unset HF_TOKEN .* what is public needs none"):
        hub_config(ModelSection(model_name_or_path="lab/public"), tmp_path / "other", "hf_expired")
    with pytest.raises(ModelError, match=r"config.json of lab/broken cannot be read. Download or copy it again."):
        hub_config(ModelSection(model_name_or_path="lab/broken"), tmp_path, None)


@pytest.mark.parametrize("config", [b'{"model_type": "llama"', b"[]", b"\xff\xfe", b"[" * 200_000])
def test_a_folder_with_a_broken_config_is_told(tmp_path, config):
    (tmp_path / "config.json").write_bytes(config)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    section = ModelSection(model_name_or_path=str(tmp_path))
    for look in (lambda: shape_of(section, Settings(data_dir=tmp_path), None), lambda: known_shape(section)):
        with pytest.raises(ModelError, match=r"config.json of .* cannot be read") as caught:
            look()
        assert caught.value.hint and caught.value.field == "model.model_name_or_path"


@pytest.mark.parametrize("change", [
    {"num_attention_heads": 0}, {"hidden_size": "wide"}, {"num_hidden_layers": [30]}, {"text_config": None}])
def test_a_config_of_odd_values_has_no_known_size(change):
    with pytest.raises(UnknownShapeError):
        ModelShape.from_config(SMOL | change)

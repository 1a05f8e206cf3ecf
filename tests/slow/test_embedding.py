"""Likeness in meaning by a tiny random encoder: the arithmetic, the cache, and models that are no encoder."""

import json

import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from studio.errors import ModelError
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.events import EventWriter
from studio.settings import Settings
from studio.worker import embedding
from studio.worker.embedding import Encoder, measure_similarities
from studio.worker.phase import Phase
from tests.slow.conftest import events
from tests.tiny_model import make_tiny_encoder

TEXTS = ["two cups of flour", "one onion", "", "chopped " * 200]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return make_tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def phase(tmp_path):
    def phase(model):
        run_dir = tmp_path / "runs" / "one"
        run_dir.mkdir(parents=True, exist_ok=True)
        preset = files.override(Preset(), {"evaluation.embedding_model": str(model)})
        return Phase("evaluate", run_dir, preset, Settings(data_dir=tmp_path), EventWriter(run_dir))

    return phase


def test_a_text_is_the_mean_of_its_tokens_whatever_it_is_batched_with(encoder):
    together = Encoder(encoder, "tiny", "cpu").embed(TEXTS[:2] + TEXTS[3:])
    model, tokenizer = AutoModel.from_pretrained(encoder), AutoTokenizer.from_pretrained(encoder)
    for text, vector in zip(TEXTS[:2], together, strict=False):
        with torch.inference_mode():
            mean = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        assert torch.allclose(vector, mean / mean.norm(), atol=1e-5)


def test_equal_texts_score_1_silence_0_and_what_was_measured_is_not_measured_again(encoder, phase, monkeypatch):
    texts = {"base": ["one onion", " "], "tuned": ["two cups of flour", "chopped onion"]}
    found = measure_similarities(phase(encoder), texts, ["two cups of flour", "one onion"])
    scores = found["embedding_similarity"]
    assert scores["tuned"][0] == 1.0 and scores["base"][1] == 0.0 and 0 < scores["base"][0] < 1
    monkeypatch.setattr(embedding, "Encoder", None)
    assert measure_similarities(phase(encoder), texts, ["two cups of flour", "one onion"]) == found
    assert len(json.loads((phase(encoder).run_dir / "similarities.json").read_text())) == 3


def test_nothing_is_measured_without_an_encoder(phase):
    assert measure_similarities(phase(""), {"base": ["a"]}, ["a"]) == {}


def test_a_model_that_cannot_be_used_is_said_and_nothing_breaks(encoder, phase, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (broken / name).write_bytes((encoder / name).read_bytes())
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="cannot be used as an encoder"):
        Encoder(broken, "broken", "cpu")
    work = phase(broken)
    assert measure_similarities(work, {"base": ["a"]}, ["b"]) == {}
    (warning,) = events(work.run_dir, "warning")
    assert "Likeness in meaning is left out" in warning.values["message"]


def test_weights_that_lack_layers_are_refused(encoder, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    for file in encoder.iterdir():
        (more / file.name).write_bytes(file.read_bytes())
    config = json.loads((more / "config.json").read_text())
    (more / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match="is no whole encoder"):
        Encoder(more, "more", "cpu")

"""How alike in meaning each answer is to the wanted one: the cosine of their sentence embeddings.

The embedding of a text is the mean of the encoder's last hidden states over its tokens, scaled to length 1 (Reimers and
Gurevych 2019, arXiv:1908.10084). Encoders that were trained with another pooling give other values.
"""

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoTokenizer

from studio.errors import ModelError
from studio.evaluation.answers import weights_mark
from studio.evaluation.figure_file import FigureFile
from studio.evaluation.scores import Scores
from studio.evaluation.similarities import METRIC, similarity_key
from studio.preset.schema import ModelSection
from studio.runs.device import probe_device
from studio.worker import base_model
from studio.worker.phase import Phase

FIELD = "evaluation.embedding_model"
BATCH = 32
LONGEST = 8192


def measure_similarities(phase: Phase, texts: dict[str, list[str]], expected: list[str]) -> Scores:
    """{"embedding_similarity": {way: similarity by row, 0 to 1}}; empty where no encoder is named or none can be used.

    Why it cannot be used is said as a warning. Opposite texts count as 0, and so does an answer that says nothing.
    """
    name = phase.preset.evaluation.embedding_model
    if not name:
        return {}
    pairs = {(answer, wanted) for answers in texts.values() for answer, wanted in zip(answers, expected, strict=True)
             if answer.strip()}
    kept = FigureFile(phase.run_dir / "similarities.json")
    try:
        phase.say(f"Finding the encoder {name}, or downloading it")
        folder = base_model.locate(ModelSection(model_name_or_path=name), phase.settings).folder
        mark = weights_mark(folder)
        keys = {pair: similarity_key(mark, *pair) for pair in pairs}
        missing = [pair for pair in sorted(pairs) if kept.find(keys[pair]) is None]
        if missing:
            kept.add({keys[pair]: value for pair, value in zip(missing, _compare(phase, folder, missing), strict=True)})
    except ModelError as error:
        phase.journal.warning(f"Likeness in meaning is left out: {error.message} {error.hint}")
        return {}

    def found(answer: str, wanted: str) -> float:
        return kept.find(keys[answer, wanted]) or 0.0 if answer.strip() else 0.0

    return {METRIC: {way: [found(*pair) for pair in zip(answers, expected, strict=True)]
                     for way, answers in texts.items()}}


def _compare(phase: Phase, folder: Path, pairs: list[tuple[str, str]]) -> list[float]:
    """The similarity of each pair. Raises `ModelError` for a model that is no encoder or cannot be loaded."""
    encoder = Encoder(folder, phase.preset.evaluation.embedding_model, "cuda" if probe_device().is_gpu else "cpu")
    texts = sorted({text for pair in pairs for text in pair}, key=len, reverse=True)

    def said(done: int) -> None:
        phase.journal.progress(phase.name, done, len(texts), "texts", "Comparing answers by their meaning")

    embedded = dict(zip(texts, encoder.embed(texts, said), strict=True))
    del encoder
    gc.collect()
    torch.cuda.empty_cache()
    # equal texts come out a rounding below 1
    return [round(min(1.0, max(0.0, float(embedded[answer] @ embedded[wanted]))), 4) for answer, wanted in pairs]


class Encoder:
    """A transformers model that reads a text and gives a vector. Raises `ModelError` where it cannot be used."""

    def __init__(self, folder: Path, name: str, device: str):
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            self._model, loading = AutoModel.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32, output_loading_info=True)
            self._model.to(device).eval()
            # a pooler is not used: the mean over the tokens is taken instead
            lacking = [key for key in loading["missing_keys"] if "pooler" not in key]
            self._longest = min(self._tokenizer.model_max_length, LONGEST, _positions(folder))
            usable = not lacking and bool(torch.isfinite(self.embed(["probe"])[0]).all())
        except Exception as error:  # it is anybody's model: whatever it breaks, the person gets a sentence
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"{name} cannot be used as an encoder: {reason}",
                             "Choose a sentence encoder with safetensors that transformers supports.", FIELD) from error
        if not usable:
            raise ModelError(f"{name} is no whole encoder.", "Choose a sentence encoder with safetensors.", FIELD)

    @torch.inference_mode()
    def embed(self, texts: list[str], said: Callable[[int], None] = lambda done: None) -> list[torch.Tensor]:
        """A vector of length 1 for each text, in their order; `said` gets how many are done."""
        vectors: list[torch.Tensor] = []
        for start in range(0, len(texts), BATCH):
            read: Any = self._tokenizer(texts[start:start + BATCH], padding=True, truncation=True,
                                        max_length=self._longest, return_tensors="pt").to(self._model.device)
            states = self._model(input_ids=read["input_ids"], attention_mask=read["attention_mask"]).last_hidden_state
            mask = read["attention_mask"].unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
            vectors += torch.nn.functional.normalize(mean, dim=-1).cpu()
            said(len(vectors))
        return vectors


def _positions(folder: Path) -> int:
    """The most tokens that the encoder knows places for; two of RoBERTa's are not for tokens."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config.get("max_position_embeddings", LONGEST) - 2

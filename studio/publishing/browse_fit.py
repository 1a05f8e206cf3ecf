"""Whether a model of the Hub fits this machine with the settings in work, from its shape or, before that, its size."""

import math
from dataclasses import dataclass, replace

from studio.preset.files import override
from studio.preset.schema import Preset
from studio.publishing.browse import ModelResult
from studio.runs.checks import check_device
from studio.runs.device import Device
from studio.runs.estimates import estimate_memory
from studio.runs.model_shape import KNOWN_CONFIGS, ModelShape

# usual dense decoders, from 0.1 to 70 billion weights: hidden, intermediate, vocabulary, heads, key-value heads, tied
USUAL = (
    (576, 1536, 49152, 9, 3, True), (896, 4864, 151936, 14, 2, True), (1536, 8960, 151936, 12, 2, True),
    (2048, 11008, 151936, 16, 2, True), (2560, 9728, 151936, 32, 8, True), (4096, 14336, 128256, 32, 8, False),
    (5120, 17408, 151936, 40, 8, False), (5120, 25600, 151936, 64, 8, False), (8192, 28672, 128256, 64, 8, False))
USUAL_SIZES = (0.135e9, 0.5e9, 1.5e9, 3e9, 4e9, 8e9, 14e9, 32e9, 70e9)


@dataclass(frozen=True)
class Fit:
    """`mark` is fits, tight, too_big, or not_here where the settings need another device; `bytes` the peak of memory,
    None with not_here; `exact` where the model's own shape was at hand."""

    mark: str
    bytes: float | None
    exact: bool


def fit_of(result: ModelResult, shape: ModelShape | None, preset: Preset, device: Device) -> Fit | None:
    """How training that model with `preset` fits `device`; every row counts as long as the longest: an upper bound.

    None where neither shape nor size is known, or the model cannot be trained at all.
    """
    if result.unusable:
        return None
    if shape is None and result.id in KNOWN_CONFIGS:
        shape = ModelShape.from_config(KNOWN_CONFIGS[result.id])
    exact = shape is not None
    shape = shape or usual_shape(result.parameters or 0)
    if shape is None:
        return None
    if result.quantised and not preset.model.load_in_4bit:
        # it is held in 4 bit whatever the switch says
        preset = override(preset, {"model.load_in_4bit": True})
    if check_device(preset, device):
        return Fit("not_here", None, exact)
    memory = estimate_memory(preset, shape, device)
    return Fit(memory.verdict(device).name.lower(), memory.total, exact)


def usual_shape(parameters: int) -> ModelShape | None:
    """The shape that models of so many weights usually have: the nearest known one with more or fewer layers."""
    if parameters < 1e6:
        return None
    nearest = min(range(len(USUAL)), key=lambda i: abs(math.log(USUAL_SIZES[i] / parameters)))
    hidden, intermediate, vocabulary, heads, keys, tied = USUAL[nearest]
    one = ModelShape(hidden, intermediate, 1, vocabulary, heads, keys, hidden // heads, tied, 0)
    layers = round((parameters - one.embedding_parameters) / (one.parameters - one.embedding_parameters))
    return replace(one, num_hidden_layers=max(1, layers))


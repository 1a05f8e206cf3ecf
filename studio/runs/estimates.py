"""What a run will need: memory by parts, time and money, worked out from shapes before anything is loaded.

The formulas and constants are a fit over published measurements of QLoRA, LoRA and full runs (median error 10 %, nine
in ten within 28 % on an unseen stack); the CPU constants were measured with SmolLM2-135M on two cores.
"""

from dataclasses import dataclass
from enum import StrEnum

from studio.preset.schema import Preset
from studio.runs.device import Device
from studio.runs.model_shape import ModelShape
from studio.settings import Settings

GIB = 1024**3

# dense 16-bit peak in TFLOPS, share of it that training reaches
GPU_SPEEDS = {
    "T4": (65, 0.20), "L4": (121, 0.27), "A10G": (70, 0.45), "L40S": (362, 0.35), "A100": (312, 0.63),
    "H100": (989, 0.45), "H200": (989, 0.45), "RTX PRO 6000": (503, 0.40),
}
# Hugging Face Spaces, US dollars per hour, read from their documentation of 2026-07-21
SPACE_PRICES = {
    "cpu-basic": 0.0, "cpu-upgrade": 0.03, "t4-small": 0.40, "t4-medium": 0.60, "l4x1": 0.80, "l4x4": 3.80,
    "a10g-small": 1.00, "a10g-large": 1.50, "a10g-largex2": 3.00, "a10g-largex4": 5.00, "l40sx1": 1.80, "l40sx4": 8.30,
    "l40sx8": 23.50, "a100-large": 2.50, "a100x4": 10.00, "a100x8": 20.00,
}
CPU_FLOPS_PER_CORE = 44e9
CPU_PROCESS_BYTES = 0.6 * GIB
GPU_SLACK_BYTES = 0.6 * GIB
SECONDS_PER_LAYER_CALL = 0.0039 * 0.6
DEQUANTISE_SECONDS_PER_BILLION = 0.020
# import, model load and first compile: seconds, seen from 20 on a CPU to minutes on a small GPU
START_UP_S = {"cpu": 25, "cuda": 60}


class Verdict(StrEnum):
    """Whether a run fits the device's memory."""

    FITS = "fits"
    TIGHT = "tight"
    TOO_BIG = "too big"


@dataclass(frozen=True)
class MemoryEstimate:
    """Peak memory by parts, bytes."""

    weights: float
    trainable: float
    activations: float
    overhead: float

    @property
    def total(self) -> float:
        return self.weights + self.trainable + self.activations + self.overhead

    def verdict(self, device: Device) -> Verdict:
        """Against the device's memory, with the margins that hold for nine in ten measured runs."""
        usable = 0.94 * device.memory_bytes if device.is_gpu else 0.9 * device.memory_bytes
        if 1.2 * self.total + (GIB if device.is_gpu else 0) <= usable:
            return Verdict.FITS
        return Verdict.TOO_BIG if 0.9 * self.total - (0.5 * GIB if device.is_gpu else 0) > usable else Verdict.TIGHT


@dataclass(frozen=True)
class TimeEstimate:
    """Training time in seconds and the optimizer steps it is for; `low_s` and `high_s` are an honest range."""

    steps: int
    seconds: float

    @property
    def low_s(self) -> float:
        return 0.8 * self.seconds

    @property
    def high_s(self) -> float:
        return 1.5 * self.seconds


@dataclass(frozen=True)
class RowLengths:
    """Tokens per row of a data set: how many rows, their mean and the longest (as cut at max_length)."""

    rows: int
    mean: float
    longest: int


def estimate_memory(preset: Preset, shape: ModelShape, device: Device,
                    lengths: RowLengths | None = None) -> MemoryEstimate:
    """Peak memory of training. Without `lengths` every row counts as long as `max_length`: an upper bound."""
    training = preset.training
    longest = training.max_length if training.packing or lengths is None else min(lengths.longest, training.max_length)
    tokens = training.per_device_train_batch_size * longest
    h, m, layers = shape.hidden_size, shape.intermediate_size, shape.num_hidden_layers
    if training.gradient_checkpointing and device.is_gpu:
        kept, block = 4 * tokens * h, 2 * tokens * (10 * h + 4.2 * m)
    elif training.gradient_checkpointing:
        kept, block = 2 * layers * tokens * h, 2 * tokens * (20 * h + 3.8 * m)
    else:
        kept, block = layers * 2 * tokens * (11.5 * h + 3.4 * m), 0
    loss = 0.3 * GIB if device.is_gpu else 256 * shape.vocab_size * 8
    activations = (kept + max(block, loss)) if training.gradient_checkpointing else kept + loss
    if device.is_gpu:
        activations *= 1.11
    overhead = GPU_SLACK_BYTES if device.is_gpu else CPU_PROCESS_BYTES
    return MemoryEstimate(_weight_bytes(preset, shape), _trainable_bytes(preset, shape), activations, overhead)


def estimate_time(preset: Preset, shape: ModelShape, device: Device, lengths: RowLengths) -> TimeEstimate | None:
    """Time of the training phase; None for a GPU whose speed is not known."""
    training = preset.training
    rows = lengths.rows
    per_step = training.per_device_train_batch_size * training.gradient_accumulation_steps
    sequences = max(1, rows * lengths.mean / training.max_length) if training.packing else rows
    steps = max(1, round(sequences / per_step * training.num_train_epochs))
    if training.max_steps > 0:
        steps = training.max_steps
    row_tokens = training.max_length if training.packing else lengths.mean
    batch_tokens = training.per_device_train_batch_size * row_tokens
    matmul = shape.linear_parameters + shape.vocab_size * shape.hidden_size
    factor = 4 + 2 * training.gradient_checkpointing + 2 * preset.method.full_finetuning
    attention = 2 * row_tokens * shape.num_attention_heads * shape.head_dim * shape.num_hidden_layers
    flops = (factor * matmul + attention * (3.5 + training.gradient_checkpointing)) * batch_tokens
    if device.is_gpu:
        speed = _gpu_speed(device.name)
        if speed is None:
            return None
        micro_step = flops / speed + shape.num_hidden_layers * SECONDS_PER_LAYER_CALL
        if preset.model.load_in_4bit:
            micro_step += shape.linear_parameters / 1e9 * DEQUANTISE_SECONDS_PER_BILLION
    else:
        micro_step = flops / (CPU_FLOPS_PER_CORE * device.cores)
    seconds = START_UP_S[device.kind] + steps * training.gradient_accumulation_steps * micro_step
    return TimeEstimate(steps, seconds)


def price_per_hour(settings: Settings) -> float | None:
    """US dollars an hour of this machine: what the person set, else the Space's list price; None where unknown."""
    if settings.price_per_hour is not None:
        return settings.price_per_hour
    return SPACE_PRICES.get(settings.space_hardware)


def estimate_money(seconds: float, price_per_hour: float) -> float:
    """US dollars for a run: machines are billed by the started minute."""
    return price_per_hour / 60 * -(-seconds // 60)


# small models have more in their embeddings, which are stored finer
GGUF_BYTES_PER_WEIGHT = {"f16": 2, "bf16": 2, "q8_0": 1.07, "q6_k": 1.03, "q5_k_m": 0.85, "q4_k_m": 0.8}


def disk_bytes(preset: Preset, shape: ModelShape) -> float:
    """Disk a run will fill: checkpoints with optimizer state, adapter, merged model, GGUF files."""
    trained = _trained_parameters(preset, shape)
    whole = shape.parameters * 2
    checkpoint = whole + trained * 8 if preset.method.full_finetuning else trained * 12
    kinds = preset.export.gguf
    merged = whole if preset.export.save_merged or kinds or preset.method.full_finetuning else 0
    # the quants pass through a bf16 file
    passing = whole if kinds and "bf16" not in kinds and set(kinds) - {"f16", "q8_0"} else 0
    gguf = shape.parameters * sum(GGUF_BYTES_PER_WEIGHT[kind] for kind in kinds)
    return preset.training.save_total_limit * checkpoint + trained * 4 + merged + gguf + passing


def _weight_bytes(preset: Preset, shape: ModelShape) -> float:
    rest = shape.parameters - shape.linear_parameters
    per_linear = 0.5625 if preset.model.load_in_4bit else 4 if preset.model.dtype == "float32" else 2
    return shape.linear_parameters * per_linear + rest * (4 if preset.model.dtype == "float32" else 2)


def _trainable_bytes(preset: Preset, shape: ModelShape) -> float:
    """Adapter (or all weights), gradients and optimizer states."""
    trained = _trained_parameters(preset, shape)
    states = {"adamw_8bit": 2.06, "paged_adamw_8bit": 0.1, "adafactor": 0.1}
    if preset.method.full_finetuning:
        return trained * (2 + states.get(preset.training.optim, 4))
    return trained * (4 + 4 + states.get(preset.training.optim, 8))


def _trained_parameters(preset: Preset, shape: ModelShape) -> int:
    if preset.method.full_finetuning:
        return shape.parameters
    saved = len(preset.lora.modules_to_save) * shape.vocab_size * shape.hidden_size
    return shape.lora_parameters(preset.lora.r, preset.lora.target_modules) + saved


def _gpu_speed(name: str) -> float | None:
    """Training FLOPS of a GPU by its name; the longest known name that occurs in it wins (L40S before L4)."""
    matches = [known for known in GPU_SPEEDS if known in name.upper()]
    if not matches:
        return None
    peak, share = GPU_SPEEDS[max(matches, key=len)]
    return peak * 1e12 * share

"""Write a k-quant of a 16-bit GGUF file, tensor by tensor and some rows at a time; imports no torch."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFReader, GGUFValueType, GGUFWriter, ReaderTensor
from gguf import GGMLQuantizationType as Q
from gguf.quants import quant_shape_to_byte_shape

from studio.worker.gguf_kinds import FULL, K_QUANTS, Model, Tensor, choose_types

# values turned to 32 bits at once: 128 MB
PIECE_VALUES = 2**25
WRITTEN_ANEW = ("general.architecture", "general.file_type")


def quantize(source: Path, target: Path, kind: str, tell: Callable[[int, int], None]) -> None:
    """Write `target` from `source`; `tell` gets the bytes that are done and those there will be.

    Memory: the largest tensor as it will be stored, and one piece. Values are quantized by libgguf's port of ggml.
    """
    reader = GGUFReader(source)
    types = _types(reader, kind)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name not in WRITTEN_ANEW:
            of = field.types[-1] if field.types[0] is GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], of)
    writer.add_file_type(K_QUANTS[kind][1])
    for tensor in reader.tensors:
        shape, type = _shape(tensor), types[tensor.name]
        stored = shape if type in FULL else quant_shape_to_byte_shape(shape, type)
        writer.add_tensor_info(tensor.name, stored, _dtype(type), _size(tensor, type), raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    done, total = 0, sum(_size(tensor, types[tensor.name]) for tensor in reader.tensors)

    def advance(size: int) -> None:
        nonlocal done
        done += size
        tell(done, total)

    for tensor in reader.tensors:
        writer.write_tensor_data(_stored(tensor, types[tensor.name], advance))
    writer.close()


def _stored(tensor: ReaderTensor, type: Q, advance: Callable[[int], None]) -> np.ndarray:
    """The tensor's bytes in the type, rows of them at a time."""
    rows = tensor.data.reshape(-1, tensor.data.shape[-1])
    width = int(tensor.shape[0])
    stored = np.empty((len(rows), _size(tensor, type) // len(rows)), dtype=np.uint8)
    step = max(1, PIECE_VALUES // width)
    for start in range(0, len(rows), step):
        piece = _quantized(_floats(rows[start:start + step], tensor.tensor_type), type)
        stored[start:start + step] = piece.view(np.uint8).reshape(len(piece), -1)
        advance(stored[start:start + step].nbytes)
    return stored


def _quantized(values: np.ndarray, type: Q) -> np.ndarray:
    if type is Q.F32:
        return values
    if type is Q.F16:
        return values.astype(np.float16)
    import libgguf  # not on every platform

    return np.asarray(libgguf.quantize_rows(np.ascontiguousarray(values), libgguf.GGMLQuantizationType(int(type))))


def _floats(rows: np.ndarray, type: Q) -> np.ndarray:
    """Rows of a 16- or 32-bit tensor in 32 bits; the reader gives bfloat16 as bytes."""
    if type is Q.BF16:
        return (rows.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return rows.astype(np.float32)


def _types(reader: GGUFReader, kind: str) -> dict[str, Q]:
    fields = reader.fields
    architecture = fields["general.architecture"].contents()

    def number(key: str) -> int:
        name = f"{architecture}.{key}"
        found = fields[name].contents() if name in fields else 0
        return max(found) if isinstance(found, list) else found  # some models have other heads in each layer

    model = Model(architecture, number("block_count"), number("attention.head_count"),
                  number("attention.head_count_kv"), number("expert_count"))
    tensors = [Tensor(tensor.name, tensor.tensor_type, int(tensor.shape[0])) for tensor in reader.tensors]
    return choose_types(kind, tensors, model)


def _shape(tensor: ReaderTensor) -> tuple[int, ...]:
    """The shape as numpy counts it; GGUF counts from the inside."""
    return tuple(int(length) for length in reversed(tensor.shape))


def _size(tensor: ReaderTensor, type: Q) -> int:
    block, size = GGML_QUANT_SIZES[type]
    return int(tensor.n_elements) // block * size


def _dtype(type: Q) -> np.dtype:
    return np.dtype({Q.F32: np.float32, Q.F16: np.float16}[type] if type in (Q.F32, Q.F16) else np.uint8)

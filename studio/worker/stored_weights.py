"""How many weights a model's folder holds, where bitsandbytes may have packed some to 4 bit ("-bnb-4bit" models)."""

from math import prod
from pathlib import Path

from studio.publishing.exports import tensor_shapes

# how bitsandbytes says what the packed bytes of a weight stand for
PACKING = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".quant_state.")


def is_packed(folder: Path) -> bool:
    """Whether a model's linear layers are stored in 4 bit by bitsandbytes, as "-bnb-4bit" models are."""
    return any(".quant_state." in name for name in tensor_shapes(folder))


def count_weights(folder: Path) -> int:
    """How many weights a model has; bitsandbytes packs two into a byte, with figures beside them that are none."""
    shapes = tensor_shapes(folder)
    packed = {name.partition(".quant_state.")[0] for name in shapes if ".quant_state." in name}
    return sum(prod(shape) * (2 if name in packed else 1) for name, shape in shapes.items()
               if not any(mark in name for mark in PACKING))

"""The forms in which a run's model lies on the disk: adapter, merged model, GGUF files; and what each was made from.

A form says of which weights it was made by their print (`weights_print`), in a hidden record beside it. It is stale
when those weights have changed since. Reads a run folder, imports no torch.
"""

import json
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Literal, get_args

from studio import words
from studio.errors import CheckError, ModelError
from studio.preset.schema import GgufKind

Form = Literal["adapter", "merged", "gguf"]

GGUF_DIR = "gguf"
GGUF_KINDS: tuple[str, ...] = get_args(GgufKind)
# these are written straight from the merged weights
FULL_KINDS = frozenset({"f16", "bf16", "q8_0"})
# bits a weight takes in each kind, embeddings and output apart: with rows of a multiple of 256 weights, and with others
BITS = {"f16": (16, 16), "bf16": (16, 16), "q8_0": (8.5, 8.5), "q6_k": (6.5625, 8.5), "q5_k_m": (5.7, 6.3),
        "q4_k_m": (4.85, 5.7)}
OUTPUT_BITS = (6.5625, 8.5)
MERGED_RECORD = ".made_from.json"
# vocabulary and facts at the front of a GGUF file
HEAD_BYTES = 4_000_000
# of each weights file so many pieces are read, evenly spread, so that 30 GB are told apart in a moment
PIECES, PIECE_BYTES = 256, 4096


@dataclass(frozen=True)
class Export:
    """One form of a run's model.

    `kind` is one of `GGUF_KINDS`, "" for adapter and merged. `path` is the folder, or the .gguf file; `files` are all
    its files, the largest first, for a GGUF with its Modelfile. `size_bytes` is their sum, `made_at` seconds since
    1970. `fresh` is False where the weights it was made from have changed since.
    """

    form: Form
    kind: str
    path: Path
    files: list[Path]
    size_bytes: int
    made_at: float
    fresh: bool

    @property
    def name(self) -> str:
        """What the form is called in one word: "adapter", "merged", "q4_k_m"."""
        return self.kind or self.form

    @property
    def modelfile(self) -> Path | None:
        """Ollama's Modelfile of a GGUF."""
        return next((file for file in self.files if file.suffix == ".modelfile"), None)


def list_exports(run_dir: Path) -> list[Export]:
    """The forms a run has: adapter, merged model, then GGUF files from the truest to the smallest."""
    found = []
    adapter, merged = run_dir / "adapter", run_dir / "merged"
    if _is_whole(adapter, "adapter_config.json"):
        found.append(_folder_export("adapter", adapter, fresh=True))
    merged_fresh = True
    if _is_whole(merged, "config.json"):
        merged_fresh = not found or _made_from(merged / MERGED_RECORD) in ("", weights_print(adapter))
        found.append(_folder_export("merged", merged, merged_fresh))
    for kind in GGUF_KINDS:
        if (file := gguf_file(run_dir, kind)) is not None:
            fresh = merged_fresh and _made_from(gguf_record(file)) == weights_print(merged)
            found.append(_gguf_export(kind, file, fresh))
    return found


def is_own(file: Path, run_dir: Path) -> bool:
    """Whether a file is the run's own: links, and what lies behind one, may be anybody's and are neither compared nor
    sent."""
    return file.is_file() and not file.is_symlink() and file.resolve().is_relative_to(run_dir.resolve())


def is_merged(run_dir: Path) -> bool:
    """Whether the run has a merged model of its present weights."""
    return any(export.form == "merged" and export.fresh for export in list_exports(run_dir))


def gguf_file(run_dir: Path, kind: str) -> Path | None:
    """The finished GGUF file of a kind, or None."""
    ending = f"-{kind.upper()}.gguf"
    return next((file for file in sorted((run_dir / GGUF_DIR).glob("*.gguf"))
                 if file.name.endswith(ending) and not file.name.startswith(".") and is_own(file, run_dir)), None)


def gguf_record(file: Path) -> Path:
    """The hidden file that says what a GGUF file was made from."""
    return file.with_name(f".{file.name}.json")


def modelfile_of(file: Path) -> Path:
    """Where Ollama's Modelfile of a GGUF file lies."""
    return file.with_suffix(".modelfile")


def commands(export: Export) -> str:
    """What to type in a GGUF file's folder to talk to it, with Ollama and with llama.cpp."""
    name = export.path.stem.lower()
    return (f"ollama create {name} -f {modelfile_of(export.path).name}\nollama run {name}\n\n"
            f"llama-server -m {export.path.name} --jinja\n")


def write_record(record: Path, source: Path) -> None:
    """Note that a form was made from the weights in the folder `source`."""
    partial = record.with_name(f"{record.name}.{os.getpid()}")
    partial.write_text(json.dumps({"made_from": weights_print(source)}) + "\n", encoding="utf-8")
    os.replace(partial, record)


def weights_print(folder: Path) -> str:
    """A short name for the weights in a folder's safetensors files, by their bytes: a copy has the same, a retrained
    model another; "" without such files."""
    files = sorted(folder.glob("*.safetensors"))
    stamps = tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    return _print(folder, stamps) if files else ""


def expected_sizes(merged: Path, kinds: list[str]) -> dict[str, int]:
    """How large the GGUF file of each kind will be, in bytes, within a tenth, from the shapes in merged/."""
    shapes = tensor_shapes(merged)
    ends = {name for name in shapes if "embed" in name or name.startswith("lm_head")}
    wide = all(shape[-1] % 256 == 0 for name, shape in shapes.items() if len(shape) > 1)
    outer, inner = (sum(prod(shape) for name, shape in shapes.items() if (name in ends) is is_end)
                    for is_end in (True, False))
    sizes = {}
    for kind in kinds:
        bits = BITS[kind][0 if wide else 1]
        outer_bits = bits if kind in FULL_KINDS else OUTPUT_BITS[0 if wide else 1]
        sizes[kind] = int((inner * bits + outer * outer_bits) / 8) + HEAD_BYTES
    return sizes


def require_disk(run_dir: Path, kinds: list[str]) -> None:
    """Raise `CheckError` where the disk lacks room for GGUF files of these kinds and what they are made from."""
    merged = run_dir / "merged"
    sizes = expected_sizes(merged, [*kinds, "bf16"])
    passing = "bf16" not in kinds and any(kind not in FULL_KINDS for kind in kinds)
    needed = sum(sizes[kind] for kind in kinds) + (sizes["bf16"] if passing else 0)
    free = shutil.disk_usage(run_dir).free
    if needed > free:
        raise CheckError(f"{', '.join(kinds)} as GGUF need{'s' if len(kinds) == 1 else ''} {words.size(needed)} of disk"
                         f"{' while they are made' if passing else ''}, and {words.size(free)} are free.",
                         "Delete old runs or files, or choose a smaller kind.", "export.gguf")


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """{name: shape} of all tensors in a folder's safetensors files, read from their heads.

    Raises `ModelError` for a file that is none.
    """
    shapes: dict[str, list[int]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length < path.stat().st_size:
                raise ModelError(f"{path.name} is no whole safetensors file.", "Merge again.")
            head = json.loads(file.read(length))
        shapes |= {name: tensor["shape"] for name, tensor in head.items() if name != "__metadata__"}
    return shapes


@lru_cache(maxsize=64)
def _print(folder: Path, stamps: tuple[tuple[str, int, int], ...]) -> str:
    digest = sha256()
    for name, size, _ in stamps:
        digest.update(f"{name} {size} ".encode())
        with open(folder / name, "rb") as file:
            for piece in range(PIECES):
                file.seek(max(0, size - PIECE_BYTES) * piece // (PIECES - 1))
                digest.update(file.read(PIECE_BYTES))
    return digest.hexdigest()[:16]


def _made_from(record: Path) -> str:
    """What the record says, "" where there is none: an earlier studio wrote none."""
    try:
        return json.loads(record.read_text(encoding="utf-8"))["made_from"]
    except FileNotFoundError:
        return ""


def _is_whole(folder: Path, config: str) -> bool:
    """Whether a folder holds a model with all its weights."""
    return all(is_own(file, folder.parent) for file in (folder / config, *folder.glob("*.safetensors")))


def _folder_export(form: Form, folder: Path, fresh: bool) -> Export:
    files = [file for file in folder.iterdir() if is_own(file, folder.parent) and not file.name.startswith(".")]
    return _export(form, "", folder, files, fresh)


def _gguf_export(kind: str, file: Path, fresh: bool) -> Export:
    files = [each for each in (file, modelfile_of(file)) if is_own(each, file.parent.parent)]
    return _export("gguf", kind, file, files, fresh)


def _export(form: Form, kind: str, path: Path, files: list[Path], fresh: bool) -> Export:
    sizes = {file: file.stat().st_size for file in files}
    ordered = sorted(files, key=lambda file: (-sizes[file], file.name))
    return Export(form, kind, path, ordered, sum(sizes.values()), ordered[0].stat().st_mtime, fresh)

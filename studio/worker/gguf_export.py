"""The gguf phase: merged/ as GGUF files of the kinds that were asked for, each whole under its name or not there.

f16, bf16 and q8_0 come from llama.cpp's converter, k-quants from a bf16 file by libgguf. Nothing is installed here.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

from gguf import GGUFReader
from transformers import AutoConfig, AutoTokenizer

from studio import words
from studio.errors import ModelError, RunError, StudioError
from studio.publishing import exports
from studio.publishing.exports import FULL_KINDS, GGUF_DIR, expected_sizes
from studio.publishing.gguf_request import read_request
from studio.runs.device import free_memory_bytes
from studio.worker import base_model
from studio.worker.gguf_convert import ENDS, FIELD, Conversion, UnknownArchitecture, adds_bos
from studio.worker.gguf_quantize import quantize
from studio.worker.growth import LOOK_S, watched
from studio.worker.modelfile import MOST_CONTEXT_TOKENS, modelfile
from studio.worker.parity_prompts import taught_end
from studio.worker.phase import Phase
from studio.worker.tokenizer import add_sentencepiece, lacks_sentencepiece

# what converting a tensor holds of it at most: read, in 32 bits, turned, stored
BYTES_PER_WEIGHT = 14
# all that tools of others get to see; tokens and keys are not among it
TOOL_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "TMPDIR", "HOME", "LANG", "OMP_NUM_THREADS")
CONVERT_SCRIPT, QUANTIZE_TOOL = "convert_hf_to_gguf.py", "llama-quantize"


def export(phase: Phase) -> dict[str, Any]:
    """Write gguf/<model>-<KIND>.gguf with a Modelfile for each kind asked for; returns {"files": [...]}.

    A kind that is there of these weights is kept. One that fails keeps none of the others back: what can be made is
    made, then the first failure is raised. Raises `RunError` without a merged model or a kind, `ModelError` for what
    cannot be converted, and where disk or memory lack room.
    """
    kinds = read_request(phase.run_dir, phase.preset).kinds
    merged, folder = phase.run_dir / "merged", phase.run_dir / GGUF_DIR
    if not (merged / "config.json").is_file():
        raise RunError("The run has no merged model to make GGUF files of.", "Merge it first.")
    if not kinds:
        raise RunError("No kind of GGUF file was asked for.", "Name at least one, such as q4_k_m.", FIELD)
    if lacks_sentencepiece(merged):  # of an earlier studio, or with all weights trained
        add_sentencepiece(base_model.locate(phase.preset.model, phase.settings, weights=False).folder, merged)
    folder.mkdir(exist_ok=True)
    # a polite end cleans up too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        _clean(folder)
        _make_missing(phase, merged, folder, kinds)
    finally:
        _clean(folder)
    files = [file for kind in kinds if (file := exports.gguf_file(phase.run_dir, kind))]
    return {"files": [{"kind": kind, "path": f"{GGUF_DIR}/{file.name}", "size_bytes": file.stat().st_size}
                      for kind, file in zip(kinds, files, strict=True)]}


def _make_missing(phase: Phase, merged: Path, folder: Path, kinds: list[str]) -> None:
    """Make the kinds that are not there of these weights; raises the first failure when all others are made."""
    tokenizer = AutoTokenizer.from_pretrained(merged, trust_remote_code=False)
    end = taught_end(phase, tokenizer)
    kept = _kept(phase.run_dir, tokenizer, end)
    # bf16 before the quants, which are made from it
    missing = [kind for kind in exports.GGUF_KINDS if kind in kinds and kind not in kept]
    _require_room(merged, folder, missing)
    work = _Work(phase, merged, folder, missing, tokenizer, end)
    failures = []
    for kind in missing:
        try:
            work.make(kind)
        except StudioError as error:
            print(f"{kind}: {error}", flush=True)
            failures.append(error)
    if failures:
        raise failures[0]


def _kept(run_dir: Path, tokenizer: Any, end: int | None) -> dict[str, Path]:
    """The finished files of these weights by kind; an earlier studio wrote some that do not know the token `end`, with
    which a trained answer ends."""
    fresh = {each.kind: each.path for each in exports.list_exports(run_dir) if each.form == "gguf" and each.fresh}
    if end in (None, tokenizer.eos_token_id):
        return fresh
    return {kind: path for kind, path in fresh.items() if _knows_end(GGUFReader(path).fields, end)}


def _clean(folder: Path) -> None:
    """Delete what is not whole, of this export or of one that was killed."""
    for leftover in folder.glob(".*.partial"):
        leftover.unlink()


class _Work:
    """The kinds that are still to be made, and how far they are in bytes."""

    def __init__(self, phase: Phase, merged: Path, folder: Path, kinds: list[str], tokenizer: Any, end: int | None):
        self._phase, self._merged, self._folder, self._kinds = phase, merged, folder, kinds
        self._tokenizer, self._end = tokenizer, end
        self._slug = model_slug(phase.run_dir)
        sizes = expected_sizes(merged, [*kinds, "bf16"])
        self._passes = {kind: sizes[kind] for kind in kinds}
        if self._quantized and "bf16" not in kinds and self._bf16() is None:
            self._passes["bf16 for the quants"] = sizes["bf16"]
        self._done_bytes, self._told_at = 0, 0.0

    @property
    def _quantized(self) -> list[str]:
        return [kind for kind in self._kinds if kind not in FULL_KINDS]

    def make(self, kind: str) -> None:
        """Write one kind whole, with its Modelfile and its record, in place of an older one."""
        target = self._folder / f"{self._slug}-{kind.upper()}.gguf"
        partial = self._folder / f".{target.name}.partial"
        try:
            if kind in FULL_KINDS:
                self._convert(partial, kind, kind)
            else:
                self._quantize(self._bf16() or self._intermediate(), partial, kind)
            check(partial, self._tokenizer, self._end)
            older = exports.gguf_file(self._phase.run_dir, kind)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
        if older not in (None, target):  # the run had another name
            for file in (older, exports.gguf_record(older), exports.modelfile_of(older)):
                file.unlink(missing_ok=True)
        config = AutoConfig.from_pretrained(self._merged, trust_remote_code=False).get_text_config()
        # models without positions have no limit
        context = getattr(config, "max_position_embeddings", MOST_CONTEXT_TOKENS)
        exports.modelfile_of(target).write_text(modelfile(
            target.name, self._tokenizer, context, self._phase.preset.data.system_prompt, adds_bos(self._tokenizer)))
        exports.write_record(exports.gguf_record(target), self._merged)

    @property
    def _intermediate_path(self) -> Path:
        return self._folder / f".{self._slug}-for-quants.partial"

    def _bf16(self) -> Path | None:
        """The finished bf16 file, where it is of these weights."""
        return _kept(self._phase.run_dir, self._tokenizer, self._end).get("bf16")

    def _intermediate(self) -> Path:
        """A bf16 file for the quants: it holds the merged weights exactly, as f16 would not."""
        if not self._intermediate_path.is_file():
            made = self._intermediate_path.with_suffix(".making.partial")
            self._convert(made, "bf16", "bf16 for the quants")
            os.replace(made, self._intermediate_path)
        return self._intermediate_path

    def _convert(self, target: Path, kind: str, planned: str) -> None:
        self._phase.say(f"Preparing {kind.upper()}")
        try:
            conversion = Conversion(self._merged, target, kind, self._slug, self._tokenizer, self._end)
        except UnknownArchitecture:
            script = shutil.which(CONVERT_SCRIPT)
            if script is None:
                raise
            with self._growing(target, planned, self._passes[planned]):
                _run([script, "--outtype", kind, "--outfile", str(target), str(self._merged)])
            return
        with self._growing(target, planned, conversion.size_bytes):
            conversion.write()

    def _quantize(self, source: Path, target: Path, kind: str) -> None:
        if find_spec("libgguf") is not None:

            def tell(done: int, total: int) -> None:
                self._passes[kind] = total
                if time.monotonic() - self._told_at > LOOK_S:
                    self._tell(kind, done)

            quantize(source, target, kind, tell)
            self._done_bytes += self._passes[kind]
            return
        tool = shutil.which(QUANTIZE_TOOL)
        if tool is None:
            raise ModelError(
                f"{kind} needs llama.cpp's {QUANTIZE_TOOL} here: its Python port has no package for this machine.",
                "Install llama.cpp (brew install llama.cpp, or a release from https://github.com/ggml-org/llama.cpp),"
                f" so that {QUANTIZE_TOOL} is on the PATH; f16, bf16 and q8_0 work without.", FIELD)
        with self._growing(target, kind, self._passes[kind]):
            _run([tool, str(source), str(target), kind.upper()])

    @contextmanager
    def _growing(self, target: Path, planned: str, size_bytes: int) -> Iterator[None]:
        """Tell how far a file is that somebody else writes."""
        self._passes[planned] = size_bytes
        with watched(target, lambda size: self._tell(planned, min(size, size_bytes))):
            yield
        self._done_bytes += size_bytes

    def _tell(self, planned: str, done_bytes: int) -> None:
        self._told_at = time.monotonic()
        self._phase.journal.progress("gguf", self._done_bytes + done_bytes, sum(self._passes.values()), "bytes",
                                     f"Writing {planned.replace('_', ' ') if ' ' in planned else planned.upper()}")


def check(file: Path, tokenizer: Any, end: int | None) -> None:
    """Read a finished file's head again: its template, end token and vocabulary must be the merged model's own, and
    the token `end`, which ends a trained answer, must be known to it.

    Raises `ModelError` otherwise.
    """
    fields = GGUFReader(file).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    own = tokenizer.get_vocab()
    wrong = [what for what, right in {
        "chat template": _content(fields, "tokenizer.chat_template", "") == (tokenizer.chat_template or ""),
        "end token": _content(fields, "tokenizer.ggml.eos_token_id", None) == tokenizer.eos_token_id,
        "vocabulary": len(tokens) > max(own.values()),
    }.items() if not right]
    if wrong:
        raise ModelError(f"The GGUF file would have another {wrong[0]} than the merged model.",
                         "Report it with the log; the merged model itself is sound.", FIELD)
    if end is not None and not _knows_end(fields, end):
        raise ModelError("The GGUF file would not know the token that ends an answer, and talk on after each.",
                         "Train with model.chat_template=chatml, then export again.", "model.chat_template")


def _knows_end(fields: dict[str, Any], end: int) -> bool:
    return end in {_content(fields, key, None) for key in ENDS}


def model_slug(run_dir: Path) -> str:
    """The run's name as part of a file's."""
    name = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))["name"]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "model"


def _content(fields: dict[str, Any], name: str, otherwise: Any) -> Any:
    return fields[name].contents() if name in fields else otherwise


def _require_room(merged: Path, folder: Path, kinds: list[str]) -> None:
    """Raise `ModelError` where the disk cannot take the files, or memory the largest tensor."""
    exports.require_disk(folder.parent, kinds)
    largest = max(map(prod, exports.tensor_shapes(merged).values())) * BYTES_PER_WEIGHT
    free = free_memory_bytes()
    if kinds and largest > free:
        raise ModelError(f"Converting the largest tensor needs {words.size(largest)} of memory, and {words.size(free)}"
                         " are free.", "Close other programs, or export on a machine with more memory.", FIELD)


def _run(command: list[str]) -> None:
    """Run a tool of llama.cpp; what it prints goes to the log. Raises `ModelError` when it fails."""
    environment = {name: os.environ[name] for name in TOOL_ENVIRONMENT if name in os.environ}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, env=environment)
    if ended.returncode != 0:
        raise ModelError(f"{Path(command[0]).name} failed with exit code {ended.returncode}.",
                         "The log shows why; a newer llama.cpp may help.", FIELD)

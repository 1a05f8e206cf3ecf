"""Counts a whole data set in tokens, as the trainer will: JSON request on stdin, JSON answer on stdout, no torch.

    {"preset": "<YAML>", "names": [...], "step": 1, "data_dir", "presets_dir"}  ->  fields of report.Tokens

Every `step`-th usable row is tokenised; rows are read, counted and forgotten in chunks.
"""

import os
import pickle
import re
import sys
from array import array
from bisect import bisect_left, insort
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from studio.data import ranges
from studio.data.doctor import Progress, each_row
from studio.data.formats import texts
from studio.data.report import Findings, Place, Tokens
from studio.data.row_checks import TEMPLATE_TOKENS
from studio.errors import DataError
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.worker.preview import answer_request, tokenizer_of

# parts of a row that can be learned
LEARNED = frozenset({"text", "messages", "completion", "chosen"})
CHUNK_ROWS = 2000
# so many are counted before other processes would have started
CHUNKS_HERE = 4
HISTOGRAM_BINS = 20
# a longest row is a multiple of this, as kernels like it
LENGTH_MULTIPLE = 64
SUGGESTED_SHARE = 0.99
# where the very longest is hardly longer than that, it may as well fit
SLIGHTLY = 1.25


def main() -> int:
    """Answer one request; 0 done, 3 the person can mend it."""
    return answer_request(count)


def count(preset: Preset, settings: Settings, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request. Raises `StudioError`."""
    return asdict(count_rows(preset, settings, request["names"], request["step"]))


def count_rows(
    preset: Preset, settings: Settings, names: list[str], step: int, progress: Progress = lambda share, rows: None
) -> Tokens:
    """Read, render and measure every `step`-th row. Raises `StudioError`."""
    with ExitStack() as stack:
        counter = _Counter(_Work(tokenizer_of(preset, settings), preset), preset, step, stack)
        each_row(names, preset.data, settings, None, counter.take, progress)
        return counter.finish()


@dataclass(frozen=True)
class _Counted:
    """What some rows are as tokens: lengths before the cut, learned tokens after it; `remarks` are (row's index among
    them, name of the finding, detail). `more_pieces` are those of long texts, beside the first of each."""

    lengths: array = field(default_factory=lambda: array("L"))
    trained: array = field(default_factory=lambda: array("L"))
    remarks: list[tuple[int, str, str]] = field(default_factory=list)
    more_pieces: int = 0


class _Work:
    """Counts chunks of rows; it travels to other processes."""

    def __init__(self, tokenizer: Any, preset: Preset):
        self._tokenizer, self._preset = tokenizer, preset
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        own = [token for token in special if len(token) > 2 and not TEMPLATE_TOKENS.search(token)]
        self._own_tokens = re.compile("|".join(map(re.escape, own)) or r"(?!)")

    def count(self, rows: list[dict[str, Any]]) -> _Counted:
        from studio.data.chunks import cut_rows
        from studio.data.render import render_each

        pieces, indices = cut_rows(self._tokenizer, rows, self._preset)
        counted = _Counted(more_pieces=len(pieces) - len(rows))
        outcomes = render_each(self._tokenizer, pieces, self._preset)
        for row, index, outcome in zip(pieces, indices, outcomes, strict=True):
            if isinstance(outcome, DataError):
                counted.remarks.append((index, "template_refuses", outcome.message))
                continue
            counted.lengths.append(outcome.length)
            counted.trained.append(outcome.trained_tokens)
            if outcome.truncated:
                counted.remarks.append((index, "truncated", f"{outcome.length:,} tokens"))
            if outcome.trained_tokens == 0 and not LEARNED.isdisjoint(row):
                counted.remarks.append((index, "all_labels_masked", ""))
            if any(self._own_tokens.search(text) for text in texts(row)):
                counted.remarks.append((index, "own_special_token", ""))
        return counted


class _Counter:
    """Gathers rows into chunks, has them counted in order, and sums up.

    The first chunks are counted here; with more, all cores take part, a process each, since templates are Python.
    """

    def __init__(self, work: _Work, preset: Preset, step: int, stack: ExitStack):
        self._work, self._preset, self._step, self._stack = work, preset, step, stack
        self._pool: ProcessPoolExecutor | None = None
        self._waiting: deque[tuple[Future, list[Place]]] = deque()
        self._chunk: list[tuple[dict[str, Any], Place]] = []
        self._lengths, self._trained = array("L"), array("L")
        self._findings = Findings()
        self._rows = self._chunks = self._more_pieces = 0

    def take(self, row: dict[str, Any], place: Place) -> None:
        """Note a row; every so many are tokenised together."""
        self._rows += 1
        if (self._rows - 1) % self._step:
            return
        self._chunk.append((row, place))
        if len(self._chunk) == CHUNK_ROWS:
            self._count_chunk()

    def _count_chunk(self) -> None:
        rows, places = [row for row, _ in self._chunk], [place for _, place in self._chunk]
        self._chunk = []
        self._chunks += 1
        if self._chunks <= CHUNKS_HERE:
            self._add(self._work.count(rows), places)
            return
        if self._pool is None:
            self._pool = self._stack.enter_context(ranges.processes("spawn", _begin, pickle.dumps(self._work)))
        self._waiting.append((self._pool.submit(_count, rows), places))
        if len(self._waiting) > ranges.AHEAD:
            self._take_in(*self._waiting.popleft())

    def _take_in(self, future: Future, places: list[Place]) -> None:
        try:
            self._add(future.result(), places)
        except BrokenProcessPool:
            raise DataError("The counting of tokens was ended by the system, as when memory runs out.",
                            "Set data.max_rows to read fewer rows.", "data.max_rows") from None

    def _add(self, counted: _Counted, places: list[Place]) -> None:
        self._lengths += counted.lengths
        self._trained += counted.trained
        self._more_pieces += counted.more_pieces
        for index, name, detail in counted.remarks:
            self._findings.add(name, replace(places[index], detail=detail) if detail else places[index])

    def finish(self) -> Tokens:
        """The figures. Raises `DataError` where a process is ended by the system."""
        import numpy

        self._count_chunk()
        while self._waiting:
            self._take_in(*self._waiting.popleft())
        model, limit = self._preset.model.model_name_or_path, self._preset.training.max_length
        batch_size = self._preset.training.per_device_train_batch_size
        sampled = -(-self._rows // self._step)
        findings = self._findings.list(self._rows, self._preset.data, sampled=sampled if self._step > 1 else 0)
        if not self._lengths:
            return Tokens(model, 0, 0, limit, 0, 0, 0, 0, 0, 0, {"edges": [], "counts": []}, 0, 0, 0, 0, 0, batch_size,
                          0, 0, 0, findings)
        lengths = numpy.frombuffer(self._lengths, dtype=numpy.dtype("L")).astype(numpy.int64)
        cut = numpy.minimum(lengths, limit)
        n = len(lengths)
        scale = self._rows / sampled
        rows = self._rows + round((self._more_pieces - self._findings.count("template_refuses")) * scale)
        missing = 1 - n / rows if self._step > 1 else 0.0
        padded, packed = padded_tokens(cut, batch_size, self._preset.training.seed), packed_bins(cut, limit) * limit
        kept, all_tokens = int(cut.sum()), int(lengths.sum())
        return Tokens(
            model=model, rows=rows, sampled_rows=n, max_length=limit,
            mean=float(cut.mean()), mean_error=float(1.96 * cut.std() * (missing / n) ** 0.5),
            mean_trained=sum(self._trained) / n, median=int(numpy.median(lengths)),
            p95=int(numpy.quantile(lengths, 0.95)), longest=int(lengths.max()), histogram=histogram(lengths),
            truncated_share=float((lengths > limit).mean()), tokens_cut_share=1 - kept / all_tokens,
            suggested_max_length=suggested_length(lengths), tokens_per_epoch=round(kept * scale),
            trained_tokens_per_epoch=round(sum(self._trained) * scale), batch_size=batch_size,
            padding_waste=1 - kept / padded, packed_waste=1 - kept / packed, packing_gain=padded / packed,
            findings=findings)


_work: _Work | None = None


def _begin(pickled: bytes) -> None:
    """In each process: take the work, without torch, which a tokenizer does not need and takes seconds to load."""
    global _work
    sys.modules["torch"] = None
    # threads of the tokenisers in each process would be in each other's way
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    _work = pickle.loads(pickled)


def _count(rows: list[dict[str, Any]]) -> _Counted:
    return _work.count(rows)


def suggested_length(lengths: Any) -> int:
    """The longest row that holds 99 % of the rows whole, or all of them where that costs little more."""
    import numpy

    wanted, longest = int(numpy.quantile(lengths, SUGGESTED_SHARE, method="higher")), int(lengths.max())
    if longest <= SLIGHTLY * wanted:
        wanted = longest
    return max(1, -(-wanted // LENGTH_MULTIPLE)) * LENGTH_MULTIPLE


def histogram(lengths: Any) -> dict[str, list[int]]:
    """Counts of rows between equally spaced edges from 0 to the longest."""
    import numpy

    width = -(-(int(lengths.max()) + 1) // HISTOGRAM_BINS)
    counts = numpy.bincount(lengths // width)
    return {"edges": [i * width for i in range(len(counts) + 1)], "counts": counts.tolist()}


def padded_tokens(lengths: Any, batch_size: int, seed: int) -> int:
    """Tokens computed in an epoch of random batches, each as wide as its longest row."""
    import numpy

    shuffled = numpy.random.default_rng(seed).permutation(lengths)
    whole = len(shuffled) // batch_size * batch_size
    wide = int(shuffled[:whole].reshape(-1, batch_size).max(axis=1).sum()) * batch_size
    rest = shuffled[whole:]
    return wide + (int(rest.max()) * len(rest) if len(rest) else 0)


def packed_bins(lengths: Any, room: int) -> int:
    """How many packed rows of `room` tokens hold all rows: each goes where it fits best, the longest first (TRL's bfd).

    Kept is how many bins have how much room left, so it costs a step for each different length, not for each row.
    """
    import numpy

    left: list[int] = []
    bins: dict[int, int] = {}
    total = 0
    found = zip(*(part.tolist() for part in numpy.unique(numpy.maximum(lengths, 1), return_counts=True)), strict=True)
    for length, n in sorted(found, reverse=True):
        while n:
            at = bisect_left(left, length)
            opened = at == len(left)
            space = room if opened else left[at]
            each = space // length
            used = -(-n // each) if opened else min(-(-n // each), bins[space])
            if opened:
                total += used
            else:
                _take(bins, left, space, used)
            placed = min(n, used * each)
            full, rest = divmod(placed, each)
            _put(bins, left, space - each * length, full)
            _put(bins, left, space - rest * length, 1 if rest else 0)
            n -= placed
    return total


def _take(bins: dict[int, int], left: list[int], space: int, n: int) -> None:
    bins[space] -= n
    if not bins[space]:
        del bins[space]
        left.pop(bisect_left(left, space))


def _put(bins: dict[int, int], left: list[int], space: int, n: int) -> None:
    if n and space:
        if space not in bins:
            insort(left, space)
        bins[space] = bins.get(space, 0) + n

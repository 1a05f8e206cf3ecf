"""Cuts texts into pieces that fit a model's row, counted in its own tokens; pieces may repeat the last one's end.

Nothing is lost: what would be cut off a long row is the next piece. Texts with a label stay whole.
"""

from bisect import bisect_left
from typing import Any

from studio.data.borders import BORDERS, best_cut
from studio.data.prepare import Prepared
from studio.data.render import render
from studio.errors import DataError
from studio.preset.schema import Preset

Span = tuple[int, int]

# a piece of fewer tokens is none
LEAST_ROOM = 8
_, SENTENCE, _, WORD = BORDERS


def cut_documents(prepared: Prepared, tokenizer: Any, preset: Preset) -> None:
    """Put pieces in the place of long texts on both sides, under the number of their row. Raises as `cut_rows`."""
    for rows, numbers in ((prepared.train, prepared.train_numbers), (prepared.heldout, prepared.heldout_numbers)):
        pieces, indices = cut_rows(tokenizer, rows, preset)
        rows[:], numbers[:] = pieces, [numbers[index] for index in indices]


def cut_rows(tokenizer: Any, rows: list[dict[str, Any]], preset: Preset) -> tuple[list[dict[str, Any]], list[int]]:
    """The rows with pieces in the place of long texts, and for each the index of the row it is of.

    Raises `DataError` where pieces of `data.chunk_tokens` cannot overlap by `data.chunk_overlap`.
    """
    if not any(row.keys() == {"text"} for row in rows):
        return rows, list(range(len(rows)))
    room, overlap = _room(tokenizer, preset), preset.data.chunk_overlap
    cut, indices = [], []
    for index, row in enumerate(rows):
        pieces = [row]
        # no text has more tokens than bytes
        if row.keys() == {"text"} and len(row["text"].encode()) > room:
            text = row["text"]
            pieces = [{"text": text[start:end]} for start, end in spans(tokenizer, text, room, overlap)]
        cut += pieces
        indices += [index] * len(pieces)
    return cut, indices


def spans(tokenizer: Any, text: str, room: int, overlap: int) -> list[Span]:
    """Character spans of pieces of at most `room` tokens; each begins at or before the end of the one before.

    About `overlap` tokens are repeated, from the start of a sentence or word on. Pieces are about equally long.
    """
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)["offset_mapping"]
    starts = [start for start, _ in offsets]
    room_now = room
    while len(starts) > room_now >= LEAST_ROOM:
        found = _spans(text, starts, room_now, overlap)
        # a piece by itself may be other tokens at its ends than it is within the text
        pieces = [text[start:end] for start, end in found]
        longest = max(map(len, tokenizer(pieces, add_special_tokens=False, verbose=False)["input_ids"]))
        if longest <= room:
            return found
        room_now -= longest - room
    return [(0, len(text))]


def _room(tokenizer: Any, preset: Preset) -> int:
    """Tokens that a piece may have: what its row has beside the special tokens that every text gets."""
    limit = min(preset.data.chunk_tokens or preset.training.max_length, preset.training.max_length)
    room = limit - render(tokenizer, {"text": ""}, preset).length
    if preset.data.chunk_overlap * 2 > room:
        raise DataError(f"Pieces of {limit:,} tokens cannot overlap by {preset.data.chunk_overlap:,}.",
                        f"Set data.chunk_overlap to at most {max(0, room // 2):,}.", "data.chunk_overlap")
    return room


def _spans(text: str, starts: list[int], room: int, overlap: int) -> list[Span]:
    """`starts` is where each token of the text begins."""
    found: list[Span] = []
    begin, first = 0, 0
    while (rest := len(starts) - first) > room:
        pieces = -(-(rest - overlap) // (room - overlap))
        aim = -(-(rest + (pieces - 1) * overlap) // pieces)
        least = first + max(aim // 2, overlap + 1)
        most = max(least + 1, first + min(room, aim + aim // 4))
        end = max(best_cut(text, starts[least], starts[most]), begin + 1)
        found.append((begin, end))
        begin = max(begin + 1, _overlapped(text, starts, end, overlap)) if overlap else end
        first = bisect_left(starts, begin)
    return [*found, (begin, len(text))]


def _overlapped(text: str, starts: list[int], end: int, overlap: int) -> int:
    """Where the next piece begins: about `overlap` tokens before `end`, at the start of a sentence or of a word."""
    earliest = starts[max(0, bisect_left(starts, end) - overlap)]
    for border in (SENTENCE, WORD):
        match = border.search(text, earliest, (earliest + end + 1) // 2)
        if match:
            return match.end()
    return earliest

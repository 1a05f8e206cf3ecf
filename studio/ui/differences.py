"""What differs between two texts, word by word."""

import re

from rapidfuzz.distance import LCSseq

# a word, or a sign, with the space after it
WORD = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
# texts that share less say nothing when marked: nearly every word would be
SHARED_AT_LEAST = 0.25
MAX_MARKED = 6000  # characters; longer texts take seconds and hundreds of megabytes, and nobody reads marks in them

Parts = list[tuple[str, bool]]


def differences(a: str, b: str) -> tuple[Parts, Parts] | None:
    """Both texts cut into (piece, whether the other text lacks it); None where they share too little or are long."""
    if len(a) > MAX_MARKED or len(b) > MAX_MARKED:
        return None
    words = WORD.findall(a), WORD.findall(b)
    # with their spaces, the last word of a text would differ from the same word before another
    bare = [[word.rstrip() for word in side] for side in words]
    if LCSseq.normalized_similarity(*bare) < SHARED_AT_LEAST:
        return None
    sides: tuple[Parts, Parts] = [], []
    for tag, a_from, a_to, b_from, b_to in LCSseq.opcodes(*bare):
        for parts, side, start, end in ((sides[0], words[0], a_from, a_to), (sides[1], words[1], b_from, b_to)):
            piece = "".join(side[start:end])
            if tag == "equal":
                parts.append((piece, False))
                continue
            # the space after the last word stays without a mark
            bare_piece = piece.rstrip()
            parts += [(bare_piece, True), (piece[len(bare_piece):], False)]
    return tuple([part for part in parts if part[0]] for parts in sides)

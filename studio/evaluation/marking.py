"""How an answer differs from the wanted one, word by word."""

import re
from typing import Literal

from rapidfuzz.distance import LCSseq

# a word or a number, or a sign, with the space after it
WORD = re.compile(r"\w+(?:\.\d+)*\s*|[^\w\s]\s*|\s+")
# texts that share less say nothing when marked word by word: nearly every word would be
SHARED_AT_LEAST = 0.2
MAX_MARKED = 6000  # characters; longer texts would take seconds and nobody reads marks in them

Piece = tuple[Literal["same", "extra", "missing"], str]


def mark(answer: str, wanted: str) -> list[Piece]:
    """The answer in pieces: what both texts have, what the wanted one lacks ("extra"), what it has besides ("missing").

    Without the missing pieces the answer is whole again. Answers with little in common, and long ones, come
    back unmarked.
    """
    if len(answer) > MAX_MARKED or len(wanted) > MAX_MARKED:
        return [("same", answer)]
    given, aim = WORD.findall(answer), WORD.findall(wanted)
    # with their spaces, the last word of a text would differ from the same word before another
    words = [[word.rstrip() for word in side] for side in (given, aim)]
    if LCSseq.normalized_similarity(*words) < SHARED_AT_LEAST:
        return [("same", answer)]
    pieces: list[Piece] = []
    for tag, given_from, given_to, aim_from, aim_to in LCSseq.opcodes(*words):
        said, left_out = "".join(given[given_from:given_to]), "".join(aim[aim_from:aim_to])
        if tag == "equal":
            pieces.append(("same", said))
            continue
        if said:
            pieces.append(("extra", said))
        if left_out:
            pieces.append(("missing", left_out))
    return pieces

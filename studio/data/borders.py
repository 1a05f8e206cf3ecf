"""Where a text may be cut: behind a paragraph if there is one, else a sentence, a line, a word, and else anywhere."""

import re

# each match ends where the next part begins
BORDERS = (
    re.compile(r"\n[ \t\r]*+\n\s*+"),
    re.compile(r"[.!?…][\"'”’»)\]]*+\s++|[。！？][”’」』）]*+\s*+"),
    re.compile(r"\n\s*+"),
    re.compile(r"\s++"))


def best_cut(text: str, least: int, most: int) -> int:
    """The last place of the best kind of border after `least` and not after `most`; `most` itself without any."""
    for border in BORDERS:
        ends = [match.end() for match in border.finditer(text, least, most) if match.end() > least]
        # a run of spaces that goes on behind `most` is no end of one
        while ends and ends[-1] == most < len(text) and text[most].isspace() and len(ends) > 1:
            ends.pop()
        if ends:
            return ends[-1]
    return most


def cut(text: str, longest: int) -> list[str]:
    """Parts of about equal length, none longer than `longest` characters; joined they are the text."""
    parts, start = [], 0
    while (rest := len(text) - start) > longest:
        aim = -(-rest // -(-rest // longest))
        end = best_cut(text, start + aim // 2, start + min(longest, aim + aim // 4))
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]]

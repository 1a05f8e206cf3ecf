"""The quick way through plain chats: most rows of JSON Lines are nothing but messages with a role and a text.

A block of lines is decoded in one call straight into typed objects, and what is always true of such rows is tested for
the block at once. Whatever is not quite plain is left to `scan`, row by row, so that both ways say the same.
"""

from collections import Counter
from itertools import accumulate, chain
from operator import attrgetter
from typing import Literal

import msgspec
import numpy

from studio.data import duplicates
from studio.data.batches import FileFacts
from studio.data.formats import Shape, without_form
from studio.data.records import LONG_LINE_BYTES
from studio.data.report import Place
from studio.data.row_checks import check_row
from studio.data.scan import Scan

NEWLINE, QUOTE, OPEN, CLOSE = b'\n"{}'
LETTERS = {"system": "s", "developer": "d", "user": "u", "assistant": "a", "tool": "t"}
ROLES = {letter: role for role, letter in LETTERS.items()}
# template tokens that begin with <
ANGLED = (b"<|", b"_turn>", b"<<SYS>>", "<｜".encode(), b"<\\u")


class Message(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A message as plain chats have it, with its keys in order."""

    content: str
    role: Literal["system", "developer", "user", "assistant", "tool"]


class PlainChats:
    """Takes blocks of lines for a scan whose shape is known."""

    def __init__(self, column: str):
        row = msgspec.defstruct("Row", [("messages", list[Message])], rename={"messages": column},
                                forbid_unknown_fields=True, gc=False)
        self._column = column
        self._decoder = msgspec.json.Decoder(row)

    def take(self, scan: Scan, facts: FileFacts, block: bytes, lines_before: int) -> int:
        """Judge whole lines; returns how many there are, or 0, with nothing done, where not all are plain chats."""
        signs = numpy.frombuffer(block, numpy.uint8)
        ends = numpy.flatnonzero(signs == NEWLINE)
        if not _lines_are_objects(signs, ends):
            return 0
        try:
            rows = self._decoder.decode_lines(block)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return 0
        chats = list(map(attrgetter("messages"), rows))
        lengths = list(map(len, chats))
        messages = list(chain.from_iterable(chats))
        if len(rows) != len(ends) or not _keys_are_single(block, signs, len(rows), len(messages)):
            return 0
        contents = list(map(attrgetter("content"), messages))
        letters = "".join(map(LETTERS.__getitem__, map(attrgetter("role"), messages)))
        stops = list(accumulate(lengths))
        chat_slices = list(map(slice, [0, *stops[:-1]], stops))
        roles = list(map(letters.__getitem__, chat_slices))
        odd_roles = {pattern for pattern in set(roles) if "a" not in pattern or check_row(_stand_in(pattern))}
        odd = {i for i, pattern in enumerate(roles) if pattern in odd_roles} if odd_roles else set()
        if not all(contents) or any(map(str.isspace, contents)) or _may_hold_tokens(block):
            odd |= {i for i, part in enumerate(chat_slices) if _needs_a_look(contents[part])}
        self._count(scan, roles, odd)
        if odd or scan.thorough or scan.labels is not None:
            self._one_by_one(scan, facts, chats, chat_slices, contents, odd, lines_before)
        else:
            facts.rows += len(rows)
        return len(rows)

    def _count(self, scan: Scan, roles: list[str], odd: set[int]) -> None:
        """What the rows that are not odd add to the figures."""
        patterns = Counter(roles)
        patterns.subtract(roles[i] for i in odd)
        n = len(roles) - len(odd)
        scan.rows += n
        scan.usable += n
        scan.turns["messages"] += sum(len(pattern) * count for pattern, count in patterns.items())
        scan.turns["with_system"] += sum(count for pattern, count in patterns.items() if pattern[:1] in ("s", "d"))
        scan.turns["with_tools"] += sum(count for pattern, count in patterns.items() if "t" in pattern)

    def _one_by_one(
        self, scan: Scan, facts: FileFacts, chats: list[list[Message]], chat_slices: list[slice], contents: list[str],
        odd: set[int], lines_before: int,
    ) -> None:
        for i, (chat, part) in enumerate(zip(chats, chat_slices, strict=True)):
            line = lines_before + i + 1
            if i in odd:
                scan.judge_row(facts, {self._column: msgspec.to_builtins(chat)}, line)
                continue
            facts.rows += 1
            texts = contents[part]
            scan.count_label(texts[-1])
            if scan.thorough:
                self._look_closer(scan, chat, texts, Place(facts.name, facts.rows, line, in_file=facts.rows))

    def _look_closer(self, scan: Scan, chat: list[Message], texts: list[str], place: Place) -> None:
        """As the scan does it with a row."""
        if scan.note_private("\n".join(texts), place) and scan.reader.changes:
            row = {self._column: msgspec.to_builtins(chat)}
            scan.note_row(scan.reader.read(row, scan.shape)[0], place)
            return
        said = "\n".join(texts[1:] if chat[0].role == "system" else texts)
        asked = next(message.content for message in chat if message.role == "user")
        digest = duplicates.digest_of_json(b'{"messages":%b}' % msgspec.json.encode(chat))
        scan.note(place, without_form(asked), said, digest)


def serves(shape: Shape) -> bool:
    """Whether rows of this shape may be plain chats."""
    return shape.format == "messages" and set(shape.columns) == {"messages"}


def _lines_are_objects(signs: numpy.ndarray, ends: numpy.ndarray) -> bool:
    """Whether every line begins with { and ends with }, so that no row goes on over a line end; none is very long."""
    if len(ends) == 0 or ends[-1] != len(signs) - 1 or ends[0] == 0 or signs[0] != OPEN:
        return False
    starts = ends[:-1] + 1
    longest = int(numpy.diff(ends, prepend=-1).max())
    return longest <= LONG_LINE_BYTES and bool((signs[starts] == OPEN).all() and (signs[ends - 1] == CLOSE).all())


def _keys_are_single(block: bytes, signs: numpy.ndarray, rows: int, messages: int) -> bool:
    """Whether no key is there twice: there are as many quotation marks as keys and texts need, in all rows together."""
    needed = 2 * rows + 8 * messages
    quotes = int(numpy.count_nonzero(signs == QUOTE))
    if quotes == needed:
        return True
    return b"\\\\" not in block and quotes - block.count(b'\\"') == needed


def _may_hold_tokens(block: bytes) -> bool:
    """Whether the bytes leave it open that a text holds a template token or a zero character, perhaps escaped."""
    return b"INST]" in block or (b"<" in block and any(sign in block for sign in ANGLED)) or (
        b"\\" in block and b"\\u00" in block)


def _stand_in(pattern: str) -> dict:
    return {"messages": [{"role": ROLES[letter], "content": "."} for letter in pattern]}


def _needs_a_look(texts: list[str]) -> bool:
    """Whether a text is empty, or may hold what `row_checks` looks for."""
    return not all(texts) or any(map(str.isspace, texts)) or any(
        sign in text for text in texts for sign in ("<", "[", "\0"))

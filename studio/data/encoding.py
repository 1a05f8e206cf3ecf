"""Bytes of a text file as lines of UTF-8, whatever they were; what they were is told, and long lines are bounded."""

import codecs
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

BLOCK_BYTES = 4_000_000
LONGEST_LINE_BYTES = 32_000_000
SAMPLE_BYTES = 64_000
# the first line of a file ends as old Macs and their Excel end lines
CARRIAGE_RETURN = re.compile(rb"[^\r\n]*\r(?!\n)")
CODE_PAGES = {"cp1252": "Windows-1252", "cp1250": "Windows-1250"}
MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
         (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
NAMES = {"utf-8": "UTF-8", "utf-16-le": "UTF-16", "utf-16-be": "UTF-16", "utf-32-le": "UTF-32", "utf-32-be": "UTF-32"}
# What speaks for either reading: letters of its languages, and against it: signs in the middle of words. Letters that
# both regions know by the same byte (á, é, ö) say nothing; rare western letters (ì, õ, û) weigh less than central ones.
SPEAKS_FOR = {
    "cp1252": r"[àâãåæèêëïòøùœ]|ã[oe]|ñ(?=[aeiouáéíóú])|(?<!\w)[¿¡](?=\w)",
    "cp1250": r"[čďěňřťůľĺŕłąęćńśźżőűăşţšžý]"}
SIGN_IN_WORD = r"(?<=[^\W\d_])[¹²³º¿¯£¥¡¨¢¦ª¼½¾þ¤ˇ˘˛´¸]|[¹¼½¾£¥](?=[^\W\d_])"


# stands for bytes that are no character of their encoding: no UTF-8 holds it, so whatever reads a row sees that
LOST = "\udcff"
codecs.register_error("lost", lambda error: (LOST, error.end))


class TextLines:
    """The lines of a stream as UTF-8 bytes without line end.

    `name` of the encoding is known after the first line. `last_is_open` tells at the end whether the last line had no
    line end. Lines that are not UTF-8 come as they are: `as_text` reads and counts them (`foreign_lines`,
    `first_foreign`). Bytes that stand for no character become LOST there, and then `has_lost` is True. Lines above
    LONGEST_LINE_BYTES are left out, and `too_long(line number)` is called for each. Where it
    `may_end_in_carriage_returns`, these end lines if they end the first.
    """

    def __init__(self, stream: BinaryIO, too_long: Callable[[int], None], lines_before: int | None = None):
        """With `lines_before` the stream is a part of a file that is known to be UTF-8, and lines count from there."""
        self._stream = stream
        self._too_long = too_long
        self._code_page, self._block = "", b""
        self.name = "UTF-8"
        self.may_end_in_carriage_returns = False
        self.number = lines_before or 0
        self._is_utf8 = lines_before is not None
        self.last_is_open = self.has_lost = False
        self._is_decoded = False
        self.foreign_lines = self.first_foreign = 0

    def __iter__(self) -> Iterator[bytes]:
        rest, skipping = b"", False
        blocks = self._blocks()
        if self.may_end_in_carriage_returns:
            blocks = _without_carriage_returns(blocks)
        for block in blocks:
            self._block = block
            lines = block.split(b"\n")
            if len(lines) == 1:
                if not skipping:
                    rest += block
                    skipping = len(rest) > LONGEST_LINE_BYTES
                    rest = b"" if skipping else rest
                continue
            if skipping:
                self.number += 1
                self._too_long(self.number)
                skipping = False
                del lines[0]
            elif len(rest) + len(lines[0]) > LONGEST_LINE_BYTES:
                self.number += 1
                self._too_long(self.number)
                del lines[0]
            else:
                lines[0] = rest + lines[0]
            rest = lines.pop()
            for line in lines:
                self.number += 1
                yield line
        if skipping:
            self._too_long(self.number + 1)
        elif rest:
            self.number += 1
            self.last_is_open = True
            yield rest

    def as_text(self, line: bytes) -> str:
        """The line as text: UTF-8, else the Windows code page that fits the file's first such line best."""
        try:
            return line.decode()
        except UnicodeDecodeError:
            if self._is_decoded:
                self.has_lost = True
                return line.decode("utf-8", "surrogatepass")
            self.first_foreign = self.first_foreign or self.number
            self.foreign_lines += 1
            self._code_page = self._code_page or guess_code_page(_foreign_sample(self._block + b"\n" + line))
            self.name = CODE_PAGES[self._code_page]
            text = line.decode(self._code_page, "lost")
            self.has_lost = self.has_lost or LOST in text
            return text

    def _blocks(self) -> Iterator[bytes]:
        first = self._stream.read(BLOCK_BYTES)
        mark, encoding = (b"", "utf-8") if self._is_utf8 else mark_and_encoding(first)
        self.name = NAMES[encoding] + (" with byte-order mark" if mark else "")
        first = first[len(mark):]
        if encoding == "utf-8":
            yield first
            while block := self._stream.read(BLOCK_BYTES):
                yield block
        else:
            self._is_decoded = True
            yield from self._decoded(first, encoding)

    def _decoded(self, block: bytes, encoding: str) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(encoding)("lost")
        while block:
            yield decoder.decode(block).encode("utf-8", "surrogatepass")
            block = self._stream.read(BLOCK_BYTES)
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")


def _without_carriage_returns(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks with line feeds in the place of carriage returns where such a one ends the first line."""
    replaced: bool | None = None
    for block in blocks:
        if replaced is None:
            replaced = CARRIAGE_RETURN.match(block) is not None
        yield block.replace(b"\r", b"\n") if replaced else block


def mark_and_encoding(head: bytes) -> tuple[bytes, str]:
    """The byte-order mark at the head of a file (or none) and the name of the encoding that it or the bytes show."""
    mark, encoding = next((pair for pair in MARKS if head.startswith(pair[0])), (b"", ""))
    return mark, encoding or _unmarked(head)


def guess_code_page(sample: bytes) -> str:
    """cp1252 or cp1250: the one in which the sample has more letters of its languages and fewer signs inside words."""
    def score(page: str) -> int:
        text = sample.decode(page, "replace").lower()
        wrong = len(re.findall(SIGN_IN_WORD, text)) + text.count("\ufffd")
        return len(re.findall(SPEAKS_FOR[page], text)) - 3 * wrong

    return max(CODE_PAGES, key=score)


def _unmarked(head: bytes) -> str:
    """UTF-16 without a mark shows as zero bytes at every other place."""
    sample = head[:SAMPLE_BYTES]
    if len(sample) >= 4 and sample.count(0) * 3 > len(sample):
        even, odd = sample[::2].count(0), sample[1::2].count(0)
        if odd > 4 * even:
            return "utf-16-le"
        if even > 4 * odd:
            return "utf-16-be"
    return "utf-8"


def _foreign_sample(block: bytes) -> bytes:
    """The lines of a block that are not UTF-8, so that the guess does not hang on one line."""
    sample = b""
    for line in block.split(b"\n"):
        try:
            line.decode()
        except UnicodeDecodeError:
            sample += line[:SAMPLE_BYTES] + b"\n"
            if len(sample) > SAMPLE_BYTES:
                break
    return sample

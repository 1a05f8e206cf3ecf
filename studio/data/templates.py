"""Templates that build a text from columns: {title}: {body}, with [[ optional parts ]]; they hold names, never code.

    {column}      the text of a column
    [[ ... ]]     left out where a column in it is empty
    {{ }}         braces themselves; [[[[ and ]]]] are double brackets themselves
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from studio import words
from studio.errors import DataError

SIGNS = re.compile(r"\{\{|\}\}|\[\[\[\[|\]\]\]\]|\[\[|\]\]|\{[^{}]*\}|[{}]")
DOUBLED = {"{{": "{", "}}": "}", "[[[[": "[[", "]]]]": "]]"}
LONGEST_TEMPLATE = 100_000


@dataclass(frozen=True)
class Piece:
    """Plain text, or the name of a column."""

    text: str
    is_column: bool


@dataclass(frozen=True)
class Part:
    """Pieces in order; an optional part is left out as a whole."""

    pieces: tuple[Piece, ...]
    optional: bool

    def fill(self, row: dict[str, Any]) -> str | None:
        """The text, None where a column is empty."""
        texts = []
        for piece in self.pieces:
            text = cell_text(row.get(piece.text)) if piece.is_column else piece.text
            if piece.is_column and not text.strip():
                return None
            texts.append(text)
        return "".join(texts)


@dataclass(frozen=True)
class Template:
    """A template, read."""

    parts: tuple[Part, ...]

    @property
    def columns(self) -> list[str]:
        """The names in it, each once."""
        return list(dict.fromkeys(piece.text for part in self.parts for piece in part.pieces if piece.is_column))

    def fill(self, row: dict[str, Any]) -> str | None:
        """The text for a row, None where a column outside of [[ ]] is empty."""
        texts = []
        for part in self.parts:
            text = part.fill(row)
            if text is None and not part.optional:
                return None
            texts.append(text or "")
        return "".join(texts)


@lru_cache(maxsize=64)
def parse(text: str) -> Template:
    """Read a template. Raises `DataError` that says what is wrong and where."""
    if len(text) > LONGEST_TEMPLATE:
        raise DataError("The template is too long.", "Put long texts into a column.")
    parts: list[Part] = []
    pieces: list[Piece] = []
    optional, at = False, 0
    for sign in SIGNS.finditer(text):
        pieces += [Piece(text[at:sign.start()], False)] if sign.start() > at else []
        at, said = sign.end(), sign.group()
        if said in DOUBLED:
            pieces.append(Piece(DOUBLED[said], False))
        elif said in ("[[", "]]"):
            if optional == (said == "[["):
                raise _wrong(text, sign, "[[ stands in [[ ]] again" if optional else "]] ends what no [[ began")
            if optional and not any(piece.is_column for piece in pieces):
                raise _wrong(text, sign, "the part in [[ ]] holds no column, so it could never be left out")
            parts.append(Part(tuple(pieces), optional))
            pieces, optional = [], not optional
        elif len(said) == 1:
            raise _wrong(text, sign, f"{said} stands alone")
        elif not said[1:-1].strip():
            raise _wrong(text, sign, "{} names no column")
        else:
            pieces.append(Piece(said[1:-1].strip(), True))
    if optional:
        raise DataError("The template is not complete: a [[ has no ]].", "Add it.")
    pieces += [Piece(text[at:], False)] if at < len(text) else []
    template = Template((*parts, Part(tuple(pieces), False)))
    if not template.columns:
        raise DataError("The template names no column, so all rows would be the same.",
                        "Write column names in braces, as in {title}.")
    return template


def check(text: str, columns: Sequence[str], field: str) -> Template:
    """Read the template of a preset's `field`. Raises `DataError`, also for a column that is not among `columns`."""
    try:
        template = parse(text)
    except DataError as error:
        raise DataError(error.message, error.hint, field=field) from None
    unknown = next((name for name in template.columns if name not in columns), None)
    if unknown is not None:
        raise DataError(no_column(unknown, columns), "Write it as the data set does, or double the braces to mean"
                        " the braces themselves.", field=field)
    return template


def no_column(name: str, columns: Sequence[str]) -> str:
    """That there is no such column, with all there are and the nearest of them."""
    known = {column.lower(): column for column in columns}
    near = get_close_matches(name.lower(), known, n=1)
    meant = f' Did you mean "{words.plain(known[near[0]], 40)}"?' if near else ""
    return f'There is no column "{words.plain(name, 40)}"; the columns are {named(columns)}.{meant}'


def named(columns: Sequence[str]) -> str:
    """The first columns' names, for a sentence."""
    return ", ".join(words.plain(name, 40) for name in columns[:12])


def cell_text(value: Any) -> str:
    """A cell as text: nothing is "", numbers are written out, lists and objects become JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _wrong(text: str, sign: re.Match[str], what: str) -> DataError:
    before = words.plain(text[max(0, sign.start() - 15):sign.end()], 40)
    return DataError(f'The template cannot be read at "{before}": {what}.',
                     "Columns stand in braces and optional parts in [[ ]]; double a sign to mean the sign itself.")

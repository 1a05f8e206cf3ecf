"""One row of JSON from bytes, strictly: what is wrong with it has a name, and nothing it may hold breaks the reader."""

import json
from typing import Any

import orjson

# json.loads and orjson.dumps stop at other depths; honest rows nest less than ten levels
DEEPEST = 200


class BadRow(Exception):
    """The text is no row: the arguments are the name of the problem and a few words on it."""

    @property
    def name(self) -> str:
        return self.args[0]

    @property
    def detail(self) -> str:
        return self.args[1]


def parse(text: bytes | str) -> tuple[Any, str]:
    """The value, and the name of a key that an object in it has twice ("" for none; the last value counts then).

    Raises `BadRow`: not_json, nul_bytes, too_deep or broken_text (half a character).
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _parse_slowly(text)
    raw = text if isinstance(text, bytes) else text.encode()
    if _has_quotes_of_plain_chat(raw, value):
        return value, ""
    try:
        dumped = orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise BadRow("too_deep", "it nests too deeply") from None
    # a key that is there twice is lost when parsed, with its two quotation marks
    if raw.count(b'"') != dumped.count(b'"') or b"\\u0022" in raw:
        return value, _key_twice(raw)
    return value, ""


def _has_quotes_of_plain_chat(raw: bytes, value: Any) -> bool:
    """Whether a row is a list of messages with as many quotation marks as two keys and two texts each need.

    A key twice would need more. It saves the slower test for most rows.
    """
    if type(value) is not dict or len(value) != 1 or type(messages := value.get("messages")) is not list:
        return False
    return raw.count(b'"') - raw.count(b'\\"') == 2 + 8 * len(messages) > 2


def reason(error: json.JSONDecodeError) -> str:
    """What breaks the text and where, on its line."""
    return f"{error.msg.removesuffix(' starting at')} at column {error.colno:,}"


def depth(value: Any, most: int = DEEPEST) -> int:
    """How many levels a value nests, counted to just above `most`."""
    level, n = [value], 0
    while level and n <= most:
        level = [inner for outer in level if isinstance(outer, dict | list)
                 for inner in (outer.values() if isinstance(outer, dict) else outer)]
        n += 1
    return n


def _parse_slowly(text: bytes | str) -> tuple[Any, str]:
    """What orjson refuses and Python takes (NaN), and the reason where neither does."""
    words = text.decode() if isinstance(text, bytes) else text
    if "\0" in words:
        raise BadRow("nul_bytes", "it holds zero bytes")
    try:
        value = json.loads(words)
    except json.JSONDecodeError as error:
        raise BadRow("not_json", reason(error)) from None
    except ValueError:
        raise BadRow("not_json", "a number has thousands of digits") from None
    except RecursionError:
        raise BadRow("too_deep", "it nests too deeply") from None
    if depth(value) > DEEPEST:
        raise BadRow("too_deep", "it nests too deeply")
    if has_half_characters(value):
        raise BadRow("broken_text", "it holds half a character (a lone surrogate)")
    return value, _key_twice(words)


def has_half_characters(value: Any) -> bool:
    """Whether any text in the value cannot be written as UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
        return False
    except UnicodeEncodeError:
        return True


def _key_twice(text: bytes | str) -> str:
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: set[str] = set()
        twice.extend(key for key, _ in items if key in seen or seen.add(key))
        return dict(items)

    try:
        json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise BadRow("too_deep", "it nests too deeply") from None
    return twice[0] if twice else ""

"""Where the rows are in a JSON file that is one object: the object itself, or a list that stands in it."""

from typing import Any

from studio import words
from studio.data.chats import is_chat
from studio.data.detection import TELLING, detect
from studio.data.json_rows import DEEPEST, depth
from studio.errors import DataError

ROW_LISTS = ("data", "rows", "train", "examples")
# what stands beside a list is a row of its own where its columns are told so surely
SURE = 0.6


def listed_rows(name: str, value: dict[str, Any]) -> list[Any] | None:
    """The rows that stand in the only object of the file `name`; None where the object is a row itself.

    Raises `DataError` where there are several lists of rows, or columns in place of rows.
    """
    if _holds_columns(value):
        raise DataError(f"{name} is saved by columns, not by rows.",
                        'Write one row after the other: df.to_json("rows.jsonl", orient="records", lines=True).')
    lists = {key: inner for key, inner in value.items() if _is_row_list(key, inner)}
    named = [key for key in ROW_LISTS if isinstance(value.get(key), list)]
    if lists and not named and _is_row({key: inner for key, inner in value.items() if key not in lists}):
        return None
    if len(lists) > 1:
        counted = ", ".join(f'"{words.plain(key, 40)}" ({words.count(len(inner))})' for key, inner in lists.items())
        raise DataError(f"{name} holds {len(lists)} lists of rows: {counted}.",
                        "Save each as a file of its own: one to learn from, and one to judge by if you like.")
    if lists:
        return next(iter(lists.values()))
    return next((value[key] for key in named if value[key]), value[named[0]] if named else None)


def _is_row_list(key: str, inner: Any) -> bool:
    """Whether a list holds rows; messages, tools and answers are lists of objects too."""
    if not isinstance(inner, list) or not inner:
        return False
    if key in ROW_LISTS:
        return any(isinstance(row, dict) for row in inner)
    return all(isinstance(row, dict) for row in inner) and not is_chat(inner) and key.strip().lower() not in TELLING


def _is_row(rest: dict[str, Any]) -> bool:
    """Whether that which stands beside a list could be trained without it."""
    if depth(rest) > DEEPEST:
        return False
    if any(is_chat(inner) for inner in rest.values()):
        return True
    try:
        return bool(rest) and detect(list(rest), [rest]).confidence >= SURE
    except DataError:
        return False


def _holds_columns(value: dict[str, Any]) -> bool:
    """Whether each key holds a column, or is the number of a row: what pandas and `datasets` write of a table."""
    inner = list(value.values())
    if not inner:
        return False
    if all(isinstance(one, dict) and one for one in inner):
        return all(one.keys() == inner[0].keys() for one in inner) and (
            _are_numbers(inner[0]) or _are_numbers(value))
    return all(isinstance(one, list) and len(one) == len(inner[0]) > 1 for one in inner) and not any(
        isinstance(cell, dict) for one in inner for cell in one) and not any(key in ROW_LISTS for key in value)


def _are_numbers(keys: dict[str, Any]) -> bool:
    return all(key.isdigit() for key in keys)

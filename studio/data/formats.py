"""Rows of a data set in the shapes that the studio knows, and what is wrong with the others.

The shapes and their problems are in `shapes`, how they are told in `detection`, how rows are read in `conversion`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from studio.data.conversion import convert_row
from studio.data.detection import detect, late_columns
from studio.data.shapes import Refused, Shape
from studio.errors import DataError
from studio.preset.schema import DataSection

ReadRow = Callable[[Any, Shape], dict[str, Any]]

DETECT_ROWS = 100
# parts of normalised rows that hold text, messages apart
TEXT_PARTS = ("prompt", "completion", "chosen", "rejected", "answer", "text", "sentence1", "sentence2", "negative")


@dataclass(frozen=True)
class Converted:
    """Rows in the form of their shape; `numbers` are the data set's row numbers (from 1) they came from.

    `refused` are the numbers of the other rows, each with the name of its problem. `late` holds for each column that
    first comes after the rows that told the shape, and might have changed it, the first row's number and how many.
    """

    shape: Shape
    rows: list[dict[str, Any]]
    numbers: list[int]
    refused: list[tuple[int, str]]
    late: dict[str, tuple[int, int]] = field(default_factory=dict)


def first_shape(rows: Iterable[Any], section: DataSection) -> tuple[Shape, set[str]]:
    """The shape of rows, told from the first DETECT_ROWS that are objects, and the names of their columns.

    Whoever reads rows must tell their shape so, or two readers of one data set disagree. Raises `DataError` as `detect`
    does, and where no row is an object with columns.
    """
    first = list(islice((row for row in rows if isinstance(row, dict)), DETECT_ROWS))
    columns = list(dict.fromkeys(name for row in first for name in row))
    if not columns:
        what = "are empty objects" if first else "are not objects with named columns"
        raise DataError(f"The rows {what}.", 'Each row must look like {"messages": [...]}.', field="data.dataset_name")
    return detect(columns, first, section), set(columns)


def convert(
    rows: Sequence[Any], section: DataSection, numbers: Sequence[int] = (), read_row: ReadRow = convert_row
) -> Converted:
    """Bring rows into the form of their shape; `numbers` of the rows are 1, 2, 3, ... unless given.

    Rows of empty text beside others are no problem, since text data sets use them as separators; where there is nothing
    else they lack their text. Raises `DataError` as `first_shape`.
    """
    if not rows:
        raise DataError("The data set has no rows.", "Add rows to it.", field="data.dataset_name")
    shape, columns = first_shape(rows, section)
    good, kept, refused, late = [], [], [], {}
    for number, row in zip(numbers or range(1, len(rows) + 1), rows, strict=True):
        try:
            good.append(read_row(row, shape))
            kept.append(number)
        except Refused as reason:
            refused.append((number, reason.args[0]))
            continue
        if not columns.issuperset(row):
            for name in late_columns(row, columns, shape):
                first, count = late.get(name, (number, 0))
                late[name] = first, count + 1
    if not good:
        refused = [(number, "missing_text" if name == "empty_text" else name) for number, name in refused]
    return Converted(shape, good, kept, refused, late)


def texts(row: dict[str, Any]) -> list[str]:
    """Every text of a normalised row."""
    if "messages" in row:
        return [turn["content"] for turn in row["messages"]]
    return [text for part in TEXT_PARTS if part in row
            for text in ([row[part]] if isinstance(row[part], str) else [turn["content"] for turn in row[part]])]


def split_answer(row: dict[str, Any]) -> tuple[str | list[dict[str, Any]], str]:
    """Part a normalised row into what is asked and the answer wanted, for judging a model.

    Chats are asked up to their last assistant turn; an answer that only calls a tool is "". Raises `DataError` for
    plain text, which asks nothing.
    """
    if "messages" not in row and "completion" not in row:
        raise DataError("Plain text has no question to ask a model.", "Judge it by its held-out loss.")
    if "completion" in row and isinstance(row["completion"], str):
        return row["prompt"], row["completion"]
    messages = row["messages"] if "messages" in row else [*row["prompt"], *row["completion"]]
    turn = max(i for i, message in enumerate(messages) if message["role"] == "assistant")
    return messages[:turn], messages[turn]["content"]


def question(row: dict[str, Any]) -> str:
    """What a normalised row asks, without regard to case and spaces; "" where it is text alone."""
    asked = row["messages"] if "messages" in row else row.get("prompt", "")
    if not isinstance(asked, str):
        asked = next((turn["content"] for turn in asked if turn["role"] == "user"), "")
    return without_form(asked)


def without_form(text: str) -> str:
    """A text without regard to case and spaces."""
    return " ".join(text.lower().split())


def label_of(row: dict[str, Any]) -> str:
    """What a normalised row is labelled with: its label or answer, "" where it has none."""
    if "label" in row:
        return str(row["label"])
    return split_answer(row)[1] if "messages" in row or "completion" in row else ""

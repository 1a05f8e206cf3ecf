"""Asks a process of its own for rows of a data set; the page server parses nobody's files itself."""

from dataclasses import dataclass
from typing import Any, Literal

from studio.data.columns import Proposal
from studio.data.preview_client import ask_worker
from studio.preset.files import dumps
from studio.preset.schema import Preset
from studio.settings import Settings

Only = Literal["all", "problem", "edited", "excluded", "masked"]
Order = Literal["file", "random"]


@dataclass(frozen=True)
class RowsPage:
    """`total` rows were found among the `searched`; `rows` are those of the page.

    A row is {"number", "file", "line", "source", "original", "is_long", "excluded", "edited", "problems", "masked",
    "detail"} as in rows.Row, with {"segments", "shortened", "tokens", "trained_tokens", "truncated"} as in
    Preview.rows; segments is empty for a row that cannot be used.
    """

    total: int
    searched: int
    rows: list[dict[str, Any]]


@dataclass(frozen=True)
class Mapping:
    """`columns` with the beginning of an example of each, and what part each plays most likely, the surest first."""

    columns: dict[str, str]
    proposals: list[Proposal]


def find_rows(
    preset: Preset, settings: Settings, query: str = "", only: Only = "all", *, name: str = "", order: Order = "file",
    seed: int = 0, offset: int = 0, limit: int = 10, token: str | None = None,
) -> RowsPage:
    """Rows with the words `query`, of those with problems, edits or masked parts if asked; a page or a random few.

    `name` is the list of edits, where it is not that of `data.edits`. Takes two seconds, and ten for a million rows.
    Raises `DataError`, `ModelError`.
    """
    if name:
        preset = preset.model_copy(update={"data": preset.data.model_copy(update={"edits": name})})
    wanted = {"text": query, "only": only, "order": order, "seed": seed, "offset": offset, "limit": limit}
    answer = ask_worker("rows", {"preset": dumps(preset, comments=False), "query": wanted}, settings, token)
    return RowsPage(**answer)


def propose_mapping(preset: Preset, settings: Settings, token: str | None = None) -> Mapping:
    """Which columns there are and what they could be, also for data whose shape nobody can tell. Takes a second.

    Raises `DataError`.
    """
    answer = ask_worker("rows", {"preset": dumps(preset, comments=False), "query": None}, settings, token)
    return Mapping(answer["columns"], [Proposal(**proposal) for proposal in answer["proposals"]])

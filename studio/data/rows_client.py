"""Asks a process of its own for rows of a data set; the page server parses nobody's files itself."""

from dataclasses import dataclass
from typing import Any, Literal

from studio.data.columns import Proposal
from studio.data.preview_client import ask_worker, data_key
from studio.preset.files import dumps
from studio.preset.schema import Preset
from studio.settings import Settings

KEPT_TOTALS = 200

# how many rows a search found and went through, so that other pages of it need not read to the end
_totals: dict[str, tuple[int, int]] = {}

Only = Literal["all", "problem", "edited", "excluded", "masked"]
Order = Literal["file", "random"]


@dataclass(frozen=True)
class RowsPage:
    """`total` rows were found among the `searched`; `rows` are those of the page, `only_first` is as in rows.Found.

    A row is {"number", "file", "line", "source", "original", "is_long", "excluded", "edited", "problems", "masked",
    "detail"} as in rows.Row, with {"segments", "shortened", "tokens", "trained_tokens", "truncated"} as in
    Preview.rows; segments is empty for a row that cannot be used.
    """

    total: int
    searched: int
    rows: list[dict[str, Any]]
    only_first: bool = False


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
    key = f"{data_key(preset, settings, token)} {only} {query}"
    known, searched = _totals.get(key, (0, 0))
    wanted = {"text": query, "only": only, "order": order, "seed": seed, "offset": offset, "limit": limit,
              "known_total": known}
    answer = ask_worker("rows", {"preset": dumps(preset, comments=False), "query": wanted}, settings, token)
    searched = max(answer["searched"], searched)
    _totals[key] = answer["total"], searched
    if answer["only_first"]:  # the next page may have them all
        del _totals[key]
    while len(_totals) > KEPT_TOTALS:
        _totals.pop(next(iter(_totals)))
    return RowsPage(answer["total"], searched, answer["rows"], answer["only_first"])


def propose_mapping(preset: Preset, settings: Settings, token: str | None = None) -> Mapping:
    """Which columns there are and what they could be, also for data whose shape nobody can tell. Takes a second.

    Raises `DataError`.
    """
    answer = ask_worker("rows", {"preset": dumps(preset, comments=False), "query": None}, settings, token)
    return Mapping(answer["columns"], [Proposal(**proposal) for proposal in answer["proposals"]])

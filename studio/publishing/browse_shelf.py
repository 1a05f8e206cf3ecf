"""One look into the browser, for every skin: on the Hub, among the favourites, the recent ones, or on this machine.

Where the Hub gives nothing, what is on this machine is shown in its place, with the reason.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from huggingface_hub import HfApi

from studio import words
from studio.errors import HubError
from studio.publishing import browse_choices
from studio.publishing.browse import EXPAND, PAGE, ModelResult, Sort, Token, asked_as, model_result, search_models
from studio.publishing.browse_choices import Found, Kind
from studio.publishing.browse_datasets import EXPAND as DATASET_EXPAND
from studio.publishing.browse_datasets import DatasetResult, dataset_result, search_datasets
from studio.publishing.browse_local import bundled_datasets, local_datasets, local_models, packaged_models
from studio.runs.store import RunView
from studio.settings import Settings

Where = Literal["hub", "starred", "recent", "here"]


@dataclass(frozen=True)
class Search:
    """What is looked for: `words` of the name, order, `limit` of results, `everything` for what cannot be trained."""

    words: str = ""
    sort: Sort = "downloads"
    everything: bool = False
    limit: int = PAGE


@dataclass(frozen=True)
class Shelf:
    """What was found, where; `note` is worth knowing, `problem` is why the Hub gave nothing (None: it did)."""

    where: Where
    results: list[Found]
    more: bool = False
    note: str = ""
    problem: HubError | None = None


def look(kind: Kind, where: Where, search: Search, settings: Settings, runs: Iterable[RunView] = (),
         token: Token = False, *, owner: bool = True) -> Shelf:
    """Look there. `runs` are this studio's, whose models and data count as used. Raises no error of the Hub.

    Who is no `owner` sees what the Hub shows everybody and what comes with the studio, nothing of what the owner uses.
    """
    if not owner:
        return _look_as_stranger(kind, where, search, settings)
    runs = list(runs)
    if where == "starred":
        return Shelf(where, _matching(browse_choices.starred(settings, kind), search.words))
    if where == "recent":
        return Shelf(where, _matching(browse_choices.recent(settings, kind, runs), search.words))
    if where == "here":
        return _here(_local(kind, settings, runs), search)
    try:
        return _ask_hub(kind, search, token)
    except HubError as error:
        return replace(_here(_local(kind, settings, runs), search), problem=error)


def facts_of(kind: Kind, name: str, settings: Settings, runs: Iterable[RunView] = (), token: Token = False) -> Found:
    """What a list shows of one model or data set: as it lies here, else as the Hub says, else its name alone."""
    local = next((found for found in _local(kind, settings, runs) if found.id == name), None)
    if local is not None and local.source != "cache":
        return local

    def ask_hub(token: Token) -> Found:
        if kind == "models":
            return model_result(HfApi(token=token).model_info(name, expand=EXPAND))
        return dataset_result(HfApi(token=token).dataset_info(name, expand=DATASET_EXPAND))

    try:
        return asked_as(ask_hub, token, f"looking at {words.plain(name, 100)}")[0]
    except HubError:
        return local or (ModelResult(name) if kind == "models" else DatasetResult(name))


def _look_as_stranger(kind: Kind, where: Where, search: Search, settings: Settings) -> Shelf:
    if where in ("starred", "recent"):
        return Shelf(where, [])
    here = _here(packaged_models() if kind == "models" else bundled_datasets(settings), search)
    if where == "here":
        return here
    try:
        return _ask_hub(kind, search, False)
    except HubError as error:
        return replace(here, problem=error)


def _ask_hub(kind: Kind, search: Search, token: Token) -> Shelf:
    find = search_models if kind == "models" else search_datasets
    page = find(search.words, limit=search.limit, sort=search.sort, everything=search.everything, token=token)
    return Shelf("hub", page.results, page.more, page.note)


def _here(found: list[Found], search: Search) -> Shelf:
    return Shelf("here", _matching(found, search.words))


def _local(kind: Kind, settings: Settings, runs: Iterable[RunView]) -> list[Found]:
    return local_models(settings, [view.preset for view in runs]) if kind == "models" else local_datasets(settings)


def _matching(found: list[Found], asked: str) -> list[Found]:
    wanted = asked.lower().split()
    return [result for result in found if all(word in result.id.lower() for word in wanted)]

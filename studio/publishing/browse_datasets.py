"""Searches the Hub for data sets: how many rows of what, under which licence, and whether they can be read here."""

from dataclasses import dataclass
from typing import Any

from huggingface_hub import HfApi, constants
from huggingface_hub.hf_api import DatasetInfo

from studio import words
from studio.data.hub import is_hub_name
from studio.publishing.browse import (
    MOST,
    PAGE,
    Page,
    Sort,
    Token,
    asked_as,
    files_of,
    gated_of,
    licence_of,
    licence_url,
    require_name,
    whole,
)

EXPAND = ["cardData", "downloads", "gated", "lastModified", "likes", "mainSize", "private", "tags"]
MOST_NAMES = 100


@dataclass(frozen=True)
class Part:
    """A configuration of a data set: its splits with their rows (None: not known), and its columns where stated."""

    name: str
    splits: dict[str, int | None]
    columns: list[str]


@dataclass(frozen=True)
class DatasetResult:
    """A data set as a list shows it; what is not known is None, "" or empty. `size_category` as the Hub puts it
    (10K<n<100K); `source` is hub, cache, upload or bundled; the rest as in `ModelResult`."""

    id: str
    source: str = "hub"
    rows: int | None = None
    size_category: str = ""
    size_bytes: int | None = None
    licence: str = ""
    gated: str = ""
    updated: str = ""
    downloads: int | None = None
    likes: int | None = None
    languages: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    private: bool = False
    unusable: str = ""


@dataclass(frozen=True)
class DatasetDetails:
    """One data set looked at closely; `files` are (path, bytes or None), largest first."""

    result: DatasetResult
    revision: str
    parts: list[Part]
    licence_url: str
    page_url: str
    files: list[tuple[str, int | None]]


def search_datasets(query: str, *, limit: int = PAGE, sort: Sort = "downloads", everything: bool = False,
                    token: Token = False) -> Page[DatasetResult]:
    """Data sets whose name or description has the words of `query`, in one request: those with text in them.

    With `everything` others too. Raises `HubError`; see `search_models`.
    """
    limit = min(max(1, limit), MOST)

    def find(token: Token) -> list[DatasetResult]:
        found = HfApi(token=token).list_datasets(
            search=query.strip() or None, filter=None if everything else ["modality:text"], sort=sort,
            limit=limit + 1, expand=EXPAND)
        return [dataset_result(info) for info in found]

    results, note = asked_as(find, token, f"searching for {words.plain(query, 60)}" if query.strip() else "searching")
    return Page(results[:limit], len(results) > limit, note)


def dataset_details(repo_id: str, *, revision: str = "main", token: Token = False) -> DatasetDetails:
    """Look at one data set closely, in one request. Raises `HubError`."""

    def look(token: Token) -> DatasetDetails:
        info = HfApi(token=token).dataset_info(repo_id, revision=revision, files_metadata=True)
        page_url = f"{constants.ENDPOINT}/datasets/{info.id}"
        files = files_of(info)
        return DatasetDetails(dataset_result(info, files), info.sha or "", _parts(_card(info)),
                              licence_url(info, page_url), page_url, files)

    require_name(repo_id)
    return asked_as(look, token, f"looking at {words.plain(repo_id, 100)}")[0]


def dataset_result(info: DatasetInfo, files: list[tuple[str, int | None]] | None = None) -> DatasetResult:
    """What is shown of a data set, from what the Hub says of it; `files` where they are known."""
    card, tags = _card(info), [tag for tag in info.tags or [] if isinstance(tag, str)]
    parts = _parts(card)
    rows = [count for part in parts for count in part.splits.values()]
    stated = [whole(entry.get("download_size")) for entry in _entries(card.get("dataset_info"))]
    size = whole(info.main_size) or (sum(stated) if stated and None not in stated else None)
    if files:
        size = sum(size or 0 for _, size in files)
    return DatasetResult(
        id=words.plain(info.id, 200), rows=sum(rows) if rows and None not in rows else None,
        size_category=_after(tags, "size_categories:"), size_bytes=size, licence=licence_of(info), gated=gated_of(info),
        updated=info.last_modified.date().isoformat() if info.last_modified else "", downloads=whole(info.downloads),
        likes=whole(info.likes), languages=tuple(words.plain(tag[9:], 20) for tag in tags if tag[:9] == "language:"),
        configs=tuple(part.name for part in parts if part.name), private=bool(info.private),
        unusable=_unusable(info.id, tags, files))


def best_split(part: Part) -> str:
    """The split to learn from: train, where there is none the first; "" where none is known."""
    return "train" if "train" in part.splits else next(iter(part.splits), "")


def _parts(card: dict) -> list[Part]:
    """Configurations as the card states them: under dataset_info with rows and columns, or under configs by name."""
    parts = {}
    for entry in _entries(card.get("dataset_info")):
        splits = {words.plain(str(split.get("name")), 60): whole(split.get("num_examples"))
                  for split in _entries(entry.get("splits"))}
        columns = [words.plain(str(feature.get("name")), 60) for feature in _entries(entry.get("features"))]
        name = _name(entry)
        parts[name] = Part(name, splits, columns)
    for entry in _entries(card.get("configs")):
        name = _name(entry)
        splits = {words.plain(str(file.get("split")), 60): None for file in _entries(entry.get("data_files"))}
        parts.setdefault(name, Part(name, splits, []))
    return list(parts.values())[:MOST_NAMES]


def _unusable(name: str, tags: list[str], files: list[tuple[str, int | None]] | None) -> str:
    if not is_hub_name(name):
        return "Its name is not of the form owner/name."
    if files and any(path == f"{name.split('/')[-1]}.py" for path, _ in files):
        return "It needs a script of its own to load, and the studio never runs code that comes with a data set."
    kinds = [tag[9:] for tag in tags if tag.startswith("modality:")]
    if kinds and not {"text", "tabular"} & set(kinds):
        return f"It holds {words.plain(', '.join(kinds), 60)}, and the studio trains on text."
    return ""


def _card(info: DatasetInfo) -> dict:
    return info.card_data.to_dict() if info.card_data else {}


def _entries(value: Any) -> list[dict]:
    """One entry or a list of them, as cards have both."""
    return [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, dict)]


def _name(entry: dict) -> str:
    return words.plain(str(entry.get("config_name") or ""), 60)


def _after(tags: list[str], prefix: str) -> str:
    return next((words.plain(tag.removeprefix(prefix), 20) for tag in tags if tag.startswith(prefix)), "")

"""What a person took from the browser, and what they starred: one file in the data folder, written by the server alone.

It is replaced whole, readable by its owner only. A file that cannot be read is set aside, never written over.
"""

import json
import os
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any, Literal

from studio.data.sources import is_hub
from studio.errors import SettingsError
from studio.publishing.browse import ModelResult
from studio.publishing.browse_datasets import DatasetResult
from studio.runs.store import RunView
from studio.settings import Settings

Kind = Literal["models", "datasets"]
Found = ModelResult | DatasetResult

FILE = "hub_choices.json"
MOST_RECENT, MOST_STARRED = 30, 200
RESULT_OF = {"models": ModelResult, "datasets": DatasetResult}

_writing = threading.Lock()


def starred(settings: Settings, kind: Kind) -> list[Found]:
    """The favourites, newest first, with what was known of each when it was starred."""
    return [_result(kind, entry) for entry in _read(settings)[kind]["starred"]]


def recent(settings: Settings, kind: Kind, runs: Iterable[RunView] = ()) -> list[Found]:
    """What was taken from the browser or trained with, newest first, each once."""
    entries = _read(settings)[kind]["recent"] + [entry for view in runs if (entry := _of_run(kind, view))]
    known = {}
    for entry in sorted(entries, key=lambda entry: entry["time"], reverse=True):
        before = known.get(entry["facts"]["id"])
        # a run knows the name alone
        if before is None or len(before["facts"]) == 1 < len(entry["facts"]):
            known[entry["facts"]["id"]] = entry
    return [_result(kind, entry) for entry in known.values()][:MOST_RECENT]


def note_taken(settings: Settings, kind: Kind, result: Found) -> None:
    """Remember that it was taken just now."""
    with _writing:
        choices = _read(settings)
        _put_first(choices[kind]["recent"], result, MOST_RECENT)
        _write(settings, choices)


def set_star(settings: Settings, kind: Kind, result: Found, on: bool) -> None:
    """Add it to the favourites, or remove it."""
    with _writing:
        choices = _read(settings)
        if on:
            _put_first(choices[kind]["starred"], result, MOST_STARRED)
        else:
            _drop(choices[kind]["starred"], result.id)
        _write(settings, choices)


def _put_first(entries: list[dict], result: Found, most: int) -> None:
    _drop(entries, result.id)
    entries.insert(0, {"time": datetime.now(UTC).isoformat(), "facts": asdict(result)})
    del entries[most:]


def _drop(entries: list[dict], repo_id: str) -> None:
    entries[:] = [entry for entry in entries if entry["facts"]["id"] != repo_id]


def _of_run(kind: Kind, view: RunView) -> dict[str, Any] | None:
    preset = view.preset
    name = preset.model.model_name_or_path if kind == "models" else preset.data.dataset_name
    return {"time": view.info["created_at"], "facts": {"id": name}} if is_hub(name) else None


def _result(kind: Kind, entry: dict[str, Any]) -> Found:
    names = {field.name for field in fields(RESULT_OF[kind])}
    facts = {name: tuple(value) if isinstance(value, list) else value
             for name, value in entry["facts"].items() if name in names}
    return RESULT_OF[kind](**facts)


def _read(settings: Settings) -> dict[str, dict[str, list]]:
    empty: dict[str, dict[str, list]] = {kind: {"starred": [], "recent": []} for kind in RESULT_OF}
    path = settings.data_dir / FILE
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        return {kind: {shelf: [entry for entry in read[kind][shelf] if entry["time"] and entry["facts"]["id"]]
                       for shelf in shelves} for kind, shelves in empty.items()}
    except FileNotFoundError:
        return empty
    except (ValueError, KeyError, TypeError):
        path.replace(path.with_suffix(".unreadable"))
        return empty


def _write(settings: Settings, choices: dict[str, Any]) -> None:
    try:
        # it is made for its owner's eyes only
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix=f".{FILE}.", dir=settings.data_dir,
                                         delete=False) as file:
            json.dump(choices, file, ensure_ascii=False, indent=1)
        os.replace(file.name, settings.data_dir / FILE)
    except OSError as error:
        raise SettingsError(f"The choice could not be kept in {settings.data_dir}: {error.strerror}.",
                            "Make room on that disk, or set STUDIO_DATA_DIR to another.") from None

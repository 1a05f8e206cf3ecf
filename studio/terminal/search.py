"""A search in a terminal: a line for each model or data set, and why the Hub gave nothing where it did not."""

import sys
from dataclasses import asdict
from typing import Any

from studio import words
from studio.preset.schema import Preset
from studio.publishing.browse import ModelResult
from studio.publishing.browse_choices import Found, Kind
from studio.publishing.browse_fit import Fit, fit_of
from studio.publishing.browse_shelf import Shelf
from studio.runs.device import probe_device
from studio.runs.estimates import GIB
from studio.terminal.layout import print_table

FIT_WORDS = {"fits": "fits", "tight": "tight", "too_big": "too big", "not_here": "needs a GPU"}


def facts(kind: Kind, shelf: Shelf, preset: Preset) -> dict[str, Any]:
    """What `--json` says: why the Hub gave nothing ("" where it did), and the results, models with their fit."""
    results = [asdict(result) | ({"fit": fit and asdict(fit)} if kind == "models" else {})
               for result, fit in _fits(kind, shelf, preset)]
    return {"where": shelf.where, "problem": str(shelf.problem or ""), "note": shelf.note, "more": shelf.more,
            "results": results}


def print_shelf(kind: Kind, shelf: Shelf, preset: Preset) -> None:
    """Name, size, licence, gate, last update, and whether it fits; what cannot be used says why below."""
    for said in (shelf.problem and f"{shelf.problem}\nOn this machine:", shelf.note):
        if said:
            print(said, file=sys.stderr)
    if not shelf.results:
        print("Nothing has these words in its name.")
        return
    print_table([_line(result, fit) for result, fit in _fits(kind, shelf, preset)])
    for result in shelf.results:
        if result.unusable:
            print(f"{result.id}: {result.unusable}")
    if shelf.more:
        print("There are more; raise --limit.")


def _fits(kind: Kind, shelf: Shelf, preset: Preset) -> list[tuple[Found, Fit | None]]:
    if kind == "datasets":
        return [(result, None) for result in shelf.results]
    device = probe_device()
    return [(result, fit_of(result, None, preset, device)) for result in shelf.results]


def _line(result: Found, fit: Fit | None) -> list[str]:
    if isinstance(result, ModelResult):
        amount = words.compact(result.parameters) if result.parameters else ""
    else:
        amount = f"{words.count(result.rows)} rows" if result.rows is not None else result.size_category
    gate = f"gated ({result.gated})" if result.gated else ""
    return [result.id, amount, words.size(result.size_bytes) if result.size_bytes else "", result.licence, gate,
            result.updated, _fit(fit)]


def _fit(fit: Fit | None) -> str:
    if fit is None:
        return ""
    return FIT_WORDS[fit.mark] + (f", {fit.bytes / GIB:.1f} GB" if fit.bytes is not None else "")

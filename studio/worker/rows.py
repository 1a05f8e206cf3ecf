"""Shows rows of a data set that a person looks for: JSON request on stdin, JSON answer on stdout, no torch.

    {"preset": "<YAML>", "query": {fields of rows.Query}, "data_dir", "presets_dir"}  ->  fields of rows_client.RowsPage
    {"preset": "<YAML>", "query": null, "data_dir", "presets_dir"}  ->  fields of rows_client.Mapping
"""

import os
from dataclasses import asdict
from typing import Any

from studio.data.columns import propose
from studio.data.formats import DETECT_ROWS
from studio.data.rows import Query, Row, find_rows
from studio.data.sources import read_rows
from studio.data.templates import cell_text
from studio.errors import DataError
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.worker.preview import answer_request, tokenizer_of

EXAMPLE_CHARACTERS = 200
# more than anybody maps by hand; they all go to the page
MOST_COLUMNS, LONGEST_NAME = 500, 200

# the most that training.max_length takes
LONGEST_ROW = 1_048_576


def main() -> int:
    """Answer one request; 0 done, 3 the person can mend it."""
    return answer_request(lambda preset, settings, request:
                          find(preset, settings, request) if request["query"] else propose_mapping(preset, settings))


def find(preset: Preset, settings: Settings, request: dict[str, Any]) -> dict[str, Any]:
    """Search, then render what is shown. Raises `StudioError`."""
    found = find_rows(preset.data, settings, Query(**request["query"]), os.environ.get("HF_TOKEN"))
    usable = [row for row in found.rows if row.normalised is not None]
    shown = dict(zip([id(row) for row in usable], _rendered(usable, preset, settings), strict=True))
    return {"total": found.total, "searched": found.searched, "only_first": found.only_first,
            "rows": [_as_json(row, shown.get(id(row), {})) for row in found.rows]}


def propose_mapping(preset: Preset, settings: Settings) -> dict[str, Any]:
    """The first columns, an example of each, and the likeliest part of each, also where no shape can be told.

    Raises `DataError`.
    """
    table = read_rows(preset.data, settings, os.environ.get("HF_TOKEN"), limit=DETECT_ROWS)
    rows = [row for row in table.rows if isinstance(row, dict)]
    examples = {column: next((cell_text(row[column])[:EXAMPLE_CHARACTERS] for row in rows if row.get(column)), "")
                for column in table.columns[:MOST_COLUMNS] if len(column) <= LONGEST_NAME}
    return {"columns": examples, "proposals": [asdict(proposal) for proposal in propose(table.columns, rows)]}


def _rendered(rows: list[Row], preset: Preset, settings: Settings) -> list[dict[str, Any]]:
    """Each row as the model reads it; what is wrong with it then is added to its problems."""
    if not rows:
        return []
    from studio.data.render import in_pieces, render_each

    if rows[0].normalised.keys() == {"text"}:
        # learned in pieces, so nothing of them is cut off
        preset = override(preset, {"training.max_length": LONGEST_ROW})
    outcomes = render_each(tokenizer_of(preset, settings), [row.normalised for row in rows], preset)
    shown = []
    for row, outcome in zip(rows, outcomes, strict=True):
        if isinstance(outcome, DataError):
            row.problems.append("template_refuses")
            row.detail = outcome.message
            shown.append({})
            continue
        if outcome.truncated:
            row.problems.append("truncated")
        if not outcome.trained_tokens:
            row.problems.append("all_labels_masked")
        shown.append(in_pieces(outcome))
    return shown


def _as_json(row: Row, shown: dict[str, Any]) -> dict[str, Any]:
    nothing = {"segments": [], "shortened": False, "tokens": 0, "trained_tokens": 0, "truncated": False}
    return {name: value for name, value in asdict(row).items() if name != "normalised"} | nothing | shown

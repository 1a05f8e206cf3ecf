"""A run's votes as preference rows, and the preset that would train on them."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from studio.data.sources import store_upload
from studio.errors import DataError, RunError
from studio.evaluation.votes import Vote, read_votes
from studio.preset import files
from studio.preset.flatten import flatten
from studio.preset.schema import Preset
from studio.runs.store import RunView
from studio.settings import Settings

# what a run says of its own data and repository does not hold for its votes
RESET = ("data.", "publish.")
NAME_CHARACTERS = 60
# the name under which the page hands the rows out; the run folder holds the votes only
PREFERENCES_FILE = "preferences.jsonl"


def preference_rows(votes: Iterable[Vote]) -> list[dict[str, Any]]:
    """TRL's conversational preference rows: {"prompt", "chosen", "rejected"}, each a list of messages.

    Votes that preferred neither, and those between equal or with empty answers, teach nothing and are left out.
    """
    rows = []
    for vote in votes:
        if vote.winner is None:
            continue
        chosen, rejected = vote.winner.text, vote.loser.text
        if chosen.strip() and rejected.strip() and chosen.strip() != rejected.strip():
            rows.append({"prompt": vote.messages, "chosen": [{"role": "assistant", "content": chosen}],
                         "rejected": [{"role": "assistant", "content": rejected}]})
    return rows


def preference_lines(run_dir: Path) -> str:
    """The run's votes as preference rows, one a line as JSON; "" where no vote makes one."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in preference_rows(read_votes(run_dir).votes))


def export_votes(view: RunView, path: Path) -> int:
    """Write the run's votes as preference rows, replacing `path`; returns how many.

    Raises `DataError` where no vote makes one or the file cannot be written.
    """
    lines = preference_lines(view.run_dir)
    if not lines:
        raise DataError(f"No vote on {view.name} prefers one of two answers yet.",
                        "Compare answers in the playground and vote, then try again.")
    try:
        path.write_text(lines, encoding="utf-8", newline="\n")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}.",
                        "Name a file in a folder that exists.") from None
    return lines.count("\n")


def votes_data_set(view: RunView, settings: Settings) -> str:
    """Keep the votes as they are now as a data set among the uploads; returns its name for `data.dataset_name`.

    Raises `DataError` as `export_votes`.
    """
    with tempfile.TemporaryDirectory() as folder:
        slug = view.run_id[len("20260131-120000-"):-len("-0000")]
        path = Path(folder) / f"votes-{slug}.jsonl"
        export_votes(view, path)
        return store_upload(settings, path)


def votes_preset(view: RunView, settings: Settings) -> Preset:
    """The run's preset turned to its votes: it starts from the merged model and learns which answers were preferred.

    Raises `DataError` as `export_votes`, `RunError` where the run has no merged model.
    """
    if not view.has_merged:
        raise RunError(f"{view.name} has no merged model, which a training on its votes starts from.",
                       "Merge first, then make the preset.")
    defaults = {name: value for name, value in flatten(Preset()).items() if name.startswith(RESET)}
    return files.override(view.preset, defaults | {
        "model.model_name_or_path": str(view.run_dir / "merged"),
        "name": f"{view.preset.name[:NAME_CHARACTERS]}-votes", "data.dataset_name": votes_data_set(view, settings),
        "data.format": "preference"})

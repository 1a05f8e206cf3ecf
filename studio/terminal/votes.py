"""The playground's votes on a run in a terminal, and their export."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from studio import words
from studio.evaluation.preferences import export_votes
from studio.evaluation.votes import read_votes, win_rates
from studio.runs.store import RunStore, RunView
from studio.ui.vote_words import rate_sentences


def export(view: RunView, path: Path) -> dict[str, Any]:
    """Write the votes as preference rows; returns what `--json` says of it. Raises `DataError`."""
    return {"file": str(path.resolve()), "rows": export_votes(view, path)}


def facts(view: RunView, exported: dict[str, Any] | None) -> dict[str, Any]:
    """What `--json` says: win rates are of blind votes, their `value` among those that preferred one answer."""
    found = read_votes(view.run_dir)
    rates = [asdict(rate) | {"value": rate.value, "interval": rate.interval}
             for rate in win_rates(found.current, view.run_id)]
    return {"run_id": view.run_id, "votes": len(found.votes), "blind": sum(vote.blind for vote in found.votes),
            "damaged_lines": found.damaged, "win_rates": rates, "exported": exported}


def print_votes(store: RunStore, view: RunView, exported: dict[str, Any] | None) -> None:
    """The same in words."""
    found = read_votes(view.run_dir)
    blind = sum(vote.blind for vote in found.votes)
    if not found.votes:
        print(f"Nobody has voted on {view.name} yet. Compare answers in the playground:  python -m studio serve")
    else:
        print(f"{view.name}: votes {words.count(len(found.votes))}, of them blind {words.count(blind)}")
    for sentence in rate_sentences(store, found.current, view.run_id):
        print(f"  {sentence}")
    if found.damaged:
        print(f"! Damaged lines of votes.jsonl, passed over: {words.count(found.damaged)}")
    if exported:
        print(f"  preference rows written: {words.count(exported['rows'])}, {exported['file']}")

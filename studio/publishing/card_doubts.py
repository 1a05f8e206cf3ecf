"""What a card that a person has edited may say, and that no longer holds: told before it is sent, never changed."""

import re
from datetime import datetime
from pathlib import Path

from huggingface_hub import ModelCard

from studio.publishing import card
from studio.publishing.card_head import LIBRARIES
from studio.publishing.request import Target


def doubts(run_dir: Path, target: Target, trained_at: str) -> list[str]:
    """What speaks against sending the edited card to `target`, a sentence each; none where no card was edited.

    `trained_at` is when the training ended (ISO 8601), "" where that is not known. The card's head must be readable.
    """
    body = card.edited(run_dir)
    if not body:
        return []
    found, leading = [], LIBRARIES[target.forms[0]]
    if not re.search(rf"(?<![\w.-]){re.escape(target.repo_id)}(?![\w-]|\.\w)", body):
        found.append(f"The edited card does not name {target.repo_id}: title and code may be those of another "
                     "repository. Mend them, or write the card anew.")
    library = ModelCard(body).data.library_name
    if library and library != leading:
        found.append(f"The edited card states the library {library}, and what lies at the top of {target.repo_id} is "
                     f"for {leading}. Mend its head, or write the card anew.")
    if trained_at and (run_dir / "card.md").stat().st_mtime < datetime.fromisoformat(trained_at).timestamp():
        found.append("The card was edited before the last training ended, so its results may be those of earlier "
                     "weights. Mend them, or write the card anew.")
    return found

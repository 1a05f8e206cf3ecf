"""Pushes an exported data set to the Hub: its card and its rows as one commit; what is there unchanged is not sent."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import DatasetCardData

from studio.data.export import Exported
from studio.data.languages import UNKNOWN
from studio.data.sources import BUNDLED, is_hub
from studio.preset.schema import Preset
from studio.publishing import hub
from studio.publishing.licences import NONE, Licence
from studio.publishing.release import CARD, ReleaseFile
from studio.publishing.upload import Destination, Progress, PushResult, push_files

KIND = "dataset"
# of all data sets that come with the studio
BUNDLED_LICENCE = Licence("cc0-1.0")
LICENCE = "the rows' source states {licence}. Look there for what that asks of you."
NO_LICENCE = "nobody has said under which licence these rows may be used. Find out before you share them."
# a language is named from this share of the rows looked at on
LEAST_SHARE = 0.1
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
         (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))
TASKS = {"text_label": "text-classification", "text_pair": "sentence-similarity"}
COLUMNS = {
    "messages": "`messages`: a chat, each message with `role` and `content`",
    "prompt_completion": "`prompt` and `completion`",
    "text": "`text`",
    "text_label": "`text` and `label`",
    "text_pair": "`sentence1` and `sentence2`, with `score` where there is one",
    "preference": "`prompt`, the better answer `chosen` and the worse one `rejected`",
    "unpaired_preference": "`prompt`, `completion` and `label`, which says whether the answer is good",
    "prompt_only": "`prompt` and the reference `answer`",
}
MASKED = {
    "none": "Keys, passwords and personal data were not looked for, so they may be in it.",
    "secrets": "What looked like a key or password was replaced by a placeholder; personal data was not looked for.",
    "all": "What looked like a key, a password, an e-mail address, a card or phone number was replaced by a "
           "placeholder. Such a search misses some.",
}


def push_dataset(exported: Exported, preset: Preset, repo_id: str, token: str | None, *, private: bool = True,
                 on_progress: Callable[[Progress], None], endpoint: str | None = None) -> PushResult:
    """Push the files of an export with a data card to the data set `repo_id`, creating it where it is missing.

    Raises `HubError` as `hub.check_push` and `upload.push_files` do; may wait for ever on a server that never answers.
    """
    check = hub.check_push(repo_id, token, private=private, kind=KIND, endpoint=endpoint)
    with tempfile.TemporaryDirectory() as staged:
        text = Path(staged) / CARD
        licence = _licence(preset.data.dataset_name, token, endpoint)
        text.write_text(card(exported, preset, check.repo_id, licence), encoding="utf-8")
        files = [_file(text, CARD), *(_file(exported.folder / name, name) for name in exported.files)]
        return push_files(files, Destination(check.repo_id, private), token, kind=KIND, on_progress=on_progress,
                          message=f"{exported.train_rows + exported.heldout_rows:,} rows", endpoint=endpoint)


def card(exported: Exported, preset: Preset, repo_id: str, licence: Licence = NONE) -> str:
    """The data card: what is known of the rows, and plainly what is not. The same rows give the same card.

    `licence` is what the rows' source states.
    """
    section, named = preset.data, spoken(exported.languages)
    rows = exported.train_rows + exported.heldout_rows
    splits = {"train": exported.files[0]} | ({"test": exported.files[1]} if exported.heldout_rows else {})
    head = DatasetCardData(
        license=licence.id or "unknown", license_name=licence.name or None, license_link=licence.link or None,
        language=named or None,
        task_categories=[TASKS.get(exported.format, "text-generation")],
        size_categories=next((size for most, size in SIZES if rows < most), "n>100M"), tags=["fine-tune-studio"],
        configs=[{"config_name": "default", "data_files": [
            {"split": split, "path": file} for split, file in splits.items()]}])
    heldout = "No rows are held back."
    if exported.heldout_rows:
        heldout = (f"`test` holds {exported.heldout_rows:,} rows that were held back to judge by "
                   f"({section.split_by}, seed {preset.training.seed}).")
    done = [f"Left out: {exported.left_out}." if exported.left_out else "No row was left out.",
            f"Changed: {exported.changed}." if exported.changed else "No row was changed.", MASKED[section.mask]]
    return CARD_TEXT.format(
        head=head.to_yaml(), name=repo_id.split("/")[1], source=exported.source, train_rows=f"{exported.train_rows:,}",
        columns=COLUMNS[exported.format], heldout=heldout, done="\n".join(f"- {line}" for line in done), repo=repo_id,
        languages=_languages(exported.languages), licence=LICENCE.format(licence=licence) if licence.id else NO_LICENCE)


def spoken(counts: dict[str, int]) -> list[str]:
    """The languages, by ISO 639 code, that a notable share of the rows looked at is written in."""
    return [code for code, n in counts.items() if code != UNKNOWN and n >= LEAST_SHARE * sum(counts.values())]


def _licence(name: str, token: str | None, endpoint: str | None) -> Licence:
    if name.startswith(BUNDLED):
        return BUNDLED_LICENCE
    return hub.stated_licence(name, token, kind=KIND, endpoint=endpoint) if is_hub(name) else NONE


def _languages(counts: dict[str, int]) -> str:
    judged = sum(counts.values())
    said = ", ".join(f"{'unknown' if code == UNKNOWN else code} {n:,}" for code, n in counts.items())
    return f"Languages among {judged:,} rows looked at, as a small model names them: {said}."


def _file(path: Path, name: str) -> ReleaseFile:
    return ReleaseFile(path, name, path.stat().st_size)


CARD_TEXT = """\
---
{head}
---

# {name}

Rows prepared for fine-tuning with Fine-Tune Studio, from {source}.

```python
from datasets import load_dataset

rows = load_dataset("{repo}", split="train")
```

## What is in it

`train` holds {train_rows} rows. {heldout}
Each row has {columns}.
{languages}

## What was done to it

{done}

## What is not known

- **Licence**: {licence}
- **Origin**: who wrote the rows, and whether they agreed to training, is not recorded here.
"""

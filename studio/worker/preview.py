"""Reads a preset's data as the model will and says what is wrong with them: JSON request on stdin, answer on stdout.

    {"preset": "<YAML>", "data_dir": "...", "presets_dir": "..."}  ->  fields of preview_client.Preview

A `StudioError` is answered as {"error": {"type", "message", "hint", "field"}} with exit code 3. Only the tokenizer is
loaded: hiding torch from transformers takes its start from four seconds to one.
"""

import contextlib
import json
import os
import sys
from array import array
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

from studio import words
from studio.data import account
from studio.data.prepare import Cleaned, Prepared
from studio.data.prepare import look as look_at
from studio.data.shapes import refusal
from studio.data.sources import is_hub
from studio.errors import DataError, StudioError
from studio.preset.files import loads
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.worker.environment import prepare

# of a Hub data set only so many rows are downloaded for a look
HUB_ROWS = 1000
# so many rows, evenly spaced, are tokenised for the statistics
SAMPLE_ROWS = 1000
FEW_ROWS = 10
UNSURE = 0.7


def main() -> int:
    """Answer one request; 0 done, 3 the person can mend it."""
    return answer_request(lambda preset, settings, request: look(preset, settings))


def answer_request(answer: Callable[[Preset, Settings, dict[str, Any]], dict[str, Any]]) -> int:
    """Read a request from stdin, write the answer or the `StudioError` it ends with; returns the exit code."""
    request = json.load(sys.stdin)
    settings = Settings(data_dir=Path(request["data_dir"]), presets_dir=Path(request["presets_dir"]))
    prepare(settings)
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    # libraries that print must not get between the answer's bytes
    with contextlib.redirect_stdout(sys.stderr):
        try:
            preset = loads(request["preset"])
            if not preset.model.model_name_or_path.lower().endswith(".gguf"):
                # transformers reads a tokenizer from a GGUF file with torch only
                sys.modules["torch"] = None
            said, code = answer(preset, settings, request), 0
        except StudioError as error:
            said, code = {"error": {"type": type(error).__name__, "message": error.message, "hint": error.hint,
                                    "field": error.field}}, 3
    json.dump(said, sys.stdout, ensure_ascii=True)
    return code


def look(preset: Preset, settings: Settings) -> dict[str, Any]:
    """Read, convert and render; the answer's fields are those of `preview_client.Preview`. Raises `StudioError`."""
    limit = HUB_ROWS if is_hub(preset.data.dataset_name) else 0
    prepared = look_at(preset, settings, limit=limit)
    source = prepared.source
    tokenizer = tokenizer_of(preset, settings)
    problems = [_problem("error", error.message, error.hint, error.field) for error in prepared.errors]
    if refused := refusal(source.shape.format):
        fix = {"data.format": "prompt_completion"} if source.shape.format == "preference" else {}
        problems.append(_problem("error", refused.message, refused.hint, refused.field) | {"fix": fix})
    problems += _remarks_on_account(prepared, preset)
    _cut_documents(prepared, tokenizer, preset)
    total, train = _counts(prepared, preset)
    lengths = _token_stats(tokenizer, source, preset, problems)
    _add_remarks(tokenizer, source, preset, total, problems)
    return {"train_rows": train, "problems": problems, **lengths}


def _cut_documents(prepared: Prepared, tokenizer: Any, preset: Preset) -> None:
    """Long texts become the pieces that are trained, also in the source, whose rows are counted."""
    from studio.data.chunks import cut_documents, cut_rows

    cut_documents(prepared, tokenizer, preset)
    for cleaned in (prepared.source, prepared.own_heldout):
        if cleaned is not None:
            cleaned.rows, indices = cut_rows(tokenizer, cleaned.rows, preset)
            cleaned.numbers = array("Q", [cleaned.numbers[index] for index in indices])


def tokenizer_of(preset: Preset, settings: Settings) -> Any:
    """The tokenizer of the preset's model, without torch. Raises `ModelError`."""
    from studio.worker import base_model
    from studio.worker.tokenizer import load_tokenizer

    return load_tokenizer(base_model.locate(preset.model, settings, weights=False).folder, preset.model)


def _counts(prepared: Prepared, preset: Preset) -> tuple[int, int]:
    """Rows that can be used, and those to learn from: counted where all were read, else what the Hub says."""
    source, own = prepared.source, prepared.own_heldout
    total = _total(source, preset)
    if own is not None:
        return total, total
    if total == len(source.rows):
        return total, len(prepared.train)
    return total, total - (max(1, round(total * preset.data.test_size)) if preset.data.test_size else 0)


def _total(cleaned: Cleaned, preset: Preset) -> int:
    if cleaned.table.total is None or cleaned.table.total <= len(cleaned.table.rows):
        return len(cleaned.rows)
    return min(cleaned.table.total, preset.data.max_rows or cleaned.table.total)


def _remarks_on_account(prepared: Prepared, preset: Preset) -> list[dict[str, Any]]:
    """What is left out or leaks across the split, where that does not stop the run."""
    found = []
    if preset.data.bad_rows != "stop":
        rows = len(prepared.source.table.rows) + (len(prepared.own_heldout.table.rows) if prepared.own_heldout else 0)
        dropped = [entry for entry in prepared.left_out if account.stops(entry)]
        found = [_problem("warning", message, "They are left out, as data.bad_rows says.", "data.bad_rows")
                 for message, _ in account.sentences(dropped, rows)]
    field = "data.dataset_test_split" if preset.data.dataset_test_split else "data.split_by"
    found += [_problem("warning", message, fix, field)
              for message, fix in account.sentences(prepared.leaks, len(prepared.heldout))]
    return found


def _token_stats(
    tokenizer: Any, cleaned: Cleaned, preset: Preset, problems: list[dict[str, Any]]
) -> dict[str, Any]:
    """Lengths in tokens over a sample of the rows, and what is wrong with rows once they are tokens."""
    from studio.data.render import Rendered, render_each

    step = max(1, len(cleaned.rows) // SAMPLE_ROWS)
    outcomes = render_each(tokenizer, cleaned.rows[::step], preset)
    rendered = [outcome for outcome in outcomes if isinstance(outcome, Rendered)]
    refused = [(cleaned.numbers[i * step], outcome) for i, outcome in enumerate(outcomes)
               if isinstance(outcome, DataError)]
    if refused:
        problems.append(_refused(*refused[0], len(refused), len(outcomes), preset))
    lengths = sorted(row.length for row in rendered)
    cut = sum(row.truncated for row in rendered)
    empty = sum(row.trained_tokens == 0 for row in rendered)
    limit = preset.training.max_length
    if cut:
        problems.append(_problem(
            "warning", f"{_share(cut, rendered)} of the rows are longer than {limit:,} tokens and are cut.",
            f"The longest has {lengths[-1]:,} tokens: raise training.max_length if memory allows.",
            "training.max_length"))
    if empty and not refusal(cleaned.shape.format):
        problems.append(_nothing_to_learn(f"{_share(empty, rendered)} of the rows have nothing left to learn.",
                                          empty == len(rendered), preset))
    return {"mean_tokens": mean(min(n, limit) for n in lengths) if lengths else 0,
            "longest_tokens": min(lengths[-1], limit) if lengths else 0}


def _refused(row: int, error: DataError, n: int, total: int, preset: Preset) -> dict[str, Any]:
    """As the trainer takes rows that cannot be rendered, of which `row` is the first: see `_nothing_to_learn`."""
    message = f"{n:,} of {total:,} rows cannot be used (first: row {row:,}): {error.message}"
    if n == total:
        return _problem("error", message, error.hint, error.field)
    if preset.data.bad_rows == "stop":
        return _problem("error", message, f"{error.hint} Or leave those rows out.", "data.bad_rows") | {
            "fix": {"data.bad_rows": "drop"}}
    return _problem("warning", message, f"They are left out, as data.bad_rows says. {error.hint}", "data.bad_rows")


def _nothing_to_learn(message: str, is_all: bool, preset: Preset) -> dict[str, Any]:
    """As the trainer takes such rows: it stops at them, or leaves them out where others stay."""
    hint = "Give them answers, or raise training.max_length"
    if is_all:
        return _problem("error", message, f"{hint}.", "data.dataset_name")
    if preset.data.bad_rows == "stop":
        return _problem("error", message, f"{hint}, or leave them out.", "data.bad_rows") | {
            "fix": {"data.bad_rows": "drop"}}
    return _problem("warning", message, f"They are left out, as data.bad_rows says. {hint}.", "data.bad_rows")


def _add_remarks(
    tokenizer: Any, cleaned: Cleaned, preset: Preset, total: int, problems: list[dict[str, Any]]
) -> None:
    shape = cleaned.shape
    if shape.confidence < UNSURE:
        problems.append(_problem("warning", f"The columns were guessed. {shape.reason}",
                                 "Name the columns if that is wrong.", "data.format"))
    for column, (first, n) in cleaned.late.items():
        have = "row has" if n == 1 else "rows have"
        problems.append(_problem(
            "warning", f'{n:,} {have} a column "{words.plain(column, 40)}" that is not used (first: row {first:,}): the'
            " shape is told from the rows before.",
            "Move a row that has it to the beginning of the file.", "data.dataset_name"))
    if total < FEW_ROWS:
        problems.append(_problem("warning", f"There are only {total:,} rows.", "Fifty good rows are a sensible least.",
                                 "data.dataset_name"))
    plain = shape.format == "text" or (
        tokenizer.chat_template is None and isinstance(cleaned.rows[0].get("prompt"), str))
    if plain and preset.data.system_prompt:
        problems.append(_problem("warning", "The system prompt is not used: these rows are not read as chats.",
                                 "Empty data.system_prompt, or choose a model with a chat template.",
                                 "data.system_prompt"))


def _problem(level: str, message: str, hint: str, field: str) -> dict[str, Any]:
    return {"level": level, "message": message, "hint": hint, "field": field}


def _share(n: int, rows: list[Any]) -> str:
    share = 100 * n / len(rows)
    return f"{share:.0f} %" if share >= 1 else "Less than 1 %"


if __name__ == "__main__":
    sys.exit(main())

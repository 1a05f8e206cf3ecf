"""What is wrong with an exported form whatever its weights are worth: vocabulary, chat template, end of answers,
generation settings. Each is set beside what the training used, and named in a sentence.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studio import words
from studio.errors import DataError, ModelError
from studio.publishing.parity import ADAPTER, MERGED, name

SHOWN_CHARACTERS = 60
HINTS = {
    MERGED: "Merge again, then check again.",
    ADAPTER: "Merge again, which adds generation settings that are missing, or put the base model's tokenizer files "
             "back into the adapter's folder, or train again."}
GGUF_HINT = "Merge again if the merged model has the same fault, then write the GGUF file again."


@dataclass(frozen=True)
class Expected:
    """What the training used. Token ids throughout.

    `vocabulary` maps tokens to ids, `special` are the tokens written as one, `rows` the embeddings of the base model.
    `end_id` ends a trained answer, None where the rows teach no end; `stop_ids` are all that may end one. `settings`
    are the generation settings; `texts` and `prompts` what the model reads of each prompt.
    """

    vocabulary: dict[str, int]
    special: frozenset[int]
    rows: int
    eos_id: int | None
    end_id: int | None
    stop_ids: frozenset[int]
    settings: dict[str, Any]
    has_template: bool
    texts: list[str]
    prompts: list[list[int]]
    write: Callable[[int], str]


@dataclass(frozen=True)
class Shipped:
    """The same of an exported form, read from its files alone.

    `settings` is None where the form has none; `render` writes the text and tokens of all prompts as its own template
    and tokenizer do. `note` is a fault that reading the files has already shown.
    """

    vocabulary: dict[str, int]
    rows: int
    eos_id: int | None
    stop_ids: frozenset[int]
    settings: dict[str, Any] | None
    has_template: bool
    render: Callable[[], tuple[list[str], list[list[int]]]]
    note: str = ""


@dataclass(frozen=True)
class Fault:
    """A sentence with the cause, and the next step."""

    sentence: str
    hint: str


def fault(form: str, reason: str) -> Fault:
    """A fault of a form; `reason` goes on after its name."""
    return Fault(f"{name(form)} {reason}", HINTS.get(form, GGUF_HINT))


def find_fault(form: str, expected: Expected, shipped: Shipped) -> Fault | None:
    """The first thing that is wrong with a form, in the order in which one fault explains the next."""
    for look in (_vocabulary, _template, _end, _settings):
        if reason := look(expected, shipped):
            return fault(form, reason)
    return None


def _vocabulary(expected: Expected, shipped: Shipped) -> str:
    if shipped.note:
        return shipped.note
    for token, number in sorted(expected.vocabulary.items(), key=lambda item: item[1]):
        there = shipped.vocabulary.get(token)
        if there is None:
            return f"lacks the token {_quoted(token)}, which has the number {number:,} in the training."
        if there != number:
            return (f"numbers its tokens otherwise than the training did: {_quoted(token)} is {there:,} there and was "
                    f"{number:,}, so every answer would come out as other words.")
    added = sorted(set(shipped.vocabulary) - set(expected.vocabulary))
    if added:
        return f"has a token that the training did not know: {_quoted(added[0])}."
    if shipped.rows != expected.rows:
        size = "padded" if shipped.rows > expected.rows else "cut"
        return (f"has weights for {shipped.rows:,} tokens, and the model that was trained for {expected.rows:,}: its "
                f"vocabulary is {size}.")
    return ""


def _template(expected: Expected, shipped: Shipped) -> str:
    if expected.has_template and not shipped.has_template:
        return ("comes without the chat template that it was trained with, so every program would put the questions to "
                "it in another form.")
    try:
        texts, prompts = shipped.render()
    except (DataError, ModelError) as error:
        return f"has another chat template than it was trained with: {error.message}"
    for number, (wanted, text) in enumerate(zip(expected.texts, texts, strict=True), start=1):
        if text != wanted:
            before, after = _parting(wanted, text)
            return (f"has another chat template than it was trained with: in prompt {number} it writes "
                    f"{_quoted(after)} where the training had {_quoted(before)}.")
    for number, (wanted, ids) in enumerate(zip(expected.prompts, prompts, strict=True), start=1):
        if ids != wanted:
            place = next((i for i, (one, two) in enumerate(zip(wanted, ids, strict=False)) if one != two),
                         min(len(wanted), len(ids)))
            return (f"splits prompt {number} into other tokens than the training did: {len(ids):,} instead of "
                    f"{len(wanted):,}, the first other one at place {place + 1:,}.")
    return ""


def _end(expected: Expected, shipped: Shipped) -> str:
    write = expected.write
    if shipped.eos_id != expected.eos_id:
        written = "nothing" if shipped.eos_id is None else _quoted(write(shipped.eos_id))
        return f"names {written} as the end of a text, and the training {_named(expected.eos_id, write)}."
    if expected.end_id is not None and expected.end_id not in shipped.stop_ids:
        return (f"ends its answers at {_listed(shipped.stop_ids, write)}, and the training taught it to end them with "
                f"{_quoted(write(expected.end_id))}: it would talk on after each answer.")
    if more := shipped.stop_ids - expected.stop_ids:
        return f"also ends its answers at {_listed(more, write)}, which ended none in the training: they would be cut."
    return ""


def _settings(expected: Expected, shipped: Shipped) -> str:
    if shipped.settings is None:
        return ""
    for key in sorted(set(expected.settings) | set(shipped.settings)):
        wanted, there = expected.settings.get(key), shipped.settings.get(key)
        if there is None and wanted is not None:
            return f"lacks {key} {wanted} in its generation_config.json, with which the trained model answers."
        if wanted != there:
            return (f"answers with {key} {there} (generation_config.json), and the trained model "
                    f"{'without it' if wanted is None else f'with {wanted}'}.")
    return ""


def _parting(wanted: str, text: str) -> tuple[str, str]:
    """What each text holds from a little before the place where they part."""
    place = next((i for i, (one, two) in enumerate(zip(wanted, text, strict=False)) if one != two),
                 min(len(wanted), len(text)))
    start = max(0, place - 10)
    return wanted[start:start + SHOWN_CHARACTERS], text[start:start + SHOWN_CHARACTERS]


def _listed(ids: frozenset[int], write: Callable[[int], str]) -> str:
    return " and ".join(_quoted(write(token)) for token in sorted(ids)) or "nothing"


def _named(token: int | None, write: Callable[[int], str]) -> str:
    return "nothing" if token is None else _quoted(write(token))


def _quoted(text: str) -> str:
    return f'"{words.plain(text, SHOWN_CHARACTERS)}"'

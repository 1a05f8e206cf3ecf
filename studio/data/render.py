"""How a model reads a row: the text after the chat template, its tokens, and which of them are learned.

Trainer and preview both use this, so a person sees exactly what is trained. Needs a transformers tokenizer.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from jinja2.exceptions import TemplateError
from transformers.utils.chat_template_utils import render_jinja_template

from studio.errors import DataError, ModelError
from studio.preset.schema import Preset

IGNORED = -100
CHUNK_ROWS = 2000
SHOWN_CHARACTERS = 6000
MARKER = "\u2042turn\u2042"
# a template computes with what stands in the row, so it may fail in any way that computing can
TEMPLATE_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
GENERATION_TAG = re.compile(r"\{%-?\s*generation\s*-?%\}")

Span = tuple[int, int]
Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Rendered:
    """One row as the model reads it.

    `trained_spans` are character offsets into `text`. `input_ids` and `labels` are equally long and cut at
    `training.max_length`; a label is the token's id where it is learned, else -100. `length` is the number of tokens
    before the cut, `cut_at` the character behind the last kept token (`len(text)` for a whole row).
    """

    text: str
    trained_spans: list[Span]
    input_ids: list[int]
    labels: list[int]
    length: int
    cut_at: int

    @property
    def truncated(self) -> bool:
        return self.length > len(self.input_ids)

    @property
    def trained_tokens(self) -> int:
        return len(self.labels) - self.labels.count(IGNORED)


def in_pieces(row: Rendered, most: int = SHOWN_CHARACTERS) -> dict[str, Any]:
    """A rendered row for a page: {"segments": [{"text", "trained", "cut"}], "shortened", "tokens", "trained_tokens",
    "truncated"}, with at most so many characters in the segments."""
    borders = sorted({0, len(row.text), row.cut_at, *(border for span in row.trained_spans for border in span)})
    segments = [
        {"text": row.text[start:end], "cut": start >= row.cut_at,
         "trained": start < row.cut_at and any(a <= start < b for a, b in row.trained_spans)}
        for start, end in pairwise(borders)]
    shown, room = [], most
    for segment in segments:
        if room > 0:
            shown.append(segment | {"text": segment["text"][:room]})
        room -= len(segment["text"])
    return {"segments": shown, "shortened": room < 0, "tokens": row.length, "trained_tokens": row.trained_tokens,
            "truncated": row.truncated}


def render(tokenizer: Any, row: dict[str, Any], preset: Preset) -> Rendered:
    """Render one normalised row. Raises `DataError` where the template refuses it, `ModelError` without a template."""
    renderer = _Renderer(tokenizer, preset)
    return renderer.tokenise([renderer.lay_out(row)])[0]


def render_rows(tokenizer: Any, rows: list[dict[str, Any]], preset: Preset) -> list[Rendered]:
    """Render many rows at once, in order; errors name the row, counted from 1. Raises as `render` does."""
    rendered = []
    for number, outcome in enumerate(render_each(tokenizer, rows, preset), start=1):
        if isinstance(outcome, DataError):
            raise DataError(f"Row {number:,}: {outcome.message}", outcome.hint, outcome.field)
        rendered.append(outcome)
    return rendered


def render_each(tokenizer: Any, rows: list[dict[str, Any]], preset: Preset) -> list[Rendered | DataError]:
    """The same with the reason in place of each row that the template refuses. Raises `ModelError` as `render` does."""
    renderer = _Renderer(tokenizer, preset)
    outcomes: list[Rendered | DataError] = []
    for start in range(0, len(rows), CHUNK_ROWS):
        laid_out = [renderer.lay_out_or_error(row) for row in rows[start:start + CHUNK_ROWS]]
        rendered = iter(renderer.tokenise([layout for layout in laid_out if isinstance(layout, _Layout)]))
        outcomes += [next(rendered) if isinstance(layout, _Layout) else layout for layout in laid_out]
    return outcomes


def render_prompt(tokenizer: Any, prompt: str | Messages, preset: Preset,
                  tools: list | None = None) -> tuple[str, list[int]]:
    """A question as the tuned model meets it: (text, token ids), ready for `generate`, never cut.

    `prompt` is the first part of `formats.split_answer`, `tools` those of the row. Raises `DataError` and `ModelError`
    as `render` does.
    """
    renderer = _Renderer(tokenizer, preset)
    if tokenizer.chat_template is None and isinstance(prompt, str):
        ids = tokenizer(prompt)["input_ids"]
        return prompt, ids[:-1] if renderer.adds_eos else ids
    text = renderer.chat_text(renderer.with_system_prompt(_as_messages(prompt, "user")), tools, True)
    return text, tokenizer(text, add_special_tokens=False)["input_ids"]


def render_answer(tokenizer: Any, prompt: str | Messages, answer: str, preset: Preset,
                  tools: list | None = None) -> tuple[list[int], list[int]]:
    """What follows the tokens of `render_prompt` where the answer was given: (what the template puts before it, the
    answer's own tokens), without what ends the turn.

    Question and answer are tokenised as one text and parted behind the question, as lm-evaluation-harness does. Raises
    as `render` does.
    """
    renderer, lead = _Renderer(tokenizer, preset), ""
    text, ids = render_prompt(tokenizer, prompt, preset, tools)
    plain = tokenizer.chat_template is None and isinstance(prompt, str)
    if not plain:
        answer = answer.strip()  # as many templates do
        turns = renderer.with_system_prompt(_as_messages(prompt, "user")) + _as_messages(answer, "assistant")
        whole = renderer.part_text(turns, tools, False) or ""
        if whole.startswith(text) and answer in whole[len(text):]:
            lead = whole[len(text):whole.index(answer, len(text))]

    def behind(before: list[int], written: str, added: str) -> list[int]:
        both = tokenizer(written + added, add_special_tokens=plain)["input_ids"]
        both = both[:-1] if plain and renderer.adds_eos else both
        parts = both[:len(before)] == before and len(both) > len(before)
        return both[len(before):] if parts else tokenizer(added, add_special_tokens=False)["input_ids"]

    led = behind(ids, text, lead) if lead else []
    return led, behind(ids + led, text + lead, answer)


@dataclass(frozen=True)
class _Layout:
    """A row before tokenisation; plain rows get the tokenizer's own special tokens, templates write theirs out."""

    text: str
    spans: list[Span]
    add_special_tokens: bool


class _Renderer:
    """Tokenizer and preset with what follows from them once: its special tokens and whether it ends texts itself."""

    def __init__(self, tokenizer: Any, preset: Preset):
        self.tokenizer = tokenizer
        self.preset = preset
        tokens = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        tokens.update(tokenizer.all_special_tokens)
        special = "|".join(re.escape(token) for token in sorted(tokens, key=len, reverse=True)) or r"(?!)"
        self.ends_with_special = re.compile(rf"(?:{special})\s*\Z")
        self.starts_with_special = re.compile(rf"\s*(?:{special})")
        self.adds_eos = tokenizer("a")["input_ids"][-1] == tokenizer.eos_token_id

    def lay_out_or_error(self, row: dict[str, Any]) -> "_Layout | DataError":
        """The row's layout, or why the template refuses it."""
        try:
            return self.lay_out(row)
        except DataError as error:
            return error

    def lay_out(self, row: dict[str, Any]) -> _Layout:
        """The row's text and what of it is learned; of a preference it is the chosen answer.

        Raises `DataError`, `ModelError`.
        """
        method = self.preset.method
        if "text" in row:
            text = self._with_eos(row["text"])
            return _Layout(text, [(0, len(text))], add_special_tokens=True)
        if "messages" in row:
            messages = self.with_system_prompt(row["messages"])
            return self._lay_out_chat(messages, row.get("tools"), 0, method.assistant_only_loss)
        if "sentence1" in row:
            text = f"{row['sentence1']}\n{row['sentence2']}"
            return _Layout(text, [], add_special_tokens=True)
        if "completion" not in row and "chosen" not in row:
            return _Layout(self._prompt_text(row["prompt"]), [], add_special_tokens=False)
        prompt, completion = row["prompt"], row["chosen"] if "chosen" in row else row["completion"]
        if self.tokenizer.chat_template is None and isinstance(prompt, str) and isinstance(completion, str):
            text = self._with_eos(prompt + completion)
            return _Layout(text, [(len(prompt) if method.completion_only_loss else 0, len(text))], True)
        question = self.with_system_prompt(_as_messages(prompt, "user"))
        chat = question + _as_messages(completion, "assistant")
        return self._lay_out_chat(chat, row.get("tools"), len(question), method.completion_only_loss)

    def _prompt_text(self, prompt: str | Messages) -> str:
        """A prompt by itself, as the model meets it before it answers."""
        if self.tokenizer.chat_template is None and isinstance(prompt, str):
            return prompt
        return self.chat_text(self.with_system_prompt(_as_messages(prompt, "user")), None, True)

    def _lay_out_chat(self, messages: Messages, tools: list | None, first: int, answers_only: bool) -> _Layout:
        """Lay out a chat; with `answers_only` the assistant turns from index `first` on are learned."""
        text = self.chat_text(messages, tools, False)
        whole = self._with_turn_end(text)
        if not answers_only:
            return _Layout(whole, [(0, len(whole))], add_special_tokens=False)
        turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        trained = [i for i in turns if i >= first and messages[i].get("weight") != 0]
        spans = self._tagged_spans(messages, tools) if trained == turns else []
        spans = spans or [self._turn_span(messages, tools, text, i) for i in trained]
        spans = [self._to_turn_end(text, span) for span in spans]
        if trained and trained[-1] == len(messages) - 1 and whole != text:
            spans[-1] = (spans[-1][0], len(whole))
        return _Layout(whole, spans, add_special_tokens=False)

    def _tagged_spans(self, messages: Messages, tools: list | None) -> list[Span]:
        """The spans a template marks itself with {% generation %}; [] where it does not."""
        template = self.tokenizer.get_chat_template(tools=tools)
        if not GENERATION_TAG.search(template):
            return []
        _, spans = render_jinja_template(
            [messages], tools=tools, chat_template=template, return_assistant_tokens_mask=True,
            **self.tokenizer.special_tokens_map)
        return spans[0]

    def _turn_span(self, messages: Messages, tools: list | None, text: str, turn: int) -> Span:
        """Where assistant turn `turn` stands in `text`: what follows the prompt a model would be given for it.

        Templates that rewrite earlier turns (drop their reasoning, move the system prompt) break that comparison;
        there a marker in place of the content shows where it stands.
        """
        prompt = self.part_text(messages[:turn], tools, True) if turn else None
        last = turn == len(messages) - 1
        through = text if last else self.part_text(messages[:turn + 1], tools, False)
        has_prompt = prompt is not None and text.startswith(prompt)
        if has_prompt and through is not None and text.startswith(through) and len(through) > len(prompt):
            return len(prompt), len(through)
        marked = [*messages[:turn], messages[turn] | {"content": MARKER}, *messages[turn + 1:]]
        marked_text = self.part_text(marked, tools, False)
        if marked_text is not None and marked_text.count(MARKER) == 1:
            head, tail = marked_text.split(MARKER)
            if text.startswith(head) and text.endswith(tail) and len(head) + len(tail) <= len(text):
                return len(prompt) if has_prompt else len(head), len(text) - len(tail)
        raise DataError(
            f"the chat template rewrites turn {turn + 1}, so its answer cannot be told from the question.",
            "Set method.assistant_only_loss to false, or end the chat at that turn.",
            field="method.assistant_only_loss")

    def _to_turn_end(self, text: str, span: Span) -> Span:
        """End the span behind the token that ends the turn, so that the model learns to stop, and no later."""
        start, end = span
        trimmed = start + len(text[start:end].rstrip())
        if self.ends_with_special.search(text, start, trimmed):
            return start, trimmed
        following = self.starts_with_special.match(text, end)
        return (start, following.end()) if following else (start, end)

    def _with_turn_end(self, text: str) -> str:
        """Add the end-of-text token where a template ends a chat without any."""
        if self.tokenizer.eos_token is None or self.ends_with_special.search(text):
            return text
        return text + self.tokenizer.eos_token

    def chat_text(self, messages: Messages, tools: list | None, add_generation_prompt: bool) -> str:
        """The chat in the model's template. Raises `ModelError` without one, `DataError` where it refuses the chat."""
        if self.tokenizer.chat_template is None:
            raise ModelError(
                "The model has no chat template, and the rows are chats.",
                "Choose an instruct model, or set model.chat_template to chatml.", field="model.chat_template")
        try:
            return self.tokenizer.apply_chat_template(
                messages, tools=tools, tokenize=False, add_generation_prompt=add_generation_prompt)
        except TEMPLATE_ERRORS as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise DataError(
                f"the model's chat template refuses the chat: {reason}.",
                "Change the roles or their order, or choose another model.", field="model.model_name_or_path") from None

    def part_text(self, messages: Messages, tools: list | None, add_generation_prompt: bool) -> str | None:
        """The first turns of a chat, which a template may rightly refuse by themselves: None then."""
        try:
            return self.chat_text(messages, tools, add_generation_prompt)
        except DataError:
            return None

    def with_system_prompt(self, messages: Messages) -> Messages:
        """Put the preset's system prompt before a chat that has none of its own."""
        prompt = self.preset.data.system_prompt
        if not prompt or any(message["role"] in ("system", "developer") for message in messages):
            return messages
        return [{"role": "system", "content": prompt}, *messages]

    def _with_eos(self, text: str) -> str:
        """End a plain text with the end-of-text token, unless the tokenizer adds that by itself."""
        if self.tokenizer.eos_token is None:
            raise ModelError(
                "The model's tokenizer names no end-of-text token, so the model cannot learn to stop.",
                "Choose another base model.", field="model.model_name_or_path")
        if self.adds_eos or text.endswith(self.tokenizer.eos_token):
            return text
        return text + self.tokenizer.eos_token

    def tokenise(self, layouts: list[_Layout]) -> list[Rendered]:
        """Tokenise many rows in one call and label them; same order."""
        rendered: dict[int, Rendered] = {}
        for add_special_tokens in (False, True):
            chosen = [i for i, layout in enumerate(layouts) if layout.add_special_tokens is add_special_tokens]
            if not chosen:
                continue
            batch = self.tokenizer(
                [layouts[i].text for i in chosen], add_special_tokens=add_special_tokens,
                return_attention_mask=False, verbose=False)
            for i, encoding in zip(chosen, batch.encodings, strict=True):
                rendered[i] = _label(layouts[i], encoding, self.preset.training.max_length)
        return [rendered[i] for i in range(len(layouts))]


def _as_messages(value: str | Messages, role: str) -> Messages:
    return [{"role": role, "content": value}] if isinstance(value, str) else value


def _label(layout: _Layout, encoding: Any, max_length: int) -> Rendered:
    """Give every token that overlaps a trained span its own id as label, and cut the row."""
    ids = encoding.ids
    labels = [IGNORED] * len(ids)
    for start, end in layout.spans:
        first, behind = (_token_at(encoding, position, len(layout.text)) for position in (start, end))
        if behind < len(ids) and _characters(encoding, behind)[0] < end:
            behind += 1
        labels[first:behind] = ids[first:behind]
    kept = min(len(ids), max_length)
    cut_at = _characters(encoding, kept - 1)[1] if kept < len(ids) else len(layout.text)
    return Rendered(layout.text, layout.spans, ids[:kept], labels[:kept], len(ids), cut_at)


def _characters(encoding: Any, token: int) -> Span:
    """Where a token stands in the text; asked one by one, since a list of all takes longer than the tokens did."""
    return encoding.token_to_chars(token) or (0, 0)


def _token_at(encoding: Any, position: int, text_length: int) -> int:
    """The token that holds the character or, where none does (trimmed spaces), the next one.

    Special tokens that the tokenizer adds at either end of a plain row count to the text.
    """
    if position == 0:
        return 0
    for index in range(position, text_length):
        token = encoding.char_to_token(index)
        if token is not None:
            return token
    return len(encoding.ids)

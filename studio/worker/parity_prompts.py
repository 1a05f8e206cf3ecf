"""The prompts of the parity check, and how a tokenizer writes them: held-out rows, else general questions."""

import random
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from studio.data.jsonl import read_jsonl
from studio.data.render import Messages, render, render_prompt
from studio.errors import DataError, ModelError
from studio.evaluation.guard import guard_set
from studio.evaluation.ways import askable
from studio.preset import files
from studio.preset.schema import Preset
from studio.worker.phase import Phase

# a longer prompt tells no more of an export and takes a CPU minutes
MAX_PROMPT_TOKENS = 1024
TEXT_CHARACTERS = 400
# a talk of several turns: some templates are right for the first question only
DIALOGUE: Messages = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"},
                      {"role": "user", "content": "Three"}]


@dataclass(frozen=True)
class Prompt:
    """A question or chat, or the beginning of a text to go on with (`is_text`)."""

    content: str | Messages
    tools: list[dict[str, Any]] | None = None
    is_text: bool = False


@dataclass(frozen=True)
class Prompts:
    """What is asked, of whom it is taken, and the preset whose system prompt goes with it."""

    prompts: list[Prompt]
    source: Literal["heldout", "text", "guard"]
    preset: Preset

    def written(self, tokenizer: Any) -> tuple[list[str], list[list[int]]]:
        """Text and tokens of every prompt by a tokenizer with its own template. Raises `DataError`, `ModelError`."""
        pairs = [_written(tokenizer, prompt, self.preset) for prompt in self.prompts]
        return [text for text, _ in pairs], [ids for _, ids in pairs]


def choose_prompts(phase: Phase, tokenizer: Any, context: int) -> Prompts:
    """`export.parity_prompts` of the run's held-out rows, drawn by the seed; general questions where it has none.

    A prompt has at most MAX_PROMPT_TOKENS and leaves room for an answer in `context`. Raises `DataError` where the
    template takes no question at all.
    """
    room, preset = min(MAX_PROMPT_TOKENS, context // 2), phase.preset
    rows = read_jsonl(phase.run_dir / "data" / "heldout.jsonl")
    if rows and "text" in rows[0]:
        texts = [Prompt(row["text"][:min(TEXT_CHARACTERS, len(row["text"]) // 2)], is_text=True) for row in rows]
        chosen, source = [text for text in texts if text.content.strip()], "text"
    else:
        chosen, source = [Prompt(row.question, row.tools) for row in askable(rows)], "heldout"
    drawn = random.Random(preset.training.seed).sample(chosen, len(chosen))
    fitting = _fitting(tokenizer, drawn, preset, room)
    if not fitting:
        preset, source = files.override(preset, {"data.system_prompt": ""}), "guard"
        asked = [question.ask for question in guard_set().questions]
        if tokenizer.chat_template is None:
            asked = [f"Question: {question}\nAnswer:" for question in asked]
        fitting = _fitting(tokenizer, [Prompt(question) for question in asked], preset, room)
    if not fitting:
        raise DataError("No prompt can be asked: the model's chat template refuses each.",
                        "Choose another chat template in model.chat_template.", "model.chat_template")
    return Prompts(fitting, source, preset)


def with_dialogue(prompts: Prompts, tokenizer: Any) -> Prompts:
    """The prompts, and a talk of several turns where the training's template writes one: to be compared, not asked."""
    dialogue = Prompt(DIALOGUE)
    if tokenizer.chat_template is None or not _fits(tokenizer, dialogue, prompts.preset, MAX_PROMPT_TOKENS):
        return prompts
    return Prompts([*prompts.prompts, dialogue], prompts.source, prompts.preset)


def taught_end(phase: Phase, tokenizer: Any) -> int | None:
    """The token that the trained rows end their answers with, None where that is no special one."""
    for name in ("heldout", "train"):
        for row in read_jsonl(phase.run_dir / "data" / f"{name}.jsonl")[:20]:
            try:
                rendered = render(tokenizer, row, phase.preset)
            except DataError:
                continue
            learned = [label for label in rendered.labels if label >= 0]
            if learned and not rendered.truncated:
                return learned[-1] if learned[-1] in special_ids(tokenizer) else None
    return None


def special_ids(tokenizer: Any) -> frozenset[int]:
    """The tokens that are written as one, whatever stands around them."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))


def _written(tokenizer: Any, prompt: Prompt, preset: Preset) -> tuple[str, list[int]]:
    if not prompt.is_text:
        return render_prompt(tokenizer, prompt.content, preset, prompt.tools)
    ids = tokenizer(prompt.content)["input_ids"]
    return prompt.content, ids[:-1] if ids[-1] == tokenizer.eos_token_id else ids


def _fitting(tokenizer: Any, prompts: list[Prompt], preset: Preset, room: int) -> list[Prompt]:
    """The first of the prompts that can be asked, as many as the check takes."""
    fitting = (prompt for prompt in prompts if _fits(tokenizer, prompt, preset, room))
    return list(islice(fitting, preset.export.parity_prompts))


def _fits(tokenizer: Any, prompt: Prompt, preset: Preset, room: int) -> bool:
    try:
        return 0 < len(_written(tokenizer, prompt, preset)[1]) <= room
    except (DataError, ModelError):
        return False

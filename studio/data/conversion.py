"""One row from the shape its data set has into the form that TRL's trainers take; what cannot be used is refused."""

from dataclasses import replace
from typing import Any

from studio.data import templates
from studio.data.chats import is_chat, is_plain_chat, messages_of, parsed
from studio.data.columns import verdict_of
from studio.data.shapes import Refused, Shape
from studio.data.templates import cell_text

# where answers begin in chats that are written out
ANSWER_MARK = "Assistant:"


def convert_row(row: Any, shape: Shape) -> dict[str, Any]:
    """Bring one row into the form of its shape. Raises `Refused`.

    messages: {"messages", "tools"?} · prompt_completion, text_label: {"prompt", "completion"} · text: {"text"} ·
    text_pair: {"sentence1", "sentence2", "negative"?, "score"?} · preference: {"prompt", "chosen", "rejected"} ·
    unpaired_preference: {"prompt", "completion", "label"} · prompt_only: {"prompt", "answer"?}. Prompts and answers are
    texts, or all of them lists of messages.
    """
    if not isinstance(row, dict):
        raise Refused("data_type")
    if shape.late and not shape.late.keys().isdisjoint(row):
        shape = _with_late(shape, row)
    return READERS[shape.format](row, shape)


def _with_late(shape: Shape, row: dict[str, Any]) -> Shape:
    """The shape with the columns of this row that the first rows of the data set lack."""
    columns = dict(shape.columns)
    for name, part in shape.late.items():
        if name in row:
            columns.setdefault(part, name)
    return replace(shape, columns=columns)


def _chat_row(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    columns = shape.columns
    if len(columns) == 1 and is_plain_chat(messages := row.get(columns["messages"])):
        return {"messages": messages}
    messages = messages_of(row.get(columns["messages"]))
    if not any(message["role"] == "assistant" for message in messages):
        raise Refused("example_missing_assistant_message")
    system = row.get(columns["system"]) if "system" in columns else None
    if system and messages[0]["role"] not in ("system", "developer"):
        messages.insert(0, {"role": "system", "content": cell_text(system)})
    return {"messages": messages} | _tools(row, columns)


def _pair_row(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    prompt = _prompt(row, shape)
    if "completion" in shape.templates:
        completion = _filled(row, shape, "completion", "missing_completion")
    else:
        completion = _side(row.get(shape.columns["completion"]), "missing_completion")
    prompt, completion = _alike(prompt, completion)
    if not isinstance(completion, str):
        _need_assistant(completion)
        return {"prompt": prompt, "completion": completion} | _tools(row, shape.columns)
    return {"prompt": prompt, "completion": completion}


def _text_row(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    if "text" in shape.templates:
        return {"text": _filled(row, shape, "text", "missing_text")}
    column = shape.columns["text"]
    if column not in row:
        raise Refused("missing_text")
    # data sets of text use empty ones as separators
    return {"text": _text(row[column], "empty_text")}


def _label_row(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """A label is learned as the answer to its text, by the models that the studio trains."""
    if "text" in shape.templates:
        text = _filled(row, shape, "text", "missing_prompt")
    else:
        text = _text(row.get(shape.columns["text"]), "missing_prompt")
    return {"prompt": text, "completion": _text(row.get(shape.columns["label"]), "missing_label")}


def _two_texts_row(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    columns = shape.columns
    pair = {part: _text(row.get(columns[part]), "missing_pair") for part in ("sentence1", "sentence2")}
    if "negative" in columns:
        pair["negative"] = _text(row.get(columns["negative"]), "missing_pair")
    if "score" in columns:
        try:
            pair["score"] = float(row.get(columns["score"]))
        except (TypeError, ValueError, OverflowError):
            raise Refused("score_not_number") from None
    return pair


def _preference_row(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Both answers to one prompt; where a prompt is missing it is what both chats begin with."""
    columns = shape.columns
    chosen = _side(row.get(columns["chosen"]), "missing_completion")
    rejected = _side(row.get(columns["rejected"]), "missing_rejected")
    if chosen == rejected:
        raise Refused("chosen_equals_rejected")
    if "prompt" in columns or "prompt" in shape.templates:
        prompt = _prompt(row, shape)
    else:
        prompt = None
    if not isinstance(chosen, str) and not isinstance(rejected, str):
        shared = _shared_beginning(chosen, rejected)
        if prompt is None or (isinstance(prompt, str) and shared and prompt == shared[-1]["content"]):
            prompt = shared
        chosen, rejected = (side[len(shared):] if side[:len(shared)] == shared else side for side in (chosen, rejected))
    elif prompt is None and isinstance(chosen, str) and isinstance(rejected, str):
        prompt = _shared_text(chosen, rejected)
        chosen, rejected = (_text(side[len(prompt):], "missing_completion") for side in (chosen, rejected))
    if not prompt:
        raise Refused("missing_prompt")
    prompt, chosen, rejected = _alike(prompt, chosen, rejected)
    if not isinstance(chosen, str):
        _need_assistant(chosen)
        _need_assistant(rejected)
    if chosen == rejected:  # one was a text and the other a list of messages
        raise Refused("chosen_equals_rejected")
    return {"prompt": prompt, "chosen": chosen, "rejected": rejected} | _tools(row, columns)


def _unpaired_row(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    label = verdict_of(row.get(shape.columns["label"]))
    if label is None:
        raise Refused("label_not_boolean")
    return _pair_row(row, shape) | {"label": label}


def _prompt_row(row: dict[str, Any], shape: Shape) -> dict[str, Any]:
    found = {"prompt": _prompt(row, shape)}
    if "answer" in shape.columns:
        found["answer"] = _text(row.get(shape.columns["answer"]), "missing_completion")
    return found


def _prompt(row: dict[str, Any], shape: Shape) -> str | list[dict[str, Any]]:
    """What is asked, with the context and the system message that go with it."""
    columns = shape.columns
    if "prompt" in shape.templates:
        prompt = _filled(row, shape, "prompt", "missing_prompt")
    else:
        prompt = _side(row.get(columns["prompt"]), "missing_prompt")
    context = row.get(columns["context"]) if "context" in columns else None
    if context and isinstance(prompt, str):
        prompt = f"{prompt}\n\n{_text(context, 'missing_prompt')}"
    system = row.get(columns["system"]) if "system" in columns else None
    if system and (isinstance(prompt, str) or prompt[0]["role"] not in ("system", "developer")):
        prompt = [{"role": "system", "content": cell_text(system)}, *_as_messages(prompt, "user")]
    return prompt


def _side(value: Any, problem: str) -> str | list[dict[str, Any]]:
    """A prompt or an answer: a text, or messages, also as OpenAI's {"messages": [...]}."""
    if type(value) is str and value[:1] != "[" and value[:1] != "{":
        return _text(value, problem)
    inner = parsed(value)
    if isinstance(inner, dict) and is_chat(inner.get("messages")):
        inner = inner["messages"]
    return messages_of(inner) if is_chat(inner) else _text(value, problem)


def _alike(prompt: Any, *answers: Any) -> list[Any]:
    """All as they are where all are texts, else all as messages."""
    sides = [prompt, *answers]
    if all(isinstance(side, str) for side in sides):
        return sides
    return [_as_messages(prompt, "user"), *(_as_messages(answer, "assistant") for answer in answers)]


def _as_messages(side: str | list[dict[str, Any]], role: str) -> list[dict[str, Any]]:
    return [{"role": role, "content": side}] if isinstance(side, str) else side


def _shared_beginning(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> list[dict[str, Any]]:
    n = 0
    while n < min(len(first), len(second)) and first[n] == second[n]:
        n += 1
    # the answers begin with what the assistant says
    while n and first[n - 1]["role"] == "assistant":
        n -= 1
    return first[:n]


def _shared_text(first: str, second: str) -> str:
    """What two transcripts begin with, up to where the assistant answers or, without such a mark, a word ends."""
    n = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second)))
    shared = first[:n]
    mark = shared.rfind(ANSWER_MARK)
    return shared[:mark + len(ANSWER_MARK)] if mark >= 0 else shared[:max(shared.rfind(" "), shared.rfind("\n")) + 1]


def _need_assistant(messages: list[dict[str, Any]]) -> None:
    if not any(message["role"] == "assistant" for message in messages):
        raise Refused("example_missing_assistant_message")


def _tools(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The tools a chat may call, a list of objects. Raises `Refused` for anything else."""
    if "tools" not in columns:
        return {}
    tools = parsed(row.get(columns["tools"]))
    if columns["tools"] == columns.get("prompt"):  # OpenAI's preferences keep them in the column of the prompt
        tools = tools.get("tools") if isinstance(tools, dict) else None
    elif isinstance(tools, dict) and "tools" in tools:
        tools = tools["tools"]
    if tools in (None, "", [], {}) or (isinstance(tools, str) and tools.isspace()):
        return {}
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise Refused("unreadable_tools")
    return {"tools": tools}


def _filled(row: dict[str, Any], shape: Shape, part: str, problem: str) -> str:
    text = templates.parse(shape.templates[part]).fill(row)
    if text is None:
        raise Refused("template_empty_column")
    return _text(text, problem)


def _text(value: Any, problem: str) -> str:
    """A cell as text. Raises `Refused` where it is empty."""
    text = value if type(value) is str else cell_text(value)
    if not text or text.isspace():
        raise Refused(problem)
    return text


READERS = {
    "messages": _chat_row, "prompt_completion": _pair_row, "text": _text_row, "text_label": _label_row,
    "text_pair": _two_texts_row, "preference": _preference_row, "unpaired_preference": _unpaired_row,
    "prompt_only": _prompt_row,
}

"""Which shape a data set has, and its rows in the three shapes that the studio trains on.

Reads what people have: OpenAI messages, ShareGPT conversations, Alpaca instructions, prompt and completion or
question and answer under their common names, and plain text.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from studio import words
from studio.data.json_rows import DEEPEST, depth, has_half_characters
from studio.errors import DataError
from studio.preset.schema import DataSection

MESSAGES_COLUMNS = ("messages", "conversations", "conversation", "chat", "dialog", "dialogue")
PROMPT_COLUMNS = ("prompt", "instruction", "question", "query", "input", "source", "user", "human", "problem")
COMPLETION_COLUMNS = (
    "completion", "output", "response", "answer", "target", "assistant", "gpt", "solution", "generated_solution",
    "chosen")
CONTEXT_COLUMNS = ("input", "context")
SYSTEM_COLUMNS = ("system", "system_prompt")
TEXT_COLUMNS = ("text", "content", "document", "body")
LABEL_COLUMNS = ("label", "category", "class", "intent", "sentiment")

ROLES = {
    "system": "system", "developer": "developer", "user": "user", "assistant": "assistant", "tool": "tool",
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "function": "tool", "function_call": "assistant", "observation": "tool",
}
OWN_ROLES = frozenset(ROLES.values())
KEPT_KEYS = ("name", "weight", "tool_call_id", "reasoning_content")

# OpenAI's names for what can be wrong with a row, and what to say of it: {n} rows of {total}, the first is {row}.
PROBLEMS = {
    "data_type": "{n} of {total} rows are not objects with named columns (first: row {row}).",
    "missing_messages_list": "{n} of {total} rows have no list of messages (first: row {row}).",
    "message_missing_key": "{n} of {total} rows have a message without role or content (first: row {row}).",
    "message_unrecognized_key": "{n} of {total} rows have pictures, sound or files in a message (first: row {row}).",
    "unrecognized_role": "{n} of {total} rows have a role beside system, user, assistant or tool (first: row {row}).",
    "missing_content": "{n} of {total} rows have an empty message (first: row {row}).",
    "example_missing_assistant_message": "{n} of {total} rows have no assistant answer (first: row {row}).",
    "missing_prompt": "{n} of {total} rows have no prompt (first: row {row}).",
    "missing_completion": "{n} of {total} rows have no answer (first: row {row}).",
    "missing_text": "{n} of {total} rows have no text (first: row {row}).",
}
HINTS = {
    "message_unrecognized_key": "The studio trains on text; leave those rows out.",
    "example_missing_assistant_message": "Drop those rows or give them an answer, then check again.",
}
ANY = DataSection()
FIX_ROWS = "Fix those rows or drop them, then check again."


@dataclass(frozen=True)
class Shape:
    """What the columns hold: `format` as in `data.format`, and which column plays which part.

    `columns` maps the parts messages, prompt, context, completion, system, text to column names. `confidence` is 1
    where a person or a standard named the columns, lower where they were guessed; `reason` says why in a sentence.
    """

    format: str
    columns: dict[str, str]
    confidence: float
    reason: str


@dataclass(frozen=True)
class Problem:
    """Something wrong with some rows: its name, how many rows, the first one (from 1), and what to say and do."""

    name: str
    count: int
    first_row: int
    message: str
    hint: str


@dataclass(frozen=True)
class Converted:
    """Rows in the studio's shapes; `numbers` are the data set's row numbers (from 1) they came from.

    `refused` are the numbers of the other rows, each with the name of its problem.
    """

    shape: Shape
    rows: list[dict[str, Any]]
    numbers: list[int]
    problems: list[Problem]
    refused: list[tuple[int, str]]


class Refused(Exception):
    """A row cannot be used; the only argument is the name of the problem, one of PROBLEMS."""


def detect(columns: Sequence[str], first_rows: Sequence[Any], section: DataSection = ANY) -> Shape:
    """Find the shape from column names and values; what the preset names goes first.

    Raises `DataError` where a named column is missing or no shape can be told.
    """
    _check_named_columns(columns, section)
    if section.messages_column or section.prompt_column or section.completion_column or section.text_column:
        return _named_shape(columns, section)
    known = {name.strip().lower(): name for name in reversed(columns)}
    finders = {"messages": _find_messages, "prompt_completion": _find_pair, "text": _find_text}
    chosen = finders.values() if section.format == "auto" else [finders[section.format]]
    for find in chosen:
        if shape := find(known, first_rows):
            return shape
    found = named(columns) or "none"
    wanted = "chats, prompts and answers, or text" if section.format == "auto" else section.format
    raise DataError(
        f"No columns were found that hold {wanted}; the columns are {found}.",
        "Name the columns in data.prompt_column and data.completion_column, or data.text_column.",
        field="data.format")


def normalise(rows: Sequence[Any], section: DataSection) -> list[dict[str, Any]]:
    """Bring all rows into the studio's shapes. Raises `DataError` naming count and first row of what is wrong."""
    return converted_or_error(convert(rows, section))


def converted_or_error(converted: Converted) -> list[dict[str, Any]]:
    """The rows of a conversion without problems. Raises `DataError` for the worst problem."""
    if converted.problems:
        worst = converted.problems[0]
        others = len(converted.problems) - 1
        more = {0: "", 1: " There is 1 more problem."}.get(others, f" There are {others} more problems.")
        raise DataError(f"{worst.message}{more}", worst.hint, field="data.dataset_name")
    return converted.rows


def convert(rows: Sequence[Any], section: DataSection, numbers: Sequence[int] = ()) -> Converted:
    """Bring rows into the studio's shapes and list what is wrong with the others, most frequent problem first.

    `numbers` of the rows are 1, 2, 3, ... unless given. Rows of empty text beside others are no problem, since text
    data sets use them as separators: they are refused as empty_text. Raises `DataError` as `detect`.
    """
    if not rows:
        raise DataError("The data set has no rows.", "Add rows to it.", field="data.dataset_name")
    columns = list(dict.fromkeys(name for row in rows[:100] if isinstance(row, dict) for name in row))
    if not columns:
        raise DataError("The rows are not objects with named columns.", 'Each row must look like {"messages": [...]}.',
                        field="data.dataset_name")
    shape = detect(columns, rows[:100], section)
    good, kept, refused = [], [], []
    for number, row in zip(numbers or range(1, len(rows) + 1), rows, strict=True):
        try:
            good.append(convert_row(row, shape))
            kept.append(number)
        except Refused as reason:
            refused.append((number, reason.args[0]))
    if good:
        refused = [(number, "empty_text" if name == "missing_text" else name) for number, name in refused]
    return Converted(shape, good, kept, _problems(refused, len(rows)), refused)


def _problems(refused: list[tuple[int, str]], total: int) -> list[Problem]:
    counts = Counter(name for _, name in refused if name != "empty_text")
    first = {name: number for number, name in reversed(refused)}
    return [
        Problem(name, n, first[name], PROBLEMS[name].format(n=f"{n:,}", total=f"{total:,}", row=f"{first[name]:,}"),
                HINTS.get(name, FIX_ROWS))
        for name, n in counts.most_common()]


def convert_row(row: Any, shape: Shape) -> dict[str, Any]:
    """Bring one row into the studio's shapes. Raises `Refused`."""
    if not isinstance(row, dict):
        raise Refused("data_type")
    return READERS[shape.format](row, shape.columns)


def split_answer(row: dict[str, Any]) -> tuple[str | list[dict[str, Any]], str]:
    """Part a normalised row into what is asked and the answer wanted, for judging a model.

    Chats are asked up to their last assistant turn. Raises `DataError` for plain text, which asks nothing.
    """
    if "text" in row:
        raise DataError("Plain text has no question to ask a model.", "Judge it by its held-out loss.")
    if "messages" in row:
        turn = max(i for i, message in enumerate(row["messages"]) if message["role"] == "assistant")
        return row["messages"][:turn], row["messages"][turn]["content"]
    completion = row["completion"]
    if isinstance(completion, str):
        return row["prompt"], completion
    answers = [message["content"] for message in completion if message["role"] == "assistant"]
    return row["prompt"], answers[-1]


def question(row: dict[str, Any]) -> str:
    """What a normalised row asks, without regard to case and spaces; "" for plain text."""
    if "text" in row:
        return ""
    asked = row["messages"] if "messages" in row else row["prompt"]
    if not isinstance(asked, str):
        asked = next((turn["content"] for turn in asked if turn["role"] == "user"), "")
    return " ".join(asked.lower().split())


def label_of(row: dict[str, Any]) -> str:
    """What a normalised row is labelled with: its answer, "" for plain text."""
    return split_answer(row)[1] if "text" not in row else ""


def _check_named_columns(columns: Sequence[str], section: DataSection) -> None:
    for field in ("messages_column", "prompt_column", "completion_column", "text_column"):
        name = getattr(section, field)
        if name and name not in columns:
            raise DataError(no_column(name, columns), "Choose one of them, or leave the field empty.",
                            field=f"data.{field}")


def no_column(name: str, columns: Sequence[str]) -> str:
    """That there is no such column, with the nearest known one and all others."""
    near = get_close_matches(name, columns, n=1)
    meant = f' Did you mean "{words.plain(near[0], 40)}"?' if near else ""
    return f'There is no column "{words.plain(name, 40)}"; the columns are {named(columns)}.{meant}'


def named(columns: Sequence[str]) -> str:
    """The first columns' names, for a sentence."""
    return ", ".join(words.plain(name, 40) for name in columns[:12])


def _named_shape(columns: Sequence[str], section: DataSection) -> Shape:
    reason = "The preset names the columns."
    if section.messages_column:
        return Shape("messages", {"messages": section.messages_column}, 1.0, reason)
    if section.text_column and not section.prompt_column and not section.completion_column:
        return Shape("text", {"text": section.text_column}, 1.0, reason)
    if not (section.prompt_column and section.completion_column):
        missing = "completion_column" if section.prompt_column else "prompt_column"
        raise DataError("Prompt and answer column go together, and only one is named.",
                        f"Set data.{missing} too.", field=f"data.{missing}")
    columns = {"prompt": section.prompt_column, "completion": section.completion_column}
    return Shape("prompt_completion", columns, 1.0, reason)


def _find_messages(known: dict[str, str], first_rows: Sequence[Any]) -> Shape | None:
    for name in (*MESSAGES_COLUMNS, *(name for name in known if name not in PROMPT_COLUMNS)):
        accepts = _is_chat if name in MESSAGES_COLUMNS else _is_whole_chat
        if name in known and any(accepts(value) for value in _values(first_rows, known[name])):
            columns = {"messages": known[name]} | _part(known, "system", SYSTEM_COLUMNS)
            columns |= _part(known, "tools", ("tools",))
            sure = name in MESSAGES_COLUMNS
            return Shape("messages", columns, 1.0 if sure else 0.8, f'Column "{known[name]}" holds lists of messages.')
    if "messages" in known:
        return Shape("messages", {"messages": known["messages"]}, 0.8, 'There is a column "messages".')
    return None


def _find_pair(known: dict[str, str], first_rows: Sequence[Any]) -> Shape | None:
    completion = next((known[name] for name in COMPLETION_COLUMNS if name in known), None)
    prompt = next((known[name] for name in PROMPT_COLUMNS if name in known), None)
    if prompt and completion:
        columns = {"prompt": prompt, "completion": completion} | _part(known, "system", SYSTEM_COLUMNS)
        others = {name: column for name, column in known.items() if column != prompt}
        columns |= _part(others, "context", CONTEXT_COLUMNS)
        parts = " and ".join(f'"{columns[part]}"' for part in ("prompt", "context") if part in columns)
        sure = (prompt.lower(), completion.lower()) in (("prompt", "completion"), ("instruction", "output"))
        return Shape("prompt_completion", columns, 1.0 if sure else 0.9, f'{parts} asks, "{completion}" answers.')
    text = next((known[name] for name in TEXT_COLUMNS if name in known), None)
    label = next((known[name] for name in LABEL_COLUMNS if name in known), None)
    if text and label and all(isinstance(value, str) for value in _values(first_rows, label)):
        return Shape("prompt_completion", {"prompt": text, "completion": label}, 0.6,
                     f'"{text}" is taken as the question and "{label}" as the answer.')
    return None


def _find_text(known: dict[str, str], first_rows: Sequence[Any]) -> Shape | None:
    name = next((known[name] for name in TEXT_COLUMNS if name in known), None)
    if name:
        return Shape("text", {"text": name}, 0.9, f'Column "{name}" holds plain text.')
    if len(known) == 1:
        only = next(iter(known.values()))
        if all(isinstance(value, str) for value in _values(first_rows, only)):
            return Shape("text", {"text": only}, 0.5, f'The only column, "{only}", is taken as plain text.')
    return None


def _part(known: dict[str, str], part: str, names: Sequence[str]) -> dict[str, str]:
    return next(({part: known[name]} for name in names if name in known), {})


def _values(rows: Sequence[Any], column: str) -> list[Any]:
    values = (row.get(column) for row in rows if isinstance(row, dict))
    return [value for value in values if value is not None]


def _is_chat(value: Any) -> bool:
    value = _parsed(value)
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and (
        "role" in value[0] or "from" in value[0])


def _is_whole_chat(value: Any) -> bool:
    """A chat that asks and answers; a prompt's or a completion's messages do only one of them."""
    if not _is_chat(value):
        return False
    roles = [ROLES.get(str(turn.get("role", turn.get("from")))) for turn in _parsed(value) if isinstance(turn, dict)]
    return "user" in roles and roles[-1] == "assistant"


def _parsed(value: Any) -> Any:
    """CSV cells hold lists as JSON text."""
    if isinstance(value, str) and value[:1] in "[{" and value[:1]:
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):  # not JSON, or nested too deeply to be a chat
            return value
        # half a character would break the tokenizer; as the text it stands in it does not
        broken = "\\ud" in value.lower() and has_half_characters(parsed)
        return value if broken or depth(parsed) > DEEPEST else parsed
    return value


def _is_plain_chat(value: Any) -> bool:
    """Whether a list of messages is in the studio's shape already, with an answer: most rows are, and it is quick."""
    if type(value) is not list:
        return False
    answered = False
    try:
        for message in value:
            role, content = message["role"], message["content"]
            if len(message) != 2 or type(content) is not str or role not in OWN_ROLES:
                return False
            if role == "assistant":
                if not content or content.isspace():
                    return False
                answered = True
    except (KeyError, TypeError):  # a key is missing, or what stands there is no message
        return False
    return answered


def _chat_row(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    if len(columns) == 1 and _is_plain_chat(messages := row.get(columns["messages"])):
        return {"messages": messages}
    messages = _messages(row.get(columns["messages"]))
    if not any(message["role"] == "assistant" for message in messages):
        raise Refused("example_missing_assistant_message")
    system = row.get(columns["system"]) if "system" in columns else None
    if system and messages[0]["role"] not in ("system", "developer"):
        messages.insert(0, {"role": "system", "content": str(system)})
    tools = _parsed(row.get(columns["tools"])) if "tools" in columns else None
    return {"messages": messages, "tools": tools} if tools else {"messages": messages}


def _pair_row(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    prompt, completion = row.get(columns["prompt"]), row.get(columns["completion"])
    if _is_chat(prompt) or _is_chat(completion):
        asked = None if _is_chat(prompt) else [{"role": "user", "content": _text(prompt, "missing_prompt")}]
        prompt = asked or _messages(prompt)
        completion = _messages(completion) if _is_chat(completion) else _answer(completion)
        if not any(message["role"] == "assistant" for message in completion):
            raise Refused("example_missing_assistant_message")
        return {"prompt": prompt, "completion": completion}
    prompt = _text(prompt, "missing_prompt")
    context = row.get(columns["context"]) if "context" in columns else None
    if context:
        prompt = f"{prompt}\n\n{_text(context, 'missing_prompt')}"
    system = row.get(columns["system"]) if "system" in columns else None
    if system:
        asked = [{"role": "system", "content": str(system)}, {"role": "user", "content": prompt}]
        return {"prompt": asked, "completion": _answer(completion)}
    return {"prompt": prompt, "completion": _text(completion, "missing_completion")}


def _text_row(row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    return {"text": _text(row.get(columns["text"]), "missing_text")}


def _answer(value: Any) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": _text(value, "missing_completion")}]


def _text(value: Any, problem: str) -> str:
    """A cell as text; numbers are written out and objects become JSON, as an answer to learn."""
    if value is None:
        raise Refused(problem)
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str)
    if not value.strip():
        raise Refused(problem)
    return value


def _messages(value: Any) -> list[dict[str, Any]]:
    value = _parsed(value)
    if not isinstance(value, list) or not value:
        raise Refused("missing_messages_list")
    return [_message(message) for message in value]


def _message(message: Any) -> dict[str, Any]:
    """One turn from OpenAI's keys (role, content) or ShareGPT's (from, value)."""
    if not isinstance(message, dict):
        raise Refused("message_missing_key")
    source = message.get("role", message.get("from"))
    content = message.get("content", message.get("value"))
    tool_calls = _tool_calls(message)
    if source is None or ("content" not in message and "value" not in message and not tool_calls):
        raise Refused("message_missing_key")
    role = ROLES.get(str(source).strip().lower())
    if role is None:
        raise Refused("unrecognized_role")
    if isinstance(content, list):
        content = _joined_parts(content)
    if content is None and tool_calls:
        content = ""
    if not isinstance(content, str) or (not content.strip() and not tool_calls and role == "assistant"):
        raise Refused("missing_content")
    turn = {"role": role, "content": content}
    if tool_calls:
        turn["tool_calls"] = tool_calls
    for key in KEPT_KEYS:
        if message.get(key) is not None:
            turn[key] = message[key]
    return turn


def _joined_parts(parts: list[Any]) -> str:
    """The text of a message given in parts."""
    texts = [part if isinstance(part, str) else part.get("text") for part in parts if isinstance(part, str | dict)]
    if len(texts) < len(parts) or any(not isinstance(text, str) for text in texts):
        raise Refused("message_unrecognized_key")
    return "".join(texts)


def _tool_calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Calls of tools with their arguments as objects, as chat templates want them; OpenAI's files hold JSON text."""
    calls = message.get("tool_calls") or []
    if message.get("function_call"):
        calls = [{"type": "function", "function": message["function_call"]}]
    if not isinstance(calls, list) or any(not isinstance(call, dict) for call in calls):
        raise Refused("message_missing_key")
    return [
        call | {"function": call["function"] | {"arguments": _parsed(call["function"].get("arguments"))}}
        if isinstance(call.get("function"), dict) else call for call in calls]


READERS = {"messages": _chat_row, "prompt_completion": _pair_row, "text": _text_row}

"""Safe mends of rows: what each does has a name, and a row that still cannot be used is refused as before.

A mend never invents content. Chats: role names in use elsewhere become the known ones, empty turns go, neighbouring
turns of one role become one, turns after the last answer go. Chats, prompts and answers: a template's special tokens
and zero characters are taken out. Plain texts keep their tokens: they may be laid out on purpose.
"""

from typing import Any

from studio.data.chats import ROLES, is_chat, parsed
from studio.data.conversion import convert_row
from studio.data.row_checks import TEMPLATE_TOKENS
from studio.data.shapes import Refused, Shape

MENDS = {
    "role_mapped": "with a role by another name",
    "empty_turn_dropped": "with an empty turn, which is dropped",
    "turns_joined": "with neighbouring turns of one role, which are joined",
    "end_cut": "with turns after the last answer, which are cut off",
    "special_tokens_removed": "with special tokens in their text, which are removed",
    "zero_characters_removed": "with zero characters, which are removed",
}
MORE_ROLES = {
    "prompter": "user", "customer": "user", "client": "user", "usr": "user", "ai": "assistant", "agent": "assistant",
    "support": "assistant", "llm": "assistant", "claude": "assistant", "gemini": "assistant", "gpt-4": "assistant",
    "gpt4": "assistant", "sys": "system", "ipython": "tool", "tool_response": "tool", "function_response": "tool",
}
CHAT_PARTS = ("messages", "prompt", "completion", "chosen", "rejected")


def mend(row: Any, shape: Shape) -> tuple[dict[str, Any], list[str]]:
    """The row in the form of its shape, and the names of what was mended. Raises `Refused`."""
    done: list[str] = []
    try:
        normalised = convert_row(row, shape)
    except Refused:
        if not isinstance(row, dict):
            raise
        normalised = convert_row(_mended_source(row, shape, done), shape)
    for part in CHAT_PARTS:
        if part in normalised:
            value = normalised[part]
            mended = _mended_text(value, done) if isinstance(value, str) else _mended_chat(value, part, done)
            if mended is not value:
                normalised = normalised | {part: mended}
    return normalised, list(dict.fromkeys(done))


def _mended_source(row: dict[str, Any], shape: Shape, done: list[str]) -> dict[str, Any]:
    """The row with roles by their known names and without turns that hold nothing, in its columns of messages."""
    mended = dict(row)
    for part in CHAT_PARTS:
        column = shape.columns.get(part)
        if column is not None and is_chat(turns := parsed(row.get(column))):
            turns = [_known_role(turn, done) for turn in turns]
            mended[column] = [turn for turn in turns if not _is_empty(turn)]
            if len(mended[column]) < len(turns):
                done.append("empty_turn_dropped")
    return mended


def _known_role(turn: Any, done: list[str]) -> Any:
    if not isinstance(turn, dict):
        return turn
    key = "role" if "role" in turn else "from"
    name = str(turn.get(key)).strip().rstrip(":").lower()
    role = ROLES.get(name) or MORE_ROLES.get(name)
    if role is None or ROLES.get(str(turn[key]).strip().lower()) == role:
        return turn
    done.append("role_mapped")
    return turn | {key: role}


def _is_empty(turn: Any) -> bool:
    if not isinstance(turn, dict) or turn.get("tool_calls") or turn.get("function_call"):
        return False
    content = turn.get("content", turn.get("value"))
    return content is None or content == [] or (isinstance(content, str) and not content.strip())


def _mended_chat(turns: list[dict[str, Any]], part: str, done: list[str]) -> list[dict[str, Any]]:
    """The very list where there is nothing to mend. Raises `Refused` where nothing is left."""
    mended: list[dict[str, Any]] = []
    before = len(done)
    for turn in turns:
        content = _mended_text(turn["content"], done)
        turn = turn if content is turn["content"] else turn | {"content": content}
        if _is_empty(turn):
            done.append("empty_turn_dropped")
        elif mended and _can_join(mended[-1], turn):
            done.append("turns_joined")
            mended[-1] = mended[-1] | {"content": f"{mended[-1]['content']}\n\n{turn['content']}"}
        else:
            mended.append(turn)
    answers = [i for i, turn in enumerate(mended) if turn["role"] == "assistant"]
    if part != "prompt" and not answers:
        raise Refused("example_missing_assistant_message")
    if part != "prompt" and answers[-1] < len(mended) - 1:
        done.append("end_cut")
        del mended[answers[-1] + 1:]
    if not mended:
        raise Refused("missing_prompt")
    return mended if len(done) > before else turns


def _can_join(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Turns of one role that carry nothing but text and the same weight; results of several tools stay apart."""
    return (first["role"] == second["role"] != "tool" and first.keys() == second.keys()
            and all(first[key] == second[key] for key in first if key != "content") and "tool_calls" not in first)


def _mended_text(text: str, done: list[str]) -> str:
    """The very text where there is nothing to mend."""
    if "\0" in text:
        done.append("zero_characters_removed")
        text = text.replace("\0", "")
    if ("<" in text or "[" in text) and TEMPLATE_TOKENS.search(text):
        done.append("special_tokens_removed")
        # what is left may stand together as one again
        while TEMPLATE_TOKENS.search(text):
            text = TEMPLATE_TOKENS.sub("", text)
    return text

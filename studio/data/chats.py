"""Chats as people store them (OpenAI's messages, ShareGPT's turns) brought into one form."""

import json
import re
from typing import Any

from studio.data.json_rows import DEEPEST, depth, has_half_characters
from studio.data.shapes import Refused

ROLES = {
    "system": "system", "developer": "developer", "user": "user", "assistant": "assistant", "tool": "tool",
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "function": "tool", "function_call": "assistant", "observation": "tool",
}
OWN_ROLES = frozenset(ROLES.values())
TEXT_TYPES = ("text", "input_text", "output_text")
# how Python prints a list of dictionaries, where JSON has double quotation marks
PYTHON_LIST = re.compile(r"\s*\[\s*\{\s*'")
KEPT_KEYS = ("name", "weight", "tool_call_id", "reasoning_content")


def parsed(value: Any) -> Any:
    """What a cell holds: in CSV a list stands as JSON text."""
    if isinstance(value, str) and value[:1] in "[{" and value[:1]:
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):  # not JSON, or nested too deeply to be a chat
            return value
        # half a character would break the tokenizer; as the text it stands in it does not
        broken = "\\ud" in value.lower() and has_half_characters(found)
        return value if broken or depth(found) > DEEPEST else found
    return value


def is_chat(value: Any) -> bool:
    """Whether a cell holds a list of messages."""
    value = parsed(value)
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and (
        "role" in value[0] or "from" in value[0])


def is_whole_chat(value: Any) -> bool:
    """A chat that asks and answers; a prompt's or a completion's messages do only one of them."""
    if not is_chat(value):
        return False
    roles = [ROLES.get(str(turn.get("role", turn.get("from")))) for turn in parsed(value) if isinstance(turn, dict)]
    return "user" in roles and roles[-1] == "assistant"


def is_plain_chat(value: Any) -> bool:
    """Whether a list of messages is in the studio's form already, with an answer: most rows are, and it is quick."""
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


def messages_of(value: Any) -> list[dict[str, Any]]:
    """The turns of a chat. Raises `Refused`."""
    value = parsed(value)
    if isinstance(value, str) and PYTHON_LIST.match(value):
        raise Refused("python_not_json")
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
    texts = [part if isinstance(part, str) else part.get("text") for part in parts
             if isinstance(part, str) or (isinstance(part, dict) and part.get("type", "text") in TEXT_TYPES)]
    if len(texts) < len(parts) or any(not isinstance(text, str) for text in texts):
        raise Refused("message_unrecognized_key")
    return "".join(texts)


def _tool_calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    """Calls of tools with their arguments as objects, as chat templates want them; OpenAI's files hold JSON text."""
    calls = message.get("tool_calls") or []
    if message.get("function_call"):
        calls = [{"type": "function", "function": message["function_call"]}]
    if not isinstance(calls, list) or not all(map(_is_call, calls)):
        raise Refused("unreadable_tool_calls")
    return [_whole_call(call) for call in calls]


def _whole_call(call: dict[str, Any]) -> dict[str, Any]:
    """The call in OpenAI's form, also where name and arguments stand by themselves."""
    if "function" not in call:
        call = {key: value for key, value in call.items() if key not in ("name", "arguments")} | {
            "function": {"name": call["name"], "arguments": call.get("arguments")}}
    return call | {"function": call["function"] | {"arguments": parsed(call["function"].get("arguments"))}}


def _is_call(call: Any) -> bool:
    """Whether a call names its function, in OpenAI's form or without the wrapping."""
    function = call.get("function", call) if isinstance(call, dict) else None
    return isinstance(function, dict) and isinstance(function.get("name"), str) and bool(function["name"].strip())

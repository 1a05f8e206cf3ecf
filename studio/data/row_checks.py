"""What can be wrong with a row that has the right shape: order of turns, empty parts, template tokens, labels."""

import re
from typing import Any

from studio.data.chats import KEPT_KEYS, parsed
from studio.data.columns import verdict_of
from studio.data.formats import texts
from studio.data.shapes import Shape

# what chat templates write themselves; a model's own list is checked with its tokenizer
TEMPLATE_TOKENS = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|begin_of_text|end_of_text|start_header_id|end_header_id|eom_id|end"
    r"|assistant|user|system|return|channel|message|start)\|>|<(?:start|end)_of_turn>|\[/?INST\]|<<SYS>>"
    r"|<｜(?:User|Assistant|begin▁of▁sentence|end▁of▁sentence)｜>")
CHAT_PARTS = ("messages", "prompt", "completion", "chosen", "rejected")
READ_KEYS = frozenset({"role", "content", "from", "value", "tool_calls", "function_call", *KEPT_KEYS})
NOTHING = (None, "", [], {})
TEXT_KEYS = ("name", "tool_call_id", "reasoning_content")


def check_row(row: dict[str, Any]) -> list[str]:
    """Names of what is odd about a normalised row."""
    names = _check_chat(row["messages"]) if "messages" in row else _check_texts(texts(row))
    messages = [message for part in CHAT_PARTS if isinstance(row.get(part), list) for message in row[part]]
    if "tools" in row or any(len(message) > 2 for message in messages):
        names += _check_more(messages, row.get("tools", []))
    return names


def check_source(source: dict[str, Any], row: dict[str, Any], columns: set[str]) -> list[str]:
    """Names of what is odd about columns that go with a normalised row and are not in it: labels of answers."""
    answered = "label" in columns and "completion" in columns and "label" not in row
    return ["bad_answers"] if answered and verdict_of(source.get("label")) is False else []


def unused_keys(source: dict[str, Any], row: dict[str, Any], shape: Shape) -> list[str]:
    """The keys of a source's messages that hold something and are not in its normalised row."""
    unused: dict[str, None] = {}
    for part in CHAT_PARTS:
        turns, held = row.get(part), source.get(shape.columns.get(part))
        if type(turns) is not list or held is turns:
            continue
        held = parsed(held)
        messages = held.get("messages") if isinstance(held, dict) else held
        for message in messages if isinstance(messages, list) else []:
            if isinstance(message, dict) and len(message) > 2 and not READ_KEYS.issuperset(message):
                unused |= dict.fromkeys(key for key, value in message.items()
                                        if key not in READ_KEYS and value not in NOTHING)
    return list(unused)


def _check_chat(messages: list[dict[str, Any]]) -> list[str]:
    names = []
    roles = [message["role"] for message in messages]
    if "user" not in roles:
        names.append("missing_user_message")
    elif not _in_order(roles):
        names.append("role_order")
    if roles[-1] != "assistant":
        names.append("unlearned_end")
    if any(not message["content"].strip() and "tool_calls" not in message for message in messages):
        names.append("empty_content")
    return names + _check_texts([message["content"] for message in messages])


def _check_more(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> list[str]:
    """What is odd about that which stands beside role and content."""
    names = []
    if any(message.get("weight", 0) not in (0, 1) for message in messages):
        names.append("weight_not_zero_or_one")
    if any(not isinstance(message.get(key, ""), str) for message in messages for key in TEXT_KEYS):
        names.append("message_value_not_text")
    if any(not isinstance(call["function"]["arguments"], dict)
           for message in messages for call in message.get("tool_calls", [])):
        names.append("arguments_not_json")
    functions = [tool.get("function", tool) for tool in tools]
    if any(not isinstance(function, dict) or not isinstance(function.get("name"), str) for function in functions):
        names.append("tool_without_name")
    return names


def _in_order(roles: list[str]) -> bool:
    """System first if at all, then user and assistant in turn; tools answer an assistant and are answered by it."""
    before = ""
    for role in roles:
        allowed = {
            "system": before == "", "developer": before in ("", "system"),
            "user": before in ("", "system", "developer", "assistant"),
            "assistant": before in ("user", "tool"), "tool": before in ("assistant", "tool"),
        }[role]
        if not allowed:
            return False
        before = role
    return True


def _check_texts(said: list[str]) -> list[str]:
    names = []
    for text in said:
        if ("<" in text or "[" in text) and TEMPLATE_TOKENS.search(text):
            names.append("special_token_in_content")
            break
    if any("\0" in text for text in said):
        names.append("nul_characters")
    return names

"""What can be wrong with a row that has the right shape: order of turns, empty parts, template tokens, labels."""

import re
from typing import Any

# what chat templates write themselves; a model's own list is checked with its tokenizer
TEMPLATE_TOKENS = re.compile(
    r"<\|(?:im_start|im_end|endoftext|eot_id|begin_of_text|end_of_text|start_header_id|end_header_id|eom_id|end"
    r"|assistant|user|system|return|channel|message|start)\|>|<(?:start|end)_of_turn>|\[/?INST\]|<<SYS>>"
    r"|<｜(?:User|Assistant|begin▁of▁sentence|end▁of▁sentence)｜>")
REJECTED = ("rejected", "non_preferred_output")
CHOSEN = ("chosen", "preferred_output")


def check_row(row: dict[str, Any]) -> list[str]:
    """Names of what is odd about a normalised row."""
    if "text" in row:
        return _check_texts([row["text"]])
    if "messages" in row:
        return _check_chat(row["messages"])
    texts = []
    for side in (row["prompt"], row["completion"]):
        if isinstance(side, str):
            texts.append(side)
        else:
            texts += [turn["content"] for turn in side]
    return _check_texts(texts)


def check_source(source: dict[str, Any], columns: set[str]) -> list[str]:
    """Names of what is odd about columns that go with a row: preferences and labels of answers."""
    names = []
    rejected = next((name for name in REJECTED if name in columns), None)
    chosen = next((name for name in CHOSEN if name in columns), None)
    if rejected and chosen:
        if source.get(rejected) in (None, "", []):
            names.append("missing_rejected")
        elif source.get(chosen) == source.get(rejected):
            names.append("chosen_equals_rejected")
    if "label" in columns and "completion" in columns:
        label = source.get("label")
        said = label.strip().lower() if isinstance(label, str) else label
        if said is False or said == "false":
            names.append("bad_answers")
        elif said is not True and said != "true":
            names.append("label_not_boolean")
    return names


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
    if any(message.get("weight", 0) not in (0, 1) for message in messages):
        names.append("weight_not_zero_or_one")
    return names + _check_texts([message["content"] for message in messages])


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


def _check_texts(texts: list[str]) -> list[str]:
    names = []
    for text in texts:
        if ("<" in text or "[" in text) and TEMPLATE_TOKENS.search(text):
            names.append("special_token_in_content")
            break
    if any("\0" in text for text in texts):
        names.append("nul_characters")
    return names

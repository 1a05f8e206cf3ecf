"""What stands beside role and content is examined: weights, names, calls of tools and tools."""

import json

import pytest

from studio.data.chats import messages_of
from studio.data.conversion import convert_row
from studio.data.row_checks import check_row, check_source, unused_keys
from studio.data.shapes import Refused, Shape

SHAPE = Shape("messages", {"messages": "messages", "tools": "tools"}, 1.0, "")
CALL = {"type": "function", "function": {"name": "pay", "arguments": '{"sum": 5}'}}


def row(user=None, assistant=None, **more):
    answer = {"role": "assistant", "content": "yes"} | (assistant or {})
    return {"messages": [{"role": "user", "content": "hi"} | (user or {}), answer]} | more


def found(source):
    return check_row(convert_row(source, SHAPE))


@pytest.mark.parametrize(("source", "names"), [
    (row(), []),
    (row(assistant={"weight": 0}), []), (row(assistant={"weight": 1.0}), []), (row({"weight": None}), []),
    (row(assistant={"weight": "0"}), ["weight_not_zero_or_one"]), (row({"weight": [1]}), ["weight_not_zero_or_one"]),
    (row(assistant={"weight": 0.5}), ["weight_not_zero_or_one"]),
    (row({"weight": 10**400}), ["weight_not_zero_or_one"]),
    (row({"name": "ana"}), []), (row({"name": {"a": 1}}), ["message_value_not_text"]),
    (row(assistant={"reasoning_content": 5}), ["message_value_not_text"]),
    (row({"tool_call_id": []}), ["message_value_not_text"]),
    (row(assistant={"tool_calls": [CALL]}), []), (row(assistant={"tool_calls": [CALL["function"]]}), []),
    (row(assistant={"tool_calls": [CALL | {"function": {"name": "f", "arguments": {"a": 1}}}]}), []),
    (row(assistant={"tool_calls": [CALL | {"function": {"name": "f", "arguments": "[1"}}]}), ["arguments_not_json"]),
    (row(assistant={"tool_calls": [CALL | {"function": {"name": "f"}}]}), ["arguments_not_json"]),
    (row(assistant={"function_call": {"name": "f", "arguments": "pay 5"}}), ["arguments_not_json"]),
    (row(tools=[{"type": "function", "function": {"name": "f"}}]), []), (row(tools=[{"name": "f"}]), []),
    (row(tools=[{"type": "function", "function": {"description": "f"}}]), ["tool_without_name"]),
    (row(tools=[{"function": "f"}]), ["tool_without_name"]),
])
def test_odd_values_have_their_names(source, names):
    assert found(source) == names


def test_messages_of_prompts_and_answers_are_examined_too():
    turns = row(assistant={"weight": 2})["messages"]
    assert check_row({"prompt": turns[:1], "completion": turns[1:]}) == ["weight_not_zero_or_one"]
    assert check_row({"prompt": turns[:1], "chosen": turns[1:], "rejected": row()["messages"][1:]}) == [
        "weight_not_zero_or_one"]


@pytest.mark.parametrize(("assistant", "name"), [
    ({"tool_calls": {"a": 1}}, "unreadable_tool_calls"), ({"tool_calls": [{}]}, "unreadable_tool_calls"),
    ({"tool_calls": ["f"]}, "unreadable_tool_calls"), ({"tool_calls": "f(x)"}, "unreadable_tool_calls"),
    ({"tool_calls": [{"function": {"name": 5}}]}, "unreadable_tool_calls"),
    ({"tool_calls": [{"function": {"arguments": "{}"}}]}, "unreadable_tool_calls"),
    ({"function_call": {"arguments": "{}"}}, "unreadable_tool_calls"),
    ({"content": [{"type": "image_url", "text": "a"}]}, "message_unrecognized_key"),
    ({"content": [{"type": "refusal", "refusal": "no"}]}, "message_unrecognized_key"),
    ({"content": [{"type": ["text"], "text": "a"}]}, "message_unrecognized_key"),
])
def test_what_no_template_can_write_costs_the_row(assistant, name):
    with pytest.raises(Refused, match=name):
        messages_of(row(assistant=assistant)["messages"])


def test_parts_of_text_are_joined():
    parts = [{"type": "text", "text": "a"}, {"text": "b"}, "c", {"type": "output_text", "text": "d"}]
    assert messages_of(row(assistant={"content": parts})["messages"])[1]["content"] == "abcd"


@pytest.mark.parametrize(("label", "names"), [
    (False, ["bad_answers"]), ("false", ["bad_answers"]), (0, ["bad_answers"]), ("0", ["bad_answers"]),
    (0.0, ["bad_answers"]), (" No", ["bad_answers"]), ("bad", ["bad_answers"]),
    (True, []), (1, []), ("yes", []), (None, []), ("sports", []), ([0], []),
])
def test_an_answer_that_its_label_calls_bad_is_told_where_the_label_is_not_learned(label, names):
    source, pair = {"prompt": "a", "completion": "b", "label": label}, {"prompt": "a", "completion": "b"}
    assert check_source(source, pair, set(source)) == names
    assert check_source(source, pair | {"label": False}, set(source)) == []
    assert check_source({"text": "a", "label": label}, pair, {"text", "label"}) == []


@pytest.mark.parametrize(("source", "keys"), [
    (row(), []), (row(assistant={"weight": 1, "name": "ana", "reasoning_content": "so"}), []),
    (row(assistant={"tool_calls": [CALL]}), []), (row(assistant={"function_call": CALL["function"]}), []),
    (row({"image": "cat.png", "audio": None}, {"refusal": "", "thinking": "so"}), ["image", "thinking"]),
    (row({"annotations": [], "id": 0}), ["id"]),
    ({"messages": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b", "html": "c"}]}, ["html"]),
])
def test_keys_of_messages_that_are_not_read_are_named(source, keys):
    assert unused_keys(source, convert_row(source, SHAPE), SHAPE) == keys
    written = {"messages": json.dumps(source["messages"])}
    assert unused_keys(written, convert_row(written, SHAPE), SHAPE) == keys


def test_keys_of_messages_are_looked_at_in_prompts_and_answers_too():
    shape = Shape("preference", {"prompt": "input", "chosen": "chosen", "rejected": "rejected"}, 1.0, "")
    ask, answer = row({"image": "a"})["messages"]
    source = {"input": {"messages": [ask]}, "chosen": [answer | {"score": 1}], "rejected": "no"}
    assert unused_keys(source, convert_row(source, shape), shape) == ["image", "score"]

"""Every shape that people's rows come in, and what is said of rows that cannot be used."""

import json

import pytest

from studio.data.formats import convert, detect, normalise, split_answer
from studio.errors import DataError
from studio.preset.schema import DataSection

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def section(**values):
    return DataSection(**values)


@pytest.mark.parametrize(("row", "format", "wanted"), [
    ({"messages": CHAT}, "messages", {"messages": CHAT}),
    ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}, "messages",
     {"messages": CHAT}),
    ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}], "system": "Be brief."},
     "messages", {"messages": [{"role": "system", "content": "Be brief."}, *CHAT]}),
    ({"dialogue_turns": CHAT, "id": 3}, "messages", {"messages": CHAT}),
    ({"messages": json.dumps(CHAT)}, "messages", {"messages": CHAT}),
    ({"instruction": "add", "input": "1 2", "output": "3"}, "prompt_completion",
     {"prompt": "add\n\n1 2", "completion": "3"}),
    ({"instruction": "add", "input": "", "output": 3}, "prompt_completion", {"prompt": "add", "completion": "3"}),
    ({"prompt": "a", "completion": "b"}, "prompt_completion", {"prompt": "a", "completion": "b"}),
    ({"Question": "a", "Answer": "b"}, "prompt_completion", {"prompt": "a", "completion": "b"}),
    ({"question": "a", "context": "c", "answer": "b"}, "prompt_completion", {"prompt": "a\n\nc", "completion": "b"}),
    ({"query": "a", "response": "b"}, "prompt_completion", {"prompt": "a", "completion": "b"}),
    ({"input": "a", "output": {"n": 1}}, "prompt_completion", {"prompt": "a", "completion": '{"n": 1}'}),
    ({"prompt": CHAT[:1], "completion": CHAT[1:]}, "prompt_completion", {"prompt": CHAT[:1], "completion": CHAT[1:]}),
    ({"prompt": "hi", "completion": CHAT[1:]}, "prompt_completion", {"prompt": CHAT[:1], "completion": CHAT[1:]}),
    ({"prompt": "hi", "chosen": "hello", "rejected": "no"}, "prompt_completion",
     {"prompt": "hi", "completion": "hello"}),
    ({"system": "S", "prompt": "hi", "response": "hello"}, "prompt_completion",
     {"prompt": [{"role": "system", "content": "S"}, CHAT[0]], "completion": CHAT[1:]}),
    ({"text": "good", "label": "positive"}, "prompt_completion", {"prompt": "good", "completion": "positive"}),
    ({"text": "good", "label": 1}, "text", {"text": "good"}),
    ({"text": "words"}, "text", {"text": "words"}),
    ({"anything": "words"}, "text", {"text": "words"}),
])
def test_shapes_are_found_and_brought_into_one_of_three(row, format, wanted):
    converted = convert([row], section())
    assert converted.shape.format == format
    assert converted.rows == [wanted]
    assert not converted.problems


def test_standard_names_are_surer_than_guesses():
    standard, common, guessed = (detect(list(row), [row]).confidence for row in (
        {"messages": CHAT}, {"query": "a", "response": "b"}, {"text": "a", "label": "b"}))
    assert standard == 1 > common > guessed


def test_the_preset_goes_before_the_guess():
    row = {"prompt": "a", "completion": "b", "text": "t", "q": "c", "a": "d"}
    assert normalise([row], section(format="text")) == [{"text": "t"}]
    assert normalise([row], section(text_column="q")) == [{"text": "c"}]
    assert normalise([row], section(prompt_column="q", completion_column="a")) == [{"prompt": "c", "completion": "d"}]


@pytest.mark.parametrize(("values", "message"), [
    ({"prompt_column": "quetion", "completion_column": "a"}, 'no column "quetion"; the columns are q, a'),
    ({"prompt_column": "q"}, "only one is named"),
    ({"format": "messages"}, "No columns were found that hold messages"),
    ({}, "No columns were found"),
])
def test_columns_that_cannot_be_told_are_an_error_with_their_names(values, message):
    with pytest.raises(DataError, match=message) as caught:
        normalise([{"q": "x", "a": "y"}], section(**values))
    assert caught.value.hint and caught.value.field.startswith("data.")


@pytest.mark.parametrize(("bad", "problem"), [
    ("not an object", "data_type"),
    ({"messages": []}, "missing_messages_list"),
    ({"messages": "hello"}, "missing_messages_list"),
    ({"other": 1}, "missing_messages_list"),
    ({"messages": [{"role": "user"}]}, "message_missing_key"),
    ({"messages": [{"content": "x"}]}, "message_missing_key"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
     "message_unrecognized_key"),
    ({"messages": [{"role": "narrator", "content": "x"}]}, "unrecognized_role"),
    ({"messages": [CHAT[0], {"role": "assistant", "content": ""}]}, "missing_content"),
    ({"messages": [{"role": "user", "content": 7}]}, "missing_content"),
    ({"messages": CHAT[:1]}, "example_missing_assistant_message"),
])
def test_what_is_wrong_with_a_chat_has_the_known_name(bad, problem):
    converted = convert([{"messages": CHAT}, bad, {"messages": CHAT}, bad], section())
    assert [(found.name, found.count, found.first_row) for found in converted.problems] == [(problem, 2, 2)]
    assert converted.numbers == [1, 3]


def test_rows_without_an_answer_are_an_error_that_names_count_and_first_row():
    rows = [{"messages": CHAT}] * 16 + [{"messages": CHAT[:1]}] * 14
    with pytest.raises(DataError, match=r"14 of 30 rows have no assistant answer \(first: row 17\)\.") as caught:
        normalise(rows, section())
    assert "Drop those rows" in caught.value.hint


def test_the_most_frequent_problem_comes_first_and_the_others_are_counted():
    rows = [{"prompt": "", "completion": "b"}, *[{"prompt": "a", "completion": None}] * 2]
    converted = convert(rows, section())
    assert [problem.name for problem in converted.problems] == ["missing_completion", "missing_prompt"]
    with pytest.raises(DataError, match="There is 1 more problem"):
        normalise(rows, section())


def test_empty_texts_are_separators_unless_there_is_nothing_else():
    assert normalise([{"text": ""}, {"text": "a"}, {"text": " \n"}], section()) == [{"text": "a"}]
    with pytest.raises(DataError, match="2 of 2 rows have no text"):
        normalise([{"text": ""}, {"text": None}], section())


def test_what_training_needs_of_a_message_is_kept_and_the_rest_dropped():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {"role": "user", "content": "hi", "name": "ana", "timestamp": 5, "weight": None},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It is 42.", "weight": 0},
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]
    [row] = normalise([{"messages": messages, "tools": tools}], section())
    parsed = call | {"function": {"name": "f", "arguments": {"x": 1}}}
    assert row == {"tools": tools, "messages": [
        {"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hi", "name": "ana"},
        {"role": "assistant", "content": "", "tool_calls": [parsed]},
        {"role": "tool", "content": "42", "tool_call_id": "c1"},
        {"role": "assistant", "content": "It is 42.", "weight": 0}]}


def test_a_row_is_parted_into_question_and_wanted_answer():
    assert split_answer({"messages": [*CHAT, *CHAT]}) == ([*CHAT, CHAT[0]], "hello")
    assert split_answer({"prompt": "a", "completion": "b"}) == ("a", "b")
    assert split_answer({"prompt": CHAT[:1], "completion": CHAT[1:]}) == (CHAT[:1], "hello")
    with pytest.raises(DataError, match="no question"):
        split_answer({"text": "a"})


def test_no_rows_are_an_error():
    with pytest.raises(DataError, match="no rows"):
        normalise([], section())


def test_a_cell_of_endless_brackets_is_text():
    (row,) = normalise([{"prompt": "[" * 200_000, "completion": "no"}], DataSection())
    assert row["completion"] == "no"

"""Every shape that people's rows come in, and what is said of rows that cannot be used."""

import json

import pytest

from studio.data.formats import convert, detect, label_of, question, split_answer, texts
from studio.data.shapes import refusal
from studio.errors import DataError
from studio.preset.schema import DataSection

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
WORSE = [CHAT[0], {"role": "assistant", "content": "no"}]


def section(**values):
    return DataSection(**values)


def rows_of(rows, **values):
    converted = convert(rows, section(**values))
    assert not converted.refused
    return converted.rows


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
    ({"system": "S", "prompt": "hi", "response": "hello"}, "prompt_completion",
     {"prompt": [{"role": "system", "content": "S"}, CHAT[0]], "completion": CHAT[1:]}),
    ({"Frage": "Wie spät?", "Antwort": "Acht."}, "prompt_completion", {"prompt": "Wie spät?", "completion": "Acht."}),
    ({"customerQuestion": "when", "agent_reply": "now"}, "prompt_completion", {"prompt": "when", "completion": "now"}),
    ({"id": 7, "x": "What is that?", "y": "It is a cat."}, "prompt_completion",
     {"prompt": "What is that?", "completion": "It is a cat."}),
    ({"x": "first of two", "y": "second of two"}, "prompt_completion",
     {"prompt": "first of two", "completion": "second of two"}),
    ({"text": "good", "label": "positive"}, "text_label", {"prompt": "good", "completion": "positive"}),
    ({"text": "good", "label": 1}, "text_label", {"prompt": "good", "completion": "1"}),
    ({"text": "good", "label": 0.25}, "text", {"text": "good"}),
    ({"text": "words"}, "text", {"text": "words"}),
    ({"anything": "words"}, "text", {"text": "words"}),
    ({"sentence1": "a", "sentence2": "b", "score": "0.5"}, "text_pair",
     {"sentence1": "a", "sentence2": "b", "score": 0.5}),
    ({"anchor": "a", "positive": "b", "negative": "c"}, "text_pair",
     {"sentence1": "a", "sentence2": "b", "negative": "c"}),
    ({"premise": "a", "hypothesis": "b", "label": 1}, "text_pair", {"sentence1": "a", "sentence2": "b"}),
    ({"prompt": "hi", "chosen": "hello", "rejected": "no"}, "preference",
     {"prompt": "hi", "chosen": "hello", "rejected": "no"}),
    ({"chosen": CHAT, "rejected": WORSE}, "preference",
     {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": WORSE[1:]}),
    ({"prompt": "hi", "chosen": CHAT, "rejected": WORSE, "messages": CHAT}, "preference",
     {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": WORSE[1:]}),
    ({"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": WORSE[1:]}, "preference",
     {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": WORSE[1:]}),
    ({"input": {"messages": CHAT[:1], "tools": [{"type": "function"}]}, "preferred_output": CHAT[1:],
      "non_preferred_output": WORSE[1:]}, "preference",
     {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": WORSE[1:], "tools": [{"type": "function"}]}),
    ({"prompt": "a", "completion": "b", "label": True}, "unpaired_preference",
     {"prompt": "a", "completion": "b", "label": True}),
    ({"prompt": "a", "completion": "b", "label": "FALSE"}, "unpaired_preference",
     {"prompt": "a", "completion": "b", "label": False}),
    ({"prompt": "a", "completion": "b", "label": "sports"}, "prompt_completion", {"prompt": "a", "completion": "b"}),
    ({"prompt": "a", "ground_truth": 42}, "prompt_only", {"prompt": "a", "answer": "42"}),
    ({"prompt": CHAT[:1]}, "prompt_only", {"prompt": CHAT[:1]}),
    ({"prompt": "a", "source": "web"}, "prompt_only", {"prompt": "a"}),
])
def test_shapes_are_found_and_brought_into_the_form_of_their_trainer(row, format, wanted):
    converted = convert([row], section())
    assert (converted.shape.format, converted.rows, converted.refused) == (format, [wanted], [])
    assert converted.shape.reason.endswith(".") and 0 < converted.shape.confidence <= 1


@pytest.mark.parametrize(("row", "format", "wanted"), [
    ({"prompt": "hi", "chosen": "hello", "rejected": "no"}, "prompt_completion",
     {"prompt": "hi", "completion": "hello"}),
    ({"prompt": "a", "completion": "b", "label": False}, "prompt_completion", {"prompt": "a", "completion": "b"}),
    ({"text": "good", "label": "x"}, "text", {"text": "good"}),
    ({"prompt": "hi", "chosen": "hello", "rejected": "no", "messages": CHAT}, "messages", {"messages": CHAT}),
    ({"question": "a", "answer": "b"}, "prompt_only", None),
])
def test_a_person_can_say_otherwise(row, format, wanted):
    if wanted is None:
        assert rows_of([row], format=format, prompt_column="question", completion_column="answer") == [
            {"prompt": "a", "answer": "b"}]
    else:
        assert rows_of([row], format=format) == [wanted]


@pytest.mark.parametrize(("row", "values", "format", "wanted"), [
    ({"a": "x", "b": "y", "c": "z"}, {"prompt_column": "a", "completion_column": "b", "rejected_column": "c"},
     "preference", {"prompt": "x", "chosen": "y", "rejected": "z"}),
    ({"a": "x", "b": "y", "c": True}, {"prompt_column": "a", "completion_column": "b", "label_column": "c"},
     "unpaired_preference", {"prompt": "x", "completion": "y", "label": True}),
    ({"a": "x", "b": "y"}, {"text_column": "a", "label_column": "b"}, "text_label", {"prompt": "x", "completion": "y"}),
    ({"a": "x", "b": "y", "c": 1},
     {"format": "text_pair", "prompt_column": "a", "completion_column": "b", "label_column": "c"}, "text_pair",
     {"sentence1": "x", "sentence2": "y", "score": 1}),
    ({"a": "x", "b": "y"}, {"format": "prompt_only", "prompt_column": "a"}, "prompt_only", {"prompt": "x"}),
])
def test_columns_can_be_named_for_every_shape(row, values, format, wanted):
    converted = convert([row], section(**values))
    assert (converted.shape.format, converted.rows, converted.shape.confidence) == (format, [wanted], 1)


SETS = {
    "alpaca": ({"instruction": "a b", "input": "c d", "output": "e f", "text": "all of it"},
               "prompt_completion", {"prompt": "instruction", "context": "input", "completion": "output"}),
    "dolly": ({"instruction": "a b", "context": "", "response": "c d", "category": "open_qa"},
              "prompt_completion", {"prompt": "instruction", "context": "context", "completion": "response"}),
    "orca": ({"id": "niv.1", "system_prompt": "S", "question": "a b", "response": "c d"},
             "prompt_completion", {"system": "system_prompt", "prompt": "question", "completion": "response"}),
    "ultrachat": ({"prompt": "hi", "prompt_id": "f0", "messages": CHAT}, "messages", {"messages": "messages"}),
    "finetome": ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}],
                  "source": "web", "score": 5.2}, "messages", {"messages": "conversations"}),
    "ultrafeedback": ({"prompt": "hi", "prompt_id": "f0", "chosen": CHAT, "rejected": WORSE, "messages": CHAT,
                       "score_chosen": 7.0, "score_rejected": 4.0}, "preference",
                      {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}),
    "hh": ({"chosen": "\n\nHuman: hi\n\nAssistant: hello", "rejected": "\n\nHuman: hi\n\nAssistant: no"},
           "preference", {"chosen": "chosen", "rejected": "rejected"}),
    "math-dpo": ({"instruction": "a b", "chosen_response": "c d", "rejected_response": "e f", "chosen_rating": 9},
                 "preference", {"prompt": "instruction", "chosen": "chosen_response", "rejected": "rejected_response"}),
    "kto-mix": ({"prompt": CHAT[:1], "completion": CHAT[1:], "label": True}, "unpaired_preference",
                {"prompt": "prompt", "completion": "completion", "label": "label"}),
    "gsm8k": ({"question": "a b?", "answer": "c d"}, "prompt_completion",
              {"prompt": "question", "completion": "answer"}),
    "humaneval": ({"task_id": "H/0", "prompt": "def f():", "canonical_solution": "    return 1", "test": "assert f()"},
                  "prompt_completion", {"prompt": "prompt", "completion": "canonical_solution"}),
    "imdb": ({"text": "a b", "label": 0}, "text_label", {"text": "text", "label": "label"}),
    "sst2": ({"idx": 0, "sentence": "a b", "label": 1}, "text_label", {"text": "sentence", "label": "label"}),
    "xsum": ({"document": "a b", "summary": "c d", "id": "7"}, "prompt_completion",
             {"prompt": "document", "completion": "summary"}),
    "cnn": ({"article": "a b", "highlights": "c d", "id": "f0"}, "prompt_completion",
            {"prompt": "article", "completion": "highlights"}),
    "wikitext": ({"text": "a b"}, "text", {"text": "text"}),
    "fineweb": ({"text": "a b", "id": "<urn>", "url": "https://x", "language": "en", "score": 2.5}, "text",
                {"text": "text"}),
    "stsb": ({"sentence1": "a b", "sentence2": "c d", "score": 0.5}, "text_pair",
             {"sentence1": "sentence1", "sentence2": "sentence2", "score": "score"}),
    "all-nli": ({"anchor": "a b", "positive": "c d", "negative": "e f"}, "text_pair",
                {"sentence1": "anchor", "sentence2": "positive", "negative": "negative"}),
    "translations": ({"en": "a b", "de": "c d"}, "prompt_completion", {"prompt": "en", "completion": "de"}),
}


@pytest.mark.parametrize("name", SETS)
def test_the_layouts_of_known_data_sets_are_told(name):
    row, format, columns = SETS[name]
    converted = convert([row], section())
    assert (converted.shape.format, converted.shape.columns, converted.refused) == (format, columns, [])


@pytest.mark.parametrize(("good", "bad"), [
    (1, 0), ("1", "0"), (1.0, 0.0), ("yes", "no"), ("Good", "Bad "), (True, False), ("TRUE", "FALSE")])
def test_labels_of_answers_are_told_however_they_are_written(good, bad):
    rows = [{"prompt": "a", "completion": "b", "label": label} for label in (good, bad, bad)]
    converted = convert(rows, section())
    assert converted.shape.format == "unpaired_preference"
    assert [row["label"] for row in converted.rows] == [True, False, False]
    assert rows_of(rows, format="prompt_completion") == [{"prompt": "a", "completion": "b"}] * 3


def test_ratings_classes_and_labels_of_texts_are_no_verdicts_on_answers():
    rated = [{"prompt": "a", "completion": "b", "label": number} for number in (0, 1, 2)]
    assert convert(rated, section()).shape.format == "prompt_completion"
    for labels in ((0, 1), ("yes", "no")):
        rows = [{"text": "a b", "label": label} for label in labels * 3]
        assert convert(rows, section()).shape.format == "text_label"


def test_a_prompt_is_what_two_written_out_chats_begin_with():
    row, _, _ = SETS["hh"]
    assert rows_of([row]) == [{"prompt": "\n\nHuman: hi\n\nAssistant:", "chosen": " hello", "rejected": " no"}]
    assert rows_of([{"chosen": "2 plus 2 is 4", "rejected": "2 plus 2 is 5"}]) == [
        {"prompt": "2 plus 2 is ", "chosen": "4", "rejected": "5"}]
    assert convert([{"chosen": "yes", "rejected": "no"}], section()).refused == [(1, "missing_prompt")]


def test_standard_names_are_surer_than_guesses():
    rows = ({"messages": CHAT}, {"query": "a", "response": "b"}, {"customer question": "a b", "our reply": "b"},
            {"text": "a", "label": "b"}, {"x": "a b", "y": "b c"})
    sureness = [detect(list(row), [row]).confidence for row in rows]
    assert sureness == sorted(sureness, reverse=True) and len(set(sureness)) == 5


def test_the_preset_goes_before_the_guess():
    row = {"prompt": "a", "completion": "b", "text": "t", "q": "c", "a": "d"}
    assert rows_of([row], format="text") == [{"text": "t"}]
    assert rows_of([row], text_column="q") == [{"text": "c"}]
    assert rows_of([row], prompt_column="q", completion_column="a") == [{"prompt": "c", "completion": "d"}]


@pytest.mark.parametrize(("values", "message"), [
    ({"prompt_column": "quetion", "completion_column": "two"}, 'no column "quetion"; the columns are question, two'),
    ({"prompt_column": "quetion"}, 'Did you mean "question"'),
    ({"prompt_column": "question"}, "only one is named"),
    ({"completion_column": "two"}, "only one is named"),
    ({"format": "messages"}, "No columns were found that hold messages"),
    ({"format": "preference"}, "hold chosen and rejected answers"),
    ({"rejected_column": "two"}, "No column is named that holds the chosen"),
])
def test_columns_that_cannot_be_told_are_an_error_with_their_names(values, message):
    with pytest.raises(DataError, match=message) as caught:
        convert([{"question": 1, "two": 2}], section(**values))
    assert caught.value.hint and caught.value.field.startswith("data.")


def test_columns_that_say_nothing_are_not_guessed():
    with pytest.raises(DataError, match="No columns were found"):
        convert([{"x": 1, "y": 2}], section())
    with pytest.raises(DataError, match="No columns were found"):
        convert([{"x": "one text", "y": "two texts", "z": "three texts"}], section())


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
    assert converted.refused == [(2, problem), (4, problem)]
    assert converted.numbers == [1, 3]


@pytest.mark.parametrize(("good", "bad", "problem"), [
    ({"prompt": "a", "completion": "b"}, {"prompt": " ", "completion": "b"}, "missing_prompt"),
    ({"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": None}, "missing_completion"),
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "chosen": "b", "rejected": "b"},
     "chosen_equals_rejected"),
    ({"prompt": "a", "chosen": "b", "rejected": "c"}, {"prompt": "a", "chosen": "b", "rejected": ""},
     "missing_rejected"),
    ({"chosen": CHAT, "rejected": WORSE}, {"chosen": CHAT[1:], "rejected": WORSE[1:]}, "missing_prompt"),
    ({"chosen": CHAT, "rejected": WORSE}, {"chosen": CHAT, "rejected": CHAT[:1]}, "example_missing_assistant_message"),
    ({"prompt": "a", "completion": "b", "label": True}, {"prompt": "a", "completion": "b", "label": "maybe"},
     "label_not_boolean"),
    ({"sentence1": "a", "sentence2": "b", "score": 1}, {"sentence1": "a", "sentence2": "b", "score": "high"},
     "score_not_number"),
    ({"sentence1": "a", "sentence2": "b"}, {"sentence1": "a", "sentence2": ""}, "missing_pair"),
    ({"text": "a", "label": "b"}, {"text": "a", "label": None}, "missing_label"),
    ({"text": "a"}, {"text": ""}, "empty_text"),
])
def test_what_is_wrong_with_other_rows_is_named(good, bad, problem):
    assert convert([*[good] * 5, bad], section()).refused == [(6, problem)]


def test_empty_texts_are_separators_unless_there_is_nothing_else():
    converted = convert([{"text": ""}, {"text": "a"}, {"text": " \n"}], section())
    assert (converted.rows, converted.refused) == ([{"text": "a"}], [(1, "empty_text"), (3, "empty_text")])
    assert convert([{"text": ""}, {"text": None}], section()).refused == [(1, "missing_text"), (2, "missing_text")]


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
    [row] = rows_of([{"messages": messages, "tools": tools}])
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
    called = [{"role": "assistant", "content": "", "tool_calls": [{}]}, {"role": "tool", "content": "42"}]
    assert split_answer({"prompt": CHAT[:1], "completion": [*called, CHAT[1]]}) == ([CHAT[0], *called], "hello")
    with pytest.raises(DataError, match="no question"):
        split_answer({"text": "a"})


@pytest.mark.parametrize(("row", "asked", "label", "said"), [
    ({"messages": [{"role": "system", "content": "S"}, *CHAT]}, "hi", "hello", ["S", "hi", "hello"]),
    ({"prompt": "A  b", "completion": "c"}, "a b", "c", ["A  b", "c"]),
    ({"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": WORSE[1:]}, "hi", "", ["hi", "hello", "no"]),
    ({"prompt": "a", "completion": "b", "label": True}, "a", "True", ["a", "b"]),
    ({"prompt": "a", "answer": "b"}, "a", "", ["a", "b"]),
    ({"text": "a"}, "", "", ["a"]),
    ({"sentence1": "a", "sentence2": "b", "score": 1.0}, "", "", ["a", "b"]),
])
def test_question_label_and_texts_of_every_shape(row, asked, label, said):
    assert (question(row), label_of(row), texts(row)) == (asked, label, said)


def test_what_cannot_be_trained_yet_is_refused_with_a_way_on():
    for format in ("preference", "unpaired_preference", "prompt_only", "text_pair"):
        error = refusal(format)
        assert "cannot train on yet" in error.message and error.hint and error.field == "data.format"
    assert not any(map(refusal, ("messages", "prompt_completion", "text", "text_label")))


def test_no_rows_are_an_error():
    with pytest.raises(DataError, match="no rows"):
        convert([], section())
    with pytest.raises(DataError, match="not objects"):
        convert([1, "a"], section())


def test_a_cell_of_endless_brackets_is_text():
    (row,) = rows_of([{"prompt": "[" * 200_000, "completion": "no"}])
    assert row["completion"] == "no"

"""Each mend does one safe thing and is named; what cannot be mended is refused as before."""

import json
from typing import get_args

import pytest

from studio.data.formats import detect
from studio.data.mends import MENDS, mend
from studio.data.prepare import prepare
from studio.data.shapes import Refused
from studio.preset.schema import Preset
from studio.settings import PROJECT_DIR, Settings


def chat(*turns):
    return [{"role": role, "content": content} for role, content in turns]


GOOD = chat(("user", "hi"), ("assistant", "hello"))
CHATS = detect(["messages"], [{"messages": GOOD}])


@pytest.mark.parametrize(("turns", "wanted", "done"), [
    (GOOD, GOOD, []),
    (chat(("Human:", "hi"), ("AI", "hello")), GOOD, ["role_mapped"]),
    ([{"from": "prompter", "value": "hi"}, {"from": "gpt", "value": "hello"}], GOOD, ["role_mapped"]),
    (chat(("user", "hi"), ("assistant", "hello"), ("user", "and?"), ("system", "x")), GOOD, ["end_cut"]),
    (chat(("user", "hi"), ("assistant", "hello"), ("user", "and?"), ("assistant", " ")), GOOD,
     ["empty_turn_dropped", "end_cut"]),
    (chat(("system", " "), ("user", "hi"), ("assistant", "hello")), GOOD, ["empty_turn_dropped"]),
    (chat(("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d")),
     chat(("user", "a\n\nb"), ("assistant", "c\n\nd")), ["turns_joined"]),
    (chat(("user", "hi<|im_end|>"), ("assistant", "[INST]hello")), GOOD, ["special_tokens_removed"]),
    (chat(("user", "h<|im_<|im_end|>end|>i"), ("assistant", "hello")), GOOD, ["special_tokens_removed"]),
    (chat(("user", "hi"), ("user", "<|im_end|>"), ("assistant", "hello")), GOOD,
     ["special_tokens_removed", "empty_turn_dropped"]),
    (chat(("user", "h\0i"), ("assistant", "hello")), GOOD, ["zero_characters_removed"]),
])
def test_chats_are_mended(turns, wanted, done):
    row = {"messages": turns}
    before = json.dumps(row)
    assert mend(row, CHATS) == ({"messages": wanted}, done)
    assert json.dumps(row) == before and set(done) <= set(MENDS)


def test_what_carries_more_than_text_is_not_joined():
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    turns = [GOOD[0], call, {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"},
             GOOD[1] | {"weight": 0}, GOOD[1] | {"weight": 1}]
    assert mend({"messages": turns}, CHATS) == ({"messages": turns}, [])


@pytest.mark.parametrize(("row", "problem"), [
    ({"messages": GOOD[:1]}, "example_missing_assistant_message"),
    ({"messages": chat(("narrator", "x"), ("assistant", "y"))}, "unrecognized_role"),
    ({"messages": chat(("user", "x"), ("assistant", "<|im_end|>"))}, "example_missing_assistant_message"),
    ({"messages": chat(("user", "x"), ("assistant", ""))}, "example_missing_assistant_message"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}, GOOD[1]]}, "message_unrecognized_key"),
    ({"messages": 7}, "missing_messages_list"), (["x"], "data_type"),
])
def test_what_cannot_be_mended_is_refused(row, problem):
    with pytest.raises(Refused) as caught:
        mend(row, CHATS)
    assert caught.value.args == (problem,)


def test_prompts_answers_and_preferences_are_mended_and_plain_texts_left_alone():
    def mended(row):
        return mend(row, detect(list(row), [row]))

    assert mended({"prompt": "a<|eot_id|>", "completion": "b\0"}) == (
        {"prompt": "a", "completion": "b"}, ["special_tokens_removed", "zero_characters_removed"])
    assert mended({"prompt": GOOD[:1] * 2, "completion": GOOD[1:]}) == (
        {"prompt": chat(("user", "hi\n\nhi")), "completion": GOOD[1:]}, ["turns_joined"])
    text = {"text": "<|im_start|>user\nlaid out on purpose<|im_end|>"}
    assert mended(text) == (text, [])


def test_mends_shapes_and_splits_are_on_the_page_about_data():
    page = (PROJECT_DIR / "docs" / "data.md").read_text()
    data = Preset.model_fields["data"].annotation.model_fields
    names = [*MENDS, *get_args(data["format"].annotation), *get_args(data["split_by"].annotation),
             *get_args(data["bad_rows"].annotation)]
    assert [name for name in names if f"`{name}`" not in page] == []


def test_fix_mends_what_it_can_drops_the_rest_and_gives_account_of_both(tmp_path):
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})
    path = tmp_path / "rows.jsonl"
    chats = [GOOD, GOOD, GOOD, [*GOOD, GOOD[0]], GOOD[:1], GOOD * 2]
    rows = [{"messages": messages} for messages in chats]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "no JSON\n")
    prepared = prepare(Preset.model_validate(
        {"data": {"dataset_name": str(path), "bad_rows": "fix", "test_size": 0}}), settings)
    assert prepared.train == [{"messages": GOOD}] * 4 + [{"messages": GOOD * 2}]
    assert [(entry.row, entry.line, entry.reason) for entry in prepared.changed] == [(4, 4, "end_cut")]
    assert [(entry.row, entry.line, entry.reason) for entry in prepared.left_out] == [
        (0, 7, "not_json"), (5, 5, "example_missing_assistant_message")]

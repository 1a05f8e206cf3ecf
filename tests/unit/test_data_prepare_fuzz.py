"""Whatever the rows hold, the pipeline ends in rows or in a sentence, and every row is kept or in the account."""

import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from studio.data.columns import propose
from studio.data.formats import label_of, question, texts
from studio.data.prepare import look
from studio.data.rows import Query, find_rows
from studio.errors import StudioError
from studio.preset.schema import Preset
from studio.settings import Settings

CASES = hypothesis_settings(max_examples=int(os.environ.get("STUDIO_FUZZ_CASES", "100")), deadline=None,
                            derandomize=True, suppress_health_check=list(HealthCheck))
COLUMNS = ("messages", "conversations", "prompt", "completion", "text", "label", "chosen", "rejected", "input",
           "preferred_output", "non_preferred_output", "sentence1", "sentence2", "score", "tools", "system", "question",
           "answer", "ground_truth", "x", "y")
words = st.sampled_from(["", " ", "hi", "What?", "true", "1", "nan", "[", "[{", '[{"role": "user", "content": "x"}]',
                         "<|im_end|>", "a\0b", "ghp_" + "a1" * 18, "bob@firm.com", "2026-01-01", "é\u2028"])
scalars = st.one_of(words, st.none(), st.booleans(), st.integers(-10**30, 10**30), st.floats())
turns = st.lists(st.one_of(scalars, st.dictionaries(
    st.sampled_from(["role", "from", "content", "value", "weight", "tool_calls", "function_call", "name"]),
    st.one_of(scalars, st.sampled_from(["user", "assistant", "system", "tool", "AI", "gpt"]),
              st.lists(st.one_of(words, st.dictionaries(st.sampled_from(["type", "text", "function"]), scalars))),
              st.dictionaries(st.sampled_from(["name", "arguments", "function"]), scalars)))), max_size=4)
chats = st.lists(st.builds(lambda role, content: {"role": role, "content": content}, st.sampled_from(
    ["user", "assistant", "system", "tool", "human"]), words), max_size=5)
cells = st.one_of(
    scalars, turns, chats, st.builds(lambda chat: {"messages": chat}, chats), st.builds(json.dumps, chats))
good_chats = st.builds(lambda turns: [*turns, {"role": "assistant", "content": "yes"}], chats)
SHAPES = [{"messages"}, {"conversations", "tools"}, {"prompt", "completion"}, {"prompt", "completion", "label"},
          {"text"}, {"text", "label"}, {"prompt", "chosen", "rejected"}, {"chosen", "rejected"}, {"x", "y"},
          {"input", "preferred_output", "non_preferred_output"}, {"sentence1", "sentence2", "score"},
          {"prompt", "ground_truth"}, {"system", "question", "answer"}]


@st.composite
def sets(draw):
    """Rows that mostly have the columns of one shape, and mostly something in them."""
    columns = draw(st.sampled_from(SHAPES))
    row = st.fixed_dictionaries({column: st.one_of(good_chats, words, words, cells) for column in sorted(columns)})
    odd = st.one_of(st.dictionaries(st.sampled_from(COLUMNS), cells, max_size=5), scalars)
    return draw(st.lists(st.one_of(row, row, row, odd), min_size=1, max_size=10))


rows = sets()
sections = st.fixed_dictionaries({
    "bad_rows": st.sampled_from(["stop", "fix", "drop", "drop"]), "mask": st.sampled_from(["none", "secrets", "all"]),
    "drop_duplicates": st.booleans(), "split_by": st.sampled_from(["random", "label", "group", "time", "file"]),
    "test_size": st.sampled_from([0, 0.3]), "split_column": st.sampled_from(["", "", "text", "label"]),
    "format": st.sampled_from(["auto"] * 6 + ["messages", "preference", "prompt_completion"]),
    "prompt_template": st.sampled_from([""] * 8 + ["{prompt}[[ {x}]]", "{text}"]),
    "rejected_column": st.sampled_from([""] * 8 + ["rejected"]), "label_column": st.sampled_from([""] * 8 + ["label"]),
})


@pytest.fixture(scope="module")
def settings():
    with tempfile.TemporaryDirectory() as folder:
        yield Settings.from_environment({"STUDIO_DATA_DIR": folder})


@CASES
@given(rows=rows, section=sections)
def test_every_row_is_kept_or_in_the_account(settings, rows, section):
    path = Path(settings.data_dir) / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    preset = Preset.model_validate({"data": {"dataset_name": str(path)} | section})
    try:
        prepared = look(preset, settings)
    except StudioError as error:
        assert error.message and error.hint
        return
    read = prepared.source.table.rows
    account = [entry.row for entry in prepared.left_out if entry.row]
    kept = prepared.train_numbers + prepared.heldout_numbers
    assert sorted(account + kept) == list(range(1, len(read) + 1))
    for row in prepared.train + prepared.heldout:
        json.dumps(row)
        question(row), label_of(row)
        assert all(isinstance(text, str) for text in texts(row))
    again = look(preset, settings)
    assert (again.train_numbers, again.left_out) == (prepared.train_numbers, prepared.left_out)


@CASES
@given(rows=rows, section=sections, only=st.sampled_from(["all", "problem", "masked"]), text=words)
def test_rows_are_found_or_a_sentence_is(settings, rows, section, only, text):
    path = Path(settings.data_dir) / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    preset = Preset.model_validate({"data": {"dataset_name": str(path)} | section})
    propose(COLUMNS, rows)
    try:
        found = find_rows(preset.data, settings, Query(text, only))
    except StudioError as error:
        assert error.message and error.hint
        return
    assert len(found.rows) == min(found.total, 10)
    assert found.total == len(rows) or only != "all" or text or found.searched < len(rows)

"""Edits by hand lie beside the data, reach every reader of it, can be undone, and refuse other data."""

import json
import os
from functools import partial

import pytest

from studio.data import overlay
from studio.data.doctor import examine
from studio.data.prepare import prepare
from studio.data.rows import Query, find_rows
from studio.errors import DataError
from studio.preset.schema import DataSection, Preset
from studio.settings import Settings

ROWS = [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(1, 7)]
OTHER = {"prompt": "other", "completion": "row"}


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})


@pytest.fixture
def section(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return DataSection(dataset_name=str(path), edits="mine", test_size=0)


def rows_of(section, settings):
    return prepare(Preset(data=section), settings)


def test_edits_reach_the_rows_and_the_account_and_leave_the_file_as_it_is(section, settings):
    before = open(section.dataset_name).read()
    overlay.exclude(section, settings, 2)
    overlay.replace(section, settings, 4, json.dumps(OTHER))
    prepared = rows_of(section, settings)
    assert prepared.train == [ROWS[0], ROWS[2], OTHER, ROWS[4], ROWS[5]]
    assert prepared.train_numbers == [1, 3, 4, 5, 6]
    assert [(entry.row, entry.line, entry.reason) for entry in prepared.left_out] == [(2, 2, "excluded_by_hand")]
    assert [(entry.row, entry.line, entry.reason) for entry in prepared.changed] == [(4, 4, "edited_by_hand")]
    assert open(section.dataset_name).read() == before
    lines = (settings.data_dir / "edits" / "mine.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines[1:]] == [{"row": 2, "exclude": True}, {"row": 4, "replace": OTHER}]


def test_every_edit_can_be_undone(section, settings):
    overlay.exclude(section, settings, 2)
    overlay.replace(section, settings, 2, json.dumps(OTHER))
    assert rows_of(section, settings).train[1] == OTHER
    overlay.exclude(section, settings, 2)
    assert rows_of(section, settings).train == ROWS[:1] + ROWS[2:]
    overlay.restore(section, settings, 2)
    prepared = rows_of(section, settings)
    assert prepared.train == ROWS and prepared.left_out == prepared.changed == []


def test_a_bad_row_can_be_mended_by_hand(section, settings):
    with open(section.dataset_name, "a") as file:
        file.write('{"prompt": "no answer"}\n["no row"]\n')
    with pytest.raises(DataError):
        rows_of(section.model_copy(update={"edits": ""}), settings)
    overlay.replace(section, settings, 7, json.dumps(OTHER))
    overlay.exclude(section, settings, 8)
    assert rows_of(section, settings).train == [*ROWS, OTHER]


def test_edits_of_other_data_are_refused(section, settings):
    overlay.exclude(section, settings, 2)
    with open(section.dataset_name, "a") as file:
        file.write(json.dumps(OTHER) + "\n")
    for attempt in (partial(rows_of, section, settings), partial(overlay.exclude, section, settings, 3)):
        with pytest.raises(DataError, match="the data set has changed since") as caught:
            attempt()
        assert caught.value.field == "data.edits"


def test_a_list_that_is_missing_or_damaged_is_named(section, settings):
    with pytest.raises(DataError, match='no edits called "mine"'):
        rows_of(section, settings)
    overlay.exclude(section, settings, 2)
    path = settings.data_dir / "edits" / "mine.jsonl"
    head = path.read_text().split("\n")[0]
    edits = ('{"row": "2", "exclude": true}', '{"row": 2, "replace": [1]}', '{"row": 2, "replace": {}}', '{"row": 2}',
             '{"row": 2.5, "exclude": true}', '{"row": true, "exclude": true}', '{"row": 0, "exclude": true}',
             '{"row": [2], "exclude": true}', "5", '"exclude"', '{"row": 2, "replace": {"a": "\\ud800"}}',
             "[" * 100_000)
    for damage in ("", "{", "[]\n", '{"fingerprint": 1}\n{"exclude": true}\n', b"\xff\xfe",
                   *(f"{head}\n{edit}\n" for edit in edits)):
        path.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
        with pytest.raises(DataError, match=r"mine\.jsonl cannot be read"):
            rows_of(section, settings)


@pytest.mark.parametrize(("text", "match"), [
    ('{"a" 1}', "cannot be read: Expecting ':' delimiter at column 6"), ("[1]", "must be an object"),
    ("{}", "must be an object"), ('{"a":' + "[" * 300 + "]" * 300 + "}", "nests too deeply"),
    ('{"a": "\\ud800"}', "half a character"),
    ('{"a": "' + "x" * 2_000_000 + '"}', "too long")])
def test_what_is_no_row_cannot_be_put_in_place_of_one(section, settings, text, match):
    with pytest.raises(DataError, match=match):
        overlay.replace(section, settings, 1, text)
    assert not (settings.data_dir / "edits").exists()


@pytest.mark.parametrize("number", [0, -3, "1", 1.5, True, None])
def test_what_is_no_row_number_is_refused(section, settings, number):
    for change in (overlay.exclude, overlay.restore, partial(overlay.replace, text=json.dumps(OTHER))):
        with pytest.raises(DataError, match="is not the number of a row"):
            change(section, settings, number=number)


def test_a_row_behind_the_end_is_told_by_every_reader_of_the_whole_data_set(section, settings):
    overlay.exclude(section, settings, 7)
    for look_at in (partial(rows_of, section, settings), partial(examine, section, settings),
                    partial(find_rows, section, settings, Query())):
        with pytest.raises(DataError, match="edit by hand of row 7, and the data set has 6 rows") as caught:
            look_at()
        assert caught.value.field == "data.edits" and caught.value.hint
    few = section.model_copy(update={"max_rows": 3})
    assert len(rows_of(few, settings).train) == examine(few, settings).usable_rows == 3
    assert find_rows(few, settings, Query()).total == 3


def test_the_data_set_is_read_for_its_fingerprint_once_while_it_stays_as_it_is(section, settings, monkeypatch):
    overlay.exclude(section, settings, 1)
    read = []
    whole = overlay._fingerprint
    monkeypatch.setattr(overlay, "_fingerprint", lambda *asked: read.append(1) or whole(*asked))
    overlay.exclude(section, settings, 2)
    assert overlay.load(section, settings).excluded == {1, 2} and read == []
    os.utime(section.dataset_name, (1, 1))
    assert overlay.load(section, settings).excluded == {1, 2} and read == [1]
    overlay.exclude(section, settings, 3)
    assert overlay.load(section, settings).excluded == {1, 2, 3} and read == [1, 1]
    text = open(section.dataset_name).read()
    with open(section.dataset_name, "w") as file:
        file.write(text.replace("answer 1", "answer 2"))
    with pytest.raises(DataError, match="has changed since"):
        overlay.exclude(section, settings, 4)


def test_names_cannot_leave_the_folder(section, settings):
    for name in ("../mine", "/etc/x", ".hidden", "a/b", ""):
        with pytest.raises(DataError, match="cannot be the name"):
            overlay.exclude(section.model_copy(update={"edits": name}), settings, 1)


def test_a_name_is_made_of_the_data_sets():
    names = {"upload:my-rows-01.jsonl": "my-rows-01-jsonl", "owner/name": "owner-name", "bundled:recipes": "recipes"}
    for dataset, name in names.items():
        assert overlay.name_for(DataSection(dataset_name=dataset)) == name


def test_edits_of_a_name_that_means_nothing_are_refused(section, settings):
    nowhere = section.model_copy(update={"dataset_name": "squad"})
    with pytest.raises(DataError, match="neither a file here nor a data set of the Hub"):
        overlay.exclude(nowhere, settings, 1)

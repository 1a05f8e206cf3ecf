"""From a source to the rows of a run: what is left out or changed is told, and the same preset gives the same rows."""

import json
import zipfile

import pytest

from studio.data import account
from studio.data.prepare import look, prepare
from studio.errors import DataError
from studio.preset.schema import Preset
from studio.settings import Settings

ROWS = [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(20)]


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})


def json_lines(rows):
    return "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


def write(path, rows):
    path.write_text(json_lines(rows))
    return path


def preset(path="bundled:recipes", **data):
    return Preset.model_validate({"data": {"dataset_name": str(path)} | data})


def told(entries):
    return [(entry.file, entry.row, entry.line, entry.reason) for entry in entries]


def test_the_same_seed_holds_back_the_same_rows_in_their_order(tmp_path, settings):
    wanted = preset(write(tmp_path / "rows.jsonl", ROWS), test_size=0.25)
    prepared = prepare(wanted, settings)
    assert prepared == prepare(wanted, settings)
    assert (len(prepared.train), len(prepared.heldout)) == (15, 5)
    assert sorted(prepared.train + prepared.heldout, key=ROWS.index) == ROWS
    assert prepared.train == sorted(prepared.train, key=ROWS.index)
    other = prepare(Preset.model_validate({"data": wanted.data, "training": {"seed": 1}}), settings)
    assert other.heldout != prepared.heldout
    assert prepared.left_out == prepared.changed == []


def test_no_share_holds_back_none(tmp_path, settings):
    prepared = prepare(preset(write(tmp_path / "rows.jsonl", ROWS), test_size=0), settings)
    assert (prepared.train, prepared.heldout) == (ROWS, [])
    assert prepare(preset(test_size=0), settings).heldout == []


def test_a_second_file_serves_as_heldout_rows(tmp_path, settings):
    path, second = write(tmp_path / "rows.jsonl", ROWS[:15]), write(tmp_path / "judge.jsonl", ROWS[14:])
    prepared = prepare(preset(path, dataset_test_split=str(second)), settings)
    assert (prepared.train, prepared.heldout) == (ROWS[:15], ROWS[14:])
    assert prepared.leakage.exact == {0: 14}
    assert prepared.account() == [
        {"left_out": False, "file": "judge.jsonl", "row": 1, "line": 1, "reason": "heldout_overlap",
         "detail": "training row 15"}]
    write(second, [{"prompt": "x"}, *ROWS[15:]])
    with pytest.raises(DataError, match="Held-out rows: 1 of 6 rows has no answer") as caught:
        prepare(preset(path, dataset_test_split=str(second)), settings)
    assert caught.value.field == "data.dataset_test_split"
    dropped = prepare(preset(path, dataset_test_split=str(second), bad_rows="drop"), settings)
    assert told(dropped.left_out) == [("judge.jsonl", 1, 1, "missing_completion")]
    with pytest.raises(DataError) as caught:
        prepare(preset(path, dataset_test_split=str(tmp_path / "gone.jsonl")), settings)
    assert caught.value.field == "data.dataset_test_split"


def test_heldout_rows_of_another_shape_are_refused(tmp_path, settings):
    path, second = write(tmp_path / "rows.jsonl", ROWS), write(tmp_path / "judge.jsonl", [{"text": "words"}])
    with pytest.raises(DataError, match="held-out rows are read as text, the training rows as prompt_completion"):
        prepare(preset(path, dataset_test_split=str(second)), settings)


def test_the_bundled_set_brings_its_own_heldout_rows(settings):
    prepared = prepare(preset(), settings)
    assert (len(prepared.train), len(prepared.heldout)) == (400, 80)
    assert len(prepare(preset(max_rows=50), settings).train) == 50


def test_bad_rows_stop_the_run_unless_they_are_dropped(tmp_path, settings):
    path = write(tmp_path / "rows.jsonl", [*ROWS, '{"prompt": "a" "b"}', {"prompt": "x"}, "[1]", ROWS[0]])
    with pytest.raises(DataError) as caught:
        prepare(preset(path), settings)
    assert caught.value.message == (
        "1 line is not JSON (first: rows.jsonl, line 21: Expecting ',' delimiter at column 16). There are 2 more "
        "problems.")
    prepared = prepare(preset(path, bad_rows="drop", test_size=0), settings)
    assert prepared.train == [*ROWS, ROWS[0]]
    assert told(prepared.left_out) == [
        ("rows.jsonl", 0, 21, "not_json"), ("rows.jsonl", 21, 22, "missing_completion"),
        ("rows.jsonl", 22, 23, "data_type")]


def test_where_no_row_is_left_the_most_frequent_reason_is_said(tmp_path, settings):
    path = write(tmp_path / "rows.jsonl", [{"prompt": "x"}, {"prompt": "", "completion": "y"}, {"prompt": "z"}])
    for bad_rows in ("drop", "fix"):
        with pytest.raises(DataError, match=r"No row is left to learn from. 2 of 3 rows have no answer \(first: row 1"):
            prepare(preset(path, bad_rows=bad_rows, completion_column="completion", prompt_column="prompt"), settings)


def test_repeated_rows_are_dropped_when_asked_and_told_of(tmp_path, settings):
    path = write(tmp_path / "rows.jsonl", [ROWS[0], ROWS[1], ROWS[0], *ROWS])
    assert len(prepare(preset(path, test_size=0), settings).train) == 23
    prepared = prepare(preset(path, test_size=0, drop_duplicates=True), settings)
    assert prepared.train == [ROWS[0], ROWS[1], *ROWS[2:]]
    assert told(prepared.left_out) == [("rows.jsonl", n, n, "duplicates") for n in (3, 4, 5)]
    assert [entry.detail for entry in prepared.left_out] == ["row 1", "row 1", "row 2"]


def test_secrets_are_masked_and_the_account_names_the_kind_alone(tmp_path, settings):
    token = "ghp_" + "a1" * 18
    rows = [{"prompt": f"use {token}", "completion": "mail bob@firm.com"}, *ROWS]
    path = write(tmp_path / "rows.jsonl", rows)
    prepared = prepare(preset(path, mask="secrets", test_size=0), settings)
    assert prepared.train[0] == {"prompt": "use [SECRET]", "completion": "mail bob@firm.com"}
    assert [(entry.row, entry.reason, entry.detail) for entry in prepared.changed] == [(1, "masked", "GitHub token")]
    prepared = prepare(preset(path, mask="all", test_size=0), settings)
    assert prepared.train[0]["completion"] == "mail [EMAIL]"
    assert token not in json.dumps(account.as_json(prepared.left_out, prepared.changed))


def test_a_windows_code_page_is_read_only_when_asked(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json_lines([*ROWS, {"prompt": "café à la crème", "completion": "é"}]).encode("cp1252"))
    for bad_rows, match in (("stop", "1 line is not UTF-8"), ("drop", "read as Windows-1252")):
        with pytest.raises(DataError, match=match):
            prepare(preset(path, bad_rows=bad_rows), settings)
    prepared = prepare(preset(path, bad_rows="fix", test_size=0), settings)
    assert prepared.train[-1]["prompt"] == "café à la crème"
    assert told(prepared.changed) == [("rows.jsonl", 0, 21, "encoding")]


def test_several_files_in_an_archive_are_one_set_that_can_be_parted_by_file(tmp_path, settings):
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as archive:
        archive.writestr("a.jsonl", json_lines(ROWS[:12]))
        archive.writestr("notes.exe", "MZ")
        archive.writestr("b.jsonl", json_lines([*ROWS[12:], {"prompt": ""}]))
    prepared = prepare(preset(tmp_path / "rows.zip", split_by="file", bad_rows="drop"), settings)
    assert (prepared.train, prepared.heldout) == (ROWS[:12], ROWS[12:])
    assert told(prepared.left_out) == [("rows.zip/notes.exe", 0, 0, "archive_member"),
                                       ("rows.zip/b.jsonl", 21, 9, "missing_prompt")]


def test_a_column_parts_the_rows(tmp_path, settings):
    rows = [row | {"author": i // 5, "day": f"2026-01-{20 - i:02}"} for i, row in enumerate(ROWS)]
    path = write(tmp_path / "rows.jsonl", rows)
    prepared = prepare(preset(path, split_by="group", split_column="author", test_size=0.3), settings)
    assert len(prepared.heldout) == 5 and ROWS.index(prepared.heldout[0]) % 5 == 0
    assert prepare(preset(path, split_by="time", split_column="day"), settings).heldout == ROWS[:2]
    with pytest.raises(DataError, match=r'no column "autor".*Did you mean "author"') as caught:
        prepare(preset(path, split_by="group", split_column="autor"), settings)
    assert caught.value.field == "data.split_column"
    with pytest.raises(DataError, match="needs the column that holds the time"):
        prepare(preset(path, split_by="time"), settings)


def test_labels_are_the_answers_unless_a_column_is_named(tmp_path, settings):
    rows = [{"text": f"row {i}", "label": "rare" if i % 5 == 0 else "common"} for i in range(50)]
    prepared = prepare(preset(write(tmp_path / "rows.jsonl", rows), split_by="label", test_size=0.2), settings)
    assert sorted(row["completion"] for row in prepared.heldout) == ["common"] * 8 + ["rare"] * 2


def test_what_leaks_across_the_split_is_counted(tmp_path, settings):
    rows = [{"prompt": "the same question", "completion": f"answer {i}"} for i in range(20)]
    prepared = look(preset(write(tmp_path / "rows.jsonl", rows)), settings)
    assert list(prepared.leakage.same_question) == [0, 1] and not prepared.leakage.exact


def test_a_look_lists_what_prepare_stops_at(tmp_path, settings):
    prepared = look(preset(write(tmp_path / "rows.jsonl", [ROWS[0], {"prompt": "x"}])), settings)
    assert [error.field for error in prepared.errors] == ["data.dataset_name", "data.test_size"]
    assert prepared.train == ROWS[:1]


def test_the_account_is_rows_of_json_and_words(tmp_path, settings):
    path = write(tmp_path / "rows.jsonl", [*ROWS, ROWS[0], ROWS[0], {"prompt": "x"}])
    prepared = prepare(preset(path, bad_rows="drop", drop_duplicates=True), settings)
    assert account.in_words(prepared.left_out) == "2 the same as an earlier row, 1 missing completion"
    assert account.as_json(prepared.left_out, [])[0] == {
        "left_out": True, "file": "rows.jsonl", "row": 23, "line": 23, "reason": "missing_completion", "detail": ""}


def test_rows_can_be_left_out_once_they_are_tokens(tmp_path, settings):
    prepared = prepare(preset(write(tmp_path / "rows.jsonl", ROWS)), settings)
    held = ROWS.index(prepared.heldout[1]) + 1
    some = prepared.refusal("heldout", {1: DataError("no such role.", "Change it.", "model.model_name_or_path")})
    assert some.message == f"1 of 2 rows cannot be used (first: row {held}): no such role."
    assert "data.bad_rows to drop" in some.hint and some.field == "data.bad_rows"
    prepared.leave_out("heldout", "template_refuses", {1: "no such role"})
    assert prepared.emptied() is None
    prepared.note_tokens("train", [(0, 90, True), (3, 80, True), *[(5, 9, False)] * 16])
    line = prepared.train_numbers[0]
    assert prepared.emptied().message == (
        f"1 row has nothing left to learn after the cut (first: rows.jsonl, line {line}: 90 tokens).")
    assert "data.bad_rows to drop" in prepared.emptied().hint
    assert len(prepared.heldout) == len(prepared.heldout_numbers) == 1
    assert [(entry.row, entry.reason) for entry in prepared.left_out] == [
        (held, "template_refuses"), (prepared.train_numbers[0], "all_labels_masked")]
    assert [(entry.row, entry.reason) for entry in prepared.changed] == [(prepared.train_numbers[1], "truncated")]
    assert ROWS[prepared.train_numbers[1] - 1] == prepared.train[1]

"""The cleaned rows as files: what training takes, the account of all others, and nothing of an earlier export."""

import json

import pytest

from studio.data.export import export
from studio.data.jsonl import read_jsonl
from studio.data.prepare import prepare
from studio.errors import DataError
from studio.preset.schema import Preset
from studio.settings import Settings

GOOD = [{"prompt": f"Which number follows {n}?", "completion": f"It is {n + 1}."} for n in range(20)]


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def preset(path, **data) -> Preset:
    return Preset(data={"dataset_name": str(path)} | data)


def test_the_files_hold_what_training_takes(tmp_path, settings):
    asked = preset(write(tmp_path / "rows.jsonl", GOOD), test_size=0.2)
    exported = export(asked, settings, tmp_path / "new" / "folder")
    prepared = prepare(asked, settings)
    assert read_jsonl(exported.folder / "train.jsonl") == prepared.train
    assert read_jsonl(exported.folder / "heldout.jsonl") == prepared.heldout
    assert (exported.train_rows, exported.heldout_rows) == (16, 4)
    assert (exported.source, exported.format) == ("rows.jsonl", "prompt_completion")
    assert sorted(path.name for path in exported.folder.glob("*.jsonl")) == ["heldout.jsonl", "train.jsonl"]
    assert exported.languages == {"en": 16}


def test_an_export_can_be_exported_again_without_change(tmp_path, settings):
    first = export(preset(write(tmp_path / "rows.jsonl", GOOD), test_size=0), settings, tmp_path / "a")
    again = export(preset(first.folder / "train.jsonl", test_size=0), settings, tmp_path / "b")
    assert (again.folder / "train.jsonl").read_bytes() == (first.folder / "train.jsonl").read_bytes()


def test_rows_left_out_are_listed_with_their_lines_and_reasons(tmp_path, settings):
    path = write(tmp_path / "rows.jsonl", [*GOOD, {"prompt": "Nothing follows.", "completion": ""}, GOOD[0]])
    with pytest.raises(DataError):
        export(preset(path), settings, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "what training refuses is not exported either"
    exported = export(preset(path, bad_rows="drop", drop_duplicates=True, test_size=0), settings, tmp_path / "out")
    assert exported.train_rows == 20
    listed = read_jsonl(exported.folder / "left_out.jsonl")
    assert sorted((row["line"], row["left_out"]) for row in listed) == [(21, True), (22, True)]
    assert exported.left_out.count("1 ") == 2 and not exported.changed


def test_files_of_an_earlier_export_do_not_stay(tmp_path, settings):
    path = write(tmp_path / "rows.jsonl", [*GOOD, {"prompt": "x", "completion": ""}])
    export(preset(path, bad_rows="drop", test_size=0.2), settings, tmp_path / "out")
    assert (tmp_path / "out" / "left_out.jsonl").exists()
    write(path, GOOD)
    export(preset(path, test_size=0), settings, tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").glob("*.jsonl")] == ["train.jsonl"]


def test_secrets_are_masked_where_the_preset_says_so(tmp_path, settings):
    secret = {"prompt": "What is the key?", "completion": "It is hf_" + "aBcDeFgHiJ" * 3 + "kLmN."}
    path = write(tmp_path / "rows.jsonl", [*GOOD, secret])
    exported = export(preset(path, mask="secrets", test_size=0), settings, tmp_path / "out")
    assert "hf_aB" not in (tmp_path / "out" / "train.jsonl").read_text()
    assert "masked" in exported.changed


def test_a_folder_that_cannot_be_written_is_said(tmp_path, settings):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="cannot be written"):
        export(preset(write(tmp_path / "rows.jsonl", GOOD)), settings, tmp_path / "file")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["train.jsonl", "heldout.jsonl", "left_out.jsonl"])
def test_a_file_that_no_export_wrote_is_neither_replaced_nor_deleted(tmp_path, settings, name):
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / name).write_text("mine\n")
    with pytest.raises(DataError, match=f"{name} is there already, and not as an export wrote it"):
        export(preset(write(tmp_path / "rows.jsonl", GOOD), test_size=0), settings, folder)
    assert contents(folder) == {name: b"mine\n"}


def test_an_exported_file_changed_since_is_kept(tmp_path, settings):
    asked = preset(write(tmp_path / "rows.jsonl", GOOD), test_size=0.2)
    folder = export(asked, settings, tmp_path / "out").folder
    with open(folder / "heldout.jsonl", "a") as file:
        file.write("one more by hand\n")
    before = contents(folder)
    with pytest.raises(DataError, match="not as an export wrote it"):
        export(asked, settings, folder)
    assert contents(folder) == before


@pytest.mark.parametrize("field", ["dataset_name", "dataset_test_split"])
def test_the_data_set_itself_is_never_overwritten(tmp_path, settings, field):
    rows = write(tmp_path / "rows.jsonl", [*GOOD, {"prompt": "x", "completion": ""}])
    folder = export(preset(rows, bad_rows="drop", test_size=0.2), settings, tmp_path / "out").folder
    before = contents(folder)
    link = tmp_path / "link.jsonl"
    link.symlink_to(folder / "train.jsonl")
    for source in (folder / "train.jsonl", link):
        with pytest.raises(DataError, match=r"train\.jsonl is the data set itself"):
            export(preset(rows, **{"bad_rows": "drop", field: str(source)}), settings, folder)
    assert contents(folder) == before

"""Several uploaded files become one data set."""

import json

import pytest

from studio.data.sources import read_rows
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.ui.uploads import store_uploads


def file(folder, name, text):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({"text": text}) + "\n")
    return folder / name


def test_several_files_are_one_data_set_in_their_order(settings, tmp_path):
    paths = [file(tmp_path / "a", "rows.jsonl", "one"), file(tmp_path / "b", "rows.jsonl", "two")]
    name = store_uploads(settings, paths)
    table = read_rows(DataSection(dataset_name=name), settings)
    assert [row["text"] for row in table.rows] == ["one", "two"]
    assert [shown.rpartition("/")[2] for _, shown in table.files] == ["rows.jsonl", "2-rows.jsonl"]
    assert store_uploads(settings, paths) == name and len(list(settings.uploads_dir.iterdir())) == 1


def test_a_file_that_cannot_hold_rows_is_refused(settings, tmp_path):
    with pytest.raises(DataError, match="not a kind of file"):
        store_uploads(settings, [file(tmp_path / "a", "rows.pkl", "one")])

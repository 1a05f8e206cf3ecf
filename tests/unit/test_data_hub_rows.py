"""Rows of the Hub on their way through an examination are kept whole or not at all, in order, and not for ever."""

import os
import time
from pathlib import Path

import pyarrow
import pytest

from studio.data import hub_rows
from studio.data.hub_rows import batches, count, folder_of, is_kept, keeping
from studio.preset.schema import DataSection
from studio.settings import Settings

ROWS = [[{"a": 1}, {"a": 2}], [{"a": None}], [{"a": 3, "b": ["x"]}], [{"a": 4}]]
TABLES = [pyarrow.Table.from_pylist(rows) for rows in ROWS]


def kept(folder):
    return [row for batch in batches(folder) for row in batch]


def test_tables_of_any_schema_come_back_in_their_order(tmp_path):
    assert not is_kept(tmp_path / "set")
    assert list(keeping(tmp_path / "set", iter(TABLES))) == TABLES
    assert is_kept(tmp_path / "set") and count(tmp_path / "set") == 5
    assert kept(tmp_path / "set") == [row for rows in ROWS for row in rows]
    list(keeping(tmp_path / "set", iter(TABLES[:1])))
    assert kept(tmp_path / "set") == ROWS[0] and os.listdir(tmp_path) == ["set"]


def test_a_limit_ends_them_before_the_last_is_taken(tmp_path):
    tables = keeping(tmp_path / "set", iter(TABLES), 3)
    next(tables), next(tables)
    tables.close()
    assert kept(tmp_path / "set") == ROWS[0] + ROWS[1] and count(tmp_path / "set") == 3


@pytest.mark.parametrize("how", ["broken off", "too many", "no room", "no room at all"])
def test_what_is_not_whole_is_not_kept(tmp_path, monkeypatch, how):
    def full(*_, **__):
        raise OSError("No space left on device")

    if how == "too many":
        monkeypatch.setattr(hub_rows, "MOST_BYTES", 40)
    if how == "no room":
        monkeypatch.setattr(Path, "write_text", full)
    if how == "no room at all":
        monkeypatch.setattr(hub_rows.tempfile, "mkdtemp", full)
    tables = keeping(tmp_path / "set", iter(TABLES))
    next(tables)
    if how == "broken off":
        tables.close()
    else:
        assert list(tables) == TABLES[1:]
    assert not is_kept(tmp_path / "set") and not os.listdir(tmp_path)


def test_old_sets_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(hub_rows, "KEPT_SETS", 2)
    for age, name in ((60, "first"), (30, "second"), (0, "third")):
        list(keeping(tmp_path / name, iter(TABLES)))
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    assert {path.name for path in tmp_path.iterdir()} == {"second", "third"}
    os.utime(tmp_path / "third" / "rows", (1, 1))
    assert not is_kept(tmp_path / "third")


def test_rows_that_a_token_opened_are_found_with_that_token_alone(tmp_path, monkeypatch):
    section, settings = DataSection(dataset_name="ana/secret"), Settings(data_dir=tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_one")
    assert folder_of(section, settings, None) == folder_of(section, settings, "hf_one")
    assert folder_of(section, settings, "hf_two") != folder_of(section, settings, "hf_one")

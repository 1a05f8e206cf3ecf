"""Data sets of the Hub, through the real client libraries against a Hub of the test's own."""

import io
import json
import os
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest

from studio.settings import PROJECT_DIR
from tests.hub_server import HubServer

ROWS = [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(30)]
READ = """
import json, sys, time
waits, sleep = [], time.sleep
time.sleep = lambda seconds: waits.append(seconds) or sleep(seconds)
import tempfile
from pathlib import Path
from datasets import DatasetBuilder
from studio.data.doctor import examine
from studio.data.hub import read_hub, stream_hub
from studio.data.rows import Query, find_rows
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings
answers, settings = [], Settings(data_dir=Path(tempfile.mkdtemp()))
streaming = DatasetBuilder.as_streaming_dataset
def pages(fields):
    found = find_rows(DataSection(**fields), settings, Query(offset=1090, limit=2))
    return [found.total, found.searched, found.only_first, [row.number for row in found.rows]]
for case in json.load(sys.stdin):
    DatasetBuilder.as_streaming_dataset = None if case[0] == "local" else streaming
    try:
        if case[0] == "pages":
            before, usable = pages(case[1]), examine(DataSection(**case[1]), settings, thorough=False).usable_rows
            DatasetBuilder.as_streaming_dataset = None
            answers.append([before, usable, pages(case[1]), examine(DataSection(**case[1]), settings).usable_rows])
        elif case[0] in ("stream", "local"):
            rows = stream_hub(*case[1:])
            answers.append([[row for batch in rows.batches for row in batch], rows.total])
        else:
            answers.append(read_hub(*case))
    except DataError as error:
        answers.append([error.message, error.hint, error.field, sum(waits)])
json.dump(answers, sys.stdout)
"""


def parquet(rows):
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def read(home, cases, **environment):
    """Read each (name, config, split, token, limit) in a fresh process: the clients read the address at import."""
    process = subprocess.run([sys.executable, "-c", READ], input=json.dumps(cases), capture_output=True, text=True,
                             cwd=PROJECT_DIR, env=os.environ | {"HF_HOME": str(home)} | environment, timeout=600)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    configs = (b"---\nconfigs:\n- config_name: small\n  data_files: small.jsonl\n"
               b"- config_name: big\n  data_files: big.jsonl\n---\n")
    with HubServer() as hub:
        token = hub.add_user("ana")
        hub.add_repo("ana/pairs", kind="datasets", files={
            "README.md": b"---\nlicense: mit\n---\n", "data/train-00000-of-00001.parquet": parquet(ROWS),
            "data/test-00000-of-00001.parquet": parquet(ROWS[:4])})
        hub.add_repo("ana/two", kind="datasets", files={
            "README.md": configs, "small.jsonl": lines(ROWS[:3]), "big.jsonl": lines(ROWS)})
        hub.add_repo("ana/many", kind="datasets", files={"train.jsonl": lines(
            [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(1200)])})
        hub.add_repo("ana/gated", kind="datasets", gated=True, files={
            "README.md": b"---\nlicense: mit\n---\n", "train.jsonl": lines(ROWS)})
        hub.add_repo("ana/secret", kind="datasets", private=True, files={
            "README.md": b"---\nlicense: mit\n---\n", "train.jsonl": lines(ROWS)})
        hub.add_repo("ana/unread", kind="datasets", files={"train.jsonl": lines(ROWS)})
        hub.add_repo("ana/script", kind="datasets", files={"script.py": b"raise SystemExit('executed')"})
        moved = hub.add_repo("ana/moved", kind="datasets", files={"train.jsonl": lines(ROWS[:3])})
        old = moved.head.oid
        hub.add_commit(moved, "more rows", moved.head.files | {"train.jsonl": hub.keep("train.jsonl", lines(ROWS))})
        cases = {
            "all": ["ana/pairs", "", "train", None, 0], "some": ["ana/pairs", "", "train", None, 7],
            "test": ["ana/pairs", "", "test", None, 0], "no split": ["ana/pairs", "", "validation", None, 0],
            "no split, some": ["ana/pairs", "", "validation", None, 7],
            "config": ["ana/two", "small", "train", None, 0], "no config": ["ana/two", "", "train", None, 0],
            "bad config": ["ana/two", "huge", "train", None, 0], "unknown": ["ana/none", "", "train", None, 0],
            "gated": ["ana/gated", "", "train", None, 0], "private": ["ana/secret", "", "train", None, 0],
            "private, with token": ["ana/secret", "", "train", token, 5],
            "wrong token": ["ana/unread", "", "train", "hf_expired", 5],
            "first": ["ana/pairs", "", "train[:7]", None, 0], "middle": ["ana/pairs", "", "train[10%:20%]", None, 0],
            "first, some": ["ana/pairs", "", "train[2:7]", None, 3],
            "joined, some": ["ana/pairs", "", "train[:2]+test[:1]", None, 9],
            "last, some": ["ana/pairs", "", "train[-2:]", None, 9],
            "old": ["ana/moved", "", "train", None, 0, old], "new": ["ana/moved", "", "train", None, 0],
            "old, some": ["ana/moved", "", "train", None, 2, old],
            "no revision": ["ana/moved", "", "train", None, 0, "v9"],
            "stream": ["stream", "ana/pairs", "", "train", None],
            "stream old": ["stream", "ana/moved", "", "train", None, old],
            "stream part": ["stream", "ana/pairs", "", "train[10%:20%]", None],
            "stream lines": ["stream", "ana/two", "big", "train[5:9]", None],
            "stream percent of lines": ["stream", "ana/two", "big", "train[:10%]", None],
            "stream no split": ["stream", "ana/pairs", "", "validation", None],
            "script": ["ana/script", "", "train", None, 0],
            "local": ["local", "ana/pairs", "", "train[2:7]", None],
            "pages": ["pages", {"dataset_name": "ana/many"}],
            "pages of a part": ["pages", {"dataset_name": "ana/many", "max_rows": 1100}],
        }
        return dict(zip(cases, read(home, list(cases.values()), **hub.environment(home)), strict=True))


def test_a_split_is_read_whole_or_in_part(answers):
    assert answers["all"] == [ROWS, 30]
    assert answers["some"][0] == ROWS[:7]
    assert answers["test"] == [ROWS[:4], 4]
    assert answers["config"] == [ROWS[:3], 3]
    assert answers["private, with token"][0] == ROWS[:5]


@pytest.mark.parametrize(("case", "rows", "total"), [
    ("first", ROWS[:7], 7), ("middle", ROWS[3:6], 3), ("first, some", ROWS[2:5], 5),
    ("joined, some", ROWS[:2] + ROWS[:1], 3), ("last, some", ROWS[-2:], 2),
    ("old", ROWS[:3], 3), ("new", ROWS, 30), ("old, some", ROWS[:2], 3),
    ("stream", ROWS, 30), ("stream old", ROWS[:3], 3), ("stream part", ROWS[3:6], 3),
    ("stream lines", ROWS[5:9], None), ("stream percent of lines", ROWS[:3], 3)])
def test_parts_and_older_revisions_of_a_split(answers, case, rows, total):
    assert answers[case] == [rows, total]


@pytest.mark.parametrize(("case", "message", "field"), [
    ("no split", 'ana/pairs has no split "validation".', "data.dataset_train_split"),
    ("no split, some", 'ana/pairs has no split "validation".', "data.dataset_train_split"),
    ("no config", "ana/two has several configurations.", "data.dataset_config"),
    ("bad config", 'ana/two has no configuration "huge".', "data.dataset_config"),
    ("unknown", "There is no data set ana/none on the Hub that you may see.", ""),
    ("no revision", 'ana/moved has no revision "v9".', "data.dataset_revision"),
    ("stream no split", 'ana/pairs has no split "validation".', "data.dataset_train_split"),
    ("wrong token", "The Hub does not accept your token; it is wrong or has expired.", ""),
    ("gated", "ana/gated is gated: its owner must let you in.", ""),
    ("private", "There is no data set ana/secret on the Hub that you may see.", ""),
])
def test_what_cannot_be_had_is_said_with_the_next_step(answers, case, message, field):
    said, hint, at, _ = answers[case]
    assert (said, at) == (message, field)
    assert hint


def test_the_hints_name_what_there_is(answers):
    assert "train, test" in answers["no split"][1]
    assert answers["no config"][1] == answers["bad config"][1] == "Choose one of small, big."


def test_what_was_downloaded_before_is_not_streamed(answers):
    assert answers["local"] == [ROWS[2:7], 5]


def test_all_rows_can_be_paged_once_an_examination_has_read_them(answers):
    assert answers["pages"] == [[1000, 1000, True, []], 1200, [1200, 1200, False, [1091, 1092]], 1200]
    assert answers["pages of a part"] == [[1000, 1000, True, []], 1100, [1100, 1100, False, [1091, 1092]], 1100]


def test_a_script_is_refused_and_not_run(answers):
    assert answers["script"][0].startswith("ana/script cannot be read")


@pytest.mark.parametrize("limit", [0, 7])
def test_an_unreachable_hub_is_said_at_once_with_the_way_out(tmp_path, limit):
    [[message, hint, _, waited_s]] = read(
        tmp_path, [["ana/pairs", "", "train", None, limit]], HF_ENDPOINT="http://127.0.0.1:9", NO_PROXY="127.0.0.1")
    assert message == "The Hub cannot be reached, and ana/pairs is not on this machine."
    assert "upload" in hint
    assert waited_s < 5, "it is not tried again and again"

"""The doctor on data sets of the Hub: streamed, so that their size costs neither memory nor disk."""

import json
import os
import subprocess
import sys

import pytest

from studio.settings import PROJECT_DIR
from tests.hub_server import HubServer

ROWS = 150_000
# getrusage would begin with the memory of the process that started this one, which holds the data set itself
STREAM = """
import json, sys
from studio.data.hub import stream_hub
def most_kb():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
rows = stream_hub("ana/large", "", "train", None)
read = len(next(rows.batches))
before = most_kb()
read += sum(map(len, rows.batches))
grown = most_kb() - before
print(json.dumps({"rows": read, "grown_kb": grown, "has_torch": "torch" in sys.modules}))
"""
EXAMINE = """
import json, sys
from pathlib import Path
from studio.data import doctor
from studio.preset.schema import DataSection
from studio.settings import Settings
report = doctor.examine(DataSection(**json.loads(sys.argv[1])), Settings(data_dir=Path(sys.argv[2])))
print(json.dumps([report.rows, report.usable_rows, report.files[0]["rows"], report.verdict]))
"""


@pytest.fixture(scope="module")
def hub():
    with HubServer() as hub:
        text = "The answer to this question is long and always the same. " * 20
        data = "".join(json.dumps({"prompt": f"question {n}", "completion": f"{n} {text}"}) + "\n" for n in range(ROWS))
        hub.add_repo("ana/large", {"train.jsonl": data.encode()}, kind="datasets")
        hub.size = len(data)
        yield hub


def run(hub, home, code: str, *arguments: str):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=PROJECT_DIR, text=True,
                          env=environment | hub.environment(home / "hf"), capture_output=True)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return json.loads(done.stdout)


def test_a_large_data_set_is_read_in_little_memory_and_kept_on_no_disk(hub, tmp_path):
    assert hub.size > 170e6
    found = run(hub, tmp_path, STREAM)
    assert found["rows"] == ROWS and not found["has_torch"]
    assert found["grown_kb"] * 1000 < hub.size / 2
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < hub.size / 10


@pytest.mark.parametrize("section", [{"dataset_train_split": "train[1000:1500]"}, {"max_rows": 500}])
def test_a_part_is_examined_and_the_rest_not_read(hub, tmp_path, section):
    before = hub.count("resolve")
    rows, usable, in_file, verdict = run(
        hub, tmp_path, EXAMINE, json.dumps({"dataset_name": "ana/large"} | section), str(tmp_path))
    assert rows == usable == in_file == 500
    assert verdict.startswith("500 rows are enough for a clear task")
    assert hub.count("resolve") - before < 20

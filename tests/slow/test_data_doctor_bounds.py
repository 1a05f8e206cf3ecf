"""Bad input of each kind costs bounded time and memory, and ends in a report or a sentence."""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile

import pyarrow
import pyarrow.parquet
import pytest

from studio.settings import PROJECT_DIR

ROW = json.dumps({"prompt": "question", "completion": "answer"}).encode() + b"\n"
CPU_SECONDS, BYTES = 30, 700_000_000
# the command line, and then the most memory that was resident, in KiB
MEASURED = """
import sys
from studio import cli
code = cli.main(sys.argv[1:])
print(open("/proc/self/status").read().split("VmHWM:")[1].split()[0], flush=True)
sys.exit(code)
"""


def zip_of(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_bomb():
    """Zeros pack a thousand to one."""
    return zip_of([(f"{i}.jsonl", bytes(100_000_000)) for i in range(3)] + [("good.jsonl", ROW * 20)])


def parquet_bomb():
    buffer = io.BytesIO()
    table = pyarrow.table({"text": pyarrow.repeat("x" * 1000, 500_000)})
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "make", "said"), [
    ("rows.zip", zip_bomb, "may be a bomb"),
    ("rows.jsonl.gz", lambda: gzip.compress(bytes(300_000_000)), "may be a bomb"),
    ("rows.parquet", parquet_bomb, "may be a bomb"),
    ("rows.zip", lambda: zip_of((f"{i}.jsonl", b"{}") for i in range(10_001)), "holds 10,001 files"),
    ("rows.jsonl", lambda: ROW * 20 + (b'{"prompt": "' + b"long " * 1_000_000 + b'", "completion": "a"}\n') * 6,
     "6 lines are longer than 1 MB"),
    ("rows.jsonl", lambda: ROW * 20 + b"x" * 150_000_000 + b"\n" + ROW, "1 line is longer than 32 MB"),
], ids=["zip bomb", "gzip bomb", "columns bomb", "many members", "lines of 5 MB", "a line of 150 MB"])
def test_bad_input_is_bounded(tmp_path, name, make, said):
    path = tmp_path / name
    path.write_bytes(make())
    with open(tmp_path / "said", "w+") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", MEASURED, "doctor", str(path)], stdout=out, stderr=out, cwd=PROJECT_DIR,
            env=os.environ | {"STUDIO_DATA_DIR": str(tmp_path / "studio"), "OMP_NUM_THREADS": "1"})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    path.unlink()
    assert process.returncode in (0, 1, 2), text
    assert "Traceback" not in text
    assert any(part in text for part in said.split("|")), text
    # what wait4 says of the memory begins with that of the process that started it
    assert 1024 * int(text.split()[-1]) < BYTES
    assert used.ru_utime + used.ru_stime < CPU_SECONDS

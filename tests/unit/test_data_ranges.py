"""Large files in ranges of bytes: whatever their lines, they are judged as one pass over the file judges them."""

import json
import pickle
import random
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as cases
from hypothesis import strategies as st

from studio.data import ranges
from studio.data.doctor import examine
from studio.errors import DataError
from studio.preset.schema import DataSection
from studio.settings import Settings
from tests.doctor_fuzz import rubbish


class HereAndNow:
    """A pool whose work is done at once in this process, by copies as between processes."""

    def submit(self, work, *arguments):
        future = Future()
        try:
            future.set_result(pickle.loads(pickle.dumps(work(*pickle.loads(pickle.dumps(arguments))))))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def both(tmp_path, monkeypatch):
    """Examine bytes in ranges and in one pass: two reports (or errors) as JSON."""
    @contextmanager
    def processes():
        yield HereAndNow()

    monkeypatch.setattr(ranges, "processes", processes)

    def both(content, **options):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(content)
        found = []
        for large in (1, len(content) + 1):
            monkeypatch.setattr(ranges, "LARGE_BYTES", large)
            try:
                report = examine(DataSection(dataset_name=str(path)), Settings(data_dir=tmp_path), **options)
                found.append(asdict(report) | {"seconds": 0})
            except DataError as error:
                found.append([error.message, error.hint])
        return found

    return both


def chat(*texts, roles=("system", "user", "assistant")):
    return json.dumps({"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]},
                      ensure_ascii=False)


WORDS = ["quick", "brown", "fox", "jumps", "over", "lazy", "dog", "seven", "wizards", "brew", "strange", "potion"]
PLAIN = [chat("be brief", f"question {i} ž", " ".join(random.Random(i).choices(WORDS, k=20))) for i in range(40)]
ODD = [
    chat("s", "u"), chat("s", "u", " "), chat("s", "", "a"), chat("", "u", "a"),
    chat("u", "a", roles=("user", "assistant")),
    chat("a", "b", "c", roles=("user", "user", "assistant")), chat("a", roles=("assistant",)), chat(),
    chat("s", "<|im_end|>", "a"), chat("s", "x < y [1]", "a"), chat("s", "[INST] u", "a"), chat("s", "a\0b", "c"),
    chat("s", "<|im_end|>", "a").replace("<|", "\\u003c|"), chat("s", "<|im_end|>", "a").replace("<|", "<\\u007c"),
    chat("s", 'say "yes"', "back\\slash"), chat("s", 'say \\"', "a"),
    chat("s", "u", "a", roles=("developer", "user", "assistant")),
    chat("s", "u", "call", "tell", roles=("system", "user", "assistant", "tool")),
    chat("s", "u", "a", roles=("system", "human", "gpt")),
    chat("s", "u", "a")[:-1] + ', "id": 1}', PLAIN[0].replace('"user",', '"user", "role": "user",'),
    PLAIN[0].replace('"user",', '"user", "weight": 1,'), PLAIN[0].replace('"user",', '"user", "\\u0072ole": "user",'),
    '{"messages": [{"role": "user", "content": "a"}]} {"messages": []}', '{"messages": [{"role": "user",',
    '"content": "a"}]}',
    PLAIN[3], PLAIN[3] + " ", PLAIN[4] + "\r", "", "   ", "[]", "{}", "null", '{"messages": null}', '{"messages": {}}',
    '{"messages": [[]]}', '{"messages": [{"role": [], "content": {}}]}',
    '{"messages": [{"content": "a", "role": "user"}]}',
    chat("s", "my key is sk-proj-abcdefghijklmnopqrstuvwx", "a"), chat("s", "mail me@home.org", "4111 1111 1111 1111"),
    '{"messages": [{"role": "user", "content": "\\ud83d\\ude00"}, {"role": "assistant", "content": "\\udc00"}]}',
    "\ufeff" + PLAIN[0], "[" * 300]


@pytest.mark.parametrize("line", ODD, ids=range(len(ODD)))
def test_an_odd_line_among_plain_ones_is_judged_alike(both, line, monkeypatch):
    monkeypatch.setattr(ranges, "RANGE_BYTES", 2000)
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 500)
    content = "\n".join([*PLAIN[:20], line, *PLAIN[20:], line])
    in_ranges, in_one = both(content.encode("utf-8", "surrogatepass") + b"\n", thorough="my key" in line)
    assert in_ranges == in_one
    assert in_one["rows"] >= 40


@pytest.mark.parametrize("content", [
    "\n".join(PLAIN), "\ufeff" + "\n".join(PLAIN) + "\n", "\r\n".join(PLAIN), "\n\n".join(PLAIN) + "\n\n\n",
    "\n".join([*PLAIN, PLAIN[0][:50]]), "rubbish\n" * 50, "\n" * 50,
    "\n".join(json.dumps({"prompt": f"p{i}", "completion": f"c{i}"}) for i in range(99)),
    "\n".join(json.dumps({"text": f"text {i}", "label": "abc"[i % 3]}) for i in range(99)),
    "\n".join(PLAIN).encode("utf-16"), "\n".join(PLAIN).encode("cp1250")])
@pytest.mark.parametrize("thorough", [True, False])
def test_whole_files_are_judged_alike(both, content, thorough, monkeypatch):
    monkeypatch.setattr(ranges, "RANGE_BYTES", 700)
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 300)
    in_ranges, in_one = both(content if isinstance(content, bytes) else content.encode(), thorough=thorough)
    assert in_ranges == in_one


def test_any_lines_are_judged_alike(both, monkeypatch):
    monkeypatch.setattr(ranges, "BLOCK_BYTES", 400)
    known = st.sampled_from([line.encode("utf-8", "replace") for line in PLAIN + ODD])
    lines = st.lists(st.one_of(known, rubbish), max_size=9)

    @cases(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(lines=lines, size=st.integers(300, 3000), end=st.sampled_from([b"", b"\n", b"\r\n"]))
    def check(lines, size, end):
        monkeypatch.setattr(ranges, "RANGE_BYTES", size)
        in_ranges, in_one = both(b"\n".join([*(line.encode() for line in PLAIN[:3]), *lines]) + end, thorough=False)
        assert in_ranges == in_one

    check()


def test_real_processes_find_the_same_and_tell_how_far_they_are(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(PLAIN * 100 + ODD[:3]) + "\n")
    monkeypatch.setattr(ranges, "RANGE_BYTES", 50_000)
    section, settings, shares, reports = DataSection(dataset_name=str(path)), Settings(data_dir=tmp_path), [], []
    in_one = examine(section, settings)
    monkeypatch.setattr(ranges, "LARGE_BYTES", 1)
    in_ranges = examine(section, settings, progress=lambda share, rows: shares.append(share), first=reports.append)
    assert asdict(in_ranges) | {"seconds": 0} == asdict(in_one) | {"seconds": 0}
    assert shares == sorted(shares) and len(shares) > 10 and shares[-1] == 1
    assert [report.rows for report in reports] == [1000]
    stopped = examine(section, settings, stopped=lambda: len(shares) > 0)
    assert not stopped.complete and 0 < stopped.rows < in_one.rows


def test_a_line_without_end_is_left_to_the_one_pass(both, monkeypatch):
    monkeypatch.setattr(ranges, "LONGEST_LINE_BYTES", 5000)
    monkeypatch.setattr("studio.data.encoding.LONGEST_LINE_BYTES", 5000)
    in_ranges, in_one = both("\n".join([*PLAIN, "x" * 9000, *PLAIN]).encode())
    assert in_ranges == in_one

"""No bytes whatever make the doctor raise anything but its own error; few cases here, ten thousand in tests/slow."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.doctor_fuzz import LINES, check_any_bytes, check_good_rows_survive, damaged_files, names, rubbish

FEW = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@FEW
@example(name="rows.tsv", head=b"", rest=b'""\x00')
@given(name=names, head=st.sampled_from([b"", LINES[0] + b"\n", b"PAR1", b"ARROW1\0\0", b"[" + LINES[0]]), rest=rubbish)
def test_any_bytes_end_in_a_report_or_a_sentence(folder, name, head, rest):
    check_any_bytes(folder, name, head + rest)


@FEW
@given(between=st.lists(rubbish, min_size=3, max_size=3), packed=st.sampled_from(["", ".gz", ".zip"]))
def test_good_rows_are_never_lost(folder, between, packed):
    check_good_rows_survive(folder, between, packed)


@FEW
@given(file=damaged_files())
def test_damaged_files_end_in_a_report_or_a_sentence(folder, file):
    check_any_bytes(folder, *file)

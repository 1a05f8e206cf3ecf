"""The claims of tests/unit/test_data_doctor_fuzz.py over 10,000 cases in all (STUDIO_FUZZ_CASES: another number)."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.doctor_fuzz import LINES, check_any_bytes, check_good_rows_survive, damaged_files, names, rubbish

CASES = int(os.environ.get("STUDIO_FUZZ_CASES", "10000"))


def some(share):
    """A share of the cases."""
    return settings(max_examples=int(share * CASES), deadline=None, derandomize=True,
                    suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@some(0.4)
@given(name=names, head=st.sampled_from([b"", LINES[0] + b"\n", b"PAR1", b"ARROW1\0\0", b"[" + LINES[0]]), rest=rubbish)
def test_any_bytes_end_in_a_report_or_a_sentence(folder, name, head, rest):
    check_any_bytes(folder, name, head + rest)


@some(0.3)
@given(between=st.lists(rubbish, min_size=3, max_size=3), packed=st.sampled_from(["", ".gz", ".zip"]))
def test_good_rows_are_never_lost(folder, between, packed):
    check_good_rows_survive(folder, between, packed)


@some(0.3)
@given(file=damaged_files())
def test_damaged_files_end_in_a_report_or_a_sentence(folder, file):
    check_any_bytes(folder, *file)

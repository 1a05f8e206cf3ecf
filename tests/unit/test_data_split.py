"""Rows are parted as asked, equal rows stay together, and what leaks across the split is told."""

from datetime import UTC, datetime

import pytest

from studio.data.split import part, row_digest
from studio.errors import DataError

ROWS = [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(20)]


def parted(rows, by="random", test_size=0.2, seed=1, values=(), files=()):
    parts = part([row_digest(row) for row in rows], by, test_size, seed, values, files)
    assert sorted(parts.train + parts.heldout) == list(range(len(rows)))
    assert parts.train == sorted(parts.train) and parts.heldout == sorted(parts.heldout)
    return parts


def test_the_same_seed_parts_the_same():
    for by, values in (("random", ()), ("label", ["a", "b"] * 10), ("group", [i // 2 for i in range(20)])):
        assert parted(ROWS, by, values=values) == parted(ROWS, by, values=values)
        assert parted(ROWS, by, values=values) != parted(ROWS, by, values=values, seed=2)


def test_equal_rows_stay_on_one_side():
    rows = [{"text": str(i % 10)} for i in range(100)]
    for by, values in (("random", ()), ("label", ["a"] * 100), ("group", range(100)), ("time", range(100))):
        for seed in range(5):
            parts = parted(rows, by, values=values, seed=seed)
            assert not {rows[i]["text"] for i in parts.train} & {rows[i]["text"] for i in parts.heldout}
            assert len(parts.heldout) == 20


def test_each_label_gives_the_same_share_and_keeps_a_row_to_learn_from():
    labels = ["common"] * 50 + ["rare"] * 10 + ["single"] * 1
    rows = [{"text": str(i)} for i in range(61)]
    for seed in range(5):
        heldout = [labels[i] for i in parted(rows, "label", values=labels, seed=seed).heldout]
        assert (heldout.count("common"), heldout.count("rare"), heldout.count("single")) == (10, 2, 0)


def test_groups_are_never_torn_and_equal_rows_join_their_groups():
    groups = [i // 4 for i in range(20)]
    rows = list(ROWS)
    rows[0] = rows[19]
    for seed in range(5):
        parts = parted(rows, "group", test_size=0.4, values=groups, seed=seed)
        assert not {groups[i] for i in parts.train} & {groups[i] for i in parts.heldout}
        assert (0 in parts.heldout) == (19 in parts.heldout)
        assert len(parts.heldout) == 8


def test_where_no_group_is_small_enough_the_smallest_is_held_back():
    groups = ["a"] * 8 + ["b"] * 5 + ["c"] * 7
    for seed in range(5):
        assert parted(ROWS, "group", test_size=0.1, values=groups, seed=seed).heldout == list(range(8, 13))
    assert len(parted([{"text": str(i // 2)} for i in range(8)], test_size=0.1).heldout) == 2


def test_rows_without_a_group_stand_for_themselves():
    parts = parted(ROWS, "group", values=["", None] * 10)
    assert len(parts.heldout) == 4


@pytest.mark.parametrize("times", [
    [f"2026-01-{day:02}" for day in range(1, 21)],
    [f"2026-01-{day:02}T10:00:00+02:00" for day in range(1, 21)],
    [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 21)],
    [datetime(2026, 1, day).date() for day in range(1, 21)],
    [1_700_000_000 + day for day in range(20)],
    [str(1.5 * day) for day in range(20)],
])
def test_the_latest_rows_are_held_back(times):
    assert parted(ROWS, "time", values=times).heldout == [16, 17, 18, 19]
    assert parted(ROWS, "time", values=times[::-1]).heldout == [0, 1, 2, 3]


def test_rows_of_one_moment_stay_together_and_those_without_are_learned_from():
    assert parted(ROWS, "time", values=[1] * 10 + [2] * 10).heldout == list(range(10, 20))
    assert parted(ROWS, "time", values=[None] * 18 + [1, 2]).heldout == [18, 19]
    assert parted(ROWS, "time", values=[1] * 17 + [3, 2, 2]).heldout == [17, 18, 19]


def test_a_value_that_is_no_time_is_named():
    for value in ("yesterday", "nan", [1], float("inf"), 10**400):
        with pytest.raises(DataError, match="is not a time") as caught:
            parted(ROWS, "time", values=[1] * 19 + [value])
        assert caught.value.field == "data.split_column"


def test_the_last_file_is_held_back_but_for_rows_that_others_have_too():
    files = [0] * 8 + [1] * 8 + [2] * 4
    assert parted(ROWS, "file", files=files).heldout == [16, 17, 18, 19]
    assert parted([*ROWS[:19], ROWS[0]], "file", files=files).heldout == [16, 17, 18]
    with pytest.raises(DataError, match="one file"):
        parted(ROWS, "file", files=[0] * 20)


def test_rows_that_cannot_be_parted_say_so():
    for rows in ([{"text": "a"}], [{"text": "a"}] * 8):
        with pytest.raises(DataError, match="cannot be parted") as caught:
            parted(rows, test_size=0.1)
        assert caught.value.field == "data.test_size"
    with pytest.raises(DataError, match="by whole groups"):
        parted(ROWS, "group", values=["one"] * 20)
    with pytest.raises(DataError, match=r"cannot be parted by label.*Name the column of labels"):
        parted(ROWS, "label", values=range(20))


def test_rows_are_equal_whatever_the_order_of_their_keys_and_the_kind_of_their_values():
    assert row_digest({"a": 1, "b": "x"}) == row_digest({"b": "x", "a": 1}) != row_digest({"a": 1, "b": "y"})
    assert row_digest({"a": 10**30}) == row_digest({"a": 10**30}) != row_digest({"a": 10**31})
    assert row_digest({"a": datetime(2026, 1, 1)}) != row_digest({"a": datetime(2026, 1, 2)})

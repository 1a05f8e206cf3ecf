"""Energy is summed over counters that begin anew, and told only where one can be read."""

import pytest

from studio.worker.energy import Counter, EnergyMeter, find_counters
from tests.seconds import wait_until


def counter(values, part="cpu", wraps_at=0.0):
    """A counter that shows the first of these values, which are taken away, then stays at the last."""
    return Counter(part, lambda: values.pop(0) if len(values) > 1 else values[0], wraps_at)


def test_what_two_counters_show_is_summed_in_watt_hours():
    with EnergyMeter([counter([1000, 4600], "gpu"), counter([0, 3600])]) as meter:
        pass
    assert meter.facts() == {"train_wh": 2.0, "train_wh_of": "gpu+cpu"}


def test_a_counter_that_begins_anew_is_followed_all_the_while():
    values = [9000, 1000, 9000, 1000, 1000]
    with EnergyMeter([counter(values, wraps_at=10_000)], read_every_s=0.001) as meter:
        wait_until(lambda: len(values) == 1)
    assert meter.facts()["train_wh"] == pytest.approx((2000 + 8000 + 2000) / 3600, abs=1e-4)


def test_a_counter_that_fails_underway_ends_nothing_but_the_measuring(tmp_path):
    file = tmp_path / "energy_uj"
    file.write_text("5")
    with EnergyMeter([Counter("cpu", lambda: float(file.read_text()))]) as meter:
        file.unlink()
    assert meter.facts() == {}


def test_without_a_counter_nothing_is_told(tmp_path):
    with EnergyMeter(find_counters([], tmp_path)) as meter:
        pass
    assert meter.facts() == {}


def test_a_gpu_that_the_driver_does_not_know_has_no_counter(tmp_path):
    assert find_counters(["GPU-00000000-0000-0000-0000-000000000000"], tmp_path) == []


def test_each_processor_has_one_counter_and_those_that_cannot_be_read_have_none(tmp_path):
    for name, content in (("intel-rapl:0", "3600000000"), ("intel-rapl:0:0", "5"), ("intel-rapl:1", "no number")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(content)
        (tmp_path / name / "max_energy_range_uj").write_text("262143328850")
    (found,) = find_counters([], tmp_path)
    assert (found.part, found.read(), found.wraps_at) == ("cpu", 3600.0, pytest.approx(262143.32885))

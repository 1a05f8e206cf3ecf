"""Curves of a run: smoothing, thinning, axes."""

import math
from itertools import pairwise

import pytest

from studio.runs.events import RunState
from studio.ui import curves


def test_smoothing_keeps_a_constant_and_the_first_value():
    assert curves.smooth([(step, 2.0) for step in range(300)]) == [(step, pytest.approx(2.0)) for step in range(300)]
    assert curves.smooth([(7, 3.5)]) == [(7, 3.5)]
    assert curves.smooth([]) == []


def test_smoothing_follows_a_trend_and_damps_noise():
    noisy = [(step, 5 - step / 100 + (0.5 if step % 2 else -0.5)) for step in range(400)]
    smoothed = curves.smooth(noisy)
    jumps = [abs(b[1] - a[1]) for a, b in pairwise(smoothed[100:])]
    assert max(jumps) < 0.15
    assert smoothed[-1][1] == pytest.approx(5 - 399 / 100, abs=0.3)


def test_few_points_are_not_smoothed():
    points = [(step, float(step * step)) for step in range(10)]
    assert curves.smooth(points) == points


@pytest.mark.parametrize("count", [501, 1000, 99_999])
def test_thinning_keeps_ends_and_extremes_in_order(count):
    points = [(step, math.sin(step / 50)) for step in range(count)]
    points[count // 2] = (count // 2, 9.0)
    points[count // 3] = (count // 3, -9.0)
    thinned = curves.thin(points, 500)
    assert len(thinned) <= 500
    assert thinned[0] == points[0] and thinned[-1] == points[-1]
    assert points[count // 2] in thinned and points[count // 3] in thinned
    assert thinned == sorted(thinned)


def test_short_series_are_not_thinned():
    points = [(step, 1.0) for step in range(500)]
    assert curves.thin(points, 500) == points


def test_no_chart_gets_more_than_500_points():
    metrics = {"loss": 1.0, "learning_rate": 1e-4, "tokens_per_second": 100.0, "memory_bytes": 2e9}
    state = RunState(logs=[(step, metrics) for step in range(20_000)],
                     evals=[(step, {"eval_loss": 1.0}) for step in range(2000)])
    for curve in (curves.loss_curve, curves.learning_rate_curve, curves.throughput_curve, curves.memory_curve):
        assert 0 < len(curve(state).rows) <= curves.MAX_POINTS


def test_the_newest_value_stands_beside_the_curve():
    metrics = {"loss": 2.3127468, "learning_rate": 2e-4, "memory_bytes": 1.4e9, "tokens_per_second": 14300}
    state = RunState(logs=[(1, metrics)], evals=[(1, {"eval_loss": 1.5})])
    assert curves.loss_curve(state).last == "2.31 in training, 1.5 on held-out rows"
    assert curves.learning_rate_curve(state).last == "2e-4"
    assert curves.throughput_curve(state).last == "14,300 tokens/s"
    assert curves.memory_curve(state).last == "1.4 GB"
    assert curves.loss_curve(RunState()) == curves.Curve([], "")


def test_what_is_no_number_is_left_out():
    metrics = [{"loss": 1.0}, {"grad_norm": 1.0}, {"loss": float("nan")}, {"loss": "<b>"}, {"loss": 2}]
    history = list(enumerate(metrics, 1))
    assert curves.series(history, "loss") == [(1, 1.0), (5, 2)]


def test_a_first_line_without_a_pace_draws_no_drop_to_zero():
    state = RunState(logs=[(1, {"tokens_per_second": 0.0}), (2, {"tokens_per_second": 900.0})])
    assert [row[1] for row in curves.throughput_curve(state).rows] == [900.0, 900.0]


@pytest.mark.parametrize("highest, end", [(1.41, 1.5), (900, 1000), (1000, 1000), (0.000195, 0.0002), (0, 1), (7.9, 8)])
def test_axes_end_at_a_round_number_above_all_values(highest, end):
    assert curves.axis_end(curves.Curve([(1, highest, "smoothed")], "")) == pytest.approx(end)


def test_an_axis_without_values_has_an_end():
    assert curves.axis_end(curves.Curve([], "")) == 1

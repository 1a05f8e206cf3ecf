"""The learning slope: parts lie within each other, and each course is told from the figures."""

import json

import numpy as np
import pytest

from studio.data.prepare import look
from studio.errors import RunError
from studio.evaluation.slope import Course, Part, clones_on_parts, learning_slope, slope_of
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.runs.store import BASELINES, RunStore
from studio.start import start_slope
from studio.ui.run_words import next_step
from tests.finished_run import REPORT, finished_run


def part(rows, right, n):
    """A training on so many rows that has the first `right` of `n` answers right."""
    return Part(f"run-{rows}", rows, np.array([1.0] * right + [0.0] * (n - right)))


@pytest.mark.parametrize(("right", "n", "course"), [
    ((20, 40, 60), 100, Course.RISING), ((20, 60, 60), 100, Course.LEVEL), ((20, 60, 40), 100, Course.FALLING),
    ((5, 11, 12), 20, Course.UNSURE), ((0, 0, 19), 19, Course.FEW), ((3, 20, 20), 20, Course.UNSURE),
    ((0, 0, 40), 40, Course.RISING),
])
def test_the_course_is_that_of_the_last_step(right, n, course):
    slope = learning_slope([part(400, right[2], n), part(100, right[0], n), part(200, right[1], n)], "exact_match", 3)
    assert slope.course is course
    assert [point.rows for point in slope.points] == [100, 200, 400]
    assert slope.gain == pytest.approx((right[2] - right[1]) / n)
    low, high = slope.gain_interval
    assert -1 <= low <= slope.gain <= high <= 1 and low < high


def test_a_smaller_share_lies_within_a_larger_and_the_held_out_rows_stay(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"q{n}", "completion": "a"}) + "\n" for n in range(100)))
    shares = {}
    for share in (1, 0.5, 0.25):
        prepared = look(Preset(data={"dataset_name": str(path), "test_size": 0.2, "train_share": share}), settings)
        shares[share] = (set(prepared.train_numbers), prepared.heldout_numbers)
        assert len(prepared.train) == 80 * share
        assert sum(entry.reason == "beyond_share" for entry in prepared.left_out) == 80 - 80 * share
    assert shares[0.25][0] < shares[0.5][0] < shares[1][0]
    assert shares[0.25][1] == shares[0.5][1] == shares[1][1]


def evaluated(store, right, rows, *, share=1.0, parent="", prompts="p"):
    preset = override(Preset(), {"data.train_share": share})
    run_id = finished_run(store, preset=preset, merged=False, adapter=False)
    run_dir = store.run_dir(run_id)
    info = json.loads((run_dir / "run.json").read_text())
    (run_dir / "run.json").write_text(json.dumps(info | {"parent": parent}))
    (run_dir / "environment.json").write_text(json.dumps({"rows": {"train": rows, "heldout": 40}}))
    (run_dir / "predictions.jsonl").write_text("".join(
        json.dumps({"prompt": f"{prompts}{n}", "tuned_score": float(n < right)}) + "\n" for n in range(40)))
    return run_id


@pytest.mark.parametrize(("facts", "may"), [
    ({}, True), ({"data": ""}, True), ({"data": "other.jsonl"}, False), ({"metric": "perplexity"}, False),
])
def test_only_answers_to_the_own_held_out_rows_can_have_a_slope(settings, facts, may):
    store = RunStore(settings)
    view = store.get(evaluated(store, 35, 400))
    (view.run_dir / "adapter").mkdir()
    (view.run_dir / "adapter" / "adapter_config.json").write_text("{}")
    (view.run_dir / "report.json").write_text(json.dumps(REPORT | facts))
    assert ("slope" in next_step(view).actions) is may
    if not may:
        with pytest.raises(RunError, match="no judged answers"):
            start_slope(store, view.run_id)
    (view.run_dir / "report.json").write_text("[]")
    assert "slope" not in next_step(view).actions


def test_the_slope_of_a_run_goes_through_its_clones_on_parts(settings):
    store = RunStore(settings)
    run_id = evaluated(store, 35, 400)
    assert slope_of(store, run_id) is None
    half = evaluated(store, 15, 200, share=0.5, parent=run_id)
    evaluated(store, 40, 100, share=0.25, parent=run_id, prompts="other")
    evaluated(store, 40, 400, parent=run_id)
    # clones of a person's own: another way of training, and none at all
    slower = override(Preset(), {"data.train_share": 0.5, "training.learning_rate": 1e-5})
    store.create(slower, parent=run_id)
    store.create(override(Preset(), {"data.train_share": 0.5}), parent=run_id, kind=BASELINES)
    assert [view.preset.data.train_share for view in clones_on_parts(store, run_id)] == [0.25, 0.5]
    slope = slope_of(store, run_id)
    assert [(point.run_id, point.rows) for point in slope.points] == [(half, 200), (run_id, 400)]
    assert slope.course is Course.RISING and slope.gain == 0.5
    (store.run_dir(half) / "predictions.jsonl").write_text("{}\n")
    assert slope_of(store, run_id) is None

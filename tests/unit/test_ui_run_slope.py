"""The learning slope on a run's page: words for each course, clones at work, and no markup from names."""

import json

from studio.evaluation.slope import learning_slope
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.runs.store import RunStore
from studio.ui.run_slope import sentence, slope_html, slope_mark
from tests.finished_run import REPORT
from tests.unit.test_evaluation_slope import evaluated, part


def test_a_run_without_clones_shows_no_slope(settings):
    store = RunStore(settings)
    view = store.get(evaluated(store, 35, 400))
    assert slope_html(store, view, 0) == "" == slope_mark(store, view, 0)


def test_the_slope_is_told_in_words_and_links_to_its_runs(settings):
    store = RunStore(settings)
    run_id = evaluated(store, 35, 400)
    half = evaluated(store, 15, 200, share=0.5, parent=run_id)
    view = store.get(run_id)
    page, mark = slope_html(store, view, 0), slope_mark(store, view, 0)
    assert "Probably yes. From 200 to 400 rows the score rose by +50 points" in page
    assert f'data-run="{half}"' in page and "88 %" in page
    (store.run_dir(half) / "report.json").unlink()
    page = slope_html(store, view, 0)
    assert "There is no slope" in page and "50 % of the rows" in page
    store.create(override(Preset(), {"data.train_share": 0.25}), parent=run_id)
    assert "when a run on a part of the rows is evaluated" in slope_html(store, view, 0)
    report = view.run_dir / "report.json"
    report.write_text(json.dumps(REPORT | {"data": "other.jsonl"}))
    assert "There is no slope" in slope_html(store, view, 0), "none can come"
    assert slope_mark(store, view, 0) != mark, "the whole run was compared again"
    mark = slope_mark(store, view, 0)
    evaluated(store, 40, 100, share=0.25, parent=run_id)
    assert slope_mark(store, view, 0) != mark


def test_too_few_held_out_rows_are_named_as_the_reason():
    slope = learning_slope([part(100, 2, 8), part(200, 4, 8)], "exact_match", 3)
    assert sentence(slope) == ("Cannot tell: 8 held-out rows are too few to judge by. Hold back at least 20, "
                               "then compare again.")

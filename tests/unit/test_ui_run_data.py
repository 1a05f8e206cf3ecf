"""A run's page tells of its data what the doctor found and what training left out; nothing of it becomes markup."""

import json

from studio.data.account import ACCOUNT_FILE, Entry, as_json
from studio.data.doctor import examine
from studio.data.jsonl import write_jsonl
from studio.preset.schema import Preset
from studio.runs.store import RunStore
from studio.start import DATA_REPORT_FILE
from studio.ui.run_data import ROWS_SHOWN, data_html

EVIL = "<img src=x onerror=alert(1)>"


def test_a_run_shows_its_report_and_the_rows_left_out(tmp_path, settings):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a", "completion": "b"}\n{"prompt": "c", "completion": "d"}\n{broken\n')
    preset = Preset(data={"dataset_name": str(path), "bad_rows": "drop"})
    store = RunStore(settings)
    view = store.get(store.create(preset))
    assert "not examined" in data_html(view)
    (view.run_dir / DATA_REPORT_FILE).write_text(json.dumps(examine(preset.data, settings).as_json()))
    entries = [Entry(EVIL, n, n, "not_json", EVIL) for n in range(1, ROWS_SHOWN + 2)]
    write_jsonl(view.run_dir / ACCOUNT_FILE, as_json(entries, []))
    page = data_html(view)
    assert "2 of 3 usable" in page
    assert page.count("left out, not JSON") == ROWS_SHOWN
    assert f"The first {ROWS_SHOWN}" in page
    assert "<img" not in page


def test_a_report_of_another_version_leaves_the_page_whole(settings):
    store = RunStore(settings)
    view = store.get(store.create(Preset()))
    for damaged in ("[]", "{}", "{", '{"tokens": 1}'):
        (view.run_dir / DATA_REPORT_FILE).write_text(damaged)
        assert "Another version" in data_html(view)
    (view.run_dir / "data").mkdir()
    (view.run_dir / ACCOUNT_FILE).write_text("[1]\n")
    assert data_html(view).count("Another version") == 2

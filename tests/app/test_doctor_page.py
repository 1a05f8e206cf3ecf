"""The handlers of the data doctor as any HTTP client can call them: a report is watched, rows are found and edited."""

import json
import time
from dataclasses import replace

import pytest

from studio.data import sources
from studio.preset import files
from studio.ui.draft import widget_values
from tests.app.test_train_tab import Caller, draft
from tests.conftest import LONG_S, serve, write_preset

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def preset(settings, tmp_path, tiny_model):
    """A preset on an upload of 60 rows, of which one is no JSON, one has no answer and one is hostile."""
    rows = [json.dumps({"question": f"How many cups for {n} loaves?", "answer": f"{n} cups"}) for n in range(60)]
    rows[3], rows[7] = "{broken", json.dumps({"question": "no answer", "answer": ""})
    rows[9] = json.dumps({"question": EVIL, "answer": EVIL})
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    name = sources.store_upload(settings, tmp_path / "rows.jsonl")
    write_preset(tmp_path / "tiny.yaml", tiny_model, "Tiny: for tests", {"data.dataset_name": name})
    return files.load(tmp_path / "tiny.yaml")


def examined(caller, preset) -> str:
    """Start an examination as the page does, watch it to its end, and return the report."""
    key, _, page, seen, _, _ = caller.queued("examine", ["", *widget_values(preset)])["output"]["data"]
    end = time.monotonic() + LONG_S
    while "report" not in seen and time.monotonic() < end:
        time.sleep(0.1)
        _, shown, seen, _, _ = caller.quiet("watch", [key, seen])
        page = shown if isinstance(shown, str) else page
    return page


def act(caller, preset, **event):
    """What a button of a row does."""
    shown = {"offset": 0, "seed": "", "data": preset.data.dataset_name, "text": ""}
    return caller.queued("act", ["", "all", "", draft(preset), *widget_values(preset)], shown | event)


def test_a_report_names_the_bad_rows_and_is_never_markup(studio, preset):
    caller = Caller(studio.url)
    page = examined(caller, preset)
    assert "1 line is not JSON" in page and "line 4" in page and "no answer" in page
    assert "data.bad_rows" in page and "One epoch" in page and "<img" not in page
    key = caller.queued("examine", ["", *widget_values(preset)])["output"]["data"][0]
    counted = caller.queued("count_every_row", [key, ""], {})["output"]["data"]
    assert "One epoch" in counted[1] and counted[2] == f"{key} report"
    settled = examined(caller, files.override(preset, {"data.bad_rows": "drop"}))
    assert "Left out, as data.bad_rows says" in settled and "Ready to train" in settled


def test_rows_are_left_out_edited_and_restored(studio, preset):
    caller = Caller(studio.url)
    page, written, *_ = act(caller, preset, act="exclude", row=2)["output"]["data"]
    assert "left out by hand" in page and "<img" not in page
    edited = files.loads(written)
    assert edited.data.edits
    answer = act(caller, edited, act="replace", row=7, text='{"question": "q", "answer": "mended"}')
    assert "mended" in answer["output"]["data"][0]
    broken = act(caller, edited, act="replace", row=7, text="{")
    assert not broken["success"] and "cannot be read" in broken["output"]["error"]
    assert "left out by hand" not in act(caller, edited, act="restore", row=2)["output"]["data"][0]
    other = act(caller, edited, act="exclude", row=1, data="bundled:recipes")
    assert not other["success"] and "another data set" in other["output"]["error"]


def test_a_stranger_examines_nothing_and_edits_nothing(settings, preset):
    with serve(replace(settings, owners=("someone",))) as studio:
        caller = Caller(studio.url)
        answers = [caller.queued("examine", ["", *widget_values(preset)]), act(caller, preset, act="exclude", row=1),
                   caller.queued("cancel", [""], {}), caller.queued("count_every_row", ["", ""], {}),
                   caller.queued("draw_rows", ["", "all", "", *widget_values(preset)])]
        assert all("Only the owner" in json.dumps(answer) for answer in answers)
    assert not (settings.data_dir / "edits").exists()


def test_a_tick_for_nothing_known_ends_the_ticking(studio):
    *_, timer = Caller(studio.url).quiet("watch", ["unknown", "unknown first"])
    assert timer["active"] is False


def test_the_cleaned_rows_are_written_for_a_download(studio, preset):
    caller = Caller(studio.url)
    refused = caller.queued("export_rows", ["", *widget_values(preset)])
    assert not refused["success"]
    assert any(said in refused["output"]["error"] for said in ("not JSON", "no answer"))
    written = caller.queued("export_rows", ["", *widget_values(
        files.override(preset, {"data.bad_rows": "drop"}))])
    assert [file["orig_name"] for file in written["output"]["data"][0]["value"]] == [
        "heldout.jsonl", "left_out.jsonl", "train.jsonl"]

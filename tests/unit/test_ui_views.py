"""Findings, estimates, previews and the header as HTML: readable without colour, and never somebody's markup."""

from dataclasses import asdict, replace

import pytest

from studio.data.report import Tokens
from studio.data.rows_client import RowsPage
from studio.preset.schema import DataSection, Preset
from studio.runs.checks import Finding
from studio.runs.device import Device
from studio.runs.estimates import GIB, MemoryEstimate, TimeEstimate
from studio.runs.events import EventWriter, RunStage
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.start import Outlook
from studio.ui.doctor_figures import figures_html
from studio.ui.doctor_rows_view import rows_html
from studio.ui.findings_view import findings_html, outlook_html, status_html
from studio.ui.header import header_html

EVIL = "<img src=x onerror=alert(1)>"


def test_findings_say_their_level_in_words_and_the_worst_comes_first():
    page = findings_html([
        Finding("info", "Rows."), Finding("error", f"Too big {EVIL}", fix={"model.load_in_4bit": True, "lora.r": 8})])
    assert page.index("Stops the run") < page.index("Good to know")
    assert "Set Load in 4 bit (QLoRA) = on, LoRA rank = 8" in page
    assert "<img" not in page
    assert "Nothing stands in the way" in findings_html([])


def test_estimates_are_given_where_they_are_known():
    device = Device("cuda", "T4", 16 * GIB, 0, 4, 7.5)
    memory = MemoryEstimate(2 * GIB, GIB, 3 * GIB, GIB)
    page = outlook_html(Outlook([], device, memory, TimeEstimate(120, 600), 0.07))
    assert "about 7.5 GB of 17 GB" in page and "fits" in page
    assert "8 min to 15 min" in page and "120 steps" in page and "$0.07" in page
    assert "Memory" not in outlook_html(Outlook([], device))
    assert "1 step, an estimate" in outlook_html(Outlook([], device, None, TimeEstimate(1, 600)))


def test_the_status_below_the_yaml_is_escaped():
    assert "<img" not in status_html([EVIL]) and "agree" in status_html([])


def test_a_row_shows_what_is_learned_what_is_cut_and_what_is_wrong():
    row = {"number": 7, "file": EVIL, "line": 8, "source": EVIL, "original": EVIL, "is_long": False, "excluded": False,
           "edited": True, "problems": ["missing_text"], "masked": [EVIL], "detail": "",
           "shortened": False, "tokens": 12, "trained_tokens": 5, "truncated": True, "segments": [
        {"text": EVIL, "trained": False, "cut": False}, {"text": "learned", "trained": True, "cut": False},
        {"text": "lost", "trained": False, "cut": True}]}
    lost = row | {"number": 0, "segments": [], "detail": EVIL}
    page = rows_html(RowsPage(25, 100, [row, lost]), DataSection(dataset_name=EVIL), 10, "")
    assert "<img" not in page and "Held-out rows come from" not in page
    assert '<mark class="trained">learned</mark>' in page and '<s class="cut">lost</s>' in page
    assert "12 tokens, 5 learned" in page and "no text" in page and 'aria-label="Undo (row 7)"' in page
    assert "11 to 12 of 25 rows" in page and 'data-offset="20"' in page


@pytest.mark.parametrize(("section", "name"), [
    ({"dataset_name": "a.jsonl", "dataset_test_split": f"{EVIL}.jsonl"}, "&lt;img src=x onerror=alert(1)&gt;.jsonl"),
    ({"dataset_name": "bundled:recipes"}, "bundled:recipes"), ({"dataset_name": "bundled:recipes", "test_size": 0}, ""),
    ({"dataset_name": "a.jsonl"}, "")])
def test_the_page_of_rows_says_where_held_out_rows_come_from(section, name):
    page = rows_html(RowsPage(0, 100, []), DataSection(**section), 0, "")
    assert "<img" not in page and (f"Held-out rows come from {name}:" in page) == bool(name)


@pytest.mark.parametrize(("only_first", "searched", "said"), [
    (True, 1000, True), (True, 999, False), (False, 5000, False)])
def test_the_page_of_rows_says_that_of_a_set_on_the_hub_only_the_first_are_here(only_first, searched, said):
    page = rows_html(RowsPage(40, searched, [], only_first), DataSection(dataset_name="squad/plain"), 0, "")
    assert ("These are the first 1,000 rows" in page) == said


def test_the_header_shows_the_working_run_and_the_missing_disk(tmp_path):
    settings = Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)})
    store = RunStore(settings)
    assert "Nothing is running" in header_html(settings, store)
    run_id = RunStore(settings).create(Preset(), name=EVIL)
    journal = EventWriter(settings.runs_dir / run_id)
    journal.stage(RunStage.STARTING, "train")
    journal.stage(RunStage.RUNNING, "train")
    journal.progress("train", 43, 100, "steps")
    page = header_html(settings, RunStore(settings))
    assert f'href="?run={run_id}"' in page and "43 %" in page and "<img" not in page
    assert run_id not in header_html(settings, RunStore(settings), shows_runs=False)
    assert "lost when it restarts" in header_html(replace(settings, data_is_lasting=False), store)


def test_estimated_lengths_say_so_and_can_be_counted_exactly():
    tokens = Tokens("smol", 300_000, 150_000, 1024, 80.4, 0.3, 20, 78, 120, 400, {"edges": [0, 200, 400],
                    "counts": [9, 1]}, 0, 0, 1024, 24_000_000, 6_000_000, 8, 0.1, 0.01, 1.1)
    report = {"tokens": asdict(tokens), "tokens_error": None, "epochs": 1, "duplicates": {"exact": 0, "near": 0},
              "overlap": None, "turns": None, "labels": {}}
    page = figures_html(report, Preset())
    assert "80 ± 0.3 tokens" in page and "from 150,000 of 300,000 rows" in page and "data-exact" in page
    report["tokens"]["sampled_rows"] = 300_000
    assert "data-exact" not in figures_html(report, Preset())

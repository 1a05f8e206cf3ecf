"""Findings, estimates, previews and the header as HTML: readable without colour, and never somebody's markup."""

from dataclasses import replace

from studio.data.preview_client import Preview, Problem
from studio.preset.schema import Preset
from studio.runs.checks import Finding
from studio.runs.device import Device
from studio.runs.estimates import GIB, MemoryEstimate, TimeEstimate
from studio.runs.events import EventWriter, RunStage
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.start import Outlook
from studio.ui.findings_view import findings_html, outlook_html, status_html
from studio.ui.header import header_html
from studio.ui.preview_view import preview_html

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


def test_the_status_below_the_yaml_is_escaped():
    assert "<img" not in status_html([EVIL]) and "agree" in status_html([])


def test_a_preview_marks_what_is_learned_and_what_is_cut():
    row = {"number": 7, "shortened": False, "tokens": 12, "trained_tokens": 5, "truncated": True, "segments": [
        {"text": EVIL, "trained": False, "cut": False}, {"text": "learned", "trained": True, "cut": False},
        {"text": "lost", "trained": False, "cut": True}]}
    page = preview_html(Preview(
        [row], EVIL, 100, 90, 10, "messages", 1.0, "", {"messages": EVIL}, [], [Problem("warning", "Mind.", EVIL, "")],
        90, 11.6, 40, 5.0, 0.5, {}, {}, {}))
    assert "<img" not in page
    assert '<mark class="trained">learned</mark>' in page and '<s class="cut">lost</s>' in page and 'value="7"' in page
    assert "90 to learn from, 10 held out" in page and "12 tokens, 5 learned" in page


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

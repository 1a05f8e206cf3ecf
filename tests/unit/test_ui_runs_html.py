"""The Runs tab's HTML: nothing a run carries may become markup, and the page says what it should."""

import json
import re
from datetime import datetime, timedelta

import pytest

from studio import words
from studio.evaluation.predictions import Prediction, PredictionPage
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.events import EventWriter, RunStage
from studio.terminal.follow import progress_line
from studio.terminal.run import print_report, print_run
from studio.ui import comparison, run_html
from tests.finished_run import REPORT, finished_run, report_with_ways

HOSTILE = "<img src=x onerror=alert(1)>\"'`${1+1}{{1+1}}</pre><script>alert(2)</script>"


@pytest.fixture
def hostile(store):
    """A failed run in which every text a run can carry is hostile."""
    preset = files.override(Preset(), {
        "name": HOSTILE[:80], "description": HOSTILE, "model.model_name_or_path": HOSTILE,
        "data.system_prompt": HOSTILE})
    origin = files.override(preset, {"data.system_prompt": HOSTILE + "2"})
    run_id = store.create(preset, name=HOSTILE, origin=origin, parent=HOSTILE)
    run_dir = store.run_dir(run_id)
    (run_dir / "worker.log").write_text(f"line one\n{HOSTILE}\n")
    (run_dir / "environment.json").write_text(json.dumps({HOSTILE: {HOSTILE: [HOSTILE]}}))
    figures = {"base": {"value": 0, "interval": [0, 0]}, "tuned": {"value": 1, "interval": [1, 1]},
               "difference": {"value": 1, "interval": [1, 1]}, "higher_is_better": True}
    (run_dir / "report.json").write_text(json.dumps(
        {"n": 1, "metric": HOSTILE, "metrics": {HOSTILE: figures}, "wins": 1, "ties": 0, "losses": 0, "examples": []}))
    (run_dir / "name<b>.txt").write_text("")
    journal = EventWriter(run_dir)
    journal.stage(RunStage.QUEUED, "train")
    journal.stage(RunStage.STARTING, "train")
    journal.progress("train", 0, 0, HOSTILE, HOSTILE)
    journal.warning(HOSTILE)
    journal.log(1, {"loss": 1.0})
    journal.sample(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    journal.error("train", HOSTILE, HOSTILE)
    journal.stage(RunStage.FAILED, "train", HOSTILE)
    journal.close()
    return store.get(run_id)


def test_no_text_of_a_run_becomes_markup(store, hostile):
    pages = [run_html.run_list([hostile]), run_html.head(store, hostile), run_html.results(hostile),
             run_html.file_list(hostile), run_html.preset(hostile), run_html.environment(hostile)]
    for page in pages:
        assert "onerror=" in page or "name&lt;b&gt;" in page, "the hostile text is not there at all"
        assert not re.search(r"<(img|script|b)\b", page)
        assert "alert(1)>" not in page
        # an attribute's value must not end early
        assert not re.search(r'="[^"]*"\'', page)


def test_a_failure_leads_with_cause_hint_and_the_end_of_the_log(store, hostile):
    page = run_html.head(store, hostile)
    failure, headline = page.index("runs-failure"), page.index("runs-headline")
    assert failure < page.index("runs-cause") < page.index("runs-hint") < page.index("line one") < headline


def test_the_list_names_stage_loss_and_age_and_links_to_the_run(store, monkeypatch):
    view = store.get(finished_run(store, name="recipes"))

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromisoformat(view.state.ended_at) + timedelta(seconds=5)

    monkeypatch.setattr(words, "datetime", Clock)
    page = run_html.run_list([view])
    assert f'href="?run={view.run_id}"' in page
    for part in ("recipes", "Done", "just now"):
        assert part in page


def test_a_published_run_links_to_the_hub_and_to_nothing_else(store):
    run_dir = store.run_dir(finished_run(store))
    for url, shown in (("https://huggingface.co/me/x", True), ("javascript:alert(1)", False)):
        journal = EventWriter(run_dir)
        journal.done("publish", {"url": url, "repo_id": "me/x"})
        journal.close()
        assert ("me/x" in run_html.head(store, store.get(run_dir.name))) is shown


def test_an_empty_list_teaches():
    assert "No runs yet" in run_html.run_list([]) and "recipe assistant" in run_html.run_list([])


def test_a_long_list_is_cut_and_says_so(store):
    view = store.get(finished_run(store))
    page = run_html.run_list([view] * (run_html.LIST_LIMIT + 50))
    assert page.count("<li>") == run_html.LIST_LIMIT
    assert f"{run_html.LIST_LIMIT} of {run_html.LIST_LIMIT + 50} runs" in page


def test_the_comparison_names_measures_in_words(store):
    page = run_html.results(store.get(finished_run(store)))
    for part in ("JSON equal", "1 % (0 % to 4 %)", "89 % (82 % to 95 %)", "+88 points", "better on 70"):
        assert part in page


def test_the_results_lead_with_the_verdict_then_the_ways_and_their_answers(store):
    view = store.get(finished_run(store, report=report_with_ways(HOSTILE)))
    page = run_html.results(view)
    parts = ("Worth it", "paid for after 652 requests", "Prompt tokens", "+88 points", "What got better", "Costs",
             "Measure")
    assert sorted(parts, key=page.index) == list(parts)
    assert HOSTILE not in page
    assert "report.html" not in page, "there is no such file to link to"
    (view.run_dir / "report.html").write_text("")
    assert f'href="download/{view.run_id}/report.html"' in run_html.results(view)


def test_page_and_terminal_name_the_rows_that_were_compared(store, capsys):
    for data, rows in (("", "80 held-out rows"), ("other.jsonl", "80 rows of other.jsonl")):
        report = report_with_ways() | {"data": data}
        print_report(report)
        said = capsys.readouterr().out + run_html.results(store.get(finished_run(store, report=report)))
        assert f"base against tuned on {rows}" in said and f"Of {rows} the tuned model" in said
        assert data == "" or "held-out" not in said


def test_the_terminal_counts_bytes_as_sizes_and_all_else_as_it_is(store):
    run_id = finished_run(store)
    for unit, said in (("bytes", "228 MB of 379 MB"), ("steps", "3 of 10 steps")):
        journal = EventWriter(store.run_dir(run_id))
        journal.stage(RunStage.RUNNING, "gguf")
        journal.progress("gguf", *((228_391_000, 378_851_000) if unit == "bytes" else (3, 10)), unit)
        journal.close()
        assert said in progress_line(store.get(run_id))


def test_one_row_is_no_rows(store, capsys):
    print_report(report_with_ways() | {"n": 1})
    assert "base against tuned on 1 held-out row\n" in capsys.readouterr().out


def test_the_terminal_says_that_the_report_is_of_the_comparison_before(store, capsys):
    run_id = finished_run(store)
    print_run(store.get(run_id))
    assert "comparison before" not in capsys.readouterr().out
    journal = EventWriter(store.run_dir(run_id))
    journal.done("evaluate", {"skipped": "There are no held-out rows to compare on."})
    journal.close()
    print_run(store.get(run_id))
    said = capsys.readouterr().out
    note = "There are no held-out rows to compare on. What follows is the comparison before."
    assert said.index(note) < said.index("base against tuned")


def test_a_comparison_without_rows_says_why(store):
    run_id = finished_run(store, report=None)
    assert "ended before it was compared" in run_html.results(store.get(run_id))
    journal = EventWriter(store.run_dir(run_id))
    journal.done("evaluate", {"skipped": "There are no held-out rows to compare on."})
    journal.close()
    assert "no held-out rows to compare on" in run_html.results(store.get(run_id))


def test_a_comparison_without_rows_does_not_pass_for_the_one_before(store):
    run_id = finished_run(store)
    assert "the comparison before" not in run_html.results(store.get(run_id))
    journal = EventWriter(store.run_dir(run_id))
    journal.done("evaluate", {"skipped": "There are no held-out rows to compare on."})
    journal.close()
    page = run_html.results(store.get(run_id))
    assert page.index("compare on. What follows is the comparison before") < page.index("JSON equal")


def test_answers_keep_their_words_and_long_ones_are_cut(store):
    rows = [Prediction(1, HOSTILE, f"wanted {HOSTILE}", [
        ("base", HOSTILE, 0.0), ("few_shot", "x" * 9000, 0.5), ("retrieval", "  ", 0.0), ("tuned", HOSTILE, 1.0)])]
    page = run_html.answer_rows(PredictionPage(rows, 1, 3, 1, 1, damaged=2))
    assert not re.search(r"<(img|script|b)\b(?! class)", page) and page.count("onerror=") >= 4
    for part in ("1 of 3 rows", "cannot be read: 2 of the lines of predictions.jsonl", "Tuned model better", "50 %",
                 "no answer", "right", "Cut after 4,000 of 9,000 characters"):
        assert part in page


def test_a_report_of_another_version_is_no_failure_of_the_page(store):
    for report in ({"metric": "x"}, {"n": 1, "metrics": {"x": {"base": 1}}}, {"n": 1, "metrics": []}):
        view = store.get(finished_run(store, report=report))
        assert "Compare again" in run_html.results(view)


def test_a_difference_that_may_be_chance_gets_no_verdict():
    figures = {**REPORT["metrics"]["json_match"], "difference": {"value": 0.02, "interval": [-0.01, 0.05]}}
    assert comparison.measures({"n": 80, "metrics": {"json_match": figures}})[0].verdict == ""


def test_lower_perplexity_is_better():
    figures = {"base": {"value": 12.3456, "interval": [12, 13]}, "tuned": {"value": 8.1, "interval": [8, 8.3]},
               "difference": {"value": -4.25, "interval": [-4.5, -4]}, "higher_is_better": False}
    measure = comparison.measures({"n": 80, "metrics": {"perplexity": figures}})[0]
    assert (measure.base, measure.difference, measure.verdict) == ("12.3 (12 to 13)", "−4.25", "runs-better")
    assert comparison.measures({"n": 19, "metrics": {"perplexity": figures}})[0].verdict == "", "too few rows to say"


def test_files_show_sizes_and_offer_the_small_ones(store):
    view = store.get(finished_run(store, weights={"model.safetensors": 1_500_000}))
    page = run_html.file_list(view)
    assert f'href="download/{view.run_id}/preset.yaml"' in page
    assert "merged/" in page and "1.5 MB" in page
    assert "process.json" not in re.findall(r'href="[^"]*/([^"/]+)"', page)


def test_the_preset_shows_what_differs_from_where_it_came_from(store):
    changed = files.override(Preset(), {"lora.r": 64})
    page = run_html.preset(store.get(store.create(changed, origin=Preset())))
    assert "lora.r" in page and "<td>16</td><td>64</td>" in page
    assert "written from scratch" in run_html.preset(store.get(store.create(changed)))
    assert "exactly the preset" in run_html.preset(store.get(store.create(changed, origin=changed)))

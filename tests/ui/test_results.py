"""The results on a run's page in a browser: the verdict, and the answers row by row."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from studio.evaluation.request import EvaluateRequest, read_request
from tests.finished_run import compared_run, finished_run
from tests.ui.waiting import files_below, stand_still

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def open_answers(page, studio, run_id, theme="light"):
    page.goto(f"{studio.url}/?__theme={theme}&run={run_id}")
    expect(page.locator("#run-answers-rows article")).to_have_count(10)


def test_answers_are_searched_filtered_and_paged(page, studio):
    page.on("dialog", lambda dialog: pytest.fail("a script in an answer was executed"))
    open_answers(page, studio, compared_run(studio.store, said=HOSTILE))
    rows, status = page.locator("#run-answers-rows article"), page.locator("#run-answers-rows [role=status]")
    expect(status).to_have_text("80 of 80 rows, page 1 of 8")
    expect(rows.nth(1)).to_contain_text(HOSTILE)
    expect(rows.nth(2).locator("ins").first).to_have_text("cups")
    expect(rows.nth(2).locator("del").first).to_have_text("cup")
    page.get_by_role("button", name="Next").click()
    expect(status).to_have_text("80 of 80 rows, page 2 of 8")
    expect(rows.first).to_contain_text("Row 11")
    page.get_by_label("Search").fill("Honey")
    expect(status).to_have_text("10 of 80 rows, page 1 of 1")
    expect(page.get_by_role("button", name="Next")).to_be_hidden()
    page.get_by_label("Tuned model worse").check()
    expect(page.locator("#run-answers-rows")).to_contain_text("No row is like that")
    page.get_by_label("Search").fill("")
    page.get_by_label("Any way wrong").check()
    expect(status).to_have_text("80 of 80 rows, page 1 of 8")


def test_rows_are_sorted_by_gain_with_the_keyboard_and_search_and_pages_keep_it(page, studio):
    open_answers(page, studio, compared_run(studio.store))
    rows, status = page.locator("#run-answers-rows article"), page.locator("#run-answers-rows [role=status]")
    order = page.get_by_label("Order")
    order.focus()
    for _ in range(2):
        order.press("ArrowDown")
    order.press("Enter")
    expect(status).to_have_text("80 of 80 rows, page 1 of 8, sorted by the gain on this way: Base model")
    expect(rows.nth(1)).to_contain_text("Row 13")
    page.get_by_role("button", name="Next").press("Enter")
    expect(status).to_contain_text("page 2 of 8, sorted by")
    page.get_by_label("Search").press_sequentially("honey")
    expect(status).to_have_text("10 of 80 rows, page 1 of 1, sorted by the gain on this way: Base model")


def test_another_run_begins_with_all_its_rows(page, studio):
    first, second = compared_run(studio.store), compared_run(studio.store, rows=12, name="second")
    open_answers(page, studio, first)
    page.get_by_label("Search").fill("honey")
    expect(page.locator("#run-answers-rows [role=status]")).to_have_text("10 of 80 rows, page 1 of 1")
    page.get_by_role("link", name="All runs").click()
    page.locator(f'#runs-board a[data-run="{second}"]').click()
    expect(page.locator("#run-answers-rows [role=status]")).to_have_text("12 of 12 rows, page 1 of 2")
    expect(page.get_by_label("Search")).to_have_value("")


def test_a_comparison_with_a_checkpoint_is_asked_for_on_the_page(page, studio):
    finished_run(studio.store, name="rival")
    run_id = compared_run(studio.store, rows=12)
    folder = studio.store.run_dir(run_id) / "checkpoints" / "checkpoint-20"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"0")
    page.goto(f"{studio.url}/?run={run_id}")
    page.get_by_role("button", name="Compare with…").press("Enter")
    page.get_by_label("Another model, too").click()
    expect(page.get_by_role("option")).to_have_text(["✓ None", "✓ Checkpoint 20 of this run", "✓ rival"])
    page.get_by_role("option", name="Checkpoint 20 of this run").click()
    page.get_by_label("Rows of your own").fill("me/rows")
    page.get_by_label("Other settings").fill("evaluation.metric=chrf\nevaluation.few_shot_examples = 5")
    page.get_by_label("Key of the judge").fill("secret-of-the-judge")
    page.get_by_role("button", name="Compare", exact=True).press("Enter")
    expect(page.get_by_label("Rows of your own")).to_be_hidden()
    run_dir = studio.store.run_dir(run_id)
    assert read_request(run_dir) == EvaluateRequest(
        "me/rows", f"{run_id}@20", {"evaluation.metric": "chrf", "evaluation.few_shot_examples": 5})
    assert [path for path, content in files_below(run_dir) if b"secret-of" in content] == []


def test_damaged_results_are_named_and_the_page_goes_on(page, studio):
    run_id = compared_run(studio.store)
    run_dir = studio.store.run_dir(run_id)
    (run_dir / "report.json").write_text('{"n": 80, "metr')
    lines = (run_dir / "predictions.jsonl").read_text().splitlines(keepends=True)
    (run_dir / "predictions.jsonl").write_text("".join(lines[:11]) + lines[11][:40])
    open_answers(page, studio, run_id)
    expect(page.locator("#run-results")).to_contain_text("The report of this run cannot be read. Compare again")
    expect(page.locator("#run-answers-rows")).to_contain_text("cannot be read: 1 of the lines of predictions.jsonl")
    expect(page.locator("#run-answers-rows [role=status]")).to_have_text("11 of 11 rows, page 1 of 2")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_results_can_be_read_by_everyone(page, studio, theme):
    open_answers(page, studio, compared_run(studio.store, said="word " * 200), theme)
    expect(page.locator("#run-results details summary").first).to_be_visible()
    for fold in page.locator("#run-results details summary").all():
        fold.click()
    stand_still(page)
    found = Axe().run(page, {"include": [["#run-results"], ["#run-answers"]]}).response["violations"]
    assert [(entry["id"], entry["nodes"][0]["html"][:200]) for entry in found
            if entry["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_no_answer_is_wider_than_the_page(page, studio, width):
    run_id = compared_run(studio.store, said="no_place_to_break_" * 30)
    page.set_viewport_size({"width": width, "height": 844})
    open_answers(page, studio, run_id)
    page.locator("#run-results details summary").first.click()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    # at one moment: what is drawn above them moves them all
    tops = page.locator("#run-answers-rows article").first.locator(".answer-ways > div").evaluate_all(
        "ways => ways.map(way => Math.round(way.getBoundingClientRect().y))")
    assert len(set(tops)) == (1 if width == 1280 else 4), "side by side, or one below the other"

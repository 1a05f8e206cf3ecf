"""The data doctor in a real browser: a file with bad rows is uploaded, reported on, mended by a button, and may run."""

import json

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from tests.ui.test_train import AXE, field, go_on, open_studio, to_step
from tests.ui.waiting import stand_still

EVIL = "<img src=x onerror=window.hit=1>"


def upload(page, folder, rows):
    """Put rows (or lines that are none) into a file and upload it."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / "mine.jsonl").write_text("\n".join(lines) + "\n")
    page.locator("#upload input[type=file]").set_input_files(folder / "mine.jsonl")


def asks(n):
    return {"frage": f"How many cups for {n} loaves?", "antwort": f"{n} cups"}


def test_bad_rows_are_reported_and_a_button_lets_the_run_start(page, studio, tmp_path):
    rows = [asks(n) for n in range(60)]
    rows[4], rows[9] = "{broken", {"frage": EVIL, "antwort": ""}
    open_studio(page, studio)
    to_step(page, 2)
    upload(page, tmp_path, rows)
    doctor = page.locator("#doctor")
    expect(doctor).to_contain_text("1 line is not JSON")
    expect(doctor).to_contain_text("line 5")
    expect(doctor).to_contain_text("Not ready yet")
    expect(doctor.locator(".lengths")).to_be_visible()
    expect(page.locator("#mapping")).to_contain_text("frage")  # guessed, so the columns are shown
    doctor.get_by_role("button", name="Leave these rows out").first.click()
    expect(doctor).to_contain_text("Ready to train")
    expect(field(page, "data.bad_rows")).to_have_value("drop")
    go_on(page, "Model and method")
    go_on(page, "Check")
    expect(page.get_by_role("button", name="Next:")).to_be_enabled()
    assert page.evaluate("window.hit") is None


def test_rows_are_found_left_out_and_edited(page, studio, tmp_path):
    open_studio(page, studio)
    to_step(page, 2)
    upload(page, tmp_path, [asks(n) for n in range(40)])
    rows = page.locator("#preview")
    expect(rows).to_contain_text("1 to 10 of 40 rows")
    rows.get_by_role("button", name="Next ten").click()
    expect(rows).to_contain_text("How many cups for 10 loaves?")
    page.get_by_role("textbox", name="Search").fill("cups for 33")
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(rows).to_contain_text("1 to 1 of 1 rows")
    rows.get_by_role("button", name="Leave out (row 34)").press("Enter")
    expect(rows).to_contain_text("left out by hand")
    rows.get_by_role("button", name="Undo (row 34)").click()
    rows.get_by_text("Edit", exact=True).click()
    rows.get_by_role("textbox", name="Row 34 as JSON").fill(json.dumps({"frage": "cups for 33", "antwort": "mended"}))
    rows.get_by_role("button", name="Save the row (row 34)").click()
    expect(rows.locator("mark.trained").nth(1)).to_contain_text("mended")
    expect(rows).to_contain_text("edited by hand")
    stand_still(page)
    # Gradio's own button for more files stands in an element that is a button, too
    found = Axe().run(page, context={"exclude": [["#upload"]]}, options=AXE).response["violations"]
    assert [f"{item['id']}: {item['nodes'][0]['html'][:200]}" for item in found
            if item["impact"] in ("serious", "critical")] == []

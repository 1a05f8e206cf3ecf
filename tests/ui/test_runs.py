"""The Runs tab in a browser: runs of the real launcher and supervisor, worked on by the scripted worker."""

import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from studio.preset import files
from studio.preset.schema import Preset
from studio.runs import launcher
from studio.runs.events import TERMINAL_STAGES, RunStage
from tests.conftest import Studio
from tests.finished_run import finished_run, report_with_ways
from tests.ui.waiting import stand_still, until


def start(studio: Studio, script: str, steps: int = 5000, name: str = "watched", **fields) -> str:
    preset = files.override(Preset(), {"name": name, "description": script, "training.max_steps": steps, **fields})
    return launcher.start(studio.store, preset)


def wait_for_end(studio: Studio, run_id: str, timeout_s: float = 120) -> str:
    deadline = time.monotonic() + timeout_s
    while (stage := studio.store.get(run_id).state.stage) not in TERMINAL_STAGES:
        assert time.monotonic() < deadline, f"still {stage}"
        time.sleep(0.2)
    return stage.value


def open_run(page: Page, studio: Studio, run_id: str) -> None:
    page.goto(f"{studio.url}/?run={run_id}")
    expect(page.locator(".runs-headline h2")).to_be_visible()


def open_log(page: Page) -> None:
    page.locator("#run-log-fold > button").click()
    expect(page.locator(".runs-log pre")).to_be_visible()


def log_lines(page: Page) -> list[str]:
    return page.locator(".runs-log pre").evaluate("pre => pre.textContent").splitlines()


def step_shown(page: Page) -> int:
    expect(page.locator(".runs-progress")).to_contain_text("steps")
    return int(page.locator(".runs-progress").inner_text().split(" of ")[0].strip().replace(",", ""))


def test_an_empty_list_teaches(page, studio):
    page.goto(f"{studio.url}/?tab=runs")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()


def test_a_run_started_elsewhere_shows_up_in_the_list_and_opens_by_keyboard(page, studio):
    page.goto(f"{studio.url}/?tab=runs")
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    run_id = start(studio, "step_s=0.1")
    row = page.locator(f'#runs-board a[data-run="{run_id}"]')
    expect(row).to_contain_text("Training")
    expect(row.get_by_role("progressbar")).to_be_visible()
    row.press("Enter")
    expect(page.locator(".runs-headline h2")).to_have_text("watched")
    expect(page).to_have_url(re.compile(f"run={run_id}"))
    page.get_by_role("link", name="All runs").click()
    expect(row).to_be_visible()
    expect(page).not_to_have_url(re.compile("run=2"))
    page.go_back()
    expect(page.locator(".runs-headline h2")).to_be_visible()


def test_a_reload_and_a_second_tab_show_the_same_run_going_on(page, studio):
    run_id = start(studio, "step_s=0.1")
    open_run(page, studio, run_id)
    before = step_shown(page)
    page.reload()
    expect(page.locator(".runs-headline h2")).to_have_text("watched")
    assert step_shown(page) >= before
    second = page.context.new_page()
    open_run(second, studio, run_id)
    first, other = step_shown(page), step_shown(second)
    # both go on, and where one is the other comes
    until(lambda: step_shown(page) > max(first, other))
    until(lambda: step_shown(second) > max(first, other))
    expect(page.locator("#runs-plot-loss svg.marks")).to_be_visible()


def test_stop_finishes_the_step_and_offers_to_resume(page, studio):
    run_id = start(studio, "step_s=0.1")
    open_run(page, studio, run_id)
    until(lambda: step_shown(page) > 1)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#run-resume")).to_be_visible()
    assert wait_for_end(studio, run_id) == "STOPPED"
    expect(page.locator("#run-head .runs-badge")).to_have_text("Stopped")
    page.locator("#run-resume").click()
    expect(page.locator("#run-head .runs-badge")).to_have_text("Training")
    assert studio.store.get(run_id).state.step > 1


def test_stop_now_ends_what_does_not_stop_by_itself(page, studio):
    run_id = start(studio, "step_s=0.1 stubborn=1")
    open_run(page, studio, run_id)
    step_shown(page)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#run-head .runs-badge")).to_have_text("Stopping")
    page.get_by_role("button", name="Stop now").click()
    expect(page.locator("#run-head .runs-badge")).to_have_text("Stopped")
    assert wait_for_end(studio, run_id) == "STOPPED"


def test_a_failure_leads_with_its_cause_and_opens_the_log(page, studio):
    run_id = start(studio, "fail=train", name="<img src=x onerror=alert(1)>")
    wait_for_end(studio, run_id)
    page.on("dialog", lambda dialog: pytest.fail("a script of the run's name was executed"))
    open_run(page, studio, run_id)
    failure = page.get_by_role("alert")
    expect(failure).to_contain_text("The scripted failure of train.")
    expect(failure).to_contain_text("Change the script.")
    expect(failure).to_contain_text("scripted worker: train")
    assert failure.bounding_box()["y"] < page.locator(".runs-headline h2").bounding_box()["y"]
    expect(page.locator(".runs-headline h2")).to_have_text("<img src=x onerror=alert(1)>")
    expect(page.locator(".runs-log pre")).to_contain_text("scripted worker: train")


def test_a_failed_phase_is_tried_again(page, studio):
    run_id = start(studio, "fail=merge step_s=0", steps=5)
    wait_for_end(studio, run_id)
    open_run(page, studio, run_id)
    expect(page.get_by_role("alert")).to_contain_text("Merging failed")
    preset = files.override(studio.store.get(run_id).preset, {"description": "step_s=0"})
    files.save(preset, studio.store.run_dir(run_id) / "preset.yaml")
    page.locator("#run-resume").click()
    until(lambda: studio.store.get(run_id).state.stage is RunStage.COMPLETED)
    expect(page.locator("#run-head .runs-badge")).to_have_text("Done")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_the_log_loses_and_doubles_no_line_at_a_thousand_a_second(page, studio):
    run_id = start(studio, "step_s=0.1 lines=100", steps=60)
    open_run(page, studio, run_id)
    open_log(page)
    wait_for_end(studio, run_id)
    written = (studio.store.run_dir(run_id) / "worker.log").read_text().splitlines()
    expect(page.locator(".runs-log pre")).to_contain_text(written[-1])
    lines = log_lines(page)
    # older lines are dropped from the page, none in between
    assert len(lines) > 1000
    first = written.index(lines[1])
    assert lines[1:] == written[first:]
    assert page.locator(".runs-log pre b").count() == 0
    assert "<b>not bold</b>" in lines[-5]


def test_many_lines_at_once_do_not_push_each_other_out(page, studio):
    """A chunk larger than what the page keeps, followed by a small one, once left only the small one."""
    run_id = start(studio, "step_s=1 lines=5")
    open_run(page, studio, run_id)
    open_log(page)
    expect(page.locator(".runs-log pre")).to_contain_text("step 2 of")
    with open(studio.store.run_dir(run_id) / "worker.log", "ab", buffering=0) as log:  # at once, between the worker's
        log.write("".join(f"burst {number} {'x' * 60}\n" for number in range(6000)).encode())
    expect(page.locator(".runs-log pre")).to_contain_text("burst 5999")
    until(lambda: log_lines(page)[-1].startswith("step"))
    assert len([line for line in log_lines(page) if line.startswith("burst")]) > 2000


def test_the_log_can_be_held_and_followed_again(page, studio):
    run_id = start(studio, "step_s=0.1 lines=20")
    open_run(page, studio, run_id)
    open_log(page)
    pre = page.locator(".runs-log pre")
    until(lambda: len(log_lines(page)) > 80)
    page.get_by_role("button", name="Pause").click()
    pre.evaluate("pre => { pre.scrollTop = 0 }")
    count = len(log_lines(page))
    until(lambda: len(log_lines(page)) > count)
    assert pre.evaluate("pre => pre.scrollTop") == 0
    page.get_by_role("button", name="Follow").click()
    assert pre.evaluate("pre => pre.scrollHeight - pre.clientHeight - pre.scrollTop") < 5
    # what came while another tab was looked at is there too, once
    page.get_by_role("tab", name="Train").click()
    time.sleep(3)
    page.get_by_role("tab", name="Runs").click()
    last = log_lines(page)[-1:]
    until(lambda: log_lines(page)[-1:] != last)  # their number stands still once the oldest are dropped
    lines = log_lines(page)
    written = (studio.store.run_dir(run_id) / "worker.log").read_text().splitlines()
    if lines[0].startswith("["):  # opened so late that the beginning of the log is passed over, which the first says
        del lines[0]
    assert len(lines) == len(set(lines))
    assert lines == written[written.index(lines[0]):][:len(lines)]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the whole log").click()
    assert download.value.path().read_text().startswith("scripted worker")


def test_a_damaged_run_is_listed_and_can_be_deleted(page, studio):
    run_id = finished_run(studio.store, name="damaged")
    (studio.store.run_dir(run_id) / "preset.yaml").write_text("lora: {rank: 8}")
    page.goto(f"{studio.url}/?tab=runs")
    page.get_by_text("cannot be read").click()
    expect(page.get_by_role("alert")).to_contain_text("lora.rank")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()


def test_deleting_asks_first(page, studio):
    run_id = finished_run(studio.store, name="to delete")
    open_run(page, studio, run_id)
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("button", name="Delete for good")).to_be_hidden()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()
    assert studio.store.list() == []


def test_a_run_that_is_gone_says_so(page, studio):
    page.goto(f"{studio.url}/?run=20260101-000000-gone-0000")
    expect(page.get_by_role("alert")).to_contain_text("This run is not here")
    page.get_by_role("link", name="All runs").click()
    expect(page.get_by_role("heading", name="No runs yet")).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_list_and_page_can_be_read_by_everyone(page, studio, theme):
    done = finished_run(studio.store, report=report_with_ways())
    failed = start(studio, "fail=merge step_s=0", steps=20)
    wait_for_end(studio, failed)
    for address in ("tab=runs", f"run={done}", f"run={failed}"):
        page.goto(f"{studio.url}/?__theme={theme}&{address}")
        expect(page.locator("#runs-board a, .runs-headline").first).to_be_visible()
        if "run=" in address:
            expect(page.locator("#run-body .vega-embed[aria-hidden] svg")).to_have_count(4)
            line = page.locator("#runs-plot-learning_rate .mark-line path").first
            expect(line).to_have_attribute("d", re.compile("L"))
        stand_still(page)
        found = Axe().run(page).response["violations"]
        assert [(entry["id"], entry["nodes"][0]["html"][:200]) for entry in found
                if entry["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_page(page, studio, width):
    long = "a name that is very long and has_no_place_to_break_" * 4
    done = finished_run(studio.store, name=long, preset=files.override(Preset(), {"name": long[:80]}),
                        report=report_with_ways(long))
    live = start(studio, "step_s=0.2 lines=5", name=long[:80])
    page.set_viewport_size({"width": width, "height": 844})
    for address in ("?tab=runs", f"?run={done}", f"?run={live}"):
        page.goto(f"{studio.url}/{address}")
        expect(page.locator("#runs-board, #run-head").filter(visible=True).first).to_contain_text("a name that is")
        time.sleep(2)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address

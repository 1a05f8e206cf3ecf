"""The frame around the tabs in a real browser: the working run in the header, where a reload lands, who sees what."""

import re
from dataclasses import replace

from playwright.sync_api import expect

from studio.preset import files
from studio.runs import launcher
from tests.ui.waiting import wait_for_tick


def slow_run(studio, name="slow one"):
    preset = files.override(files.load(studio.settings.presets_dir / "first.yaml"), {
        "description": "step_s=0.5", "training.max_steps": 5000})  # works as long as anybody looks
    return launcher.start(studio.store, preset, name=name)


def test_the_working_run_is_in_the_header_and_leads_to_its_page(page, studio):
    run_id = slow_run(studio)
    page.goto(studio.url)
    chip = page.locator("#header a.chip.run")
    expect(chip).to_contain_text("Training: slow one")
    expect(chip).to_contain_text(re.compile(r"\d+ %"))
    chip.click()
    expect(page.get_by_role("tab", name="Runs")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("heading", name="slow one")).to_be_visible()
    expect(page).to_have_url(re.compile(f"run={run_id}"))


def test_an_address_with_a_run_opens_it(page, studio):
    run_id = slow_run(studio)
    page.goto(f"{studio.url}/?run={run_id}")
    expect(page.get_by_role("heading", name="slow one")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="slow one")).to_be_visible()


def test_a_reload_lands_on_the_tab_one_was_at(page, studio):
    page.goto(studio.url)
    expect(page.get_by_role("radio").first).to_be_checked()
    page.wait_for_function("window.studioReady")
    page.get_by_role("tab", name="Publish").click()
    expect(page).to_have_url(re.compile("tab=publish"))
    page.reload()
    expect(page.get_by_role("tab", name="Publish")).to_have_attribute("aria-selected", "true")


def test_the_server_can_open_with_a_run(page, studio, serving):
    run_id = slow_run(studio)
    with serving(studio.settings, open_run=run_id) as served:
        page.goto(served.url)
        expect(page.get_by_role("heading", name="slow one")).to_be_visible()


def test_a_stranger_sees_a_private_studio_s_door_only(page, studio, serving):
    slow_run(studio, name="secret run")
    with serving(replace(studio.settings, owners=("someone",))) as served:
        page.goto(served.url)
        expect(page.get_by_role("note")).to_contain_text("This studio is private")
        wait_for_tick(page)
        assert "secret run" not in page.content()
        expect(page.get_by_role("tab")).to_have_count(0)


def test_the_owner_with_the_password_sees_everything(page, studio, serving):
    with serving(replace(studio.settings, owners=("ann",), password="let me in")) as served:
        page.goto(served.url)
        page.get_by_label("username").fill("ann")
        page.get_by_label("password").fill("let me in")
        page.get_by_role("button", name="Login").click()
        expect(page.get_by_role("radio").first).to_be_checked()
        expect(page.get_by_role("note")).to_have_count(0)


def test_a_disk_that_is_lost_is_announced(page, studio, serving):
    with serving(replace(studio.settings, data_is_lasting=False)) as served:
        page.goto(served.url)
        expect(page.get_by_role("note")).to_contain_text("lost when it restarts")


def test_a_run_is_cloned_from_its_page(page, studio):
    run_id = slow_run(studio)
    page.goto(f"{studio.url}/?run={run_id}")
    page.get_by_role("button", name="Clone").click()
    expect(page.get_by_role("tab", name="Train")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_text("Chosen: slow one")).to_be_visible()

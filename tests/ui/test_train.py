"""The Train tab in a real browser: from the gallery to a running run, by mouse, by keyboard, on a phone."""

import json
import re
import threading

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from studio.preset import files
from studio.runs.events import TERMINAL_STAGES
from studio.ui.form import widget_id
from tests.ui.waiting import kept, stand_still, until, wait_for_tick, wait_until_kept

STEPS = ("What", "Data", "Model and method", "Check", "Start")
# the editor scrolls by its caret, which axe does not see
AXE = {"resultTypes": ["violations"], "rules": {"scrollable-region-focusable": {"enabled": False}}}


def field(page: Page, name: str) -> Locator:
    """The input of a parameter's widget."""
    return page.locator(f"#{widget_id(name)}").locator("input, textarea").first


def heading(page: Page, text: str) -> Locator:
    return page.get_by_role("heading", name=text)


def open_studio(page: Page, studio, query: str = "") -> None:
    page.goto(f"{studio.url}/{query}")
    expect(page.get_by_role("radio").first).to_be_checked()


def go_on(page: Page, to: str) -> None:
    page.get_by_role("button", name="Next:").click()
    expect(page.get_by_role("tab", name=to)).to_have_attribute("aria-selected", "true")


def choose_second(page: Page) -> None:
    """Choose the second card, and wait until the form is filled with it."""
    before = kept(page, "studio.draft")
    page.get_by_text("Answer in my style").click()
    wait_until_kept(page, "studio.draft", before)


def to_step(page: Page, number: int) -> None:
    for name in STEPS[1:number]:
        go_on(page, name)


def wait_for_the_run(page: Page, studio):
    """The one run there is, when its page shows."""
    expect(page).to_have_url(re.compile(r"run="))
    view, = studio.store.list()
    expect(page.get_by_role("heading", name=view.name)).to_be_visible()
    return view


def test_a_run_is_started_from_the_gallery_by_mouse_alone(page, studio):
    open_studio(page, studio)
    choose_second(page)
    go_on(page, "Data")
    expect(page.locator(".preview mark.trained").nth(1)).to_be_visible()
    go_on(page, "Model and method")
    expect(field(page, "training.num_train_epochs")).to_have_value("5")
    go_on(page, "Check")
    expect(page.get_by_text("Memory", exact=True)).to_be_visible()
    go_on(page, "Start")
    page.get_by_role("button", name="Start training").click()
    view = wait_for_the_run(page, studio)
    assert view.name == "second" and view.info["origin"] == "second"
    until(lambda: studio.store.get(view.run_id).state.stage in TERMINAL_STAGES)
    assert studio.store.get(view.run_id).state.stage.value == "COMPLETED"


def test_a_run_is_started_by_keyboard_alone(page, studio):
    open_studio(page, studio)
    page.locator("body").press("Tab")
    for _ in range(30):
        if page.evaluate("document.activeElement.name === 'preset-card'"):
            break
        page.keyboard.press("Tab")
    before = kept(page, "studio.draft")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio").nth(1)).to_be_checked()
    wait_until_kept(page, "studio.draft", before)
    for name in STEPS[1:]:
        tab_to(page, "Next:")
        page.keyboard.press("Enter")
        expect(page.get_by_role("tab", name=name)).to_have_attribute("aria-selected", "true")
    tab_to(page, "Start training")
    page.keyboard.press("Enter")
    assert wait_for_the_run(page, studio).name == "second"


def test_the_untouched_model_is_tried_first_and_the_plan_goes_with_it(page, studio):
    open_studio(page, studio)
    page.get_by_text("What it is for, and what it costs otherwise").click()
    field(page, "plan.use_case").fill("Cooks paste ingredient lines")
    field(page, "plan.requests_per_month").fill("-5")
    page.get_by_role("button", name="Next:").click()
    expect(page.locator(f"#{widget_id('plan.requests_per_month')}")).to_contain_text("Must be greater than or equal to")
    expect(field(page, "plan.requests_per_month")).to_be_focused()
    field(page, "plan.requests_per_month").fill("3000")
    to_step(page, 5)
    page.get_by_role("button", name="Try without tuning first").click()
    view = wait_for_the_run(page, studio)
    assert (view.kind, view.preset.plan.use_case, view.preset.plan.requests_per_month) == (
        "baselines", "Cooks paste ingredient lines", 3000)
    expect(page.locator("#run-results")).to_contain_text("Training has room to gain")
    expect(page.locator("#run-curves")).to_be_hidden()


def tab_to(page: Page, text: str) -> None:
    expect(page.get_by_role("button", name=text)).to_be_enabled()
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.innerText || ''").startswith(text):
            return
    raise AssertionError(f"Tab never reaches {text}")


def test_the_draft_survives_a_reload(page, studio):
    open_studio(page, studio)
    choose_second(page)
    to_step(page, 3)
    before = kept(page, "studio.draft")
    field(page, "lora.r").fill("24")
    expect(page.locator("#yaml")).to_contain_text("r: 24")
    wait_until_kept(page, "studio.draft", before)
    page.reload()
    expect(page.get_by_role("tab", name="Model and method")).to_have_attribute("aria-selected", "true")
    expect(field(page, "lora.r")).to_have_value("24")
    before = kept(page, "studio.step")
    page.get_by_role("tab", name="What").click()
    expect(page.get_by_role("radio").nth(1)).to_be_checked()
    wait_until_kept(page, "studio.step", before)
    page.reload()
    expect(page.get_by_role("tab", name="What")).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("radio").nth(1)).to_be_checked()


def test_a_click_before_the_page_has_read_its_draft_is_not_lost(page, studio):
    """The step that was kept came after the click, and what the form had by then was overwritten."""
    held, let_go = [], threading.Event()
    page.route("**/run/predict*", lambda route: route.continue_() if let_go.is_set() else held.append(route))
    page.goto(studio.url)
    expect(page.locator("#steps")).to_be_attached()
    expect(page.get_by_role("button", name="Next:")).to_be_hidden()
    let_go.set()
    for route in held:
        route.continue_()
    page.unroute_all(behavior="wait")  # a handler at work when the page closes would fail
    go_on(page, "Data")
    page.get_by_role("tab", name="What").click()
    expect(page.get_by_role("radio").first).to_be_checked()


def test_nothing_secret_is_kept_in_the_browser(page, studio):
    open_studio(page, studio)
    to_step(page, 5)
    before = kept(page, "studio.draft")
    page.get_by_text("paste a Hub token").click()
    page.get_by_label("Token for the Hugging Face Hub").fill("hf_secret_of_the_test")
    field(page, "name").fill("renamed")
    wait_until_kept(page, "studio.draft", before)
    assert "hf_secret_of_the_test" not in page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})")
    page.reload()
    expect(field(page, "name")).to_have_value("renamed")
    page.get_by_text("paste a Hub token").click()
    expect(page.get_by_label("Token for the Hugging Face Hub")).to_have_value("")


def test_a_wrong_value_is_named_inside_its_own_field(page, studio):
    open_studio(page, studio)
    to_step(page, 3)
    field(page, "training.max_length").fill("1024")
    rank, rate = (page.locator(f"#{widget_id(name)}") for name in ("lora.r", "training.learning_rate"))
    field(page, "lora.r").fill("0")
    field(page, "training.learning_rate").fill("")
    expect(page.locator("#yaml-status")).to_contain_text("LoRA rank: Must be greater than or equal to 1")
    expect(page.locator("#yaml-status")).to_contain_text("Learning rate: Enter a value.")
    page.get_by_role("button", name="Next:").click()
    expect(field(page, "lora.r")).to_be_focused()
    wait_for_tick(page)  # of the header, or whatever else the page asks for, leaves the messages as they are
    expect(rank).to_contain_text("Must be greater than or equal to 1")
    expect(rate).to_contain_text("Enter a value.")
    expect(field(page, "training.learning_rate")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(f"#{widget_id('training.max_length')}")).not_to_contain_text("Must be")
    expect(page.get_by_role("tab", name="Model and method")).to_have_attribute("aria-selected", "true")
    field(page, "lora.r").fill("8")
    expect(rank).not_to_contain_text("Must be")
    expect(rate).to_contain_text("Enter a value.")
    field(page, "training.learning_rate").fill("0.0001")
    expect(rate).not_to_contain_text("Enter a value.")
    expect(page.locator("#yaml-status")).to_contain_text("agree")
    go_on(page, "Check")


def test_form_and_yaml_follow_each_other(page, studio):
    open_studio(page, studio)
    to_step(page, 3)
    field(page, "lora.r").fill("48")
    expect(page.locator("#yaml")).to_contain_text("r: 48")
    with page.expect_download() as download:
        page.locator("#yaml").get_by_label("Download").click()
    saved = files.load(download.value.path())
    assert saved.lora.r == 48
    changed = files.override(saved, {"lora.r": 12, "lora.target_modules": "q_proj v_proj"})
    write_yaml(page, files.dumps(changed, comments=False))
    expect(field(page, "lora.r")).to_have_value("12")
    page.get_by_text("LoRA: more settings").click()
    expect(field(page, "lora.target_modules")).to_have_value("q_proj v_proj")
    write_yaml(page, "lora: {rank: 3}")
    expect(page.locator("#yaml-status")).to_contain_text('"lora.rank" is not a preset field')
    expect(field(page, "lora.r")).to_have_value("12")


def write_yaml(page: Page, text: str) -> None:
    editor = page.locator("#yaml").get_by_role("textbox")
    editor.click()
    editor.press("ControlOrMeta+a")
    page.keyboard.insert_text(text)


def test_a_preset_file_is_opened(page, studio, tmp_path):
    preset = files.override(files.load(studio.settings.presets_dir / "first.yaml"), {"lora.r": 33})
    files.save(preset, tmp_path / "mine.yaml")
    (tmp_path / "broken.yaml").write_text("lora: [")
    open_studio(page, studio)
    chooser = page.locator("input[type=file][accept*=yaml]")
    chooser.set_input_files(tmp_path / "broken.yaml")
    expect(page.get_by_text("The preset is not readable YAML")).to_be_visible()
    chooser.set_input_files(tmp_path / "mine.yaml")
    expect(page.get_by_text("Chosen: mine.yaml")).to_be_visible()
    expect(page.get_by_role("radio").first).not_to_be_checked()
    to_step(page, 3)
    expect(field(page, "lora.r")).to_have_value("33")


def test_a_run_is_cloned(page, studio):
    preset = files.override(files.load(studio.settings.presets_dir / "first.yaml"), {"lora.r": 7})
    run_id = studio.store.create(preset, name="the old one")
    open_studio(page, studio)
    page.get_by_label("Clone a run").click()
    page.get_by_role("option", name="the old one").click()
    expect(page.get_by_text("Chosen: the old one")).to_be_visible()
    to_step(page, 5)
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(re.compile("run="))
    started = studio.store.list()[0]
    assert started.preset.lora.r == 7 and started.info["parent"] == run_id


def test_an_uploaded_file_becomes_the_data_set(page, studio, tmp_path):
    rows = [{"prompt": f"2 cups flour {n}", "completion": '{"quantity": 2}'} for n in range(40)]
    (tmp_path / "my rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    open_studio(page, studio)
    to_step(page, 2)
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "my rows.jsonl")
    expect(field(page, "data.dataset_name")).to_have_value(re.compile(r"^upload:my-rows-\w+\.jsonl$"))
    expect(page.locator("#preview")).to_contain_text("2 cups flour")
    expect(page.locator("#preview mark.trained").nth(1)).to_contain_text('{"quantity": 2}')


def test_data_that_cannot_be_read_says_why(page, studio):
    open_studio(page, studio)
    to_step(page, 2)
    field(page, "data.dataset_name").fill("upload:gone.jsonl")
    page.get_by_role("button", name="Examine again").click()
    expect(page.locator("#preview [role=alert]")).to_be_visible()


def test_a_finding_is_mended_by_its_button(page, studio):
    open_studio(page, studio)
    to_step(page, 3)
    page.get_by_label("Load in 4 bit (QLoRA)").check()
    expect(page.locator("#yaml")).to_contain_text("load_in_4bit: true")
    go_on(page, "Check")
    expect(page.locator(".finding.error")).to_contain_text("needs an NVIDIA GPU")
    expect(page.get_by_role("button", name="Next:")).to_be_disabled()
    page.get_by_role("button", name="Set Load in 4 bit (QLoRA) = off").click()
    expect(page.locator(".finding.error")).to_have_count(0)
    expect(page.get_by_role("button", name="Next:")).to_be_enabled()


def test_publishing_without_a_repository_is_refused_in_its_field(page, studio):
    open_studio(page, studio)
    to_step(page, 5)
    page.get_by_label("Publish at the end").check()
    page.get_by_role("button", name="Start training").click()
    expect(page.locator(f"#{widget_id('publish.hub_model_id')}")).to_contain_text("needs a repository")
    assert studio.store.list() == []


def test_a_text_from_a_preset_is_never_markup(page, studio):
    script = "<img src=x onerror=window.hit=1>"
    preset = files.override(files.load(studio.settings.presets_dir / "first.yaml"), {"description": script})
    files.save(preset, studio.settings.user_presets_dir / "hostile.yaml")
    open_studio(page, studio)
    page.get_by_role("radio").last.check()
    to_step(page, 5)
    assert page.evaluate("window.hit") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scroll_and_labels_are_labels(page, studio, theme):
    """Width and the axe rules in one walk through all steps."""
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{studio.url}/?__theme={theme}")
    expect(page.get_by_role("radio").first).to_be_checked()
    for number in range(1, 6):
        if number == 2:
            expect(page.locator("#preview mark.trained").nth(1)).to_be_visible()
        if number == 4:
            expect(page.get_by_role("button", name="Next:")).to_be_enabled()
            expect(page.locator("#findings .finding").first).to_be_visible()
        stand_still(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, STEPS[number - 1]
        found = Axe().run(page, options=AXE).response["violations"]
        serious = [f"{item['id']}: {item['nodes'][0]['html'][:200]}" for item in found
                   if item["impact"] in ("serious", "critical")]
        assert serious == [], f"{STEPS[number - 1]}: {serious}"
        if number < 5:
            page.get_by_role("button", name="Next:").click()
            expect(page.get_by_text(f"Step {number + 1}/5")).to_be_visible()

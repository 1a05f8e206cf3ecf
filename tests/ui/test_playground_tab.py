"""The Playground tab in Chromium, over the real page and a scripted inference process."""

import json
import os
import re
import signal
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from studio.evaluation.votes import read_votes
from studio.runs.playground import release
from tests.finished_run import finished_run
from tests.ui.waiting import until

ROWS = [{"prompt": "2 eggs", "completion": '{"quantity": 2}'},
        {"prompt": '<img src=x onerror="window.hacked=1"> 3', "completion": "{}"},
        {"prompt": "count 900 slowly", "completion": "{}"}]


@pytest.fixture
def settings(settings, store):
    run_dir = store.run_dir(finished_run(store))
    (run_dir / "data").mkdir()
    (run_dir / "data" / "heldout.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return replace(settings, worker_module="tests.fake_infer")


@pytest.fixture
def page(settings, page, serving):
    with serving(settings) as studio:
        page.goto(f"{studio.url}/?tab=playground")
        expect(page.get_by_text("Not loaded")).to_be_visible()
        expect(page.get_by_role("button", name="2 eggs")).to_be_visible()
        yield page
        release(settings)


def side(page, name):
    return page.get_by_role("region", name=name)


def test_an_example_is_answered_by_both_models_side_by_side(page):
    page.get_by_role("button", name="2 eggs").click()
    expect(page.get_by_label("Wanted answer of this example")).to_have_value('{"quantity": 2}')
    page.get_by_role("button", name="Send").click()
    expect(side(page, "Base model")).to_contain_text("base heard: 2 eggs 0 1")
    expect(side(page, "Tuned model")).to_contain_text("tuned heard: 2 eggs 0 1")
    expect(side(page, "Tuned model")).to_contain_text("6 tokens in 0.1 s · 100 tokens/s")
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("")
    page.get_by_role("button", name="Exact prompt").click()
    expect(page.get_by_label("What the model reads")).to_have_value("<|user|>2 eggs\n")


def test_hostile_prompts_and_answers_stay_text(page):
    page.get_by_role("button", name="<img src=x").click()
    page.get_by_role("button", name="Send").click()
    expect(side(page, "Tuned model")).to_contain_text('tuned heard: <img src=x onerror="window.hacked=1"> 3 0')
    assert page.evaluate("window.hacked") is None and page.locator(".turns img").count() == 0


def ask_at_length(page: Page) -> None:
    """A prompt of the held-out rows whose answer takes long, until the answer begins."""
    page.get_by_role("button", name="count 900").click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("count 900 slowly")
    page.get_by_role("button", name="Send").click()
    expect(side(page, "Base model")).to_contain_text("base heard: count 900 slowly 0")


def test_stop_ends_the_answer_and_the_next_prompt_is_answered(page, settings):
    ask_at_length(page)
    page.get_by_role("button", name="Stop").click()
    expect(side(page, "Base model").locator(".facts")).to_have_text("Stopped")
    expect(side(page, "Tuned model").locator(".facts")).to_have_text("Stopped")
    until(lambda: "hung up" in (settings.playground_dir / "worker.log").read_text())  # the model stops, too
    page.get_by_role("button", name="New chat").click()
    expect(side(page, "Base model")).to_contain_text("The untouched base model answers here")
    page.get_by_label("Prompt", exact=True).fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(side(page, "Tuned model")).to_contain_text("tuned heard: hello 0 1")


def test_a_killed_process_is_told_in_a_sentence_and_the_next_prompt_loads_again(page, settings):
    ask_at_length(page)
    os.kill(json.loads((settings.playground_dir / "process.json").read_text())["pid"], signal.SIGKILL)
    expect(page.get_by_text("killed by the system").first).to_be_visible()
    expect(side(page, "Base model").locator(".facts")).to_have_text("Broke off")
    page.get_by_role("button", name="New chat").click()
    expect(side(page, "Base model")).to_contain_text("The untouched base model answers here")
    page.get_by_label("Prompt", exact=True).fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(side(page, "Tuned model")).to_contain_text("tuned heard: hello 0 1")


def test_a_base_model_typed_in_has_no_tuned_side(page):
    page.get_by_label("Model", exact=True).fill("owner/name")
    page.get_by_label("Model", exact=True).press("Enter")
    expect(side(page, "Tuned model")).to_contain_text("no tuned model to compare")
    page.get_by_label("Prompt", exact=True).fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(side(page, "Base model")).to_contain_text("base heard: hello 0 1")
    expect(side(page, "Tuned model").locator(".turn")).to_have_count(0)


def test_a_reload_finds_the_loaded_model(page):
    page.get_by_role("button", name="Load", exact=True).click()
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    page.reload()
    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    page.get_by_role("button", name="Unload").click()
    expect(page.get_by_text("Not loaded")).to_be_visible()


def test_a_blind_vote_by_keyboard_names_the_models_afterwards_and_marks_what_differs(page, store):
    page.get_by_role("checkbox", name="Compare blind").check()
    page.get_by_role("button", name="Next held-out prompt").click()
    expect(page.get_by_text("Which answer is better?")).to_be_visible()
    expect(page.get_by_role("region")).to_have_count(2)
    for name in ("Answer A", "Answer B"):
        expect(side(page, name)).to_contain_text(" heard: 2 eggs 0 1")
        expect(side(page, name).locator("mark")).to_have_text(re.compile("^(base|tuned)$"))
    page.get_by_role("checkbox", name="Mark what differs").uncheck()
    expect(side(page, "Answer A").locator("mark")).to_have_css("text-decoration-line", "none")
    button = page.get_by_role("button", name="Answer B is better")
    expect(button).to_be_enabled()
    button.press("Enter")
    expect(page.get_by_text("Vote kept: Answer B is better.")).to_be_visible()
    vote, = read_votes(store.list()[0].run_dir).votes
    named = {"base": "base model"}.get(vote.b.model, "tuned model")
    expect(side(page, f"Answer B: {named}")).to_contain_text(vote.b.text)
    expect(button).to_be_disabled()
    expect(page.get_by_role("button", name="Next held-out prompt")).to_be_focused()
    share = "0 %" if named == "base model" else "100 %"
    expect(page.get_by_text(f"preferred to base model in {share} of 1 blind vote")).to_be_visible()

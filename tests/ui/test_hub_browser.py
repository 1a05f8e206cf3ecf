"""The browser for base models and data sets in a real browser: search, look, take, star, and a Hub that is gone."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from studio.publishing.browse_choices import recent, starred
from tests.hub_server import HubServer
from tests.hub_shelf import ask_there, fill, hostile
from tests.ui.test_train import AXE, field, go_on, open_studio
from tests.ui.waiting import until

SMALL, SMOLLM2 = "lab/small-1.5B-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as hub:
        fill(hub)
        hostile(hub)
        ask_there(hub, monkeypatch)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def test_model_and_data_are_found_on_the_hub_and_taken(page, hub, studio):
    open_studio(page, studio)
    go_on(page, "Data")
    page.get_by_role("button", name="Find a data set").click()
    page.get_by_label("Search for a data set").fill("recipes")  # all at once: a search begins where the typing pauses
    expect(page.locator("#hub-datasets-results li")).to_have_count(1)
    page.get_by_role("button", name="Details of lab/recipes").click()
    page.get_by_role("button", name="Use long of lab/recipes").click()
    expect(field(page, "data.dataset_name")).to_have_value("lab/recipes")
    expect(page.locator("#hub-datasets-results")).to_be_hidden()
    page.get_by_role("button", name="Data: more settings").click()
    expect(field(page, "data.dataset_config")).to_have_value("long")
    expect(field(page, "data.dataset_train_split")).to_have_value("validation")

    go_on(page, "Model and method")
    page.get_by_role("button", name="Find a base model").click()
    results, details = page.locator("#hub-models-results"), page.locator("#hub-models-details")
    expect(results.locator("li")).to_have_count(7)
    expect(results.locator("li").first).to_contain_text("fits, about")
    page.get_by_role("button", name=f"Favourite: {SMALL}").click()
    page.get_by_role("button", name=f"Details of {SMALL}").press("Enter")
    expect(details.get_by_role("heading", name=SMALL)).to_be_focused()
    expect(details).to_contain_text("32,768 tokens")
    found = Axe().run(page, {"include": [["#hub-models"]]}, options=AXE).response["violations"]
    assert [(entry["id"], entry["nodes"][0]["html"]) for entry in found] == []
    page.get_by_role("button", name="Close").press("Enter")
    expect(page.get_by_role("button", name=f"Details of {SMALL}")).to_be_focused()
    page.get_by_role("button", name=f"Use {SMALL}").press("Enter")
    expect(field(page, "model.model_name_or_path")).to_have_value(SMALL)
    expect(field(page, "model.model_name_or_path")).to_be_focused()
    assert page.title() == "Fine-Tune Studio", "no name on the list was run"

    # the Hub goes away: what is here is shown, with the reason, and the favourites stay
    hub.fail("list", times=100, drop="request")
    page.get_by_role("button", name="Find a base model").click()
    expect(results).to_contain_text("The connection to the Hub broke")
    expect(results).to_contain_text(SMOLLM2)
    page.locator("#hub-models").get_by_label("Favourites").check()
    expect(results.locator("li")).to_have_count(1)
    expect(results.get_by_role("button", name=f"Favourite: {SMALL}")).to_have_attribute("aria-pressed", "true")
    assert [result.id for result in starred(studio.settings, "models")] == [SMALL]
    until(lambda: [result.id for result in recent(studio.settings, "models")] == [SMALL])
    assert [result.id for result in recent(studio.settings, "datasets")] == ["lab/recipes"]

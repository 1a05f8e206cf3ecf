"""Use it on the run page: commands are copied, a demo is asked for, an endpoint is rented only after a yes."""

import json
from dataclasses import replace

import pytest
from huggingface_hub import constants
from playwright.sync_api import expect

from studio.publishing import endpoints
from tests.finished_run import finished_run
from tests.hub_server import HubServer
from tests.pushed_run import pushed_run

TOKEN_BOX = "Hub token"
# a button says what became of a click for a moment only: all that it has said
SAID = """button => {
  const said = [];
  new MutationObserver(() => said.push(button.textContent)).observe(button, {childList: true, subtree: true});
  return said;
}"""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with HubServer() as hub:
        hub.token = hub.add_user("ana")
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        # huggingface_hub has no variable for this address
        monkeypatch.setattr(constants, "INFERENCE_ENDPOINTS_ENDPOINT", f"{hub.endpoint}/v2")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        for name, value in hub.environment(tmp_path / "hf").items():
            monkeypatch.setenv(name, value)
        yield hub


def close_messages(page):
    """Close those that have not gone by themselves yet."""
    page.get_by_test_id("toast-close").evaluate_all("all => all.forEach(one => one.click())")
    expect(page.get_by_test_id("toast-close")).to_have_count(0)


def choose(page, demo, hardware):
    demo.get_by_label("Hardware").click()
    page.get_by_role("option", name=f"{hardware}:").click()


def test_a_run_that_was_not_pushed_is_used_from_its_folder_and_the_command_is_copied(page, settings, store, serving):
    run_id = finished_run(store)
    with serving(settings) as studio:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(f"{studio.url}/?run={run_id}")
        page.get_by_role("radio", name="vLLM").check()
        block = page.locator(".deploy-block").first
        expect(block).to_contain_text(f"vllm serve {store.run_dir(run_id).resolve()}/merged")
        said = block.get_by_role("button").evaluate_handle(SAID)
        block.get_by_role("button", name="Copy").click()
        page.wait_for_function("said => said.includes('Copied')", arg=said)
        assert page.evaluate("navigator.clipboard.readText()") == block.locator("pre").inner_text()
        expect(page.get_by_label("Model from")).to_have_count(0)
        page.get_by_role("button", name="Chat demo as a Space").click()
        expect(page.locator("#run-space-status")).to_contain_text("Publish the model first")
        page.get_by_role("button", name="Inference Endpoint").click()
        expect(page.locator("#run-endpoint-status")).to_contain_text("Publish the merged model first")


def test_a_demo_is_made_and_an_endpoint_is_rented_paused_and_deleted(page, settings, store, serving, hub):
    view = pushed_run(store)
    (view.run_dir / "data").mkdir(exist_ok=True)
    row = {"messages": [{"role": "user", "content": "<b>2 cups</b>"}, {"role": "assistant", "content": "{}"}]}
    (view.run_dir / "data" / "heldout.jsonl").write_text(json.dumps(row) + "\n")
    with serving(settings) as studio:
        page.goto(f"{studio.url}/?run={view.run_id}")
        expect(page.locator(".deploy-block").first).to_contain_text('model="ana/recipes"')
        page.get_by_role("button", name="Chat demo as a Space").click()
        demo = page.locator("#run-space")
        demo.get_by_label("Show held-out questions as examples").check()
        expect(demo.get_by_text("<b>2 cups</b>")).to_be_visible()
        demo.get_by_label(TOKEN_BOX).fill(hub.token)
        agreed = demo.get_by_label("I know that t4-small costs $0.40 an hour")
        expect(agreed).to_have_count(0)
        choose(page, demo, "t4-small")
        expect(agreed).not_to_be_checked()
        demo.get_by_role("button", name="Make the demo").click()
        expect(page.get_by_text("t4-small costs $0.40 an hour while the Space runs.")).to_be_visible()
        close_messages(page)
        agreed.check()
        choose(page, demo, "cpu-basic")
        expect(agreed).to_have_count(0)
        demo.get_by_role("button", name="Make the demo").click()
        expect(page.locator("#run-space-status")).to_contain_text("Add a secret HF_TOKEN")
        assert json.loads(hub.files("ana/recipes-demo", "spaces")["demo.json"])["examples"] == ["<b>2 cups</b>"]
        assert hub.repo("ana/recipes-demo", "spaces").private and not hub.secrets and not hub.space_hardware

        page.get_by_role("button", name="Inference Endpoint").click()
        rent, status = page.locator("#run-endpoint"), page.locator("#run-endpoint-status")
        rent.get_by_label(TOKEN_BOX).fill(hub.token)
        rent.get_by_role("button", name="Look up machines").click()
        expect(rent.get_by_label("Machine")).to_have_value(
            "Nvidia T4 (aws, us-east-1, nvidia-t4 x1): 16 GB, $0.50 an hour")
        rent.get_by_role("button", name="Rent it").click()
        expect(page.get_by_text("An endpoint costs money: $0.50 an hour")).to_be_visible()
        assert not hub.endpoints
        rent.get_by_label("I know that this costs money").check()
        rent.get_by_role("button", name="Rent it").click()
        expect(status).to_contain_text("recipes of ana is pending")
        hub.endpoints["ana", "recipes"]["status"] |= {"state": "running", "url": "https://x.endpoints.example"}
        rent.get_by_role("button", name="Look now").click()
        expect(status).to_contain_text("It costs money now: $0.50 an hour")
        expect(status).to_contain_text('base_url="https://x.endpoints.example/v1", api_key=get_token()')
        rent.get_by_role("button", name="Pause").click()
        expect(status).to_contain_text("is paused")
        rent.get_by_role("button", name="Delete").click()
        expect(status).to_contain_text("The endpoint is deleted")
        assert not hub.endpoints and endpoints.read_record(view.run_dir) is None


def test_only_the_owner_makes_demos_and_rents(page, settings, store, serving, hub):
    view = pushed_run(store)
    refusal = page.get_by_text("Only the owner of this studio may do this.")
    with serving(replace(settings, owners=("ana",), public_view=True)) as studio:
        page.goto(f"{studio.url}/?run={view.run_id}")
        page.get_by_role("button", name="Chat demo as a Space").click()
        page.get_by_role("button", name="Make the demo").click()
        expect(refusal).to_be_visible()
        close_messages(page)
        expect(refusal).to_have_count(0)
        page.get_by_role("button", name="Inference Endpoint").click()
        page.get_by_role("button", name="Look up machines").click()
        expect(refusal).to_be_visible()
        assert not hub.requests

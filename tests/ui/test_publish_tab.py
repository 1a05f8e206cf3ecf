"""The Publish tab in a browser: a real push to the stand-in Hub, by mouse, with a failure in between."""

import re
import threading

import pytest
from playwright.sync_api import Page, expect

from studio.publishing.request import is_cancelled
from tests.finished_run import finished_run
from tests.hub_server import HubServer
from tests.ui.waiting import files_below


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub with an account `ana`, for this process (which has imported its client already) and for the push's."""
    with HubServer() as hub:
        hub.token = hub.add_user("ana")
        hub.add_repo("HuggingFaceTB/SmolLM2-135M-Instruct", {"README.md": b"---\nlicense: apache-2.0\n---\n"})
        for name, value in hub.environment(tmp_path / "hf", hub.token).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        # a slow machine is no silent Hub
        monkeypatch.setattr("studio.ui.publish_view.LOOK_UP_LIMIT_S", 60)
        yield hub


def open_tab(page: Page, url: str) -> None:
    page.goto(f"{url}/?tab=publish")
    expect(page.get_by_role("button", name="Publish", exact=True)).to_be_visible()


def test_push_fail_and_push_again_by_mouse(page, settings, store, hub, serving):
    finished_run(store)
    with serving(settings) as studio:
        open_tab(page, studio.url)
        expect(page.get_by_text("Publishes as ana")).to_be_visible()
        expect(page.get_by_role("textbox", name=re.compile("^Repository"))).to_have_value("ana/recipes")
        expect(page.locator("#publish-files")).to_contain_text("model.safetensors")
        expect(page.locator("#publish-files")).to_contain_text("has the licence apache-2.0")
        expect(page.locator("#publish-card")).to_contain_text("JSON equal")

        hub.fail("lfs-batch", status=403, message="Private repository storage limit reached")
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("The Hub has no room left for ana")

        page.get_by_role("button", name="Push again").click()
        expect(page.locator("#publish-status")).to_contain_text("every file was compared")
        expect(page.get_by_role("link", name=f"{hub.endpoint}/ana/recipes", exact=True)).to_be_visible()
        for way in ("Transformers", "Unsloth", "vLLM"):
            expect(page.locator("#publish-status summary", has_text=way)).to_be_visible()
        assert "model.safetensors" in hub.files("ana/recipes") and hub.repo("ana/recipes").private

        page.reload()
        expect(page.locator("#publish-status")).to_contain_text("every file was compared")


def test_gguf_files_are_made_and_their_modelfile_copied(page, settings, store, hub, serving):
    finished_run(store)
    with serving(settings) as studio:
        open_tab(page, studio.url)
        forms = page.locator("#publish-forms")
        expect(forms.get_by_role("row", name="GGUF Q4_K_M")).to_contain_text("not made")
        page.get_by_role("checkbox", name="F16", exact=True).check()
        page.get_by_role("button", name="Make GGUF files").click()
        expect(forms.get_by_role("row", name="GGUF Q4_K_M")).to_contain_text("made")
        expect(forms.get_by_role("row", name="GGUF F16")).to_contain_text("✓ made")
        # the table is drawn once more when the step has ended, which folds what is opened in it
        expect(page.get_by_role("button", name="Make GGUF files")).to_be_enabled()
        # what is there can be published, without a word more
        expect(page.get_by_role("checkbox", name="GGUF files")).to_be_visible()

        forms.get_by_text("Modelfile and commands of Q4_K_M").click()
        modelfile = forms.get_by_label("Modelfile for Ollama Q4_K_M", exact=True)
        expect(modelfile).to_have_text("FROM ./scripted-Q4_K_M.gguf")
        with page.expect_download() as started:
            forms.get_by_role("link", name="scripted-Q4_K_M.gguf").click()
        assert started.value.path().read_bytes() == b"GGUF" * 1000


def test_an_edited_card_is_kept_and_can_be_written_anew(page, settings, store, hub, serving):
    run_dir = store.run_dir(finished_run(store))
    with serving(settings) as studio:
        open_tab(page, studio.url)
        expect(page.get_by_text("Publishes as ana")).to_be_visible()
        page.get_by_role("tab", name="Edit").click()
        box = page.get_by_label("Model card in Markdown")
        # what the Hub says of account and licence is written into the card, which is drawn anew with it
        expect(box).to_have_value(re.compile(r"license: apache-2\.0.*ana/recipes", re.DOTALL))
        box.fill("---\nlicense: mit\n---\n\n# My own words\n")
        box.blur()
        expect(page.get_by_text("You have edited this card")).to_be_visible()
        assert (run_dir / "card.md").read_text().endswith("# My own words\n")

        box.fill("---\nlicense: [mit\n---\n")
        box.blur()
        expect(page.get_by_text("The head of the model card cannot be read")).to_be_visible()
        assert (run_dir / "card.md").read_text().endswith("# My own words\n")

        page.get_by_role("button", name="Write the card anew").click()
        expect(page.get_by_text("Written from the run")).to_be_visible()
        assert not (run_dir / "card.md").exists()


def test_what_is_typed_while_the_hub_is_asked_is_not_overwritten(page, settings, store, hub, serving):
    """The card was drawn anew once the Hub had said account and licence, over what a person had typed by then."""
    run_dir = store.run_dir(finished_run(store))
    asked = threading.Event()
    hub.fail("whoami", meanwhile=lambda: asked.wait(30))  # answers when the person has typed
    with serving(settings) as studio:
        open_tab(page, studio.url)
        page.get_by_role("tab", name="Edit").click()
        box = page.get_by_label("Model card in Markdown")
        expect(box).to_have_value(re.compile("# recipes"))
        box.fill("# Typed at once\n")
        asked.set()
        expect(page.locator("#publish-files")).to_contain_text("has the licence apache-2.0")
        expect(page.get_by_role("textbox", name=re.compile("^Repository"))).to_have_value("ana/recipes")
        expect(box).to_have_value("# Typed at once\n")
        box.blur()
        expect(page.get_by_text("You have edited this card")).to_be_visible()
        assert (run_dir / "card.md").read_text() == "# Typed at once\n"


def test_a_push_is_paused_continued_and_cancelled_and_an_existing_repository_asked_for(
        page, settings, store, hub, serving):
    run_dir = store.run_dir(finished_run(store, gguf=True))
    hub.add_repo("ana/recipes", {"model.safetensors": b"other", "notes.md": b"kept"}, private=True)
    with serving(settings) as studio:
        open_tab(page, studio.url)
        # the repository holds something: its last commit and what would go are named, and a click is asked for
        confirm = page.get_by_label("Yes, write to this repository")
        expect(confirm).to_be_visible()
        named = re.compile("last commit is .initial commit.*replaces model.safetensors")
        expect(page.get_by_text(named)).to_be_visible()
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.get_by_text("Read what the push would replace")).to_be_visible()
        assert not (run_dir / "publish.json").exists() and hub.count("lfs-put") == 0

        page.get_by_label("GGUF files").check()
        page.get_by_text("More choices").click()
        page.get_by_label("A repository for each form").check()
        expect(page.locator("#publish-files")).to_contain_text("ana/recipes-GGUF")
        hub.fail("lfs-put", hang=True)
        expect(confirm).to_be_visible()
        confirm.check()
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.locator("#publish-status")).to_contain_text("Sending")
        page.get_by_role("button", name="Pause").click()
        expect(page.get_by_text("The push is paused")).to_be_visible()
        assert set(hub.files("ana/recipes")) == {"model.safetensors", "notes.md"}, "nothing shows before the commit"

        hub.heal()
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#publish-status")).to_contain_text("every file was compared")
        assert set(hub.files("ana/recipes-GGUF")) == {
            "README.md", "loss_curve.png", "recipes-Q8_0.gguf", "recipes-Q8_0.modelfile"}
        assert "notes.md" in hub.files("ana/recipes")

        # pushed to before, it is not asked for again; a cancelled push is forgotten
        expect(confirm).to_be_hidden()
        card = run_dir / "card.md"
        card.write_text("# Another card\n")
        hub.fail("commit", hang=True)
        page.get_by_role("button", name="Push again").click()
        expect(page.get_by_role("button", name="Cancel the push")).to_be_visible()
        page.get_by_role("button", name="Cancel the push").click()
        expect(page.get_by_role("button", name="Publish", exact=True)).to_be_enabled()
        assert is_cancelled(run_dir)
        assert hub.files("ana/recipes")["README.md"] != b"# Another card\n"


def test_a_pasted_token_serves_and_is_kept_nowhere(page, settings, store, hub, monkeypatch, serving):
    monkeypatch.delenv("HF_TOKEN")
    finished_run(store)
    with serving(settings) as studio:
        open_tab(page, studio.url)
        expect(page.get_by_text("No Hub token is set")).to_be_visible()
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.get_by_text("No Hub token was found.")).to_be_visible()

        box = page.get_by_label("Hub token")
        expect(box).to_have_attribute("type", "password")
        box.fill(hub.token)
        box.blur()
        expect(page.get_by_text("Publishes as ana")).to_be_visible()
        page.get_by_role("button", name="Publish", exact=True).click()
        expect(page.locator("#publish-status")).to_contain_text("every file was compared")
        stored = page.evaluate("JSON.stringify({...localStorage, ...sessionStorage}) + document.cookie")
        assert hub.token not in stored
        assert [path for path, content in files_below(settings.data_dir) if hub.token.encode() in content] == []

        page.reload()
        expect(page.get_by_text("No Hub token is set")).to_be_visible()


def test_without_a_trained_run_the_tab_says_what_to_do(page, settings, store, serving):
    with serving(settings) as studio:
        page.goto(f"{studio.url}/?tab=publish")
        expect(page.get_by_text("Nothing to publish yet")).to_be_visible()

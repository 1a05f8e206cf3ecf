"""What a demo Space holds and on which hardware it fits; what is refused before anything is sent."""

import ast
import json

import pytest
import yaml

from studio.errors import HubError, RunError
from studio.preset.files import validate
from studio.publishing import deploy_model, space
from studio.publishing.pushed import places_in
from studio.publishing.space import HARDWARE_BYTES, check_space, plan, read_request, stage, write_request
from studio.runs.estimates import SPACE_PRICES
from studio.runs.model_shape import KNOWN_CONFIGS, ModelShape
from studio.settings import PROJECT_DIR
from studio.ui import deploy_space_view
from tests.finished_run import finished_run
from tests.hub_server import HubServer
from tests.pushed_run import pushed_run

HOSTILE = 'x"\n---\nsdk: docker\n<script>alert(1)</script> {head} \''


@pytest.fixture
def view(store):
    return pushed_run(store)


def staged(view, request) -> dict[str, str]:
    return {file.path_in_repo: file.path.read_text() for file in stage(view.run_dir, request)}


def test_a_demo_is_private_on_free_hardware_and_without_rows_unless_they_are_given(view):
    request = plan(view)
    assert (request.repo_id, request.private, request.hardware) == ("ana/recipes-demo", True, "cpu-basic")
    assert request.examples == () and request.model == "ana/recipes" and request.model_is_private
    given = plan(view, examples=("a" * 900, "b", "c", "d", "e")).examples
    assert len(given) == 4 and len(given[0]) == 500


def test_the_request_is_read_as_it_was_written_and_holds_no_token(view):
    request = plan(view, "ana/other", private=False, hardware="t4-small", examples=("two",))
    write_request(view.run_dir, request)
    assert read_request(view.run_dir) == request
    assert not any("token" in name and name != "max_new_tokens" for name in json.loads(
        (view.run_dir / "space.json").read_text()))


def test_the_files_name_the_model_and_a_hostile_name_stays_a_title(view):
    files = staged(view, space.SpaceRequest(
        "ana/demo", "ana/recipes", True, HOSTILE, HOSTILE, HOSTILE, 512, 64, examples=(HOSTILE,)))
    assert files.keys() == {"app.py", "demo.json", "README.md", "requirements.txt"}
    head = yaml.safe_load(files["README.md"].split("---\n")[1])
    assert head["title"] == HOSTILE.replace("\n", " ") and head["sdk"] == "gradio" and head["app_file"] == "app.py"
    assert head["models"] == ["ana/recipes"] and head["suggested_hardware"] == "cpu-basic"
    demo = json.loads(files["demo.json"])
    assert demo["system_prompt"] == HOSTILE and demo["examples"] == [HOSTILE]
    assert demo.keys() == {"model", "title", "description", "system_prompt", "max_length", "max_new_tokens", "base",
                           "folder", "revision", "base_revision", "adapter_settings", "examples"}
    assert files["app.py"] == (space.TEMPLATE / "app.py").read_text()


def test_a_cpu_gets_the_small_build_of_torch(view):
    assert staged(view, plan(view))["requirements.txt"].startswith("--extra-index-url https://download.pytorch.org")
    assert "extra-index" not in staged(view, plan(view, hardware="t4-small"))["requirements.txt"]


def test_the_template_loads_safetensors_alone_and_trusts_no_code():
    tree = ast.parse((space.TEMPLATE / "app.py").read_text())
    loads = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
             and node.func.attr == "from_pretrained" and node.func.value.id == "AutoModelForCausalLM"]
    assert loads and all(any(word.arg == "use_safetensors" and word.value.value is True for word in load.keywords)
                         for load in loads)
    text = (space.TEMPLATE / "app.py").read_text()
    assert "trust_remote_code" not in text and "torch.load" not in text


def test_the_templates_versions_are_those_of_the_lock():
    locked = dict(line.split()[0].split("==") for line in (PROJECT_DIR / "requirements.txt").read_text().splitlines()
                  if "==" in line)
    wanted = dict(line.split("==") for line in (space.TEMPLATE / "requirements.txt").read_text().splitlines())
    assert {name: locked[name] for name in wanted} == wanted
    assert locked["gradio"] == space.SDK_VERSION


def test_a_demo_of_an_adapter_answers_with_the_settings_beside_it(store):
    assert plan(pushed_run(store, ("adapter",))).adapter_settings is False
    view = pushed_run(store, ("adapter",))
    (view.run_dir / "adapter" / "generation_config.json").write_text('{"eos_token_id": [0, 2]}')
    assert plan(view).adapter_settings is True
    merged = pushed_run(store, ("merged", "adapter"))
    (merged.run_dir / "adapter" / "generation_config.json").write_text("{}")
    assert plan(merged).adapter_settings is False


def test_a_demo_stays_with_the_commits_that_were_tried(store):
    request = plan(pushed_run(store, ("adapter",)))
    assert (request.revision, request.base_revision) == ("0" * 40, "main")
    demo = json.loads(staged(store.get(pushed_run(store).run_id), request)["demo.json"])
    assert demo["revision"] == "0" * 40
    tree = ast.parse((space.TEMPLATE / "app.py").read_text())
    loads = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
             and node.func.attr == "from_pretrained"]
    assert len(loads) == 4 and all(any(word.arg in (None, "revision") for word in load.keywords) for load in loads)


def test_what_cannot_become_a_chat_demo_is_refused_with_the_way_out(store, tmp_path):
    with pytest.raises(RunError, match="was not pushed"):
        plan(store.get(finished_run(store)))
    texts = pushed_run(store)
    (texts.run_dir / "merged" / "chat_template.jinja").unlink()
    with pytest.raises(RunError, match="no chat template"):
        plan(texts)
    with pytest.raises(RunError, match="no hardware called quantum"):
        plan(pushed_run(store), hardware="quantum")


def test_an_adapter_is_asked_on_its_base_and_needs_that_on_the_hub(store, monkeypatch):
    view = pushed_run(store, ("adapter",))
    request = plan(view)
    assert (request.base, request.folder) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "")
    monkeypatch.setattr(space, "is_local", lambda name: True)
    with pytest.raises(RunError, match="its base model is not"):
        plan(view)


def test_a_model_that_does_not_fit_is_told_the_cheapest_hardware_that_does():
    def model(name):
        shape = ModelShape.from_config(KNOWN_CONFIGS[name])
        return deploy_model.published(validate({}), places_in("ana/x", ["merged"]), shape=shape)

    assert space.smallest_hardware(model("HuggingFaceTB/SmolLM2-135M-Instruct")) == "cpu-basic"
    assert space.smallest_hardware(model("Qwen/Qwen3-4B-Base")) == "cpu-upgrade"
    with pytest.raises(RunError, match=r"needs about 17 GB, and cpu-basic has 16 GB\. Choose cpu-upgrade"):
        space._check_hardware(model("Qwen/Qwen3-4B-Base"), "cpu-basic")


def test_nothing_is_paid_without_a_yes_and_nothing_paid_is_chosen_beforehand(view, monkeypatch):
    space.require_confirmed("cpu-basic", False)
    space.require_confirmed("t4-small", True)
    with pytest.raises(HubError, match=r"t4-small costs \$0\.40 an hour"):
        space.require_confirmed("t4-small", False)
    assert deploy_space_view.form(view).chosen == "cpu-basic" and deploy_space_view.to_confirm("cpu-basic") == []
    monkeypatch.setitem(HARDWARE_BYTES, "cpu-basic", 1e6)
    assert deploy_space_view.form(view).chosen is None
    with pytest.raises(RunError, match="No hardware is chosen"):
        plan(view, hardware="")
    assert deploy_space_view.to_confirm("t4-small") == [
        ("I know that t4-small costs $0.40 an hour while the Space runs", "t4-small")]


def test_each_hardware_has_a_price():
    assert HARDWARE_BYTES.keys() <= SPACE_PRICES.keys() and SPACE_PRICES[space.FREE_HARDWARE] == 0


def test_a_space_of_somebody_elses_making_is_not_written_over(view, monkeypatch):
    with HubServer() as hub:
        token = hub.add_user("ana")
        request = plan(view)
        assert check_space(request, token, endpoint=hub.endpoint) == "ana/recipes-demo"
        hub.add_repo("ana/recipes-demo", {"app.py": b"mine"}, kind="spaces", private=True)
        with pytest.raises(HubError, match="There is a Space ana/recipes-demo already"):
            check_space(request, token, endpoint=hub.endpoint)
        repo = hub.repo("ana/recipes-demo", "spaces")
        hub.add_commit(repo, "Chat demo of ana/recipes", repo.head.files)
        assert check_space(request, token, endpoint=hub.endpoint) == "ana/recipes-demo"

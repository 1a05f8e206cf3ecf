"""The browser's handlers as any HTTP client can call them: everybody who may look may search, only the owner keeps."""

import json
from dataclasses import replace

import pytest

from studio.preset import files
from studio.preset.schema import Preset
from studio.publishing import browse_choices
from studio.publishing.browse import ModelResult
from studio.publishing.browse_choices import FILE, recent, starred
from studio.ui.draft import Draft, widget_values
from tests.app.test_train_tab import Caller
from tests.conftest import serve
from tests.hub_server import HubServer
from tests.hub_shelf import ask_there, fill

CONFIG = {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}
VALUES = widget_values(Preset())
DRAFT = Draft(files.dumps(Preset(), comments=False)).to_json()
# the handlers of the data step come first, those of the model step bear the number
ASKED = ["small", "hub", "downloads", False, ""]


@pytest.fixture
def hub(monkeypatch):
    with HubServer() as hub:
        fill(hub)
        ask_there(hub, monkeypatch)
        monkeypatch.setenv("HF_TOKEN", hub.add_user("ana"))
        yield hub


def make_cached(settings, name):
    """A whole model in the cache, as loading it leaves one."""
    repo = settings.cache_dir / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repo / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps(CONFIG))
    (snapshot / "model.safetensors").write_bytes(b"weights")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0" * 40)


def test_a_visitor_may_search_as_nobody_and_keeps_nothing(hub, settings, store):
    own = settings.data_dir / "private-folder"
    make_cached(settings, "lab/private-used")
    own.mkdir()
    (own / "config.json").write_text("{}")
    store.create(Preset(model={"model_name_or_path": str(own)}))
    store.create(Preset(model={"model_name_or_path": "lab/private-used"}))
    browse_choices.set_star(settings, "models", ModelResult("lab/private-starred"), True)
    kept = (settings.data_dir / FILE).read_text()
    with serve(replace(settings, owners=("someone",), public_view=True)) as studio:
        caller = Caller(studio.url)
        page, *_ = caller.queued("search_1", [*ASKED, *VALUES])["output"]["data"]
        assert "lab/small-1.5B-Instruct" in page and 'data-act="like"' not in page
        details, = caller.queued("details_1", ["", *VALUES], {"id": "lab/small-1.5B-Instruct"})["output"]["data"]
        assert "Qwen2ForCausalLM" in details
        for where in ("starred", "recent", "here"):
            page, *_ = caller.queued("search_1", ["", where, "downloads", False, "", *VALUES])["output"]["data"]
            assert "private" not in page, where
        details, = caller.queued("details_1", ["", *VALUES], {"id": "lab/private-used"})["output"]["data"]
        assert "has no such repository" in details and "Qwen2" not in details
        refused = caller.queued("star_1", [""], {"id": "lab/small-1.5B-Instruct", "on": True})
        assert not refused["success"] and "Only the owner" in refused["output"]["error"]
        taken = {"id": "lab/small-1.5B-Instruct", "revision": "", "config": "", "split": ""}
        assert caller.queued("use_1", [DRAFT, *VALUES], taken)["success"]
        assert caller.queued("remember_1", ["lab/small-1.5B-Instruct", ""])["success"]
    assert {request.token for request in hub.requests} == {""}, "the machine's token serves its owner only"
    assert (settings.data_dir / FILE).read_text() == kept


def test_a_stranger_to_a_private_studio_sees_nothing(hub, settings):
    with serve(replace(settings, owners=("someone",))) as studio:
        caller = Caller(studio.url)
        for name, data, event in (("search_1", [*ASKED, *VALUES], None),
                                  ("details_1", ["", *VALUES], {"id": "lab/recipes"}),
                                  ("search", ["", "here", "downloads", False, "", *VALUES], None)):
            answer = caller.queued(name, data, event)
            assert not answer["success"] and "private" in answer["output"]["error"]
    assert hub.requests == []


def test_the_owner_stars_and_takes_with_the_token_of_the_machine(hub, studio):
    caller = Caller(studio.url)
    assert caller.queued("star_1", [""], {"id": "lab/tiny-360M-Base", "on": True})["success"]
    assert caller.queued("remember_1", ["lab/small-1.5B-Instruct", ""])["success"]
    assert caller.queued("remember", ["lab/recipes", ""])["success"]
    assert [result.kind for result in starred(studio.settings, "models")] == ["base"]
    assert [result.licence for result in recent(studio.settings, "models")] == ["apache-2.0"]
    assert [result.rows for result in recent(studio.settings, "datasets")] == [15_500]
    assert all(request.token.startswith("hf_") for request in hub.requests if request.route == "info")
    odd = {"id": "x/y", "revision": "", "config": "", "split": "", "on": True}
    assert caller.queued("star_1", [""], odd | {"id": "../../secret"})["success"], "it is a name and nothing else"
    wrong = caller.queued("use_1", [DRAFT, *VALUES], odd | {"id": ""})
    assert not wrong["success"]

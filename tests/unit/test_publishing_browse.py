"""Searching the Hub: what is asked, what is made of the answers, and each way in which none comes."""

import tempfile
import threading
from dataclasses import replace

import huggingface_hub.constants
import pytest

from studio import network
from studio.errors import HubError
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.publishing import browse_asking, browse_local
from studio.publishing.browse import REFUSED, ModelResult, model_details, search_models
from studio.publishing.browse_asking import OfflineError
from studio.publishing.browse_datasets import dataset_details, search_datasets
from studio.publishing.browse_fit import Fit, fit_of, usual_shape
from studio.publishing.browse_shelf import Search, facts_of, look
from studio.runs import base_model
from studio.runs.device import Device
from studio.runs.estimates import estimate_memory
from studio.runs.model_shape import KNOWN_CONFIGS, ModelShape
from studio.settings import Settings
from studio.ui.hub_browser_view import dataset_html, fit_words, model_html, shelf_html
from tests.hub_server import HubServer
from tests.hub_shelf import SCRIPT, ask_there, fill, hostile
from tests.seconds import wait_until

GIB = 1024**3
T4 = Device("cuda", "Tesla T4", 16 * GIB, 0, 4, 7.5)
CPU = Device("cpu", "CPU, 2 cores", 16 * GIB, 0, 2)


@pytest.fixture(scope="module")
def shelf():
    with HubServer() as hub:
        fill(hub)
        hub.token = hub.add_user("ana")
        yield hub


@pytest.fixture
def hub(shelf, monkeypatch, tmp_path):
    """The stand-in Hub as the one this process asks; without faults, and with no requests counted yet."""
    shelf.heal()
    shelf.requests.clear()
    ask_there(shelf, monkeypatch)
    # no person waits here, and a busy machine may take longer than one would
    monkeypatch.setattr(browse_asking.ask, "__defaults__", (60,))
    return shelf


@pytest.fixture
def settings(tmp_path):
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})


def found(page):
    return {result.id: result for result in page.results}


def test_a_search_says_of_each_model_what_decides(hub):
    page = search_models("-")
    assert [result.id for result in page.results] == [
        "lab/small-1.5B-Instruct", "lab/tiny-360M-Base", "meta/large-8B-Instruct", "meta/huge-70B", "odd/own-code-3B",
        "lab/small-1.5B-AWQ"], "most downloaded first"
    assert not page.more and not page.note
    assert found(page)["lab/small-1.5B-Instruct"] == ModelResult(
        "lab/small-1.5B-Instruct", parameters=1_543_656_960, size_bytes=3_087_313_920, licence="apache-2.0",
        updated="2026-08-14", downloads=900_000, likes=2250, pipeline_tag="text-generation", library="transformers",
        kind="instruct", chat_template=True)
    base = found(page)["lab/tiny-360M-Base"]
    assert (base.kind, base.chat_template) == ("base", False)
    large = found(page)["meta/large-8B-Instruct"]
    assert (large.gated, large.licence) == ("manual", "large-community")
    assert hub.count("list") == 1
    asked = hub.requests[-1]
    assert asked.token == "" and "pipeline_tag=text-generation" in asked.path and "filter=safetensors" in asked.path


def test_what_cannot_be_trained_says_why(hub):
    every = found(search_models("", everything=True))
    assert "never runs code" in every["odd/own-code-3B"].unusable
    assert "quantised (awq)" in every["lab/small-1.5B-AWQ"].unusable
    gguf = every["lab/small-1.5B-GGUF"]
    assert "download one" in gguf.unusable and gguf.parameters == 1_543_714_304
    assert "lab/small-1.5B-GGUF" not in found(search_models(""))
    assert not every["lab/small-1.5B-Instruct"].unusable


def test_a_longer_list_is_asked_for_in_one_request(hub):
    assert search_models("", limit=2).more
    assert len(search_models("", limit=4).results) == 4
    assert hub.count("list") == 2
    search_models("", limit=10**9)
    assert "limit=201" in hub.requests[-1].path, "the browser's number is anybody's"


def test_a_refused_token_does_not_stand_in_the_way(hub):
    page = search_models("small", token="hf_expired")
    assert page.note == REFUSED and len(page.results) == 2
    assert search_models("small", token=hub.token).note == ""


def test_a_look_at_one_model(hub):
    details = model_details("lab/small-1.5B-Instruct")
    assert details.architecture == "Qwen2ForCausalLM"
    assert (details.context_length, details.vocabulary) == (32768, 151936)
    assert details.shape.parameters == details.result.parameters and details.problem == ""
    assert details.revision == hub.repo("lab/small-1.5B-Instruct").head.oid
    assert details.files[0] == ("model.safetensors", 3000)
    assert details.licence_url == f"{hub.endpoint}/lab/small-1.5B-Instruct/blob/main/LICENSE"
    large = model_details("meta/large-8B-Instruct")
    assert "no config.json" in large.problem and large.licence_url == "https://example.org/licence"
    with pytest.raises(HubError, match="reads owner/name"):
        model_details("../../etc/passwd")
    with pytest.raises(HubError, match="token"):
        model_details("lab/none")


def test_a_look_leaves_nothing_on_the_disk_and_fetches_no_vast_config(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert model_details("lab/small-1.5B-Instruct").shape and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(base_model, "MOST_CONFIG_BYTES", 10)
    hub.requests.clear()
    assert "which no model needs" in model_details("lab/small-1.5B-Instruct").problem
    assert {request.route for request in hub.requests} == {"info"}


def test_the_cache_is_read_only_where_it_is_shown(hub, settings, monkeypatch):
    monkeypatch.setattr(browse_local, "scan_cache_dir", lambda cache: pytest.fail("read"))
    assert look("models", "hub", Search("small"), settings).where == "hub"


def test_data_sets_with_rows_parts_and_languages(hub):
    page = search_datasets("")
    recipes, letters = page.results
    assert (recipes.id, recipes.rows, recipes.size_bytes, recipes.licence) == ("lab/recipes", 15_500, 42_000_000, "mit")
    assert (recipes.configs, recipes.languages) == (("plain", "long"), ("en", "sl"))
    assert (letters.rows, letters.size_category, letters.gated) == (None, "10K<n<100K", "auto")
    pictures = found(search_datasets("pictures", everything=True))["odd/pictures"]
    assert "trains on text" in pictures.unusable
    plain, _ = dataset_details("lab/recipes").parts
    assert plain.splits == {"train": 14_300, "test": 700} and plain.columns == ["question", "answer"]
    html = dataset_html(dataset_details("lab/recipes"))
    assert 'data-config="long" data-split="validation"' in html and 'data-config="plain" data-split="train"' in html


@pytest.mark.parametrize(("fault", "said"), [
    ({"status": 429, "headers": {"Retry-After": "7"}}, "Wait 7 s"),
    ({"status": 503}, r"failed \(status 503\)"),
    ({"status": 403}, "does not let"),
    ({"drop": "request"}, "connection to the Hub broke"),
])
def test_each_failure_has_a_sentence_and_what_is_here_is_shown_instead(hub, settings, fault, said):
    hub.fail("list", **fault)
    with pytest.raises(HubError, match=said):
        search_models("small")
    hub.fail("list", **fault)
    instead = look("models", "hub", Search(), settings)
    assert instead.where == "here" and str(instead.problem)
    assert [result.source for result in instead.results] == ["package"]
    assert "Shown instead" in shelf_html("models", instead, Preset(), (), True)


def test_a_silent_hub_is_waited_for_only_so_long(hub, monkeypatch):
    hub.fail("list", hang=True)
    others = set(threading.enumerate())
    with pytest.raises(HubError, match="has not answered for 0 s"):
        browse_asking.ask(lambda: browse_asking.within(5, "", lambda: search_models("x")), "searching", limit_s=0.1)
    # what was given up may not even be sent yet, and no later test shall find it among its requests
    wait_until(lambda: hub.count("list"))
    hub.settle()
    for thread in set(threading.enumerate()) - others:
        if thread.name.endswith("(work)"):
            thread.join(60)


def test_without_network_nothing_is_asked(hub, settings, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shelf = look("models", "hub", Search(), settings)
    assert isinstance(shelf.problem, OfflineError) and "HF_HUB_OFFLINE is set" in str(shelf.problem)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(network, "_last", None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    shelf = look("datasets", "hub", Search(), settings)
    assert "no connection" in str(shelf.problem) and [result.id for result in shelf.results] == ["bundled:recipes"]
    assert hub.requests == []


def test_names_and_cards_are_never_markup(settings, monkeypatch):
    with HubServer() as hub:
        hostile(hub)
        ask_there(hub, monkeypatch)
        page = look("models", "hub", Search(), settings)
        result, = page.results
        assert "form owner/name" in result.unusable
        hub.add_repo("odd/fine", facts=hub.repo(result.id).facts | {"gated": "manual"})
        details = model_details("odd/fine")
    for shown in (shelf_html("models", page, Preset(), {result.id}, True), model_html(details, Preset())):
        assert "<img" not in shown and "&lt;img" in shown
        assert "javascript:" not in shown
    assert SCRIPT in result.id


def test_odd_facts_break_no_search(hub):
    odd = {"tags": ["safetensors", 7, None], "pipeline_tag": "text-generation", "config": ["x"], "gguf": "y",
           "safetensors": {"parameters": {"BF16": "many"}, "total": 1}, "cardData": {"license": {"a": 1}},
           "downloads": "all", "likes": -3, "gated": "perhaps", "lastModified": None}
    hub.add_repo("odd/facts", facts=odd)
    result = found(search_models("odd/facts"))["odd/facts"]
    assert (result.parameters, result.downloads, result.likes, result.licence) == (None, None, None, "")
    card = {"dataset_info": [1], "configs": "x", "license": 3}
    hub.add_repo("odd/worse", facts=odd | {"cardData": card}, kind="datasets")
    assert found(search_datasets("odd/worse", everything=True))["odd/worse"].rows is None
    hub.add_repo("odd/broken", facts=odd | {"safetensors": "none"})
    with pytest.raises(HubError, match="cannot be read"):
        search_models("odd/broken")


@pytest.mark.parametrize("name", KNOWN_CONFIGS)
def test_a_size_alone_says_nearly_as_much_of_memory_as_the_shape(name):
    shape = ModelShape.from_config(KNOWN_CONFIGS[name])
    for preset in (Preset(), override(Preset(), {"model.load_in_4bit": True, "training.optim": "adamw_8bit"})):
        exact = estimate_memory(preset, shape, T4).total
        assert estimate_memory(preset, usual_shape(shape.parameters), T4).total == pytest.approx(exact, rel=0.05)


def test_whether_a_model_fits_follows_the_settings_in_work():
    small, large = ModelResult("a/b", parameters=1_500_000_000), ModelResult("a/c", parameters=14_000_000_000)
    lora = override(Preset(), {"training.per_device_train_batch_size": 1, "training.max_length": 1024})
    qlora = override(lora, {"model.load_in_4bit": True})
    full = override(lora, {"method.full_finetuning": True})
    assert [fit_of(small, None, preset, T4).mark for preset in (qlora, lora, full)] == ["fits", "fits", "tight"]
    assert [fit_of(large, None, preset, T4).mark for preset in (qlora, lora, full)] == ["fits", "too_big", "too_big"]
    assert fit_of(small, None, qlora, CPU).mark == "not_here"
    longer = override(lora, {"training.max_length": 4096, "training.per_device_train_batch_size": 8})
    assert fit_of(small, None, longer, T4).bytes > fit_of(small, None, lora, T4).bytes
    held = replace(large, quantised="bitsandbytes")
    assert fit_of(held, None, lora, T4).bytes == fit_of(large, None, qlora, T4).bytes
    assert fit_of(ModelResult("a/b"), None, lora, T4) is None
    assert fit_of(replace(small, unusable="It is an adapter."), None, lora, T4) is None


def test_the_marks_are_those_of_the_gallery():
    said = [fit_words(Fit(mark, bytes, exact)) for mark, bytes, exact in (
        ("fits", 2 * GIB, True), ("tight", 2 * GIB, False), ("too_big", 2 * GIB, True), ("not_here", None, True))]
    assert said == [
        "✓ fits, 2.0 GB with the present settings", "! tight, about 2.0 GB with the present settings",
        "✕ too big, 2.0 GB with the present settings", "✕ needs an NVIDIA GPU; this machine has none that serves"]


def test_facts_of_one_name_alone(hub, settings):
    assert facts_of("models", "lab/tiny-360M-Base", settings).downloads == 800_000
    assert facts_of("datasets", "bundled:recipes", settings).source == "bundled"
    assert facts_of("models", "lab/none", settings) == ModelResult("lab/none")

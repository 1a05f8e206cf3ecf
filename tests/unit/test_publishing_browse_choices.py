"""What was taken and starred, and what lies on this machine: files of one's own, read without any network."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

from studio.errors import HubError, SettingsError
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.publishing.browse import ModelResult
from studio.publishing.browse_choices import FILE, note_taken, recent, set_star, starred
from studio.publishing.browse_datasets import DatasetResult
from studio.publishing.browse_local import SMOLLM2, local_datasets, local_details, local_models
from studio.settings import Settings
from tests.hub_shelf import SMALL_CONFIG

SMALL = ModelResult("lab/small", parameters=1_500_000_000, licence="mit")
OTHER = ModelResult("lab/other")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HOME", raising=False)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path / "data")})


def run_with(name: str, data: str, time: str):
    preset = override(Preset(), {"model.model_name_or_path": name, "data.dataset_name": data})
    return SimpleNamespace(preset=preset, info={"created_at": time})


def test_stars_are_added_and_removed_and_keep_what_was_known(settings):
    set_star(settings, "models", SMALL, on=True)
    set_star(settings, "models", OTHER, on=True)
    set_star(settings, "models", SMALL, on=True)
    set_star(settings, "datasets", DatasetResult("lab/rows", languages=("en", "sl")), on=True)
    assert starred(settings, "models") == [SMALL, OTHER]
    assert starred(settings, "datasets") == [DatasetResult("lab/rows", languages=("en", "sl"))]
    set_star(settings, "models", SMALL, on=False)
    set_star(settings, "models", SMALL, on=False)
    assert starred(settings, "models") == [OTHER]
    path = settings.data_dir / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in settings.data_dir.iterdir() if "hub_choices" in entry.name] == [FILE]


def test_recent_ones_come_from_the_browser_and_from_runs_each_once(settings):
    note_taken(settings, "models", SMALL)
    note_taken(settings, "models", OTHER)
    runs = [run_with("lab/small", "lab/rows", "2999-01-01T00:00:00+00:00"),
            run_with("lab/old", "bundled:recipes", "2001-01-01T00:00:00+00:00"),
            run_with("/a/folder", "upload:rows.jsonl", "2999-01-01T00:00:00+00:00")]
    assert recent(settings, "models", runs) == [SMALL, OTHER, ModelResult("lab/old")], "with what the browser knew"
    assert recent(settings, "datasets", runs) == [DatasetResult("lab/rows")]


def test_a_file_that_cannot_be_read_is_set_aside(settings):
    path = settings.data_dir / FILE
    for broken in ("{", "[]", json.dumps({"models": {"starred": [{}], "recent": []}})):
        path.write_text(broken)
        assert starred(settings, "models") == []
        assert path.with_suffix(".unreadable").read_text() == broken and not path.exists()
    set_star(settings, "models", SMALL, on=True)
    entries = json.loads(path.read_text())
    entries["models"]["starred"][0]["facts"]["of_a_later_studio"] = 1
    path.write_text(json.dumps(entries))
    assert starred(settings, "models") == [SMALL]


def test_a_disk_that_takes_nothing_is_said(settings, tmp_path):
    with pytest.raises(SettingsError, match="could not be kept"):
        set_star(replace(settings, data_dir=tmp_path / "gone"), "models", SMALL, on=True)


def test_stars_set_at_the_same_time_are_all_kept(settings):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: set_star(settings, "models", ModelResult(f"lab/{n}"), on=True), range(40)))
    assert {result.id for result in starred(settings, "models")} == {f"lab/{n}" for n in range(40)}


@pytest.fixture
def folder(tmp_path):
    """A model's folder with everything but sense in its weights."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SMALL_CONFIG))
    (folder / "model.safetensors").write_bytes(b"0" * 900)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return folder


def cached(settings, repo: str, files: dict[str, bytes], kind: str = "models"):
    """A repository as the Hub's client leaves it in its cache."""
    root = settings.cache_dir / "hub" / f"{kind}--{repo.replace('/', '--')}"
    folder = root / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("a" * 40)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_what_is_on_this_machine(settings, folder, tmp_path):
    config = (folder / "config.json").read_bytes()
    odd_config = b'{"hidden_size": "x", "num_attention_heads": 0}'
    cached(settings, "lab/whole", {"config.json": config, "model.safetensors": b"0" * 900})
    cached(settings, "lab/looked-at", {"config.json": config})
    cached(settings, "lab/odd", {"config.json": odd_config, "m.safetensors": b""})
    cached(settings, "lab/rows", {"rows.jsonl": b"{}"}, "datasets")
    gguf = tmp_path / "a.gguf"
    gguf.write_bytes(b"0" * 50)
    presets = [override(Preset(), {"model.model_name_or_path": str(name)})
               for name in (gguf, folder, tmp_path / "gone.gguf", "lab/elsewhere")]
    odd, whole, packaged, file, named = local_models(settings, presets)
    assert (odd.id, odd.parameters) == ("lab/odd", None)
    assert (whole.id, whole.source, whole.size_bytes) == ("lab/whole", "cache", 900 + len(config))
    assert (packaged.id, packaged.source) == (SMOLLM2, "package") and packaged.size_bytes > 90e6
    assert (file.id, file.source, file.size_bytes) == (str(gguf), "file", 50)
    assert (named.id, named.source, named.chat_template) == (str(folder), "folder", True)
    assert whole.parameters == named.parameters == 1_543_656_960
    (settings.uploads_dir / "mine.jsonl").write_text("{}\n")
    assert [(found.id, found.source) for found in local_datasets(settings)] == [
        ("bundled:recipes", "bundled"), ("upload:mine.jsonl", "upload"), ("lab/rows", "cache")]


def test_details_without_network_are_of_what_is_listed_only(settings, folder):
    cached(settings, "lab/whole", {"config.json": (folder / "config.json").read_bytes(),
                                   "model.safetensors": b"0" * 900})
    details = local_details("lab/whole", settings)
    assert details.architecture == "Qwen2ForCausalLM" and details.revision == "a" * 40
    assert details.vocabulary == 151936 and ("model.safetensors", 900) in details.files
    with pytest.raises(HubError, match="Nothing more is known"):
        local_details(str(folder), settings)
    used = [override(Preset(), {"model.model_name_or_path": str(folder)})]
    assert local_details(str(folder), settings, used).revision == ""

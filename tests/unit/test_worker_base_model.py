"""Base models from folders and from a stand-in for the Hub; each refusal names cause and next step."""

import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub.constants
import pytest

from studio import network
from studio.errors import ModelError
from studio.preset.schema import ModelSection
from studio.settings import Settings
from studio.worker import base_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WHOLE = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"weights", "pytorch_model.bin": b"pickle",
         "modeling.py": b"code"}
HUB = {
    "owner/whole": WHOLE,
    "owner/pickled": {"config.json": b"{}", "pytorch_model.bin": b"pickle"},
    "owner/huge": {"config.json": b"{}", "model.safetensors": 10**18},
}
REFUSALS = {"owner/unknown": (401, "RepoNotFound"), "owner/gated": (403, "GatedRepo"), "owner/broken": (500, ""),
            "owner/stale": (401, "", "Invalid credentials in Authorization header")}


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as a download of a model asks for."""

    def do_GET(self):
        path = self.path.split("?")[0].strip("/").split("/")
        if path[:2] == ["api", "models"]:
            self._model_info("/".join(path[2:4]), path)
        else:
            self._file("/".join(path[:2]), path[-1])

    do_HEAD = do_GET

    def _model_info(self, name, path):
        if name in REFUSALS:
            status, code, *message = REFUSALS[name]
            self._answer(status, b"", {"X-Error-Code": code, "X-Error-Message": "".join(message)})
        elif "revision" in path and path[-1] not in ("main", COMMIT):
            self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        elif "tree" in path:
            self._json([{"type": "file", "path": file, "oid": "0" * 40, "size": _size(content)}
                        for file, content in HUB[name].items()])
        else:
            siblings = [{"rfilename": file, "size": _size(content)} for file, content in HUB[name].items()]
            self._json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "gated": False,
                        "disabled": False, "downloads": 0, "likes": 0, "tags": []})

    def _file(self, name, file):
        self.server.asked.append(file)
        self._answer(200, HUB[name][file], {"ETag": f'"{file}"', "X-Repo-Commit": COMMIT})

    def _json(self, value):
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status, body, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def _size(content):
    return content if isinstance(content, int) else len(content)


@pytest.fixture
def hub(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    _point_at(f"http://127.0.0.1:{server.server_port}", monkeypatch, tmp_path)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def no_hub(monkeypatch, tmp_path):
    _point_at("http://127.0.0.1:9", monkeypatch, tmp_path)


def _point_at(endpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(network, "_last", None)


@pytest.fixture
def settings(tmp_path):
    return Settings(data_dir=tmp_path / "data")


def section(name, **values):
    return ModelSection(model_name_or_path=str(name), **values)


def test_hub_model_comes_without_pickles_and_code_and_then_serves_without_the_hub(hub, settings, monkeypatch, tmp_path):
    found = base_model.locate(section("owner/whole"), settings)
    assert {path.name for path in found.folder.iterdir()} == {"config.json", "tokenizer.json", "model.safetensors"}
    assert (found.name, found.note) == ("owner/whole", "")
    assert not {"pytorch_model.bin", "modeling.py"} & set(hub.asked)

    _point_at("http://127.0.0.1:9", monkeypatch, tmp_path)
    again = base_model.locate(section("owner/whole"), settings)
    assert again.folder == found.folder and "cache" in again.note


def test_preview_downloads_no_weights(hub, settings):
    found = base_model.locate(section("owner/whole"), settings, weights=False)
    assert {path.name for path in found.folder.iterdir()} == {"config.json", "tokenizer.json"}


@pytest.mark.parametrize("name, values, mention", [
    ("owner/unknown", {}, "no model owner/unknown"), ("owner/gated", {}, "gated"), ("owner/broken", {}, "status 500"),
    ("owner/stale", {}, "does not accept your token"),
    ("owner/pickled", {}, "no safetensors"), ("owner/huge", {}, "GB of disk"),
    ("owner/whole", {"model_revision": "gone"}, 'no revision "gone"'), ("just-a-name", {}, "neither a folder"),
    ("../owner/name", {}, "neither a folder")])
def test_refusals_of_the_hub(hub, settings, name, values, mention):
    with pytest.raises(ModelError) as error:
        base_model.locate(section(name, **values), settings)
    assert mention in error.value.message and error.value.hint and error.value.field.startswith("model.")


def test_unreachable_hub_is_said_within_seconds(no_hub, settings):
    with pytest.raises(ModelError, match="cannot be reached"):
        base_model.locate(section("owner/whole"), settings)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


def test_folder_serves_as_it_is(no_hub, settings, folder):
    assert base_model.locate(section(folder), settings) == base_model.BaseModel(folder, "model")


@pytest.mark.parametrize("damage, mention", [
    (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    (lambda folder: (folder / "config.json").rename(folder / "adapter_config.json"), "an adapter"),
    (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "model.safetensors"),
    (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "part-2.safetensors"}}'),
     "part-2.safetensors"),
    (lambda folder: (folder / "config.json").write_text('{"model_type":'), "config.json of"),
    (lambda folder: (folder / "config.json").write_text("[" * 200_000), "config.json of"),
    (lambda folder: (folder / "model.safetensors.index.json").write_bytes(b"\xff"), "index.json of"),
    (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": ["a"]}'), "no weights files"),
    (lambda folder: (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": []}}'),
     "no weights files"),
    (shutil.rmtree, "neither a folder"),
])
def test_damaged_folders_are_refused(no_hub, settings, folder, damage, mention):
    damage(folder)
    with pytest.raises(ModelError) as error:
        base_model.locate(section(folder), settings)
    assert mention in error.value.message and error.value.hint

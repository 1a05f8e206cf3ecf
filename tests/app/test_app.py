"""The served app as a whole: what it loads, what it offers, whom it lets in."""

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import gradio as gr
import httpx
import pytest

from studio.app import build_app
from studio.preset.flatten import leaves
from studio.preset.schema import Preset
from studio.texts import TABLES, table
from studio.ui.form import widget_id
from tests.conftest import LONG_S, serve

STUDIO = Path(__file__).resolve().parents[2] / "studio"
TEXT_KEY = re.compile(r'\btext\(\s*f?"([a-z]+\.[^"]+)"')


def get(url: str) -> httpx.Response:
    return httpx.get(url, timeout=LONG_S)


@pytest.fixture
def demo(settings) -> gr.Blocks:
    return build_app(settings)


def test_importing_the_app_loads_no_training_code():
    code = ("import sys, studio.app; print([m for m in ('torch', 'transformers', 'trl', 'peft', 'unsloth', 'datasets',"
            " 'sacrebleu') if m in sys.modules])")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=STUDIO.parent)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_no_page_holds_a_connection_open(demo):
    """One gr.State would make each tab keep a connection; browsers allow six, and the seventh tab would not load."""
    assert demo.get_config_file()["connect_heartbeat"] is False


def test_no_event_is_a_public_endpoint(demo):
    assert {fn.api_name for fn in demo.fns.values() if fn.api_visibility == "public"} == set()


def test_every_parameter_has_one_labelled_widget(demo):
    widgets = {block.elem_id: block for block in demo.blocks.values() if block.elem_id}
    for name, field in leaves():
        widget = widgets[widget_id(name)]
        assert widget.label == field.title and widget.info == field.description, name


def test_ticks_and_clicks_do_not_wait_for_each_other(demo):
    """A queued event without its own limit runs one at a time over all visitors."""
    slow = [fn.name for fn in demo.fns.values() if fn.fn and fn.queue and fn.concurrency_limit == "default"]
    assert slow == []


def test_every_text_that_is_asked_for_exists():
    for path in {*STUDIO.rglob("*.py")} - {STUDIO / "texts.py"}:
        for key in TEXT_KEY.findall(path.read_text()):
            file, _, name = key.partition(".")
            if not (TABLES / "en" / f"{file}.yaml").exists():
                continue
            fixed = name.split("{")[0]
            known = table(file)
            found = name in known if "{" not in name else any(entry.startswith(fixed) for entry in known)
            assert found, f"{path.name} asks for {key}"


def test_the_page_is_served_and_its_description_is_not(studio):
    assert get(studio.url).status_code == 200
    assert get(f"{studio.url}/openapi.json").status_code == 404


def test_downloads_hand_out_listed_files_of_existing_runs_only(studio):
    run_id = studio.store.create(Preset())
    (studio.store.run_dir(run_id) / "worker.log").write_text("a line\n")
    (studio.store.run_dir(run_id) / "process.json").write_text("{}")
    downloads = f"{studio.url}/download"
    assert get(f"{downloads}/{run_id}/worker.log").text == "a line\n"
    assert get(f"{downloads}/{run_id}/preset.yaml").status_code == 200
    assert get(f"{downloads}/{run_id}/process.json").status_code == 404
    assert get(f"{downloads}/{run_id}/report.json").status_code == 404
    assert get(f"{downloads}/20260101-000000-none-0000/worker.log").status_code == 404
    (studio.settings.data_dir / "outside").write_text("secret")
    (studio.store.run_dir(run_id) / "report.json").symlink_to(studio.settings.data_dir / "outside")
    assert get(f"{downloads}/{run_id}/report.json").status_code == 404
    assert get(f"{downloads}/..%2F..%2Fetc/worker.log").status_code == 404


def test_a_password_guards_page_and_downloads(settings, store):
    run_id = store.create(Preset())
    with (serve(replace(settings, password="let me in")) as studio,
          httpx.Client(base_url=studio.url, timeout=LONG_S) as client):
        assert client.get("/config").status_code == 401
        assert client.get(f"/download/{run_id}/preset.yaml").status_code == 401
        assert client.post("/login", data={"username": "owner", "password": "wrong"}).status_code == 400
        assert client.post("/login", data={"username": "owner", "password": "let me in"}).status_code == 200
        assert client.get("/config").status_code == 200
        assert client.get(f"/download/{run_id}/preset.yaml").status_code == 200


def test_only_owners_may_upload_and_a_start_clears_up_after_an_interrupted_deletion(settings):
    leftover = settings.runs_dir / ".deleted-20260101-000000-first-abcd"
    (leftover / "merged").mkdir(parents=True)

    def upload(studio) -> int:
        sent = {"files": ("rows.jsonl", b"{}")}
        return httpx.post(f"{studio.url}/gradio_api/upload", files=sent, timeout=LONG_S).status_code

    with serve(settings) as studio:
        assert upload(studio) == 200
        deadline = time.monotonic() + LONG_S
        while leftover.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    with serve(replace(settings, owners=("someone",), public_view=True)) as studio:
        assert upload(studio) == 401
    with serve(replace(settings, password="let me in")) as studio:
        assert upload(studio) == 401


def test_weights_are_handed_to_owners_only_and_from_the_run_s_own_folder(settings, store):
    run_id = store.create(Preset())
    gguf = store.run_dir(run_id) / "gguf"
    gguf.mkdir()
    (gguf / "tiny-Q4_K_M.gguf").write_bytes(b"GGUF")

    def answers(settings) -> int:
        with serve(settings) as studio:
            return get(f"{studio.url}/download/{run_id}/gguf/tiny-Q4_K_M.gguf").status_code

    assert answers(settings) == 200
    assert answers(replace(settings, owners=("someone",), public_view=True)) == 401
    gguf.rename(settings.data_dir / "elsewhere")
    gguf.symlink_to(settings.data_dir / "elsewhere")
    assert answers(settings) == 404


def test_a_private_studio_hands_a_stranger_no_files(settings, store):
    run_id = store.create(Preset())
    with serve(replace(settings, owners=("someone",))) as studio:
        assert get(f"{studio.url}/download/{run_id}/preset.yaml").status_code == 401
        assert run_id not in get(f"{studio.url}/config").text
    with serve(replace(settings, owners=("someone",), public_view=True)) as studio:
        assert get(f"{studio.url}/download/{run_id}/preset.yaml").status_code == 200

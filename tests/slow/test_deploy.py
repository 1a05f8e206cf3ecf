"""What is copied from "Use it" really runs: the code with a tiny model, the client against the studio's own chat
server, and the demo Space's app, once in a process of its own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import gradio as gr
import httpx
import pytest
import uvicorn
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from studio.preset.files import validate
from studio.publishing import deploy_code, deploy_model, space
from studio.publishing.deploy import way
from studio.publishing.deploy_model import Model
from studio.worker.answerer import Answerer
from studio.worker.chat_app import build_chat_app
from studio.worker.generation_settings import write_generation_settings
from tests.conftest import LONG_S, free_port

SYSTEM = 'Turn the "ingredient" line into JSON.'
PRESET = validate({"data": {"system_prompt": SYSTEM}, "evaluation": {"max_new_tokens": 8}})


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory) -> Model:
    """The tiny model as merged model, and a LoRA adapter for it in a folder with an awkward name."""
    adapter = tmp_path_factory.mktemp("a run's") / "adapter"
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained(adapter)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(adapter)
    write_generation_settings(tiny_model, adapter, 0)  # the base model stops at 2 alone
    here = deploy_model.published(PRESET, {"merged": (str(tiny_model), ""), "adapter": (str(adapter), "")})
    return replace(here, base=str(tiny_model))


def printed(code: str, capsys) -> str:
    """What the code prints when it is run as it stands."""
    capsys.readouterr()
    exec(compile(code, "copied", "exec"), {})
    return capsys.readouterr().out


def test_the_code_with_transformers_and_with_peft_answers(model, capsys):
    for code in (deploy_code.transformers_code(model), deploy_code.adapter_code(model)):
        assert "ingredient" in code, "the system prompt goes along"
        assert len(printed(code, capsys)) > 1
    text = replace(model, is_chat=False)
    for code in (deploy_code.transformers_code(text), deploy_code.adapter_code(text)):
        assert printed(code, capsys).startswith("The beginning of a text")


def test_the_adapter_answers_with_the_settings_beside_it(model, tiny_model, tmp_path, monkeypatch):
    ran: dict = {}
    exec(compile(deploy_code.adapter_code(model), "copied", "exec"), ran)
    app = imported(demo(tmp_path / "run", base=str(tiny_model), adapter_settings=True), monkeypatch, model.adapter)
    list(app.answer("one onion", []))
    for answered in (ran["model"], app.model):
        assert answered.base_model.model.generation_config.eos_token_id == [2, 0]


def test_the_client_asks_a_real_chat_server(model, tiny_model, capsys):
    answerer = Answerer({model.name: AutoModelForCausalLM.from_pretrained(tiny_model)},
                        AutoTokenizer.from_pretrained(tiny_model), PRESET, {}, 512)
    app, port = build_chat_app(answerer, "not-needed", lambda: None), free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.05)
        code = way("vllm", model).blocks[-1].code.replace("localhost:8000", f"127.0.0.1:{port}")
        assert len(printed(code, capsys)) > 1
    finally:
        server.should_exit = True
        thread.join()


def demo(folder: Path, **changes) -> Path:
    """The files of a demo Space in a folder; returns its app.py."""
    folder.mkdir()
    request = space.SpaceRequest("ana/demo", "ana/recipes", True, "Recipes", "Turns lines into JSON.", SYSTEM, 512, 8,
                                 examples=("2 cups flour",))
    space.stage(folder, replace(request, **changes))
    return folder / "space" / "app.py"


def imported(app: Path, monkeypatch, shown_model: str) -> ModuleType:
    """The app in this process, not launched."""
    monkeypatch.setenv("DEMO_MODEL", shown_model)
    spec = importlib.util.spec_from_file_location("demo_app", app)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_answers_on_its_own_server(tiny_model, tmp_path):
    app, port = demo(tmp_path / "run"), free_port()
    environment = os.environ | {
        "DEMO_MODEL": str(tiny_model), "GRADIO_SERVER_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False",
        "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    process = subprocess.Popen([sys.executable, str(app)], cwd=app.parent, env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        url = next(line for line in process.stdout if "http://" in line).split()[-1]
        call = f"{url}/gradio_api/call/chat"
        asked = httpx.post(call, json={"data": ["2 cups flour"]}, timeout=LONG_S).json()["event_id"]
        lines = httpx.get(f"{call}/{asked}", timeout=LONG_S).text.splitlines()
        answer, *_ = json.loads(lines[lines.index("event: complete") + 1].removeprefix("data: "))
        assert answer
    finally:
        process.kill()
        process.wait()


def test_the_demo_asks_an_adapter_on_its_base_and_reads_the_chat_so_far(model, tiny_model, tmp_path, monkeypatch):
    app = imported(demo(tmp_path / "run", base=str(tiny_model)), monkeypatch, model.adapter)
    assert type(app.model).__name__.startswith("Peft")
    history = [{"role": "user", "content": [{"type": "text", "text": "2 cups flour"}]},
               {"role": "assistant", "content": "{}"}]
    *_, whole = app.answer("one onion", history)
    assert whole
    with pytest.raises(gr.Error, match="longer than the model can read"):
        list(app.answer("onion " * 600, []))


def test_a_demo_without_its_model_says_what_to_do(tmp_path, monkeypatch):
    app = imported(demo(tmp_path / "run"), monkeypatch, str(tmp_path / "nothing"))
    with pytest.raises(gr.Error, match="add a secret HF_TOKEN"):
        list(app.answer("hello", []))
    assert "add a secret HF_TOKEN" in app.demo.description


def test_the_demo_loads_no_pickled_adapter(model, tiny_model, tmp_path, monkeypatch):
    pickled = tmp_path / "adapter"
    shutil.copytree(model.adapter, pickled)
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    app = imported(demo(tmp_path / "run", base=str(tiny_model)), monkeypatch, str(pickled))
    assert app.problem
    with pytest.raises(gr.Error, match="could not be loaded"):
        list(app.answer("one onion", []))

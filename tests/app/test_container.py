"""The container image as far as it can be tried without an engine: its file is clean, and what it copies serves."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studio.settings import PROJECT_DIR
from tests.conftest import LONG_S, free_port

HADOLINT = Path(sys.executable).parent / "hadolint"
INSTRUCTION = re.compile(r"^(COPY|ENV|CMD|HEALTHCHECK)\s+(.*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    text = (PROJECT_DIR / "Dockerfile").read_text().replace("\\\n", " ")
    return INSTRUCTION.findall(text)


@pytest.fixture
def image(tmp_path) -> Path:
    """The folder that `COPY . .` fills: what .dockerignore lets through."""
    shown = [line[1:] for line in (PROJECT_DIR / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in shown:
        source, target = PROJECT_DIR / name, tmp_path / "app" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path / "app"


def value_of(instructions: list[tuple[str, str]], name: str) -> str:
    return next(value for instruction, value in instructions if instruction == name)


def test_the_linter_finds_nothing():
    result = subprocess.run([HADOLINT, PROJECT_DIR / "Dockerfile"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_is_copied_by_name_is_in_the_build(instructions, image):
    copied = [value.split()[:-1] for instruction, value in instructions if instruction == "COPY"]
    assert copied == [["requirements.txt", "requirements-unsloth.txt"], ["."]]
    assert all((image / name).is_file() for name in copied[0])


def test_the_image_s_files_serve_with_its_environment_and_pass_its_health_check(tmp_path, instructions, image):
    environment = dict(re.findall(r"(\w+)=(\S+)", value_of(instructions, "ENV")))
    port = str(free_port())
    assert environment["STUDIO_DATA_DIR"] == "/data"
    environment |= {"STUDIO_DATA_DIR": str(tmp_path / "data"), "STUDIO_PORT": port, "GRADIO_ANALYTICS_ENABLED": "False"}
    check = json.loads(value_of(instructions, "HEALTHCHECK").split("CMD", 1)[1])
    check = [sys.executable, *(part.replace("7860", port) for part in check[1:])]
    command = [sys.executable, *json.loads(value_of(instructions, "CMD"))[1:]]
    server = subprocess.Popen(command, cwd=image, env=os.environ | environment)
    try:
        deadline = time.monotonic() + LONG_S
        while subprocess.run(check, stderr=subprocess.DEVNULL).returncode != 0:
            assert server.poll() is None and time.monotonic() < deadline, "the server is not healthy"
            time.sleep(0.5)
    finally:
        server.terminate()
        server.wait(LONG_S)

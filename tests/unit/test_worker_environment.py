"""What a worker sets before the heavy imports, and the choices it makes from the machine."""

import json
import os

import pytest

from studio.runs import device
from studio.runs.device import Device
from studio.settings import Settings
from studio.worker import environment


@pytest.fixture
def settings(tmp_path, monkeypatch):
    saved = dict(os.environ)
    # torch sets its cache folder by itself when another test has made it compile
    for name in ("HF_HOME", "HF_HUB_CACHE", "OMP_NUM_THREADS", "UNSLOTH_CPU_COMPILE", "UNSLOTH_AUTO_INSTALL",
                 "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    yield Settings(data_dir=tmp_path)
    os.environ.clear()
    os.environ.update(saved)


def test_unsloth_neither_installs_nor_phones_home_whatever_the_person_set(settings):
    os.environ["UNSLOTH_AUTO_INSTALL"] = "1"
    environment.prepare(settings)
    assert os.environ["UNSLOTH_AUTO_INSTALL"] == "0" and os.environ["UNSLOTH_DISABLE_STATISTICS"] == "1"


def test_caches_lie_in_the_data_folder_unless_the_person_chose_another_place(settings, tmp_path):
    environment.prepare(settings)
    for name in ("HF_HUB_CACHE", "UNSLOTH_COMPILE_LOCATION", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert os.environ[name].startswith(str(tmp_path / "cache"))
    assert "HF_HOME" not in os.environ

    del os.environ["HF_HUB_CACHE"]
    os.environ["HF_HOME"] = "/volume"
    environment.prepare(settings)
    assert "HF_HUB_CACHE" not in os.environ


def test_chosen_thread_count_is_kept(settings):
    os.environ["OMP_NUM_THREADS"] = "3"
    environment.prepare(settings)
    assert os.environ["OMP_NUM_THREADS"] == "3"


@pytest.mark.parametrize("cores, quota, expected", [
    (1, None, 1), (2, None, 2), (4, None, 4), (16, None, 15), (64, "200000 100000", 2), (8, "150000 100000", 2),
    (8, "max 100000", 7)])
def test_threads_respect_container_quota_and_leave_the_server_a_core(monkeypatch, tmp_path, cores, quota, expected):
    file = tmp_path / "cpu.max"
    if quota:
        file.write_text(quota)
    monkeypatch.setattr(device, "CPU_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    assert environment.threads() == expected


def test_compiles_only_long_runs_where_a_compiler_exists(settings, monkeypatch):
    monkeypatch.setattr(environment, "threads", lambda: 2)
    monkeypatch.setattr(environment.shutil, "which", lambda _: "/usr/bin/g++")
    assert not environment.choose_compile(135_000_000, 5_000)
    del os.environ["UNSLOTH_CPU_COMPILE"]
    assert environment.choose_compile(135_000_000, 100_000)
    os.environ["UNSLOTH_CPU_COMPILE"] = "0"
    assert not environment.choose_compile(135_000_000, 100_000)
    del os.environ["UNSLOTH_CPU_COMPILE"]
    monkeypatch.setattr(environment.shutil, "which", lambda _: None)
    assert not environment.choose_compile(135_000_000, 100_000)


def test_record_names_versions_hardware_and_revision(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"git_revision": "abc"}))
    environment.record(tmp_path, Device("cpu", "CPU, 2 cores", 10**9, 0, 2), {"seed": 7})
    record = json.loads((tmp_path / "environment.json").read_text())
    assert record["git_revision"] == "abc" and record["seed"] == 7 and record["device"]["cores"] == 2
    assert {"torch", "trl", "unsloth", "transformers"} <= set(record["packages"])

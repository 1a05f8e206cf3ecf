"""The load test before it loads anything: memory, and what an earlier one left. No model is made."""

import shutil

import pytest
from gguf import GGUFWriter

from studio.errors import HubError, ModelError
from studio.publishing import load_test as publishing
from studio.publishing.request import Target
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.worker import load_test as worker
from tests.finished_run import finished_run


def test_a_model_larger_than_the_memory_that_is_free_is_not_loaded(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(bytes(1000))
    monkeypatch.setattr(worker, "free_memory_bytes", lambda: 1200)
    worker._require_memory(tmp_path)
    monkeypatch.setattr(worker, "free_memory_bytes", lambda: 1199)
    with pytest.raises(ModelError, match=r"needs 1\.2 kB of memory"):
        worker._require_memory(tmp_path)


def test_what_a_killed_test_downloaded_is_gone_before_the_space_is_counted(tmp_path, monkeypatch):
    store = RunStore(Settings.from_environment({"STUDIO_DATA_DIR": str(tmp_path)}))
    run_dir = store.run_dir(finished_run(store))
    left = run_dir / publishing.FOLDER
    left.mkdir()
    free = shutil.disk_usage(tmp_path)._replace(free=0)
    seen = []
    monkeypatch.setattr(publishing.shutil, "disk_usage", lambda path: (seen.append(left.exists()), free)[1])
    with pytest.raises(HubError, match="of disk"):
        publishing.load_test(run_dir, Target("ana/recipes", ("merged",)), "main", lambda: None)
    assert seen == [False]


def test_a_gguf_file_that_nothing_here_reads_is_said_before_it_is_downloaded(tmp_path):
    for architecture, said in (("llama", ""),
                               ("granite", "transformers does not read weights of the kind granite from GGUF.")):
        file = tmp_path / f"{architecture}.gguf"
        writer = GGUFWriter(file, architecture)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        assert worker.unreadable(file) == said

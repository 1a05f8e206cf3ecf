"""The parts of a push that need no Hub: which files, whose bytes, when silence is too long, and how errors read."""

import errno
import importlib
import json
import logging
import sys
import threading
from types import SimpleNamespace

import pytest

from studio.errors import HubError, RunError
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.publishing import calls, hub_errors, parity, push, release
from studio.publishing.load_test import Life
from studio.publishing.push import Watchdog
from studio.publishing.request import Target
from studio.publishing.upload_progress import places, reported_bytes
from studio.ui.publish_view import file_marks
from tests.finished_run import finished_run
from tests.seconds import wait_until


def names(files: list[release.ReleaseFile]) -> list[str]:
    return [file.path_in_repo for file in files]


def test_only_files_that_a_reader_needs_are_published(store):
    run_dir = store.run_dir(finished_run(store))
    (run_dir / "merged" / ".cache").mkdir()
    (run_dir / "merged" / ".cache" / "x.json").write_text("{}")
    (run_dir / "merged" / "optimizer.pt").write_bytes(b"pickle")
    (run_dir / "merged" / "README.md").write_text("from another tool")
    found = names(release.model_files(run_dir, ["merged"]))
    assert set(found) == {"config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                          "model.safetensors"}
    assert found[-1] == "model.safetensors", "small files first: a refusal costs no upload"


def test_links_are_neither_compared_nor_published(store, tmp_path):
    run_dir = store.run_dir(finished_run(store, gguf=True))
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    before = names(release.model_files(run_dir, ["merged"])), parity.fingerprint(run_dir, "merged")
    (run_dir / "merged" / "key.json").symlink_to(secret)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other.json").write_text("{}")
    (run_dir / "merged" / "more").symlink_to(tmp_path / "folder")
    assert (names(release.model_files(run_dir, ["merged"])), parity.fingerprint(run_dir, "merged")) == before
    modelfile = run_dir / "gguf" / "recipes-Q8_0.modelfile"
    modelfile.unlink()
    modelfile.symlink_to(secret)
    assert names(release.model_files(run_dir, ["gguf"])) == ["recipes-Q8_0.gguf"]
    # without one of its weights a model is none, and a folder that lies elsewhere is not the run's
    weights = run_dir / "merged" / "model.safetensors"
    weights.rename(tmp_path / "model.safetensors")
    weights.symlink_to(tmp_path / "model.safetensors")
    (run_dir / "adapter").rename(tmp_path / "adapter")
    (run_dir / "adapter").symlink_to(tmp_path / "adapter")
    assert release.available(run_dir) == ["gguf"] and parity.fingerprint(run_dir, "adapter") == {}


def test_what_a_run_offers(store):
    assert release.available(store.run_dir(finished_run(store, gguf=True))) == ["merged", "adapter", "gguf"]
    assert release.available(store.run_dir(finished_run(store, merged=False))) == ["adapter"]
    only_merged = store.run_dir(finished_run(store, adapter=False))
    assert release.available(only_merged) == ["merged"]
    for form, said in (("adapter", "no adapter"), ("gguf", "no GGUF file")):
        with pytest.raises(RunError, match=said):
            release.model_files(only_merged, ["merged", form])


def test_the_first_form_is_at_the_top_and_the_others_in_folders(store):
    run_dir = store.run_dir(finished_run(store, gguf=True))
    found = set(names(release.model_files(run_dir, ["gguf", "merged", "adapter"])))
    assert {"model.safetensors", "adapter/adapter_model.safetensors", "gguf/recipes-Q8_0.gguf",
            "gguf/recipes-Q8_0.modelfile"} <= found
    assert set(names(release.model_files(run_dir, ["gguf"]))) == {"recipes-Q8_0.gguf", "recipes-Q8_0.modelfile"}


def test_a_form_of_earlier_weights_is_not_published(store):
    run_dir = store.run_dir(finished_run(store, gguf=True))
    (run_dir / "merged" / "model.safetensors").write_bytes(b"trained again")
    with pytest.raises(RunError, match="q8_0 was made before the model was trained again"):
        release.model_files(run_dir, ["gguf"])


def test_a_bases_hub_name_in_an_adapter_stays_as_it_is(store):
    run_dir = store.run_dir(finished_run(store))
    config = run_dir / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({"base_model_name_or_path": "unsloth/some-4bit"}))
    files = release.stage(run_dir, Target("ana/x", ("adapter",)), Preset(), "# card")
    staged = {file.path_in_repo: file.path for file in files}
    assert staged["adapter_config.json"] == config


@pytest.mark.parametrize("base", ["/srv/secret/base-model", "~/secret/base-model"])
def test_the_path_to_a_base_of_this_machine_is_not_sent(store, base):
    run_dir = store.run_dir(finished_run(store))
    (run_dir / "adapter" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    preset = override(Preset(), {"model.model_name_or_path": base})
    staged = {file.path_in_repo: file.path for file in release.stage(run_dir, Target("a/x", ("adapter",)), preset, "#")}
    assert json.loads(staged["adapter_config.json"].read_text())["base_model_name_or_path"] == "base-model"


def test_files_are_marked_one_after_the_other():
    files = [release.ReleaseFile(None, name, size) for name, size in (("a", 10), ("b", 20), ("c", 30))]
    assert file_marks(files, 0) == ["sending", "waiting", "waiting"]
    assert file_marks(files, 15) == ["sent", "sending", "waiting"]
    assert file_marks(files, 60) == ["sent", "sent", "sent"]
    assert file_marks(files, 15, moving=False) == ["sent", "waiting", "waiting"]


@pytest.mark.parametrize(("module", "name"), places())
def test_the_clients_names_that_progress_needs_are_there(module, name):
    importlib.import_module(module)
    assert name in vars(sys.modules[module]), "uploads would show their progress file by file only"


def test_bytes_of_an_lfs_upload_are_reported_and_a_repeat_does_not_pass_the_total(tmp_path):
    from huggingface_hub.utils import tqdm_stream_file

    (tmp_path / "file").write_bytes(b"x" * 1000)
    seen = []
    with reported_bytes(seen.append), tqdm_stream_file(tmp_path / "file") as stream:
        stream.read(400)
        stream.read(600)
        stream.seek(0)
        stream.read(500)
    assert seen == [400, 1000, 1000]


def test_bytes_of_a_xet_upload_leave_out_what_waits_to_be_sent():
    seen = []
    with reported_bytes(seen.append):
        from huggingface_hub.utils._xet_progress_reporting import XetUploadProgressReporter

        report = XetUploadProgressReporter(total_files=1)
        for read, sent, queued in ((100, 0, 100), (100, 0, 100), (200, 150, 200), (200, 200, 200)):
            report.update_progress(SimpleNamespace(
                total_bytes_completed=read, total_transfer_bytes_completed=sent, total_transfer_bytes=queued), {})
        report.close()
    assert seen == [0, 150, 200], "a report that repeats the last one is no sign of life"


def test_the_clients_own_names_are_back_afterwards():
    before = [vars(importlib.import_module(module) and sys.modules[module])[name] for module, name in places()]
    with reported_bytes(print):
        pass
    assert [vars(sys.modules[module])[name] for module, name in places()] == before


def test_the_watchdog_bites_after_silence_and_not_before(monkeypatch):
    said, bitten, now = [], threading.Event(), [1000.0]
    # a clock of the test's own, and a note of each look at it
    looks = []
    monkeypatch.setattr(push, "time", SimpleNamespace(monotonic=lambda: looks.append(1) or now[0]))

    def bite(error: HubError) -> None:
        said.append(error)
        bitten.set()

    def look() -> None:
        seen = len(looks)
        wait_until(lambda: len(looks) > seen + 1)

    watchdog = Watchdog(0.4, bite)
    watchdog.start()
    for _ in range(8):
        now[0] += 0.1
        watchdog.alive("sending model.safetensors")
        now[0] += 0.3
        look()
    assert not bitten.is_set()
    now[0] += 0.2
    assert bitten.wait(60)
    assert "while sending model.safetensors" in said[0].message


def test_a_failed_try_that_will_be_repeated_is_a_sign_of_life():
    logger, tries = logging.getLogger(calls.__name__), []
    watchdog = Watchdog(3600, lambda error: None)

    def call() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("HTTP status client error (429 Too Many Requests), domain: https://cas")
        return "done"

    watchdog.start()
    try:
        wait_until(lambda: watchdog.listener in logger.handlers)
        before = watchdog.alive_at
        assert calls.patiently(call, "reading the tags", "ana/x", [0.01]) == "done"
        assert watchdog.alive_at > before and watchdog.last_words.startswith("Error 429 while reading the tags")
        assert "slow down" in hub_errors.silent("reading the tags", 120, watchdog.last_words).message
    finally:
        watchdog.stop()
    assert watchdog.listener not in logger.handlers


def test_each_repository_of_a_push_is_loaded_and_one_that_answers_otherwise_is_named(tmp_path, monkeypatch):
    answers = {"ana/x": {"same": True}, "ana/x-GGUF": {"same": None, "reason": "No."}, "ana/x-adapter": {"same": False}}
    monkeypatch.setattr(push, "load_test", lambda run_dir, target, commit, on_alive: answers[target.repo_id])

    def loaded(repo_id):
        return push._loaded(tmp_path, Target(repo_id, ("merged",)), SimpleNamespace(commit="abc"), told.append)

    told = []

    assert loaded("ana/x")["same"] and loaded("ana/x-GGUF")["reason"] == "No."
    with pytest.raises(HubError, match="What was loaded from ana/x-adapter answers otherwise"):
        loaded("ana/x-adapter")
    assert told == list(answers)


def test_a_load_test_lives_while_it_downloads_or_computes_and_not_while_it_waits(tmp_path):
    worker = SimpleNamespace(cpu_times=lambda: (spent, 0.0))
    spent, answer = 1.0, tmp_path / "answer.json"
    answer.touch()
    life = Life(worker, answer)
    assert life.moved() and not life.moved()
    spent = 9.0
    assert not life.moved(), "to wait for the Hub takes time of the processor, too"
    (tmp_path / "model.incomplete").write_bytes(b"x")
    assert life.moved() and not life.moved()
    answer.write_text("downloaded\n")
    assert life.moved() and not life.moved()
    spent = 10.5
    assert life.moved() and not life.moved()


def test_the_watchdog_names_a_rate_limit():
    error = hub_errors.silent("sending a", 120, "Rate limited. Waiting 301.0s before retry [Retry 1/5].")
    assert "slow down" in error.message and "Wait some minutes" in error.hint


def test_errors_of_the_xet_client_are_read_from_their_text():
    text = "Data processing error: HTTP status client error (403 Forbidden), domain: https://hub/api/xet-write-token"
    assert hub_errors.status_of(ConnectionError(text)) == 403
    error = hub_errors.hub_error(ConnectionError(text), "sending a", "ana/x")
    assert "may not write to ana/x, or the storage of ana is full" in error.message
    assert "https://hub" not in error.message
    for status, said in ((401, "does not accept the token"), (429, "slow down"), (500, "failed (status 500)")):
        error = ConnectionError(f"HTTP status error ({status} Some Words), domain: https://cas/v1/xorbs")
        assert said in hub_errors.hub_error(error, "sending a", "ana/x").message
    assert hub_errors.is_passing(ConnectionError("HTTP status server error (503 Service Unavailable), domain: x"))


def test_errors_of_either_http_library_are_network_errors():
    for package in ("httpx", "httpx2"):
        broken = type("RemoteProtocolError", (Exception,), {"__module__": f"{package}._exceptions"})("gone")
        assert hub_errors.is_passing(broken)
        wrapped = RuntimeError("Error while uploading 'a' to the Hub.")
        wrapped.__cause__ = broken
        assert "connection to the Hub broke" in hub_errors.hub_error(wrapped, "sending a", "ana/x").message


def test_an_unknown_error_is_not_explained_away():
    assert hub_errors.hub_error(KeyError("x"), "sending a", "ana/x") is None


def test_a_full_disk_is_told_from_other_failures():
    assert hub_errors.disk_error(OSError(errno.ENOSPC, "No space left")).message == "The disk of this machine is full."
    assert hub_errors.disk_error(OSError(errno.EDQUOT, "Quota exceeded")) is not None
    assert hub_errors.disk_error(OSError(errno.EACCES, "Denied")) is None
    assert hub_errors.disk_error(ValueError("full")) is None

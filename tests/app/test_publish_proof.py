"""What a push must hold whatever happens: bounded memory, no finished file sent twice, never a mixture on the Hub."""

import os
import random
import signal
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.hub_server import HubServer
from tests.push_host import DONE, REFUSED, SILENT, PushHost

MB = 1_000_000
# of the fault test; another seed is another 200 faults
SEED, FAULTS = 20261122, 200
ROUTES = ("create", "info", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "commit")
HURRY = 200


@pytest.fixture(scope="module")
def hub():
    with HubServer() as hub:
        hub.token = hub.add_user("ana")
        yield hub


@pytest.fixture(scope="module")
def host(hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("host")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    host = PushHost(clean | hub.environment(folder / "hf"), folder)
    yield host
    host.close()


def test_a_gigabyte_needs_little_memory_and_a_killed_push_sends_one_file_again_at_most(hub, host, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    sizes = [125 * MB + number for number in range(8)]  # no two alike
    for number, size in enumerate(sizes):
        with (folder / f"model-{number}.safetensors").open("wb") as file:
            file.truncate(size)
    asked = {"folder": str(folder), "repo_id": "ana/large", "token": hub.token, "silence_s": 60}

    code, first_kb = pushed_and_killed(hub, host, asked, "lfs-put", skip=4)
    assert code == -signal.SIGKILL and hub.files("ana/large") == {}
    finished = {oid for oid, blob in hub.lfs.items() if blob.size in sizes}
    assert len(finished) == 4

    hub.settle()
    hub.requests.clear()
    code, second_kb = host.push(**asked)
    assert code == DONE, host.output()
    sent = [request for request in hub.requests if request.route == "lfs-put"]
    assert len(sent) == 4 and not {Path(request.path.split("?")[0]).name for request in sent} & finished
    assert sum(request.received for request in sent) == sum(sizes[4:]), "the file that was cut off, and three new ones"
    assert [blob.size for path, blob in sorted(hub.repo("ana/large").head.files.items()) if "model" in path] == sizes
    assert max(first_kb, second_kb) * 1024 < 300 * MB


def version(folder: Path, number: int) -> dict[str, bytes]:
    """Files of a model's version; every second one has its weights in two files, so that old ones must go."""
    weights = ["model.safetensors"] if number % 2 else ["model-1-of-2.safetensors", "model-2-of-2.safetensors"]
    names = ["README.md", "config.json", *weights]
    files = {name: f"{name} of version {number}\n".encode() * 40 for name in names}
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def befall(hub: HubServer, chance: random.Random) -> tuple[str, bool]:
    """Prepare a fault at any call of a push; returns what it is, and whether it kills the client."""
    route, skip = chance.choice(ROUTES), chance.randrange(3)
    kind = chance.choices(["status", "drop", "kill", "hang"], [9, 5, 4, 2])[0]
    if kind == "status":
        status = chance.choice([400, 401, 403, 404, 409, 412, 413, 429, 500, 502, 503])
        hub.fail(route, chance.choice([1, 2, 99]), skip=skip, status=status)
        return f"{status} at {route}", False
    if kind == "drop":
        hub.fail(route, chance.choice([1, 2, 99]), skip=skip, drop=chance.choice(["request", "answer"]))
        return f"drop at {route}", False
    if kind == "hang":
        hub.fail(route, skip=skip, hang=True)
        return f"hang at {route}", False
    # the client dies before or after the Hub has done what it was asked
    hub.fail(route, skip=skip, drop=chance.choice(["request", ""]), meanwhile=lambda: kill_client(hub))
    return f"kill at {route}", True


def kill_client(hub: HubServer) -> None:
    """Kill the push under way; its first request may come before the test has been told its process id."""
    os.kill(hub.pushing.result(60), signal.SIGKILL)


def pushed_and_killed(hub: HubServer, host: PushHost, asked: dict, route: str, **fault: object) -> tuple[int, int]:
    """Push, and kill the push at a call of a route; returns exit code and peak memory in kB."""
    hub.pushing = Future()
    hub.fail(route, meanwhile=lambda: kill_client(hub), **fault)
    hub.pushing.set_result(host.begin(**asked))
    return host.end()


def test_after_any_fault_the_repository_is_the_old_or_the_new_version(hub, host, tmp_path):
    """Statuses, dropped connections, silence and kill -9, at random calls of the real client in real processes."""
    chance, there, tally = random.Random(SEED), {}, {}
    versions = [{}]
    for number in range(FAULTS):
        new = version(tmp_path / str(number), number)
        versions.append(new)
        what, kills = befall(hub, chance)
        asked = {"folder": str(tmp_path / str(number)), "repo_id": "ana/model", "token": hub.token, "hurry": HURRY}
        hub.pushing = Future()
        # only what hangs waits for the watchdog: elsewhere a slow machine is no silence
        hub.pushing.set_result(host.begin(**asked, silence_s=0.4 if what.startswith("hang") else 60))
        code, _ = host.end()
        hub.heal()
        hub.settle()  # the Hub goes on with what a killed client has asked for
        assert code in ((DONE, REFUSED, SILENT, -signal.SIGKILL) if kills else (DONE, REFUSED, SILENT)), (
            f"{number}: {what}\n{host.output()}")
        known = ("models", "ana/model") in hub.repos
        now = hub.files("ana/model") if known else {}
        assert now in (there, new), f"{number}: a mixture after {what}: {sorted(now)}"
        assert now == new or code != DONE, f"{number}: {what} was taken for a success"
        tally[code] = tally.get(code, 0) + 1
        if number % 20 == 19 and now != new:  # the cause is gone: pushing again completes it
            assert host.push(**asked, silence_s=60)[0] == DONE, host.output()
            now = hub.files("ana/model")
            assert now == new
        there = now
    seen = [{path: blob.path.read_bytes() for path, blob in commit.files.items() if path != ".gitattributes"}
            for commit in hub.repo("ana/model").commits]
    assert all(files in versions for files in seen), "at no moment was there anything but a whole version"
    assert len(seen) == len({tuple(sorted(files.items())) for files in seen}), "no version was committed twice"
    assert min(tally.get(code, 0) for code in (DONE, REFUSED, -signal.SIGKILL)) >= 10 and tally.get(SILENT), tally


@pytest.fixture(scope="module")
def xet_host(hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("xet-host")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    host = PushHost(clean | hub.environment(folder / "hf", xet=True), folder)
    yield host
    host.close()


def test_a_push_by_xet_is_one_commit_continued_after_a_kill_and_refused_in_words(hub, xet_host, tmp_path):
    """The real hf_xet; the stand-in takes what it sends and believes the checksums that the commit names."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for number in range(3):
        (folder / f"model-{number}.safetensors").write_bytes(random.Random(number).randbytes(3 * MB))
    asked = {"folder": str(folder), "repo_id": "ana/by-xet", "token": hub.token, "silence_s": 60}
    hub.requests.clear()
    hub.fail("xet-token", times=99, status=403, message="Private repository storage limit reached")
    assert xet_host.push(**asked)[0] == REFUSED
    assert "may not write to ana/by-xet, or the storage of ana is full" in xet_host.output()
    hub.heal()

    assert pushed_and_killed(hub, xet_host, asked, "xet-shard", skip=1, drop="request")[0] == -signal.SIGKILL
    hub.heal()
    hub.settle()
    assert hub.files("ana/by-xet") == {} and hub.received("lfs-put") == 0

    assert xet_host.push(**asked)[0] == DONE, xet_host.output()
    there = hub.repo("ana/by-xet").head.files
    assert {path: blob.size for path, blob in there.items() if blob.lfs} == {
        f"model-{number}.safetensors": 3 * MB for number in range(3)}
    assert len(hub.repo("ana/by-xet").commits) == 2 and hub.received("lfs-put") == 0
    hub.requests.clear()
    assert xet_host.push(**asked)[0] == DONE
    assert hub.count("xet-xorb") == hub.count("commit") == 0, "nothing is sent again"

"""A small Hub to test against: models and data sets, users and tokens, LFS uploads, commits, downloads, and faults.

It speaks the routes that huggingface_hub, transformers and datasets use, by LFS and without Xet: set
HF_HUB_DISABLE_XET=1 and HF_ENDPOINT=<endpoint> in the environment of the client's process, and a fresh HF_HOME.

    with HubServer() as hub:
        token = hub.add_user("ana")
        hub.add_repo("ana/tiny", files={"config.json": b"{}"})
        hub.fail("lfs-put", times=1, status=500)
"""

import hashlib
import json
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.hub_content import (
    ROUTES,
    Blob,
    Commit,
    Fault,
    Repo,
    Request,
    User,
    git_sha1,
    has_arrived,
    is_lfs,
    lfs_pointer,
)
from tests.hub_routes import Handler


class HubServer:
    """The Hub's state and its server on a free loopback port; `port` may be given to come back on the same one."""

    def __init__(self, port: int = 0):
        self.folder = Path(tempfile.mkdtemp(prefix="hub-"))
        self.lock = threading.RLock()
        self.closed, self.released = threading.Event(), threading.Event()
        self.idle, self.working = threading.Condition(), 0
        self.connections: set[socket.socket] = set()
        self.users: dict[str, User] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, Blob] = {}
        self.secrets: dict[str, dict[str, str]] = {}
        self.space_hardware: dict[str, tuple[str, int | None]] = {}
        self.endpoints: dict[tuple[str, str], dict] = {}
        self.collections: list[dict] = []
        self.shards = 0
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.server = _Server(("127.0.0.1", port), Handler)
        # with the usual megabytes of buffer a slow upload looks finished to its sender
        self.server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.server.hub = self
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self, home: Path, token: str = "", xet: bool = False) -> dict[str, str]:
        """What a client's process needs to talk to this server and to nothing else; with `xet` it may upload by Xet."""
        names = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "0" if xet else "1",
                 "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1"}
        return names | ({"HF_TOKEN": token} if token else {})

    def add_user(self, name: str, role: str = "write", orgs: dict[str, str] | None = None,
                 scoped: list[dict] | None = None, token: str = "") -> str:
        """Add an account; `role` is write, read or fineGrained, `orgs` maps names to admin, write or read.

        Returns its token.
        """
        token = token or f"hf_{hashlib.sha256(f'{name}{len(self.users)}'.encode()).hexdigest()[:34]}"
        self.users[token] = User(name, token, role, orgs or {}, scoped or [])
        return token

    def add_repo(self, repo_id: str, files: dict[str, bytes | Path] | None = None, kind: str = "models",
                 private: bool = False, gated: bool = False, allowed: set[str] | None = None,
                 facts: dict | None = None) -> Repo:
        """Add a repository with a first commit; `allowed` names who was let through the gate.

        `facts` are what the Hub says of it besides: tags, safetensors, config, downloads, lastModified and the like.
        """
        repo = Repo(kind, repo_id, private, gated, allowed or set(), facts=facts or {})
        contents = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"} | (files or {})
        blobs = {path: self.keep(path, content) for path, content in contents.items()}
        self.add_commit(repo, "initial commit", blobs)
        self.repos[kind, repo_id] = repo
        return repo

    def repo(self, repo_id: str, kind: str = "models") -> Repo:
        return self.repos[kind, repo_id]

    def files(self, repo_id: str, kind: str = "models") -> dict[str, bytes]:
        """The files at the head of a repository, without .gitattributes."""
        head = self.repo(repo_id, kind).head.files
        return {path: blob.path.read_bytes() for path, blob in head.items() if path != ".gitattributes"}

    def fail(self, route: str, times: int = 1, *, status: int = 0, message: str = "The server is not well.",
             skip: int = 0, headers: dict[str, str] | None = None, drop: str = "", hang: bool = False,
             slow_s: float = 0, meanwhile: Callable[[], None] | None = None) -> None:
        """Let the next `times` calls of a route fail, after `skip` good ones.

        `status` answers with an error, `drop="request"` closes the connection before the work, `drop="answer"` after
        it, `hang` never answers, `slow_s` waits that many seconds and then does the work (of an upload: per 64 kB).
        `meanwhile` is called when the request has come, before anything else.
        """
        if route not in ROUTES:
            raise ValueError(f"no route {route}")
        self.faults.append(Fault(route, times, skip, status, message, headers or {}, drop, hang, slow_s, meanwhile))

    def heal(self) -> None:
        """Forget all faults."""
        self.faults.clear()

    def settle(self) -> None:
        """Wait until no request is at work or on its way, and let go of those that a fault keeps without an answer.

        What a killed client has sent is still to be read, perhaps its connection still to be accepted.
        """
        self.released.set()
        end = time.monotonic() + 60
        with self.idle:
            while self.working or has_arrived([self.server.socket, *self.connections], 0):
                assert time.monotonic() < end, "requests are still at work"
                self.idle.wait(0.01)
        self.released.clear()

    def reset(self) -> None:
        """Forget everything, for the next test on the same server."""
        self.heal()
        self.settle()
        for memory in (self.users, self.repos, self.lfs, self.collections, self.requests):
            memory.clear()
        self.shards = 0

    def count(self, route: str) -> int:
        """How many calls of a route have arrived."""
        return sum(request.route == route for request in self.requests)

    def received(self, route: str) -> int:
        """How many bytes of bodies have arrived at a route."""
        return sum(request.received for request in self.requests if request.route == route)

    def next_fault(self, route: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.route != route or not fault.times:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def keep(self, path: str, content: bytes | Path) -> Blob:
        """Store a file's content and decide, as the Hub does by name and size, whether it is an LFS file."""
        data = content if isinstance(content, bytes) else Path(content).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        stored = self.folder / sha256
        if not stored.exists():
            stored.write_bytes(data)
        lfs = is_lfs(path, len(data))
        oid = git_sha1(lfs_pointer(sha256, len(data)) if lfs else data)
        blob = Blob(stored, len(data), oid, sha256, lfs)
        if lfs:
            self.lfs[sha256] = blob
        return blob

    def add_commit(self, repo: Repo, title: str, files: dict[str, Blob], line: list[Commit] | None = None) -> Commit:
        """Add a commit to main, or to another of the repository's lines."""
        line = repo.commits if line is None else line
        seed = json.dumps([title, len(repo.all_commits), repo.id, sorted((p, b.sha256) for p, b in files.items())])
        commit = Commit(hashlib.sha1(seed.encode()).hexdigest(), title, files)
        line.append(commit)
        return commit


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # where only five may wait to be accepted, one more connects a second later
    request_queue_size = 128
    hub: HubServer

    def get_request(self) -> tuple[socket.socket, Any]:
        with self.hub.idle:
            connection, address = super().get_request()
            self.hub.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: socket.socket) -> None:
        with self.hub.idle:
            self.hub.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:
        """A request that is still under way when the server closes may fail as it likes."""
        if not self.hub.closed.is_set():
            super().handle_error(request, client_address)

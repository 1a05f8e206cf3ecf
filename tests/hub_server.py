"""A small Hub to test against: models and data sets, users and tokens, LFS uploads, commits, downloads, and faults.

It speaks the routes that huggingface_hub, transformers and datasets use, by LFS and without Xet: set
HF_HUB_DISABLE_XET=1 and HF_ENDPOINT=<endpoint> in the environment of the client's process, and a fresh HF_HOME.

    with HubServer() as hub:
        token = hub.add_user("ana")
        hub.add_repo("ana/tiny", files={"config.json": b"{}"})
        hub.fail("lfs-put", times=1, status=500)
"""

import base64
import fnmatch
import hashlib
import json
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

LFS_PATTERNS = ("*.safetensors", "*.bin", "*.gguf", "*.parquet", "*.png", "*.model", "tokenizer.json")
LFS_ABOVE_BYTES = 10_000_000
KINDS = ("models", "datasets", "spaces")
ROUTES = ("whoami", "create", "delete", "validate-yaml", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "commit",
          "info", "tree", "paths-info", "resolve", "refs", "auth-check")


@dataclass(frozen=True)
class User:
    """An account and its one token; `scoped` holds a fine-grained token's permissions."""

    name: str
    token: str
    role: str
    orgs: dict[str, str]
    scoped: list[dict]


@dataclass(frozen=True)
class Blob:
    """One file's content on the server's disk."""

    path: Path
    size: int
    oid: str
    sha256: str
    lfs: bool


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: dict[str, Blob]


@dataclass
class Repo:
    kind: str
    id: str
    private: bool
    gated: bool
    allowed: set[str] = field(default_factory=set)
    commits: list[Commit] = field(default_factory=list)

    @property
    def head(self) -> Commit:
        return self.commits[-1]


@dataclass
class Fault:
    """What befalls the next calls of a route, after `skip` calls have passed."""

    route: str
    times: int
    skip: int
    status: int
    message: str
    headers: dict[str, str]
    drop: str
    hang: bool
    slow_s: float


@dataclass(frozen=True)
class Request:
    """One request as it arrived; `received` counts the body's bytes."""

    route: str
    method: str
    path: str
    received: int
    token: str


class HubError(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers


class HubServer:
    """The Hub's state and its server on a free loopback port; `port` may be given to come back on the same one."""

    def __init__(self, port: int = 0):
        self._folder = Path(tempfile.mkdtemp(prefix="hub-"))
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self.users: dict[str, User] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, Blob] = {}
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.server = _Server(("127.0.0.1", port), _Handler)
        # with the usual megabytes of buffer a slow upload looks finished to its sender
        self.server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.server.hub = self
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def environment(self, home: Path, token: str = "") -> dict[str, str]:
        """What a client's process needs to talk to this server and to nothing else."""
        names = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
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
                 private: bool = False, gated: bool = False, allowed: set[str] | None = None) -> Repo:
        """Add a repository with a first commit; `allowed` names who was let through the gate."""
        repo = Repo(kind, repo_id, private, gated, allowed or set())
        contents = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"} | (files or {})
        blobs = {path: self._keep(path, content) for path, content in contents.items()}
        self._add_commit(repo, "initial commit", blobs)
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
             slow_s: float = 0) -> None:
        """Let the next `times` calls of a route fail, after `skip` good ones.

        `status` answers with an error, `drop="request"` closes the connection before the work, `drop="answer"` after
        it, `hang` never answers, `slow_s` waits that many seconds and then does the work (of an upload: per 64 kB).
        """
        if route not in ROUTES:
            raise ValueError(f"no route {route}")
        self.faults.append(Fault(route, times, skip, status, message, headers or {}, drop, hang, slow_s))

    def heal(self) -> None:
        """Forget all faults."""
        self.faults.clear()

    def count(self, route: str) -> int:
        """How many calls of a route have arrived."""
        return sum(request.route == route for request in self.requests)

    def received(self, route: str) -> int:
        """How many bytes of bodies have arrived at a route."""
        return sum(request.received for request in self.requests if request.route == route)

    def _fault(self, route: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if fault.route != route or not fault.times:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def _keep(self, path: str, content: bytes | Path) -> Blob:
        """Store a file's content and decide, as the Hub does by name and size, whether it is an LFS file."""
        data = content if isinstance(content, bytes) else Path(content).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        stored = self._folder / sha256
        if not stored.exists():
            stored.write_bytes(data)
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        blob = Blob(stored, len(data), oid, sha256, is_lfs(path, len(data)))
        if blob.lfs:
            self.lfs[sha256] = blob
        return blob

    def _add_commit(self, repo: Repo, title: str, files: dict[str, Blob]) -> Commit:
        seed = json.dumps([title, len(repo.commits), repo.id, sorted((p, b.sha256) for p, b in files.items())])
        commit = Commit(hashlib.sha1(seed.encode()).hexdigest(), title, files)
        repo.commits.append(commit)
        return commit


def is_lfs(path: str, size: int) -> bool:
    """Whether the Hub keeps a file of this name and size (bytes) in LFS."""
    name = path.rsplit("/", 1)[-1]
    return size > LFS_ABOVE_BYTES or any(fnmatch.fnmatch(name, pattern) for pattern in LFS_PATTERNS)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: HubServer

    def handle_error(self, request, client_address) -> None:
        """A request that is still under way when the server closes may fail as it likes."""
        if not self.hub._closed.is_set():
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> HubServer:
        return self.server.hub

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Tests read `requests`, not the terminal."""

    def _serve(self) -> None:
        self._received, self._slow_s = 0, 0.0
        split = urlsplit(self.path)
        self._parts = [unquote(part) for part in split.path.strip("/").split("/")]
        self._query = parse_qs(split.query)
        route, work = self._route()
        fault = self.hub._fault(route)
        try:
            if fault and self._befall(fault):
                return
            answer = work()
            if fault and fault.drop == "answer":
                self._drop()
                return
            if answer is not None:
                self._send(200, answer)
        except HubError as error:
            self._send_error(error)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
            self.hub.requests.append(Request(route, self.command, self.path, self._received, token))

    def _befall(self, fault: Fault) -> bool:
        """Let a fault happen; True where it was the whole answer."""
        if fault.hang:
            self._drain()
            self.hub._closed.wait()
            self._drop()
            return True
        if fault.drop == "request":
            self._drop()
            return True
        if fault.status:
            self._drain()
            self._send_error(HubError(fault.status, fault.message, **fault.headers))
            return True
        if self.command == "PUT":
            self._slow_s = fault.slow_s
        else:
            time.sleep(fault.slow_s)
        return False

    def _drop(self) -> None:
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    # -- routing

    def _route(self):
        parts = self._parts
        if parts[0] == "api":
            return self._api_route(parts[1:])
        if parts[0] == "lfs-storage":
            return "lfs-put", lambda: self._put_lfs(parts[1])
        if parts[0] == "lfs-verify":
            return "lfs-verify", self._verify_lfs
        if "resolve" in parts or "raw" in parts:
            return "resolve", self._resolve
        if parts[-4:] == ["info", "lfs", "objects", "batch"]:
            return "lfs-batch", self._lfs_batch
        return "unknown", self._unknown

    def _api_route(self, parts: list[str]):
        if parts == ["whoami-v2"]:
            return "whoami", self._whoami
        if parts == ["validate-yaml"]:
            return "validate-yaml", self._validate_yaml
        if parts == ["repos", "create"]:
            return "create", self._create
        if parts == ["repos", "delete"]:
            return "delete", self._delete
        if parts[0] not in KINDS or len(parts) < 3:
            return "unknown", self._unknown
        kind, repo_id, rest = parts[0], f"{parts[1]}/{parts[2]}", parts[3:]
        if not rest or rest[0] == "revision":
            return "info", lambda: self._info(kind, repo_id, rest[1] if rest else "main")
        named = {"preupload": self._preupload, "commit": self._commit, "tree": self._tree,
                 "paths-info": self._paths_info}
        if rest[0] in named and len(rest) > 1:
            return rest[0], lambda: named[rest[0]](kind, repo_id, rest[1], "/".join(rest[2:]))
        if rest[0] == "refs":
            return "refs", lambda: self._refs(kind, repo_id)
        if rest[0] == "auth-check":
            return "auth-check", lambda: self._allowed(kind, repo_id) and {}
        return "unknown", self._unknown

    def _unknown(self):
        self._drain()
        raise HubError(404, f"No route {self.path}", "EntryNotFound")

    # -- who

    def _user(self) -> User | None:
        header = self.headers.get("Authorization", "")
        if not header:
            return None
        user = self.hub.users.get(header.removeprefix("Bearer ").strip())
        if user is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return user

    def _signed_in(self) -> User:
        user = self._user()
        if user is None:
            raise HubError(401, "Invalid username or password.")
        return user

    def _whoami(self):
        user = self._signed_in()
        token = {"displayName": "test", "role": user.role, "createdAt": "2026-01-01T00:00:00.000Z"}
        if user.role == "fineGrained":
            token["fineGrained"] = {"canReadGatedRepos": False, "global": [], "scoped": user.scoped}
        orgs = [{"type": "org", "id": name, "name": name, "fullname": name, "roleInOrg": role, "isEnterprise": False}
                for name, role in user.orgs.items()]
        return {"type": "user", "id": user.name, "name": user.name, "fullname": user.name.title(), "isPro": False,
                "email": f"{user.name}@example.org", "emailVerified": True, "canPay": False, "avatarUrl": "",
                "orgs": orgs, "auth": {"type": "access_token", "accessToken": token}}

    def _may_write(self, user: User, repo_id: str) -> bool:
        namespace = repo_id.split("/")[0]
        if user.role == "read":
            return False
        if user.role == "fineGrained":
            return any(scope["entity"]["name"] in (namespace, repo_id) and "repo.write" in scope["permissions"]
                       for scope in user.scoped)
        return namespace == user.name or user.orgs.get(namespace) in ("admin", "write", "contributor")

    def _may_read(self, user: User | None, repo: Repo) -> bool:
        if not repo.private:
            return True
        namespace = repo.id.split("/")[0]
        return user is not None and (namespace == user.name or namespace in user.orgs)

    def _allowed(self, kind: str, repo_id: str, content: bool = False) -> Repo:
        """The repository, for a reader; `content` asks for its files, which a gate may bar."""
        user = self._user()
        repo = self.hub.repos.get((kind, repo_id))
        if repo is None or not self._may_read(user, repo):
            raise HubError(404 if user else 401, "Repository not found", "RepoNotFound")
        if content and repo.gated and (user is None or user.name not in repo.allowed | {repo_id.split("/")[0]}):
            raise HubError(403 if user else 401, f"Access to model {repo_id} is restricted and you are not in the "
                           "authorized list.", "GatedRepo")
        return repo

    def _writable(self, kind: str, repo_id: str) -> Repo:
        self._signed_in()
        repo = self._allowed(kind, repo_id)
        if not self._may_write(self._signed_in(), repo_id):
            raise HubError(403, "Forbidden: you must use a write token to write to this repository.")
        return repo

    # -- repositories

    def _create(self):
        asked = self._json()
        user = self._signed_in()
        repo_id = f"{asked.get('organization') or user.name}/{asked['name']}"
        kind = f"{asked.get('type') or 'model'}s"
        if not self._may_write(user, repo_id):
            if user.role == "read":
                raise HubError(403, "You don't have the rights to create a model: the token needs the write role.")
            namespace = repo_id.split("/")[0]
            raise HubError(403, f'You don\'t have the rights to create a model under the namespace "{namespace}".')
        url = f"{self.hub.endpoint}/{'' if kind == 'models' else kind + '/'}{repo_id}"
        with self.hub._lock:
            if (kind, repo_id) in self.hub.repos:
                self._send(409, {"error": "You already created this model repo", "url": url},
                           {"X-Error-Message": "You already created this model repo"})
                return None
            private = asked["visibility"] == "private" if "visibility" in asked else bool(asked.get("private"))
            self.hub.add_repo(repo_id, kind=kind, private=private)
        return {"url": url, "name": repo_id, "id": repo_id}

    def _delete(self):
        asked = self._json()
        user = self._signed_in()
        repo_id = f"{asked.get('organization') or user.name}/{asked['name']}"
        self._writable(f"{asked.get('type') or 'model'}s", repo_id)
        del self.hub.repos[f"{asked.get('type') or 'model'}s", repo_id]
        return {}

    def _validate_yaml(self):
        import yaml

        content = self._json()["content"]
        errors = []
        if content.startswith("---"):
            try:
                yaml.safe_load(content.split("---")[1])
            except yaml.YAMLError as error:
                errors = [{"message": str(error).splitlines()[0]}]
        if errors:
            self._send(400, {"errors": errors, "warnings": [], "error": errors[0]["message"]})
            return None
        return {"errors": [], "warnings": []}

    def _commit_at(self, repo: Repo, revision: str) -> Commit:
        if revision in ("main", "refs/heads/main"):
            return repo.head
        for commit in repo.commits:
            if commit.oid == revision:
                return commit
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def _info(self, kind: str, repo_id: str, revision: str):
        repo = self._allowed(kind, repo_id)
        commit = self._commit_at(repo, revision)
        blobs = "blobs" in self._query or "siblings" in self._query.get("expand[]", [])
        siblings = [{"rfilename": path} | (self._sizes(blob) if blobs else {}) for path, blob in commit.files.items()]
        card = _card_data(commit.files.get("README.md"))
        info = {"_id": "0" * 24, "id": repo.id, "author": repo.id.split("/")[0], "sha": commit.oid,
                "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z",
                "private": repo.private, "gated": "auto" if repo.gated else False, "disabled": False, "tags": [],
                "downloads": 0, "likes": 0, "siblings": siblings, "cardData": card, "usedStorage": 0}
        return info | ({"modelId": repo.id, "library_name": "transformers", "config": {}} if kind == "models" else {})

    def _sizes(self, blob: Blob) -> dict:
        lfs = {"lfs": {"sha256": blob.sha256, "size": blob.size, "pointerSize": 134}} if blob.lfs else {}
        return {"size": blob.size, "blobId": blob.oid} | lfs

    def _items(self, commit: Commit, folder: str, recursive: bool) -> list[dict]:
        prefix, items, folders = f"{folder}/" if folder else "", [], set()
        for path, blob in sorted(commit.files.items()):
            if not path.startswith(prefix):
                continue
            rest = path[len(prefix):].split("/")
            folders.update(prefix + "/".join(rest[:depth]) for depth in range(1, len(rest)))
            if recursive or len(rest) == 1:
                items.append(_item(path, blob))
        shown = folders if recursive else {name for name in folders if "/" not in name[len(prefix):]}
        return [_folder(name) for name in sorted(shown)] + items

    def _tree(self, kind: str, repo_id: str, revision: str, folder: str):
        commit = self._commit_at(self._allowed(kind, repo_id), revision)
        recursive = self._query.get("recursive", ["false"])[0].lower() in ("true", "1")
        items = self._items(commit, folder, recursive)
        if folder and not items:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        return items

    def _paths_info(self, kind: str, repo_id: str, revision: str, _: str):
        body = self._body()
        asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode()).get("paths", [])
        commit = self._commit_at(self._allowed(kind, repo_id), revision)
        paths = [asked] if isinstance(asked, str) else asked
        found = [_item(path, commit.files[path]) for path in paths if path in commit.files]
        folders = [path for path in paths if path not in commit.files and self._items(commit, path, False)]
        return found + [_folder(path) for path in folders]

    def _refs(self, kind: str, repo_id: str):
        repo = self._allowed(kind, repo_id)
        main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.oid}
        return {"branches": [main], "converts": [], "tags": []}

    # -- uploads

    def _preupload(self, kind: str, repo_id: str, revision: str, _: str):
        asked = self._json()
        head = self._commit_at(self._writable(kind, repo_id), revision)
        files = []
        for item in asked["files"]:
            mode = "lfs" if is_lfs(item["path"], item["size"]) else "regular"
            known = head.files.get(item["path"])
            oid = {"oid": known.sha256 if known.lfs else known.oid} if known else {}
            files.append({"path": item["path"], "uploadMode": mode, "shouldIgnore": False} | oid)
        return {"files": files, "commitOid": head.oid}

    def _lfs_batch(self):
        asked = self._json()
        parts = self._parts[:-4]
        kind = parts[0] if parts[0] in KINDS else "models"
        repo_id = "/".join(parts[-2:]).removesuffix(".git")
        self._writable(kind, repo_id)
        objects = []
        for item in asked["objects"]:
            known = item["oid"] in self.hub.lfs
            signature = hashlib.sha1(item["oid"].encode()).hexdigest()
            actions = {"upload": {"href": f"{self.hub.endpoint}/lfs-storage/{item['oid']}?signature={signature}"},
                       "verify": {"href": f"{self.hub.endpoint}/lfs-verify/{repo_id}"}}
            objects.append({"oid": item["oid"], "size": item["size"]} | ({} if known else {"actions": actions}))
        return {"transfer": "basic", "objects": objects}

    def _put_lfs(self, oid: str):
        if self.headers.get("Authorization"):
            self._drain()
            raise HubError(400, "Only one auth mechanism allowed")
        partial = Path(tempfile.mktemp(prefix="part-", dir=self.hub._folder))
        digest, sha1 = hashlib.sha256(), hashlib.sha1()
        with partial.open("wb") as file:
            for chunk in self._chunks():
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != oid:
            partial.unlink()
            raise HubError(400, "The content does not fit its checksum")
        size = partial.stat().st_size
        sha1.update(b"blob %d\0" % size)
        partial.rename(self.hub._folder / oid)
        self.hub.lfs[oid] = Blob(self.hub._folder / oid, size, sha1.hexdigest(), oid, True)
        return {}

    def _verify_lfs(self):
        asked = self._json()
        known = self.hub.lfs.get(asked["oid"])
        if known is None or known.size != asked["size"]:
            raise HubError(422, "The object was not uploaded")
        return {}

    def _commit(self, kind: str, repo_id: str, revision: str, _: str):
        lines = [json.loads(line) for line in self._body().splitlines() if line.strip()]
        repo = self._writable(kind, repo_id)
        if revision != "main":
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.hub._lock:
            parent = header.get("parentCommit")
            if parent and parent != repo.head.oid:
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            files = dict(repo.head.files)
            for line in lines:
                self._apply(line["key"], line["value"], files)
            commit = self.hub._add_commit(repo, header["summary"], files)
        url = f"{self.hub.endpoint}/{'' if kind == 'models' else kind + '/'}{repo_id}/commit/{commit.oid}"
        return {"success": True, "commitOid": commit.oid, "commitUrl": url, "hookOutput": ""}

    def _apply(self, key: str, value: dict, files: dict[str, Blob]) -> None:
        if key == "file":
            data = base64.b64decode(value["content"])
            if is_lfs(value["path"], len(data)):
                raise HubError(400, f"{value['path']} must be uploaded with LFS")
            files[value["path"]] = self.hub._keep(value["path"], data)
        elif key == "lfsFile":
            if value["oid"] not in self.hub.lfs:
                raise HubError(400, f"LFS object {value['oid']} was never uploaded")
            files[value["path"]] = self.hub.lfs[value["oid"]]
        elif key == "deletedFile":
            if value["path"] not in files:
                raise HubError(404, f"{value['path']} does not exist", "EntryNotFound")
            del files[value["path"]]
        elif key == "deletedFolder":
            for path in [path for path in files if path.startswith(value["path"].rstrip("/") + "/")]:
                del files[path]

    # -- downloads

    def _resolve(self):
        parts = self._parts
        kind = parts[0] if parts[0] in KINDS else "models"
        start = 0 if kind == "models" else 1
        repo_id, revision, path = "/".join(parts[start:start + 2]), parts[start + 3], "/".join(parts[start + 4:])
        repo = self._allowed(kind, repo_id, content=True)
        commit = self._commit_at(repo, revision)
        blob = commit.files.get(path)
        if blob is None:
            raise HubError(404, f"{path} does not exist", "EntryNotFound", **{"X-Repo-Commit": commit.oid})
        headers = {"X-Repo-Commit": commit.oid, "ETag": f'"{blob.sha256 if blob.lfs else blob.oid}"',
                   "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        if blob.lfs:
            headers |= {"X-Linked-Size": str(blob.size), "X-Linked-ETag": f'"{blob.sha256}"'}
        first, last, status = self._range(blob.size)
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
        self._start(status, headers, last - first + 1)
        if self.command == "HEAD":
            return
        with blob.path.open("rb") as file:
            file.seek(first)
            left = last - first + 1
            while left and (chunk := file.read(min(left, 1 << 20))):
                self.wfile.write(chunk)
                left -= len(chunk)

    def _range(self, size: int) -> tuple[int, int, int]:
        asked = self.headers.get("Range", "")
        if not asked.startswith("bytes=") or "," in asked:
            return 0, size - 1, 200
        first, last = asked.removeprefix("bytes=").split("-")
        if not first:
            return max(size - int(last), 0), size - 1, 206
        if int(first) >= size:
            raise HubError(416, "Range not satisfiable", **{"Content-Range": f"bytes */{size}"})
        return int(first), min(int(last), size - 1) if last else size - 1, 206

    # -- bodies

    def _chunks(self):
        """The body in pieces of at most 64 kB, by Content-Length or chunked encoding."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield from self._pieces(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield from self._pieces(int(self.headers.get("Content-Length", 0)) - self._received)

    def _pieces(self, size: int):
        while size > 0:
            chunk = self.rfile.read(min(size, 65536))
            if not chunk:
                raise ConnectionResetError("the client went away")
            size -= len(chunk)
            self._received += len(chunk)
            time.sleep(self._slow_s)
            yield chunk

    def _body(self) -> bytes:
        return b"".join(self._chunks())

    def _json(self) -> dict:
        return json.loads(self._body())

    def _drain(self) -> None:
        for _ in self._chunks():
            pass

    def _start(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.send_header("X-Request-Id", "Root=1-test")
        self.end_headers()

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self._start(status, {"Content-Type": "application/json"} | (headers or {}), len(data))
        if self.command != "HEAD":
            self.wfile.write(data)

    def _send_error(self, error: HubError) -> None:
        if not self._received:
            self._drain()
        headers = {"X-Error-Message": quote(error.message, safe=" \"'.,:/!")} | error.headers
        if error.code:
            headers["X-Error-Code"] = error.code
        try:
            self._send(error.status, {"error": error.message}, headers)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True


def _item(path: str, blob: Blob) -> dict:
    lfs = {"lfs": {"oid": blob.sha256, "size": blob.size, "pointerSize": 134}} if blob.lfs else {}
    return {"type": "file", "oid": blob.oid, "size": blob.size, "path": path} | lfs


def _folder(path: str) -> dict:
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}


def _card_data(readme: Blob | None) -> dict | None:
    import yaml

    text = readme.path.read_text() if readme else ""
    return yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None

"""The stand-in Hub's routes: each request is let fail as asked, or answered as the Hub answers it."""

import base64
import hashlib
import json
import socket
import tempfile
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import yaml

from tests.hub_content import (
    KINDS,
    Blob,
    Commit,
    Fault,
    HubError,
    Repo,
    Request,
    User,
    git_sha1,
    has_arrived,
    is_lfs,
    lfs_pointer,
)
from tests.hub_endpoints import RentedRoutes
from tests.hub_refs import RefRoutes
from tests.hub_xet import XetRoutes


class Handler(RentedRoutes, RefRoutes, XetRoutes, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def hub(self):
        return self.server.hub

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Tests read `requests`, not the terminal."""

    def handle_one_request(self) -> None:
        # at work from its first byte on, which is left to be read: until then the connection is seen to hold one
        has_arrived([self.connection])
        with self.hub.idle:
            self.hub.working += 1
        try:
            super().handle_one_request()
        finally:
            with self.hub.idle:
                self.hub.working -= 1
                self.hub.idle.notify_all()

    def _serve(self) -> None:
        self._slow_s = 0.0
        split = urlsplit(self.path)
        self._parts = [unquote(part) for part in split.path.strip("/").split("/")]
        self._query = parse_qs(split.query)
        route, work = self._route()
        token = self.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        self._request = Request(route, self.command, self.path, token)
        # noted before any answer: a client that has its answer, or its broken connection, finds it counted
        self.hub.requests.append(self._request)
        fault = self.hub.next_fault(route)
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

    def _befall(self, fault: Fault) -> bool:
        """Let a fault happen; True where it was the whole answer."""
        if fault.meanwhile:
            fault.meanwhile()
        if fault.hang:
            self._drain()
            self.hub.released.wait()
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
        if parts[0] == "v1" or parts == ["v2", "shards"]:
            return self._xet_route(parts)
        if parts[0] == "v2":
            return self._endpoint_route(parts[1:])
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
        if parts[0] == "collections":
            adds = parts[-1] == "items"
            return "collections", lambda: self._collections("/".join(parts[1:-1] if adds else parts[1:]), adds)
        if parts[0] in KINDS and len(parts) == 1:
            return "list", lambda: self._list(parts[0])
        if parts[0] not in KINDS or len(parts) < 3:
            return "unknown", self._unknown
        kind, repo_id, rest = parts[0], f"{parts[1]}/{parts[2]}", parts[3:]
        if not rest or rest[0] == "revision":
            return "info", lambda: self._info(kind, repo_id, rest[1] if rest else "main")
        named = {"preupload": self._preupload, "commit": self._commit, "tree": self._tree,
                 "paths-info": self._paths_info}
        if rest[0] in named and len(rest) > 1:
            return rest[0], lambda: named[rest[0]](kind, repo_id, rest[1], "/".join(rest[2:]))
        if found := self._ref_route(kind, repo_id, rest):
            return found
        if kind == "spaces" and rest in (["secrets"], ["hardware"]):
            return self._space_route(repo_id, rest)
        if rest[0] == "xet-write-token":
            return "xet-token", lambda: self._xet_token(kind, repo_id)
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
        with self.hub.lock:
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
        if line := repo.line(revision):
            return line[-1]
        oid = repo.tags.get(revision, revision)
        for commit in repo.all_commits:
            if commit.oid == oid:
                return commit
        raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")

    def _info(self, kind: str, repo_id: str, revision: str):
        repo = self._allowed(kind, repo_id)
        return self._facts(repo, self._commit_at(repo, revision))

    def _list(self, kind: str):
        """Repositories by the words of their names, their tags and task, in one page; only what `expand` asks for."""
        asked, user = self._query, self._user()
        words = asked.get("search", [""])[0].lower()
        found = [self._facts(repo, repo.head) for (held, _), repo in sorted(self.hub.repos.items())
                 if held == kind and words in repo.id.lower() and self._may_read(user, repo)]
        wanted, task = set(asked.get("filter", [])), asked.get("pipeline_tag", [""])[0]
        found = [info for info in found if wanted <= set(info["tags"]) and task in ("", info.get("pipeline_tag"))]
        order = asked.get("sort", ["trendingScore"])[0]
        found.sort(key=lambda info: info.get(order, 0), reverse=True)
        shown = {"_id", "id", *asked.get("expand", [])}
        found = [{name: info[name] for name in info if name in shown} if "expand" in asked else info for info in found]
        return found[:int(asked.get("limit", ["1000"])[0])]

    def _facts(self, repo: Repo, commit: Commit):
        kind = repo.kind
        blobs = "blobs" in self._query or "siblings" in self._query.get("expand[]", [])
        siblings = [{"rfilename": path} | (self._sizes(blob) if blobs else {}) for path, blob in commit.files.items()]
        card = _card_data(commit.files.get("README.md"))
        info = {"_id": "0" * 24, "id": repo.id, "author": repo.id.split("/")[0], "sha": commit.oid,
                "lastModified": "2026-01-01T00:00:00.000Z", "createdAt": "2026-01-01T00:00:00.000Z",
                "private": repo.private, "gated": "auto" if repo.gated else False, "disabled": False, "tags": [],
                "downloads": 0, "likes": 0, "siblings": siblings, "cardData": card, "usedStorage": 0}
        info |= {"modelId": repo.id, "library_name": "transformers", "config": {}} if kind == "models" else {}
        return info | repo.facts

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
        partial = Path(tempfile.mktemp(prefix="part-", dir=self.hub.folder))
        digest = hashlib.sha256()
        with partial.open("wb") as file:
            for chunk in self._chunks():
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != oid:
            partial.unlink()
            raise HubError(400, "The content does not fit its checksum")
        size = partial.stat().st_size
        partial.rename(self.hub.folder / oid)
        self.hub.lfs[oid] = Blob(self.hub.folder / oid, size, git_sha1(lfs_pointer(oid, size)), oid, True)
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
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.hub.lock:
            line = repo.line(revision)
            if line is None:
                raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
            parent = header.get("parentCommit")
            if parent and parent != line[-1].oid:
                raise HubError(412, "A commit has happened since. Please refresh and try again.")
            files = dict(line[-1].files)
            for change in lines:
                self._apply(change["key"], change["value"], files)
            pull = self._opened(repo, header["summary"], self._user().name) if "create_pr" in self._query else None
            commit = self.hub.add_commit(repo, header["summary"], files, pull.commits if pull else line)
        url = f"{self.hub.endpoint}/{'' if kind == 'models' else kind + '/'}{repo_id}"
        opened = {"pullRequestUrl": f"{url}/discussions/{pull.number}"} if pull else {}
        return {"success": True, "commitOid": commit.oid, "commitUrl": f"{url}/commit/{commit.oid}",
                "hookOutput": ""} | opened

    def _apply(self, key: str, value: dict, files: dict[str, Blob]) -> None:
        if key == "file":
            data = base64.b64decode(value["content"])
            if is_lfs(value["path"], len(data)):
                raise HubError(400, f"{value['path']} must be uploaded with LFS")
            files[value["path"]] = self.hub.keep(value["path"], data)
        elif key == "lfsFile":
            oid = value["oid"]
            files[value["path"]] = self.hub.lfs[oid] if oid in self.hub.lfs else self._by_xet(oid, value["size"])
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
            yield from self._pieces(int(self.headers.get("Content-Length", 0)) - self._request.received)

    def _pieces(self, size: int):
        while size > 0:
            chunk = self.rfile.read(min(size, 65536))
            if not chunk:
                raise ConnectionResetError("the client went away")
            size -= len(chunk)
            self._request.received += len(chunk)
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
        if not self._request.received:
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
    text = readme.path.read_text() if readme else ""
    return yaml.safe_load(text.split("---")[1]) if text.startswith("---") else None

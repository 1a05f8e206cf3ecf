"""What the stand-in Hub holds: accounts, repositories, commits, files, faults to come, and the requests that came."""

import fnmatch
import hashlib
import select
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

LFS_PATTERNS = ("*.safetensors", "*.bin", "*.gguf", "*.parquet", "*.png", "*.model", "tokenizer.json")
LFS_ABOVE_BYTES = 10_000_000
KINDS = ("models", "datasets", "spaces")
ROUTES = ("whoami", "create", "delete", "validate-yaml", "preupload", "lfs-batch", "lfs-put", "lfs-verify", "commit",
          "info", "list", "tree", "paths-info", "resolve", "refs", "auth-check",
          "branch", "tag", "commits", "discussions", "collections", "xet-token", "xet-xorb", "xet-shard",
          "secrets", "hardware", "ep-hardware", "ep-create", "ep-delete", "ep-act", "ep-get")


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
    facts: dict = field(default_factory=dict)
    branches: dict[str, list[Commit]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    pulls: list["Pull"] = field(default_factory=list)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def line(self, revision: str) -> list[Commit] | None:
        """The commits of main, of another branch or of a pull request, oldest first; None where there is none."""
        if revision in ("main", "refs/heads/main"):
            return self.commits
        pulls = {f"refs/pr/{pull.number}": pull.commits for pull in self.pulls}
        return self.branches.get(revision.removeprefix("refs/heads/")) or pulls.get(revision)

    @property
    def all_commits(self) -> list[Commit]:
        """Every commit of every branch and pull request."""
        lines = [self.commits, *self.branches.values(), *(pull.commits for pull in self.pulls)]
        return [commit for line in lines for commit in line]


@dataclass
class Pull:
    """A pull request: its number, title, author and commits upon those of main."""

    number: int
    title: str
    author: str
    commits: list[Commit]
    status: str = "open"


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
    meanwhile: Callable[[], None] | None = None


@dataclass
class Request:
    """One request, noted when it arrives; `received` counts the body's bytes as they come."""

    route: str
    method: str
    path: str
    token: str
    received: int = 0


class HubError(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str):
        super().__init__(message)
        self.status, self.message, self.code, self.headers = status, message, code, headers


def has_arrived(sockets: Iterable[socket.socket], wait_s: float | None = None) -> bool:
    """Whether a connection, bytes or their end wait to be taken from one of these sockets; None waits for them."""
    looking = select.poll()  # select itself knows no more than 1024 files
    for one in sockets:
        looking.register(one, select.POLLIN)
    return bool(looking.poll(None if wait_s is None else wait_s * 1000))


def git_sha1(content: bytes) -> str:
    """The id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def lfs_pointer(sha256: str, size: int) -> bytes:
    """What git itself holds in place of an LFS file."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()


def is_lfs(path: str, size: int) -> bool:
    """Whether the Hub keeps a file of this name and size (bytes) in LFS."""
    name = path.rsplit("/", 1)[-1]
    return size > LFS_ABOVE_BYTES or any(fnmatch.fnmatch(name, pattern) for pattern in LFS_PATTERNS)

"""Every call of a push to the Hub: who the token belongs to, whether it may push, and the push itself.

A push sends file by file, then writes one commit, then compares checksums. Nothing is visible on the Hub before the
commit, and a second push sends only what the first one did not finish.
"""

import hashlib
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
from huggingface_hub.hf_api import DatasetInfo, ModelInfo
from huggingface_hub.utils import validate_repo_id

from studio.errors import HubError
from studio.publishing.hub_errors import (
    FIELD,
    TOKENS_PAGE,
    hub_error,
    is_passing,
    no_token,
    retry_after_s,
    silent,
    status_of,
)
from studio.publishing.release import ReleaseFile
from studio.publishing.upload_progress import reported_bytes

Answer = TypeVar("Answer")
Kind = Literal["model", "dataset"]
Info = ModelInfo | DatasetInfo

CHECK_LIMIT_S = 30
# the client itself repeats uploads, but not these calls; the waits between the tries, in seconds
RETRY_WAITS_S = (1, 2, 4, 8)
# before a push a person is waiting for the answer
CHECK_WAITS_S = (1, 2)
LONGEST_WAIT_S = 60
HASH_CHUNK_BYTES = 8 * 1024 * 1024
WRITING_ROLES = frozenset({"admin", "write", "contributor"})
WRITE_PERMISSIONS = frozenset({"repo.write", "repo.content.write"})
# weights of an earlier push that would be loaded in place of, or beside, the new ones
MODEL_FILE = re.compile(r"[^/]+\.safetensors|[^/]+\.safetensors\.index\.json|adapter_config\.json|adapter/.+")
# rows of an earlier push
ROWS_FILE = re.compile(r"(?:train|heldout)\.jsonl")


@dataclass(frozen=True)
class Account:
    """Who a token belongs to: user name, token role (write, read, fineGrained, oauth), organisations it may write to.

    `scopes` holds the names, `owner` or `owner/repo`, that a fine-grained token may write to.
    """

    name: str
    role: str
    orgs: tuple[str, ...] = ()
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class PushCheck:
    """What is known before a push: full repository name, whose token, whether it is there, its visibility."""

    repo_id: str
    account: Account
    exists: bool
    private: bool


@dataclass(frozen=True)
class Progress:
    """A moment of a push: what is being done, to which file, and how many bytes of all files are behind it."""

    doing: str
    file: str
    file_number: int
    files: int
    done_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class PushResult:
    """A push that is on the Hub and compared; `sent_bytes` leaves out files that were there unchanged."""

    repo_id: str
    url: str
    commit: str
    commit_url: str
    private: bool
    files: int
    total_bytes: int
    sent_bytes: int


@dataclass(frozen=True)
class Checksums:
    """One file as the Hub names it: sha256 for LFS files, git's own sha1 for small ones."""

    sha256: str
    git_sha1: str


def resolve_token(pasted: str = "", oauth: str | None = None) -> str | None:
    """The token to use: pasted, else of the person signed in, else of the machine (HF_TOKEN, then `hf auth login`)."""
    return pasted.strip() or oauth or get_token()


def whose_token(token: str, *, endpoint: str | None = None, limit_s: float = CHECK_LIMIT_S) -> Account:
    """Ask the Hub whose token it is. Raises `HubError`, also after `limit_s` seconds without an answer."""
    doing = "checking the token"
    api = HfApi(endpoint=endpoint, token=token)
    return within(limit_s, doing, lambda: _account(_patiently(lambda: api.whoami(token), doing, "", CHECK_WAITS_S)))


def check_push(repo_id: str, token: str | None, *, private: bool = True, kind: Kind = "model",
               endpoint: str | None = None, limit_s: float = CHECK_LIMIT_S) -> PushCheck:
    """Check, without writing anything, that a push to `repo_id` can succeed.

    `repo_id` without an owner means the token's own account. Raises `HubError`: no token, token refused, read-only or
    too narrow, foreign namespace, unusable name, a public repository where a private one is asked for, no answer.
    """
    if not token:
        raise no_token()
    api = HfApi(endpoint=endpoint, token=token)
    return within(limit_s, "checking the token and the repository", lambda: _check(api, repo_id, token, private, kind))


def stated_licence(repo_id: str, token: str | None, *, kind: Kind = "model", endpoint: str | None = None,
                   limit_s: float = 10) -> str:
    """The licence that a repository's card on the Hub states, as its identifier; "" where there is none to be read."""
    api = HfApi(endpoint=endpoint, token=token)
    doing = f"reading the card of {repo_id}"
    try:
        info = within(
            limit_s, doing, lambda: _explained(lambda: api.repo_info(repo_id, repo_type=kind), doing, repo_id))
    except HFValidationError:
        return ""  # a folder or file of this machine
    except HubError as error:
        print(f"The licence of {repo_id} is not known. {error.message}", file=sys.stderr)
        return ""
    stated = info.card_data.license if info.card_data else ""
    if isinstance(stated, list):
        return stated[0] if len(stated) == 1 else "other"
    return str(stated or "")


def push_files(files: Sequence[ReleaseFile], repo_id: str, token: str, *, private: bool, message: str,
               on_progress: Callable[[Progress], None], kind: Kind = "model",
               endpoint: str | None = None) -> PushResult:
    """Put `files` into the repository `repo_id` as one commit, creating it where it is missing.

    Files that are there unchanged are left out; weights or rows of an earlier push that these replace are removed in
    the same commit. Raises `HubError`. May wait for ever on a server that never answers: run it where it can be ended.
    """
    push = _Push(HfApi(endpoint=endpoint, token=token), files, repo_id, kind, on_progress)
    return push.run(private, message)


class _Push:
    """One push under way."""

    def __init__(self, api: HfApi, files: Sequence[ReleaseFile], repo_id: str, kind: Kind,
                 on_progress: Callable[[Progress], None]):
        self.api, self.files, self.repo_id, self.kind, self.on_progress = api, files, repo_id, kind, on_progress
        self.total_bytes = sum(file.size_bytes for file in files)
        self.done_bytes = self.sent_bytes = self.number = 0
        self.local: dict[str, Checksums] = {}

    def run(self, private: bool, message: str) -> PushResult:
        self._tell("Creating the repository")
        _patiently(lambda: self.api.create_repo(self.repo_id, private=private, repo_type=self.kind, exist_ok=True),
                   "creating the repository", self.repo_id)
        before = self._info()
        _refuse_public(before, private)
        additions = self._send(before)
        left_over = _left_over(before, {file.path_in_repo for file in self.files}, self.kind)
        deletions = [CommitOperationDelete(path) for path in left_over]
        commit = self._commit(additions + deletions, before.sha, message) if additions or deletions else before.sha
        self._tell("Comparing checksums")
        after = self._info(commit)
        if wrong := [path for path, known in self.local.items() if not _same(after, path, known)]:
            raise HubError(f"{wrong[0]} on the Hub differs from the file that was sent.", "Push again.", FIELD)
        url = f"{self.api.endpoint}/{'datasets/' if self.kind == 'dataset' else ''}{self.repo_id}"
        return PushResult(self.repo_id, url, commit, f"{url}/commit/{commit}", bool(after.private),
                          len(self.files), self.total_bytes, self.sent_bytes)

    def _send(self, before: Info) -> list[CommitOperationAdd]:
        """Upload each file that differs; nothing shows on the Hub until the commit."""
        additions = []
        for number, file in enumerate(self.files, start=1):
            self.number = number
            self._tell("Reading", file)
            known = self.local[file.path_in_repo] = _checksums(file.path, lambda file=file: self._tell("Reading", file))
            if not _same(before, file.path_in_repo, known):
                additions.append(self._upload(file, known))
                self.sent_bytes += file.size_bytes
            self.done_bytes += file.size_bytes
        return additions

    def _upload(self, file: ReleaseFile, known: Checksums) -> CommitOperationAdd:
        addition = CommitOperationAdd(path_in_repo=file.path_in_repo, path_or_fileobj=str(file.path))
        # saves the client a second reading of the file
        addition.upload_info.sha256 = bytes.fromhex(known.sha256)
        self._tell("Sending", file)
        with reported_bytes(lambda sent: self._tell("Sending", file, min(sent, file.size_bytes))):
            _explained(lambda: self.api.preupload_lfs_files(self.repo_id, [addition], repo_type=self.kind,
                                                            free_memory=False),
                       f"sending {file.path_in_repo}", self.repo_id)
        return addition

    def _commit(self, operations: list, parent: str, message: str) -> str:
        """Write the commit, once, also where the answer to it is lost; returns its id.

        The parent is named each time, so that a commit which came through after all cannot be followed by its double.
        """
        waits = iter(RETRY_WAITS_S)
        while True:
            self._tell("Writing the commit")
            try:
                return self.api.create_commit(self.repo_id, operations, repo_type=self.kind, commit_message=message,
                                              parent_commit=parent).oid
            except Exception as error:
                unsure = is_passing(error) or status_of(error) == 412
                if unsure and (landed := self._landed(parent)):
                    return landed
                wait_s = next(waits, None)
                if wait_s is None or not is_passing(error) or retry_after_s(error) > LONGEST_WAIT_S:
                    raise hub_error(error, "writing the commit", self.repo_id) or error from None
                time.sleep(max(wait_s, retry_after_s(error)))

    def _landed(self, parent: str) -> str:
        """The head's id where the head is this push's commit, "" otherwise."""
        head = self._info()
        return head.sha if head.sha != parent and all(_same(head, *item) for item in self.local.items()) else ""

    def _info(self, revision: str | None = None) -> Info:
        return _patiently(
            lambda: self.api.repo_info(self.repo_id, repo_type=self.kind, revision=revision, files_metadata=True),
            "reading the repository", self.repo_id)

    def _tell(self, doing: str, file: ReleaseFile | None = None, sent: int = 0) -> None:
        self.on_progress(Progress(doing, file.path_in_repo if file else "", self.number, len(self.files),
                                  self.done_bytes + sent, self.total_bytes))


def _explained(call: Callable[[], Answer], doing: str, repo_id: str) -> Answer:
    """Call, and turn what the Hub raises into a `HubError`; an unknown error stays as it is."""
    try:
        return call()
    except Exception as error:
        known = hub_error(error, doing, repo_id)
        if known is None:
            raise
        raise known from None


def _patiently(call: Callable[[], Answer], doing: str, repo_id: str,
               waits_s: Sequence[float] = RETRY_WAITS_S) -> Answer:
    """Call, and again after a wait where the failure may pass. Only for calls that may be repeated."""
    for wait_s in waits_s:
        try:
            return call()
        except Exception as error:
            if not is_passing(error) or retry_after_s(error) > LONGEST_WAIT_S:
                raise hub_error(error, doing, repo_id) or error from None
            time.sleep(max(wait_s, retry_after_s(error)))
    return _explained(call, doing, repo_id)


def within(limit_s: float, doing: str, call: Callable[[], Answer]) -> Answer:
    """Call in a thread and give up after `limit_s` seconds: the client itself waits for ever."""
    outcome: list = []

    def work() -> None:
        try:
            outcome.append((call(), None))
        except Exception as error:
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(limit_s)
    if not outcome:
        raise silent(doing, limit_s)
    answer, error = outcome[0]
    if error is not None:
        raise error
    return answer


def _account(answer: dict) -> Account:
    """Read what `whoami` says. A token that signs a person in by OAuth carries no role."""
    token = answer.get("auth", {}).get("accessToken", {})
    scoped = token.get("fineGrained", {}).get("scoped", [])
    scopes = {scope["entity"]["name"] for scope in scoped if WRITE_PERMISSIONS & set(scope["permissions"])}
    orgs = [org["name"] for org in answer.get("orgs", []) if org.get("roleInOrg") in WRITING_ROLES]
    return Account(answer["name"], token.get("role", "oauth"), tuple(orgs), frozenset(scopes))


def _check(api: HfApi, repo_id: str, token: str, private: bool, kind: Kind) -> PushCheck:
    account = _account(_patiently(lambda: api.whoami(token), "checking the token", repo_id, CHECK_WAITS_S))
    repo_id = _full_name(repo_id, account, kind)
    _check_rights(repo_id, account)
    info = _patiently(lambda: _found(api, repo_id, kind), "looking for the repository", repo_id, CHECK_WAITS_S)
    if info is None:
        _check_may_create(repo_id, account)
        return PushCheck(repo_id, account, exists=False, private=private)
    _refuse_public(info, private)
    return PushCheck(repo_id, account, exists=True, private=bool(info.private))


def _found(api: HfApi, repo_id: str, kind: Kind) -> Info | None:
    try:
        return api.repo_info(repo_id, repo_type=kind)
    except RepositoryNotFoundError:
        return None


def _full_name(repo_id: str, account: Account, kind: Kind) -> str:
    name = repo_id.strip()
    if not name:
        raise HubError("The repository has no name.", f"Give it one, such as {account.name}/my-{kind}.", FIELD)
    full = name if "/" in name else f"{account.name}/{name}"
    try:
        validate_repo_id(full)
    except HFValidationError:
        raise HubError(
            f"{name} cannot be the name of a repository.",
            "Write owner/name with letters, digits, dashes, dots and underscores (96 at most).", FIELD) from None
    return full


def _check_rights(repo_id: str, account: Account) -> None:
    namespace = repo_id.split("/")[0]
    if account.role == "read":
        raise HubError(f"The token of {account.name} can only read.",
                       f"Make one with the write role at {TOKENS_PAGE}.", FIELD)
    if namespace != account.name and namespace not in account.orgs:
        raise HubError(f"{account.name} may not publish under {namespace}.",
                       f"Name it {account.name}/{repo_id.split('/')[1]}, or use a token of {namespace}.", FIELD)
    if account.role == "fineGrained" and not account.scopes & {namespace, repo_id}:
        raise HubError(f"The token of {account.name} has no write access to {repo_id}.",
                       f"Allow it to write to repositories of {namespace} at {TOKENS_PAGE}.", FIELD)


def _check_may_create(repo_id: str, account: Account) -> None:
    """A fine-grained token for one repository may write to it, but not create it."""
    namespace = repo_id.split("/")[0]
    if account.role == "fineGrained" and namespace not in account.scopes:
        raise HubError(f"{repo_id} does not exist, and the token of {account.name} may not create it.",
                       f"Create it on the Hub first, or let the token write to all of {namespace}.", FIELD)


def _refuse_public(info: Info, private: bool) -> None:
    """A repository that is there keeps its visibility, so a private push to a public one would publish."""
    if private and not info.private:
        raise HubError(f"{info.id} is public, and this push asks for a private repository.",
                       "Choose another name, make it private on the Hub, or publish as public.", FIELD)


def _left_over(info: Info, sent: set[str], kind: Kind) -> list[str]:
    """Weights, adapter files or rows in the repository that this push neither contains nor should leave."""
    there = [sibling.rfilename for sibling in info.siblings or []]
    replaced = MODEL_FILE if kind == "model" else ROWS_FILE
    return [path for path in there if path not in sent and replaced.fullmatch(path)]


def _same(info: Info, path: str, known: Checksums) -> bool:
    """Whether the repository holds exactly this file."""
    for sibling in info.siblings or []:
        if sibling.rfilename == path:
            return sibling.lfs.sha256 == known.sha256 if sibling.lfs else sibling.blob_id == known.git_sha1
    return False


def _checksums(path: Path, on_chunk: Callable[[], None]) -> Checksums:
    sha256, git_sha1 = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            sha256.update(chunk)
            git_sha1.update(chunk)
            on_chunk()
    return Checksums(sha256.hexdigest(), git_sha1.hexdigest())

"""The push itself: file by file, then one commit, then checksums compared.

Nothing is visible on the Hub before the commit, and a second push sends only what the first one did not finish.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

from studio.errors import HubError
from studio.publishing.calls import RETRY_WAITS_S, Known, explained, may_wait, patiently, wait
from studio.publishing.hub import HUBS_OWN, Info, Kind, left_over, refuse_public
from studio.publishing.hub_errors import FIELD, hub_error, is_passing, status_of
from studio.publishing.release import ReleaseFile
from studio.publishing.upload_progress import reported_bytes

HASH_CHUNK_BYTES = 8 * 1024 * 1024
# above this size the Hub keeps every file in LFS and names it by sha256 alone
SURELY_LFS_BYTES = 10_000_000


@dataclass(frozen=True)
class Destination:
    """Where a push goes: repository, visibility if it is new, branch ("" for main), tag ("" for none), as a pull
    request or not."""

    repo_id: str
    private: bool = True
    revision: str = ""
    tag: str = ""
    create_pr: bool = False


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
    """A push that is on the Hub and compared; `sent_bytes` leaves out files that were there unchanged.

    `pull_request` is the address of the one that holds it, "" where it went to a branch.
    """

    repo_id: str
    url: str
    commit: str
    commit_url: str
    private: bool
    files: int
    total_bytes: int
    sent_bytes: int
    pull_request: str = ""


@dataclass(frozen=True)
class Checksums:
    """One file as the Hub names it: sha256 for LFS files, git's own sha1 for small ones ("" for those too large)."""

    sha256: str
    git_sha1: str


@dataclass(frozen=True)
class _Landed:
    """A commit on the Hub, under the name by which it can be read; `pull_request` as in `PushResult`."""

    oid: str
    revision: str
    pull_request: str = ""


def push_files(files: Sequence[ReleaseFile], to: Destination, token: str, *, message: str,
               on_progress: Callable[[Progress], None], kind: Kind = "model",
               endpoint: str | None = None) -> PushResult:
    """Put `files` into a repository as one commit, creating repository and branch where they are missing.

    Files that are there unchanged are left out; weights or rows of an earlier push that these replace are removed in
    the same commit. Raises `HubError`. May wait for ever on a server that never answers: run it where it can be ended.
    """
    return _Push(HfApi(endpoint=endpoint, token=token), files, to, kind, message, on_progress).run()


class _Push:
    """One push under way."""

    def __init__(self, api: HfApi, files: Sequence[ReleaseFile], to: Destination, kind: Kind, message: str,
                 on_progress: Callable[[Progress], None]):
        self.api, self.files, self.to, self.kind, self.message = api, files, to, kind, message
        self.repo_id, self.on_progress = to.repo_id, on_progress
        self.total_bytes = sum(file.size_bytes for file in files)
        self.done_bytes = self.sent_bytes = self.number = 0
        self.local: dict[str, Checksums] = {}

    def run(self) -> PushResult:
        before = self._prepared()
        as_pull_request = self.to.create_pr and {sibling.rfilename for sibling in before.siblings or []} - {HUBS_OWN}
        tagged = self._tagged(before)
        additions = self._send(before)
        deletions = [CommitOperationDelete(path) for path in left_over(before, set(self.local), self.kind)]
        changes = additions + deletions
        if changes and tagged:
            raise self._tag_taken()
        landed = _Landed(before.sha, before.sha)
        if changes:
            landed = (self._pull_request() if as_pull_request else None) or self._commit(
                changes, before.sha, bool(as_pull_request))
        self._tell("Comparing checksums")
        after = self._info(landed.revision)
        if wrong := [path for path, known in self.local.items() if not _same(after, path, known)]:
            raise HubError(f"{wrong[0]} on the Hub differs from the file that was sent.", "Push again.", FIELD)
        if self.to.tag and not tagged:
            patiently(lambda: self.api.create_tag(self.repo_id, tag=self.to.tag, revision=landed.oid,
                                                  repo_type=self.kind, exist_ok=True), "setting the tag", self.repo_id)
        url = f"{self.api.endpoint}/{'' if self.kind == 'model' else f'{self.kind}s/'}{self.repo_id}"
        return PushResult(self.repo_id, url, landed.oid, f"{url}/commit/{landed.oid}", bool(after.private),
                          len(self.files), self.total_bytes, self.sent_bytes, landed.pull_request)

    def _prepared(self) -> Info:
        """The repository on its branch, both made where they are missing."""
        self._tell("Creating the repository")
        patiently(lambda: self.api.create_repo(self.repo_id, private=self.to.private, repo_type=self.kind,
                                               space_sdk="gradio" if self.kind == "space" else None,
                                               exist_ok=True), "creating the repository", self.repo_id)
        try:
            before = self._info(self.to.revision, known=(RevisionNotFoundError, RepositoryNotFoundError))
        except RevisionNotFoundError:
            patiently(lambda: self.api.create_branch(self.repo_id, branch=self.to.revision, repo_type=self.kind,
                                                     exist_ok=True), "making the branch", self.repo_id)
            before = self._info(self.to.revision)
        except RepositoryNotFoundError:
            raise HubError(f"The name {self.repo_id} is taken by a repository that this token may not see.",
                           "Choose another name, or use a token of its owner.", FIELD) from None
        refuse_public(before, self.to.private)
        return before

    def _tagged(self, before: Info) -> bool:
        """Whether the branch's head has the tag already. Raises `HubError` where another commit has it."""
        if not self.to.tag:
            return False
        refs = patiently(lambda: self.api.list_repo_refs(self.repo_id, repo_type=self.kind), "reading the tags",
                         self.repo_id)
        at = next((ref.target_commit for ref in refs.tags if ref.name == self.to.tag), "")
        if at not in ("", before.sha):
            raise self._tag_taken()
        return bool(at)

    def _tag_taken(self) -> HubError:
        return HubError(f"{self.repo_id} has the tag {self.to.tag} on another version, and a tag stays where it is.",
                        "Choose another tag.", "publish.hub_tag")

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
            explained(lambda: self.api.preupload_lfs_files(
                self.repo_id, [addition], repo_type=self.kind, revision=self.to.revision or None, free_memory=False),
                f"sending {file.path_in_repo}", self.repo_id)
        return addition

    def _commit(self, operations: list, parent: str, as_pull_request: bool) -> _Landed:
        """Write the commit, once, also where the answer to it is lost.

        The parent is named each time, so that a commit which came through after all cannot be followed by its double.
        """
        waits = iter(RETRY_WAITS_S)
        while True:
            self._tell("Opening the pull request" if as_pull_request else "Writing the commit")
            try:
                made = self.api.create_commit(
                    self.repo_id, operations, repo_type=self.kind, commit_message=self.message, parent_commit=parent,
                    revision=self.to.revision or None, create_pr=as_pull_request)
                return _Landed(made.oid, made.pr_revision or made.oid, made.pr_url or "")
            except Exception as error:
                unsure = is_passing(error) or status_of(error) == 412
                if unsure and (landed := self._pull_request() if as_pull_request else self._landed(parent)):
                    return landed
                wait_s = next(waits, None)
                if wait_s is None or not may_wait(error, wait_s):
                    raise hub_error(error, "writing the commit", self.repo_id) or error from None
                wait(error, wait_s, "writing the commit")

    def _landed(self, parent: str) -> _Landed | None:
        """The branch's head, where that is this push's commit."""
        head = self._info(self.to.revision)
        return _Landed(head.sha, head.sha) if head.sha != parent and self._holds_all(head) else None

    def _pull_request(self) -> _Landed | None:
        """The open pull request that holds just what is pushed here, from an earlier try."""
        opened = patiently(lambda: list(self.api.get_repo_discussions(
            self.repo_id, repo_type=self.kind, discussion_type="pull_request", discussion_status="open")),
            "reading the pull requests", self.repo_id)
        for request in opened:
            if request.title == self.message and self._holds_all(head := self._info(request.git_reference)):
                return _Landed(head.sha, request.git_reference, request.url)
        return None

    def _holds_all(self, info: Info) -> bool:
        return all(_same(info, *item) for item in self.local.items())

    def _info(self, revision: str, known: Known = ()) -> Info:
        return patiently(
            lambda: self.api.repo_info(self.repo_id, repo_type=self.kind, revision=revision or None,
                                       files_metadata=True),
            "reading the repository", self.repo_id, known=known)

    def _tell(self, doing: str, file: ReleaseFile | None = None, sent: int = 0) -> None:
        self.on_progress(Progress(doing, file.path_in_repo if file else "", self.number, len(self.files),
                                  self.done_bytes + sent, self.total_bytes))


def _same(info: Info, path: str, known: Checksums) -> bool:
    """Whether the repository holds exactly this file."""
    for sibling in info.siblings or []:
        if sibling.rfilename == path:
            return sibling.lfs.sha256 == known.sha256 if sibling.lfs else sibling.blob_id == known.git_sha1
    return False


def _checksums(path: Path, on_chunk: Callable[[], None]) -> Checksums:
    size = path.stat().st_size
    digests = [hashlib.sha256()]
    if size <= SURELY_LFS_BYTES:
        digests.append(hashlib.sha1(b"blob %d\0" % size))
    with path.open("rb") as file:
        while chunk := file.read(HASH_CHUNK_BYTES):
            for digest in digests:
                digest.update(chunk)
            on_chunk()
    return Checksums(*(digest.hexdigest() for digest in digests), *[""] * (2 - len(digests)))

"""The repositories of a push before it starts: whether each can be written to, and which hold something already."""

from pathlib import Path

from studio import words
from studio.errors import HubError
from studio.preset.schema import PublishSection
from studio.publishing.hub import CHECK_LIMIT_S, PushCheck, check_push
from studio.publishing.hub_errors import FIELD
from studio.publishing.release import CARD, CURVE, model_files
from studio.publishing.request import last_request, targets

NAMED_FILES = 4


class ExistsError(HubError):
    """A repository that somebody has put something into, which the push would replace, and nobody has said yes."""


def check_request(request: PublishSection, token: str | None, run_dir: Path | None = None, *,
                  endpoint: str | None = None, limit_s: float = CHECK_LIMIT_S) -> list[PushCheck]:
    """Check each repository of a request, without writing anything; `run_dir` tells which files would be sent.

    Raises `HubError` as `hub.check_push` does, `RunError` where the run lacks a form.
    """
    checks: list[PushCheck] = []
    for target in targets(request):
        files = [CARD, CURVE]
        if run_dir is not None:
            files += [file.path_in_repo for file in model_files(run_dir, target.forms)]
        checks.append(check_push(
            target.repo_id, token, private=request.hub_private_repo, revision=request.hub_revision, sent=files,
            account=checks[0].account if checks else None, endpoint=endpoint, limit_s=limit_s))
    return checks


def complete(request: PublishSection, checks: list[PushCheck]) -> PublishSection:
    """The request with the owner in its repository's name."""
    name = request.hub_model_id.strip()
    full = name if "/" in name else f"{checks[0].account.name}/{name}"
    return request.model_copy(update={"hub_model_id": full})


def unconfirmed(run_dir: Path, request: PublishSection, checks: list[PushCheck]) -> list[PushCheck]:
    """The repositories that hold something which this run has not been asked to write to before.

    None for a pull request, which leaves everything as it is until somebody merges it.
    """
    if request.create_pr:
        return []
    last = last_request(run_dir)
    known: set[str] = set()
    if last is not None and last.hub_revision == request.hub_revision:
        known = {target.repo_id for target in targets(last)}
    return [check for check in checks if check.there is not None and check.repo_id not in known]


def require_confirmed(run_dir: Path, request: PublishSection, checks: list[PushCheck]) -> None:
    """Raise `ExistsError` for the first repository that holds something and was not confirmed."""
    for check in unconfirmed(run_dir, request, checks):
        raise ExistsError(
            replacing(check), "Confirm it (on the command line: --yes), send it as a pull request (--create-pr), or "
                              "choose another name.", FIELD)


def replacing(check: PushCheck) -> str:
    """What a push does to a repository that holds something, in a sentence or two."""
    there = check.there
    said = (f'{check.repo_id} is there already; its last commit is "{words.plain(there.title)}" of '
            f"{there.committed_at[:10]}.")
    if not there.replaced:
        return f"{said} The push adds to it and replaces nothing."
    named = ", ".join(there.replaced[:NAMED_FILES])
    more = len(there.replaced) - NAMED_FILES
    return f"{said} The push replaces {named}{f' and {more} more files' if more > 0 else ''}."

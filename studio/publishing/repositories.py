"""The repositories of a push before it starts: whether each can be written to, and which hold something already."""

import json
import os
from pathlib import Path

from studio import words
from studio.errors import HubError
from studio.preset.schema import PublishSection
from studio.publishing.hub import CHECK_LIMIT_S, SIGNED_IN, PushCheck, check_push
from studio.publishing.hub_errors import FIELD
from studio.publishing.release import CARD, CURVE, model_files
from studio.publishing.request import targets
from studio.runs.events import read_events

NAMED_FILES = 4
# what a person has said yes to: {repository: {"revision", "commit"}}
FILE = "confirmed.json"
SIGN_IN = ("You are signed in without a token of your own, and may then write to it only if this studio has made it. "
           "If not, the Hub refuses the push: use a write token, or another name.")


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
    """The repositories that hold something which would be lost, and nobody has said yes to as it is now.

    None is lost where this run's last push there is what lies there still, and the push takes none of its files away;
    nor by a pull request, which leaves everything as it is until somebody merges it.
    """
    if request.create_pr:
        return []
    pushed, said_yes = _pushed_to(run_dir, request.hub_revision), _confirmed(run_dir)
    return [check for check in checks if (there := check.there) is not None
            and (there.removed or pushed.get(check.repo_id) != there.commit)
            and said_yes.get(check.repo_id) != _mark(request, there.commit)]


def require_confirmed(run_dir: Path, request: PublishSection, checks: list[PushCheck]) -> None:
    """Raise `ExistsError`, which names them all, where repositories hold something and were not confirmed."""
    if found := unconfirmed(run_dir, request, checks):
        raise exists_error(in_words(found), "--create-pr")


def exists_error(replaced: str, as_pull_request: str) -> ExistsError:
    """Nobody has said yes to what `replaced` says; `as_pull_request` asks for one on the command line."""
    return ExistsError(
        replaced,
        f"Confirm it (on the command line: --yes), send it as a pull request ({as_pull_request}), or choose another "
        "name.", FIELD)


def met_by_plan(request: PublishSection, token: str | None) -> list[PushCheck]:
    """The repositories that a run's planned push would write to and that need a word before it starts: all that hold
    something, and those that a sign-in may be unable to write to; none for a pull request.

    Raises `HubError` as `check_request` does.
    """
    checks = check_request(request, token)
    return [] if request.create_pr else [
        check for check in checks if check.there is not None or _may_lack_right(check)]


def confirm(run_dir: Path, request: PublishSection, commits: dict[str, str]) -> None:
    """Note that a person has said yes to a push to these repositories, {name: its last commit}."""
    said_yes = _confirmed(run_dir) | {name: _mark(request, commit) for name, commit in commits.items()}
    partial = run_dir / f".{FILE}.{os.getpid()}"
    partial.write_text(json.dumps(said_yes, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / FILE)


def commits_there(checks: list[PushCheck]) -> dict[str, str]:
    """The last commit of each repository that holds something, by name."""
    return {check.repo_id: check.there.commit for check in checks if check.there is not None}


def _pushed_to(run_dir: Path, revision: str) -> dict[str, str]:
    """The repositories whose branch a push of this run has reached, each with the commit of its last push there."""
    reached = []
    for event in read_events(run_dir)[0]:
        if event.type == "pushed":
            reached.append(event.values["repository"])
        elif event.type == "done" and event.values["phase"] == "publish":
            result = event.values["result"]
            # an earlier studio knew one repository, no branch and no pull request
            branch = {"revision": result.get("revision", "")}
            reached += [branch | each for each in result.get("repositories", [result])]
    return {each["repo_id"]: each["commit"] for each in reached
            if each["revision"] == revision and not each.get("pull_request")}


def _confirmed(run_dir: Path) -> dict[str, dict[str, str]]:
    try:
        return json.loads((run_dir / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def _mark(request: PublishSection, commit: str) -> dict[str, str]:
    return {"revision": request.hub_revision, "commit": commit}


def _may_lack_right(check: PushCheck) -> bool:
    """Whether the Hub may refuse the push: who signs in on a Space lets it write only to what it has made itself."""
    return check.exists and check.account.role == SIGNED_IN


def in_words(checks: list[PushCheck]) -> str:
    """What a push does to repositories that hold something; "" for none."""
    return " ".join(replacing(check) for check in checks)


def replacing(check: PushCheck) -> str:
    """What a push does to a repository that is there, in a sentence or two, and whether it may be refused."""
    return f"{_replacing(check)} {SIGN_IN}" if _may_lack_right(check) else _replacing(check)


def _replacing(check: PushCheck) -> str:
    there = check.there
    if there is None:
        return f"{check.repo_id} is there already, and empty."
    said = (f'{check.repo_id} is there already; its last commit is "{words.plain(there.title)}" of '
            f"{there.committed_at[:10]} {there.committed_at[11:16]} UTC.")
    if not there.replaced:
        return f"{said} The push adds to it and replaces nothing."
    named = ", ".join(there.replaced[:NAMED_FILES])
    more = len(there.replaced) - NAMED_FILES
    return f"{said} The push replaces {named}{f' and {more} more files' if more > 0 else ''}."

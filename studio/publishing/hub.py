"""What is asked of the Hub before a push: whose token it is, whether it may push, and what is there already."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import DatasetInfo, ModelInfo, SpaceInfo
from huggingface_hub.utils import validate_repo_id

from studio.errors import HubError
from studio.publishing.calls import CHECK_WAITS_S, patiently, within
from studio.publishing.hub_errors import FIELD, TOKENS_PAGE, no_token
from studio.publishing.licences import NONE, Licence

Kind = Literal["model", "dataset", "space"]
Info = ModelInfo | DatasetInfo | SpaceInfo

CHECK_LIMIT_S = 30
WRITING_ROLES = frozenset({"admin", "write", "contributor"})
SIGNED_IN = "oauth"
WRITE_PERMISSIONS = frozenset({"repo.write", "repo.content.write"})
# of an earlier push: weights that would be loaded in place of, or beside, the new ones, and the settings, templates and
# token lists of another model, which loaders and Ollama read where the new one brings none of its own
MODEL_FILE = re.compile(
    r"[^/]+\.(?:safetensors|gguf|modelfile|bin|model|tiktoken)|[^/]+\.(?:safetensors|bin)\.index\.json|"
    r"(?:adapter_config|config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|"
    r"chat_template|tekken)\.json|chat_template\.jinja|additional_chat_templates/.+|merges\.txt|vocab\.txt|"
    r"template|system|params|(?:adapter|gguf)/.+")
# rows of an earlier push
ROWS_FILE = re.compile(r"(?:train|heldout)\.jsonl")
# the Hub itself writes this one into each new repository
HUBS_OWN = ".gitattributes"


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
class Existing:
    """What a push meets in a repository: its last commit with title and time (ISO 8601), and files by name: `replaced`
    are those it takes away or writes anew, `removed` those it takes away."""

    commit: str
    title: str
    committed_at: str
    replaced: tuple[str, ...]
    removed: tuple[str, ...]


@dataclass(frozen=True)
class PushCheck:
    """What is known before a push: full repository name, whose token, whether it is there, its visibility.

    `there` is None where nobody has put anything into it yet.
    """

    repo_id: str
    account: Account
    exists: bool
    private: bool
    there: Existing | None = None


def resolve_token(pasted: str = "", oauth: str | None = None) -> str | None:
    """The token to use: pasted, else of the person signed in, else of the machine (HF_TOKEN, then `hf auth login`)."""
    return pasted.strip() or oauth or get_token()


def whose_token(token: str, *, endpoint: str | None = None, limit_s: float = CHECK_LIMIT_S) -> Account:
    """Ask the Hub whose token it is. Raises `HubError`, also after `limit_s` seconds without an answer."""
    doing = "checking the token"
    api = HfApi(endpoint=endpoint, token=token)
    return within(limit_s, doing, lambda: _account(patiently(lambda: api.whoami(token), doing, "", CHECK_WAITS_S)))


def check_push(repo_id: str, token: str | None, *, private: bool = True, kind: Kind = "model", revision: str = "",
               sent: Collection[str] = (), account: Account | None = None, endpoint: str | None = None,
               limit_s: float = CHECK_LIMIT_S) -> PushCheck:
    """Check, without writing anything, that a push of the files `sent` to `repo_id` can succeed.

    `repo_id` without an owner means the token's own account; `account` saves asking whose the token is. Raises
    `HubError`: no token, token refused, read-only or too narrow, foreign namespace, unusable name, a public repository
    where a private one is asked for, no answer.
    """
    if not token:
        raise no_token()
    api = HfApi(endpoint=endpoint, token=token)

    def check() -> PushCheck:
        whose = account or _account(patiently(lambda: api.whoami(token), "checking the token", repo_id, CHECK_WAITS_S))
        return _check(api, repo_id, whose, private, kind, revision, sent)

    return within(limit_s, "checking the token and the repository", check)


def stated_licence(repo_id: str, token: str | None, *, kind: Kind = "model", endpoint: str | None = None,
                   limit_s: float = CHECK_LIMIT_S) -> Licence:
    """The licence that a repository's card on the Hub states; `NONE` also where the Hub has no such repository.

    Raises `HubError` where the Hub does not say: a card without the licence would be as wrong as one with another.
    """
    api = HfApi(endpoint=endpoint, token=token)
    doing = f"reading the card of {repo_id}"
    try:
        info = within(limit_s, doing, lambda: patiently(lambda: _found(api, repo_id, kind), doing, repo_id,
                                                        CHECK_WAITS_S, known=(HFValidationError,)))
    except HFValidationError:
        return NONE  # a folder or file of this machine
    stated = Licence.of(info.card_data) if info and info.card_data else NONE
    # of several none can be named as the one, and a file of that repository is none of those that inherit from it
    id, link = "other" if "," in stated.id else stated.id, stated.link
    if link and "://" not in link:
        link = f"{api.endpoint}/{'' if kind == 'model' else f'{kind}s/'}{repo_id}/blob/main/{link}"
    return replace(stated, id=id, link=link)


def refuse_public(info: Info, private: bool) -> None:
    """A repository that is there keeps its visibility, so a private push to a public one would publish."""
    if private and not info.private:
        raise HubError(f"{info.id} is public, and this push asks for a private repository.",
                       "Choose another name, make it private on the Hub, or publish as public.", FIELD)


def left_over(info: Info, sent: Collection[str], kind: Kind) -> list[str]:
    """Files of another model, or rows, in the repository that a push neither contains nor should leave."""
    if kind == "space":
        return []
    replaced = MODEL_FILE if kind == "model" else ROWS_FILE
    return [path for path in _names(info) if path not in sent and replaced.fullmatch(path)]


def _names(info: Info) -> list[str]:
    return [sibling.rfilename for sibling in info.siblings or []]


def _account(answer: dict) -> Account:
    """Read what `whoami` says. A token that signs a person in by OAuth carries no role."""
    token = answer.get("auth", {}).get("accessToken", {})
    scoped = token.get("fineGrained", {}).get("scoped", [])
    scopes = {scope["entity"]["name"] for scope in scoped if WRITE_PERMISSIONS & set(scope["permissions"])}
    orgs = [org["name"] for org in answer.get("orgs", []) if org.get("roleInOrg") in WRITING_ROLES]
    return Account(answer["name"], token.get("role", SIGNED_IN), tuple(orgs), frozenset(scopes))


def _check(api: HfApi, repo_id: str, account: Account, private: bool, kind: Kind, revision: str,
           sent: Collection[str]) -> PushCheck:
    repo_id = _full_name(repo_id, account, kind)
    _check_rights(repo_id, account)
    info = patiently(lambda: _found(api, repo_id, kind), "looking for the repository", repo_id, CHECK_WAITS_S)
    if info is None:
        _check_may_create(repo_id, account)
        return PushCheck(repo_id, account, exists=False, private=private)
    refuse_public(info, private)
    there = patiently(lambda: _existing(api, info, kind, revision, sent), "reading the repository", repo_id,
                      CHECK_WAITS_S)
    return PushCheck(repo_id, account, exists=True, private=bool(info.private), there=there)


def _found(api: HfApi, repo_id: str, kind: Kind) -> Info | None:
    try:
        return api.repo_info(repo_id, repo_type=kind)
    except RepositoryNotFoundError:
        return None


def _existing(api: HfApi, info: Info, kind: Kind, revision: str, sent: Collection[str]) -> Existing | None:
    """What the push meets on its branch; None for a branch that is yet to be made, and for an empty repository."""
    if revision:
        try:
            info = api.repo_info(info.id, repo_type=kind, revision=revision)
        except RevisionNotFoundError:
            return None
    names = _names(info)
    if not set(names) - {HUBS_OWN}:
        return None
    last, *_ = api.list_repo_commits(info.id, repo_type=kind, revision=revision or None)
    removed = sorted(left_over(info, sent, kind))
    # what would be lost is named first: few of many files are named at all
    replaced = [*removed, *sorted(name for name in names if name in sent)]
    return Existing(last.commit_id, last.title, last.created_at.isoformat(), tuple(replaced), tuple(removed))


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

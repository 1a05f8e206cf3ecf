"""What a run's pushes have left on the Hub: which repositories, and which form of the model lies where in them."""

from collections.abc import Sequence

from studio.runs.events import PhaseState
from studio.runs.store import RunView

# {form: (repository, folder within it)}
Places = dict[str, tuple[str, str]]


def last_push(view: RunView) -> dict | None:
    """What is on the Hub: the last push that ended well, and over it what a later one has completed before it failed or
    was stopped."""
    phase = view.state.phases.get("publish", PhaseState())
    landed = [each for each in phase.pushed if not each["revision"] and not each["pull_request"]]
    if phase.result is not None or not landed:
        return phase.good
    kept = []
    if phase.good is not None and not phase.good.get("revision"):
        kept = [each for each in phase.good.get("repositories", [phase.good]) if not each.get("pull_request")]
    names = {each["repo_id"] for each in landed}
    return landed[0] | {"repositories": [*(each for each in kept if each["repo_id"] not in names), *landed]}


def pushed_mark(view: RunView) -> str:
    """Changes when `last_push` does."""
    phase = view.state.phases.get("publish", PhaseState())
    return f"{phase.good_at} {len(phase.pushed)}"


def pushed_places(result: dict) -> Places:
    """Where a push that went well, as the journal tells of it, put each form."""
    places: Places = {}
    for repository in result.get("repositories", [result]):  # an earlier studio pushed to one, of one or two forms
        what = repository["what"]
        forms = {"both": ["merged", "adapter"]}.get(what, [what]) if isinstance(what, str) else what
        places |= places_in(repository["repo_id"], forms)
    return places


def places_in(repo_id: str, forms: Sequence[str]) -> Places:
    """Where a repository holds each form: the first at its top, the others in folders of their names."""
    return {form: (repo_id, form if number else "") for number, form in enumerate(forms)}

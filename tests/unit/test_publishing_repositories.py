"""Which repositories of a push need a word of the person first."""

from dataclasses import replace

import pytest

from studio import start
from studio.preset.files import override, validate
from studio.preset.schema import PublishSection
from studio.publishing import repositories
from studio.publishing.hub import Account, Existing, PushCheck
from studio.publishing.repositories import (
    ExistsError,
    confirm,
    in_words,
    met_by_plan,
    require_confirmed,
    unconfirmed,
)
from studio.publishing.request import write_request
from studio.runs import launcher
from studio.runs.events import EventWriter
from studio.ui.publish_view import replaced_html
from tests.pushed_run import pushed_run

RECIPES = PublishSection(hub_model_id="ana/recipes")


OWN = "0" * 40  # what pushed_run has put there


def met(repo_id: str = "ana/recipes", commit: str = "c1", removed: tuple[str, ...] = ()) -> PushCheck:
    """A repository that holds weights."""
    there = Existing(commit, "first", "2026-11-22T10:00:00+00:00", ("model.safetensors",), removed)
    return PushCheck(repo_id, Account("ana", "write"), True, True, there)


def asks(run_dir, request: PublishSection = RECIPES, check: PushCheck | None = None) -> bool:
    return bool(unconfirmed(run_dir, request, [check or met()]))


def test_only_what_a_finished_push_of_this_run_has_left_there_is_replaced_unasked(store):
    run_dir = pushed_run(store).run_dir
    assert not asks(run_dir, check=met(commit=OWN))
    assert asks(run_dir, check=met(commit="c2")), "another run, or a person, has pushed there since"
    assert asks(run_dir, check=met(commit=OWN, removed=("model.safetensors",))), "the merged model would be gone"
    assert asks(run_dir, check=met("ana/other", OWN))
    assert asks(run_dir, RECIPES.model_copy(update={"hub_revision": "next"}), met(commit=OWN)), "another branch"
    journal = EventWriter(run_dir)
    for commit in ("c3", "c4"):
        journal.pushed("publish", {"repo_id": "ana/other", "commit": commit, "revision": "", "pull_request": ""})
    journal.close()
    assert not asks(run_dir, check=met("ana/other", "c4")), "complete, though the rest of its push failed"
    assert asks(run_dir, check=met("ana/other", "c3")), "its last push was taken back"
    offered = pushed_run(store, pull_request="https://huggingface.co/ana/recipes/discussions/1").run_dir
    assert asks(offered, check=met(commit=OWN)), "a pull request replaces nothing"
    write_request(offered, RECIPES)
    assert asks(offered, check=met(commit=OWN)), "a request that never pushed"


def test_a_word_holds_for_the_repository_and_the_commit_that_it_was_given_for(store):
    run_dir = pushed_run(store).run_dir
    other = RECIPES.model_copy(update={"hub_model_id": "ana/other"})
    confirm(run_dir, other, {"ana/other": "c1"})
    assert not asks(run_dir, other, met("ana/other"))
    assert asks(run_dir, other, met("ana/other", "c2")), "somebody has changed it since"
    assert asks(run_dir, other.model_copy(update={"hub_revision": "next"}), met("ana/other"))
    with pytest.raises(ExistsError, match=r"ana/other is there already.*ana/third is there already"):
        require_confirmed(run_dir, other, [met("ana/other", "c2"), met("ana/third")])


def test_a_yes_to_several_repositories_holds_for_those_that_it_named_alone(store, monkeypatch):
    view = pushed_run(store)
    checks = [met(commit=OWN), met("ana/recipes-adapter"), met("ana/recipes-GGUF")]
    monkeypatch.setattr(start, "check_request", lambda *_, **__: checks)
    monkeypatch.setattr(start, "model_files", lambda *_: [])
    monkeypatch.setattr(launcher, "_spawn", lambda *_: None)
    request = RECIPES.model_copy(update={"separate_repos": True})
    with pytest.raises(ExistsError, match=r"recipes-adapter is there already.*recipes-GGUF is there already") as asked:
        start.publish(store, view.run_id, request, "hf_x")
    start.publish(store, view.run_id, request, "hf_x", confirmed=True, told=asked.value.message)
    assert not any(asks(view.run_dir, request, check) for check in checks)
    assert asks(view.run_dir, request, met(commit=OWN, removed=("model.safetensors",))), "it was not asked about"


def test_a_commits_title_is_shown_and_not_drawn():
    assert "<img" not in replaced_html("its last commit is <img src=x>") and "&lt;img" in replaced_html("<img src=x>")


@pytest.mark.parametrize(("role", "exists", "there", "create_pr", "said"), [
    ("write", True, True, False, "The push replaces model.safetensors."), ("write", True, True, True, ""),
    ("write", True, False, False, ""), ("oauth", False, False, False, ""),
    ("oauth", True, True, False, "replaces model.safetensors. You are signed in without a token"),
    ("oauth", True, False, False, "and empty. You are signed in without a token"),
    ("oauth", True, True, True, "")])
def test_a_sign_in_is_told_before_a_run_that_it_may_not_write_there(monkeypatch, role, exists, there, create_pr, said):
    check = replace(met(), account=Account("ana", role), exists=exists, there=met().there if there else None)
    monkeypatch.setattr(repositories, "check_push", lambda *_, **__: check)
    told = in_words(met_by_plan(RECIPES.model_copy(update={"create_pr": create_pr}), "hf_x"))
    assert said in told and bool(told) == bool(said)


def test_no_run_starts_before_somebody_said_yes_to_what_its_planned_push_would_meet(store, monkeypatch):
    monkeypatch.setattr(launcher, "_spawn", lambda *_: None)
    preset = override(validate({"name": "recipes"}), {"publish.push_to_hub": True, "publish.hub_model_id": "ana/other"})
    said = "ana/other is there already."
    outlook = start.Outlook([], None, meets={"ana/other": "c1"}, replaced=said)
    for word in ({}, {"told": said}, {"confirmed": True, "told": "ana/else is there already."}):
        with pytest.raises(ExistsError, match="ana/other is there already") as caught:
            start.start(store, preset, outlook, **word)
    assert "--yes" in caught.value.hint and "publish.create_pr" in caught.value.hint and store.list() == []
    run_id = start.start(store, preset, outlook, confirmed=True, told=said)
    assert not asks(store.run_dir(run_id), preset.publish, met("ana/other"))
    assert asks(store.run_dir(run_id), preset.publish, met("ana/other", "c2")), "changed while it trained"

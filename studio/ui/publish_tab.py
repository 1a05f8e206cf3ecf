"""The Publish tab: pick a finished run, see its files and its card, push, watch, push again. Wiring only.

A pasted token lives in its text box and in the push's environment, nowhere else.
"""

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import start
from studio.errors import RunError, StudioError
from studio.preset.schema import PublishSection
from studio.publishing import card, release
from studio.publishing.repositories import ExistsError
from studio.runs import launcher
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text
from studio.ui import publish_view as view
from studio.ui.access import hub_token, is_owner, may_look, require_owner
from studio.ui.exports_part import wire_exports
from studio.ui.messages import shown
from studio.ui.publish_form import PublishForm, build_publish_form, forms_offered
from studio.ui.replaced_part import asked_first

TICK_S = 1.5
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}
# a card drawn anew does not overwrite what a person is typing
INTO_EDIT = "(card, typed, drawn) => typed === drawn ? [card, card] : [typed, drawn]"


@dataclass(frozen=True)
class PublishTab:
    """What other tabs need: writing a run's id into `run_id` (its `.change` fires) picks that run here."""

    run_id: gr.Textbox


def build_publish_tab(settings: Settings, store: RunStore, page: gr.Blocks) -> PublishTab:
    """Build the tab into the present tab of `page` and wire its events."""
    run_id = gr.Textbox(visible=False)
    # not in the page before the tab is opened, so that a page on another tab asks the Hub nothing
    opened = gr.HTML("", js_on_load="trigger('select', {})", elem_classes="publish-unseen")
    seen = gr.JSON({}, visible=False)
    form = build_publish_form()
    timer = gr.Timer(TICK_S)

    def arrive(wanted: str, chosen: str | None, profile: gr.OAuthProfile | None) -> dict[Any, Any]:
        """Offer the runs there are; a run that another tab asks for is chosen."""
        offered = view.choices(store) if may_look(settings, profile) else []
        ids = [value for _, value in offered]
        run = next((run for run in (wanted, chosen) if run in ids), ids[0] if ids else None)
        there = bool(ids)
        return {form.run: gr.Dropdown(choices=offered, value=run, visible=there), form.body: gr.Row(visible=there),
                form.empty: gr.HTML(visible=not there), form.status: gr.HTML(visible=there)}

    def open_run(run: str | None, licence: str, profile: gr.OAuthProfile | None,
                 oauth: gr.OAuthToken | None) -> dict:
        if not run or not may_look(settings, profile):
            return gr.skip()
        opened = store.get(run)
        request, offered = view.proposed(opened), release.available(opened.run_dir)
        owner = is_owner(settings, profile)
        token = hub_token(settings, oauth) if owner else None
        drawn = _drawn(form, opened, request, licence)
        return {
            **dict(zip(form.request, view.values_of(request), strict=True)),
            form.fields["what"]: forms_offered(offered, request.what),
            form.token: gr.Textbox(visible=owner and token is None), **asked_first(form.word, ""),
            form.account: view.account_html(token, None) if owner else "",
            **drawn, form.edit: drawn[form.card], form.drawn: drawn[form.card],
            **_stands(form, opened, request, licence), seen: {}}

    def offer(run: str | None, chosen: list[str], profile: gr.OAuthProfile | None) -> Any:
        """A form that was made meanwhile can be published too."""
        return forms_offered(release.available(store.get(run).run_dir), chosen) \
            if run and may_look(settings, profile) else gr.skip()

    def ask_hub(run: str | None, repo: str, pasted: str, profile: gr.OAuthProfile | None,
                oauth: gr.OAuthToken | None) -> dict:
        if not run or not is_owner(settings, profile):
            return gr.skip()
        token = hub_token(settings, oauth, pasted)
        found = view.look_up(store.get(run), token)
        owners = view.owners(found)
        name = repo if "/" in repo or not owners else view.owned_by(owners[0], repo)
        return {form.account: view.account_html(token, found), form.licence: found.licence,
                form.fields["hub_model_id"]: name,
                form.owner: gr.Dropdown(owners, value=name.split("/")[0] if owners else None, visible=len(owners) > 1,
                                        allow_custom_value=True)}

    def look_there(run: str | None, pasted: str, asked: str, profile: gr.OAuthProfile | None,
                   oauth: gr.OAuthToken | None, *values: Any) -> dict:
        """Ask for a word where the push would replace something; one that was given for the same stays."""
        request = _request(values)
        if not run or request is None or not is_owner(settings, profile):
            return gr.skip()
        replaced = view.look_there(store.get(run), request, hub_token(settings, oauth, pasted))
        return gr.skip() if replaced == asked else asked_first(form.word, replaced)

    def redraw(run: str | None, licence: str, profile: gr.OAuthProfile | None, *values: Any) -> dict:
        request = _request(values)
        if not run or request is None or not may_look(settings, profile):
            return gr.skip()
        return _drawn(form, store.get(run), request, licence)

    def tick(run: str | None, marks: dict, licence: str, profile: gr.OAuthProfile | None, *values: Any) -> dict:
        request = _request(values)
        if not run or request is None or not may_look(settings, profile):
            return gr.skip()
        watched = store.get(run)
        # with what it draws from: an answer that comes after that to a later change is drawn over by the next
        mark = [run, watched.state.updated_at, watched.state.stage.value, view.standing(watched), licence, *values]
        if (marks or {}).get("mark") == mark:
            return gr.skip()
        return _stands(form, watched, request, licence) | {seen: {"mark": mark}}

    @shown
    def publish(run: str | None, pasted: str, confirmed: bool, told: str, profile: gr.OAuthProfile | None,
                oauth: gr.OAuthToken | None, *values: Any) -> dict:
        require_owner(settings, profile)
        try:
            start.publish(store, _chosen(run), view.request_of(*values), hub_token(settings, oauth, pasted),
                          confirmed=confirmed, told=told)
        except ExistsError as error:
            gr.Warning(html.escape(text("publish.confirm.first")), title="")
            return asked_first(form.word, error.message)
        return {form.publish: gr.Button(interactive=False), form.pause: gr.Button(visible=True),
                **asked_first(form.word, "")}

    @shown
    def pause(run: str | None, profile: gr.OAuthProfile | None) -> None:
        require_owner(settings, profile)
        launcher.stop(store, _chosen(run))

    @shown
    def cancel(run: str | None, profile: gr.OAuthProfile | None) -> None:
        require_owner(settings, profile)
        start.cancel_publish(store, _chosen(run))

    @shown
    def save_card(run: str | None, written: str, licence: str, profile: gr.OAuthProfile | None, *values: Any) -> dict:
        require_owner(settings, profile)
        opened, request = store.get(_chosen(run)), view.request_of(*values)
        if written.strip() != view.card_text(opened, request, licence).strip():
            card.save_edited(opened.run_dir, written)
        return {**_drawn(form, opened, request, licence), form.drawn: written}

    @shown
    def write_anew(run: str | None, licence: str, profile: gr.OAuthProfile | None, *values: Any) -> dict:
        require_owner(settings, profile)
        opened = store.get(_chosen(run))
        card.discard_edited(opened.run_dir)
        drawn = _drawn(form, opened, view.request_of(*values), licence)
        return {**drawn, form.edit: drawn[form.card], form.drawn: drawn[form.card]}

    fields, drawn = form.fields, [form.run, form.licence, *form.request]
    asked = [form.run, fields["hub_model_id"], form.token]
    answered = [form.account, form.licence, fields["hub_model_id"], form.owner]
    places = [form.run, form.body, form.empty, form.status]
    looked, word = [form.run, form.token, form.word.replaced, *form.request], form.word.drawn
    gr.on([run_id.change, form.run.focus], arrive, [run_id, form.run], places, **QUIET)
    opened.select(arrive, [run_id, form.run], places, **QUIET)
    form.run.change(
        open_run, [form.run, form.licence],
        [*form.request, form.token, form.account, *word, *form.sheet, *form.typed, *form.standing, seen],
        **QUIET).then(ask_hub, asked, answered, **QUIET).then(look_there, looked, word, **QUIET)
    wire_exports(form.exports, settings, store, form.run)
    form.exports.table.change(offer, [form.run, fields["what"]], fields["what"], **QUIET)
    form.token.blur(ask_hub, asked, answered, trigger_mode="always_last", **QUIET).then(
        look_there, looked, word, **QUIET)
    form.owner.input(view.owned_by, [form.owner, fields["hub_model_id"]], fields["hub_model_id"], **QUIET).then(
        look_there, looked, word, **QUIET)
    gr.on([fields["hub_model_id"].blur, fields["hub_revision"].blur, fields["what"].input,
           fields["separate_repos"].input, fields["create_pr"].input], look_there, looked, word,
          trigger_mode="always_last", **QUIET)
    gr.on([fields["what"].input, fields["hub_private_repo"].input, fields["separate_repos"].input,
           fields["hub_model_id"].blur, fields["hub_model_id"].change, form.licence.change], redraw, drawn,
          form.sheet, trigger_mode="always_last", **QUIET)
    form.card.change(None, [form.card, *form.typed], form.typed, js=INTO_EDIT, api_visibility="private")
    timer.tick(tick, [form.run, seen, form.licence, *form.request], [*form.standing, seen], **QUIET)
    form.publish.click(publish, [form.run, form.token, form.word.confirm, form.word.replaced, *form.request],
                       [form.publish, form.pause, *word], **CLICK)
    form.pause.click(pause, form.run, None, **CLICK)
    form.cancel.click(cancel, form.run, None, **CLICK)
    form.edit.blur(save_card, [form.run, form.edit, form.licence, *form.request], [*form.sheet, form.drawn],
                   trigger_mode="always_last", **CLICK)
    form.anew.click(write_anew, drawn, [*form.sheet, *form.typed], **CLICK)
    return PublishTab(run_id)


def _chosen(run: str | None) -> str:
    if not run:
        raise RunError("No run is chosen.", "Choose the run to publish.")
    return run


def _request(values: tuple) -> PublishSection | None:
    """The form as a request; None while it holds something that is not one, which the push itself will say."""
    try:
        return view.request_of(*values)
    except StudioError:
        return None


def _drawn(form: PublishForm, opened: RunView, request: PublishSection, licence: str) -> dict[Any, Any]:
    """Files and card for a request."""
    written = view.card_text(opened, request, licence)
    return {form.files: view.files_html(opened, request, licence, written), form.card: written,
            form.preview: view.card_preview(opened, written), form.head: view.head_html(written),
            form.note: view.note_html(bool(card.edited(opened.run_dir)))}


def _stands(form: PublishForm, opened: RunView, request: PublishSection, licence: str) -> dict[Any, Any]:
    """How the push of a run stands."""
    stands = view.standing(opened)
    label = text({"new": "publish.button.publish", "busy": "publish.button.publish",
                  "paused": "publish.button.continue"}.get(stands, "publish.button.again"))
    written = view.card_text(opened, request, licence)
    return {form.status: view.status_html(opened), form.files: view.files_html(opened, request, licence, written),
            form.publish: gr.Button(label, interactive=stands not in ("busy", "pushing")),
            form.pause: gr.Button(visible=stands == "pushing"),
            form.cancel: gr.Button(visible=stands in ("pushing", "paused"))}

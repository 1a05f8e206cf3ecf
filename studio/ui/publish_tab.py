"""The Publish tab: pick a finished run, see its files and its card, push, watch, push again. Wiring only.

A pasted token lives in its text box and in the push's environment, nowhere else.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import start
from studio.errors import RunError
from studio.publishing import card, release
from studio.runs import launcher
from studio.runs.store import RunStore, RunView
from studio.settings import Settings
from studio.texts import text
from studio.ui import publish_view as view
from studio.ui.access import hub_token, is_owner, may_look, require_owner
from studio.ui.messages import shown

TICK_S = 1.5
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
PART = "publish-part"
CLICK = {"concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class PublishTab:
    """What other tabs need: writing a run's id into `run_id` (its `.change` fires) picks that run here."""

    run_id: gr.Textbox


@dataclass(frozen=True)
class _Form:
    """The tab's components."""

    run: gr.Dropdown
    body: gr.Row
    empty: gr.HTML
    what: gr.Radio
    repo: gr.Textbox
    private: gr.Checkbox
    token: gr.Textbox
    account: gr.HTML
    licence: gr.Textbox
    files: gr.HTML
    edit: gr.Textbox
    preview: gr.Markdown
    head: gr.HTML
    note: gr.HTML
    status: gr.HTML
    publish: gr.Button
    stop: gr.Button
    anew: gr.Button

    @property
    def request(self) -> list[gr.components.Component]:
        return [self.repo, self.private, self.what]

    @property
    def sheet(self) -> list[gr.components.Component]:
        """What is drawn anew when request or card change."""
        return [self.files, self.edit, self.preview, self.head, self.note]

    @property
    def standing(self) -> list[gr.components.Component]:
        """What is drawn anew while a push runs."""
        return [self.status, self.files, self.publish, self.stop]


def build_publish_tab(settings: Settings, store: RunStore, page: gr.Blocks) -> PublishTab:
    """Build the tab into the present tab of `page` and wire its events."""
    run_id = gr.Textbox(visible=False)
    # not in the page before the tab is opened, so that a page on another tab asks the Hub nothing
    opened = gr.HTML("", js_on_load="trigger('select', {})", elem_classes="publish-unseen")
    seen = gr.JSON({}, visible=False)
    form = _build_form()
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
        return {
            form.repo: request.repo_id, form.private: request.private,
            form.what: gr.Radio([(text(f"publish.what.{name}"), name) for name in offered], value=request.what),
            form.token: gr.Textbox(visible=owner and token is None),
            form.account: view.account_html(token, None) if owner else "",
            **_drawn(form, opened, request, licence), **_stands(form, opened, request, licence), seen: {}}

    def ask_hub(run: str | None, repo: str, pasted: str, profile: gr.OAuthProfile | None,
                oauth: gr.OAuthToken | None) -> dict:
        if not run or not is_owner(settings, profile):
            return gr.skip()
        token = hub_token(settings, oauth, pasted)
        found = view.look_up(store.get(run), token)
        owned = {} if "/" in repo or not found.account else {form.repo: f"{found.account}/{repo}"}
        return {form.account: view.account_html(token, found), form.licence: found.licence, **owned}

    def redraw(run: str | None, licence: str, repo: str, private: bool, what: str,
               profile: gr.OAuthProfile | None) -> dict:
        if not run or not what or not may_look(settings, profile):
            return gr.skip()
        return _drawn(form, store.get(run), view.request_of(repo, private, what), licence)

    def tick(run: str | None, marks: dict, licence: str, repo: str, private: bool, what: str,
             profile: gr.OAuthProfile | None) -> dict:
        if not run or not what or not may_look(settings, profile):
            return gr.skip()
        watched = store.get(run)
        mark = [run, watched.state.updated_at, watched.state.stage.value]
        if (marks or {}).get("mark") == mark:
            return gr.skip()
        return _stands(form, watched, view.request_of(repo, private, what), licence) | {seen: {"mark": mark}}

    @shown
    def publish(run: str | None, pasted: str, repo: str, private: bool, what: str,
                profile: gr.OAuthProfile | None, oauth: gr.OAuthToken | None) -> dict:
        require_owner(settings, profile)
        request = view.request_of(repo, private, what)
        start.publish(store, _chosen(run), request, hub_token(settings, oauth, pasted))
        return {form.publish: gr.Button(interactive=False), form.stop: gr.Button(visible=True)}

    @shown
    def stop(run: str | None, profile: gr.OAuthProfile | None) -> None:
        require_owner(settings, profile)
        launcher.stop(store, _chosen(run))

    @shown
    def save_card(run: str | None, written: str, licence: str, repo: str, private: bool, what: str,
                  profile: gr.OAuthProfile | None) -> dict:
        require_owner(settings, profile)
        opened, request = store.get(_chosen(run)), view.request_of(repo, private, what)
        if written.strip() != view.card_text(opened, request, licence).strip():
            card.save_edited(opened.run_dir, written)
        return _drawn(form, opened, request, licence)

    @shown
    def write_anew(run: str | None, licence: str, repo: str, private: bool, what: str,
                   profile: gr.OAuthProfile | None) -> dict:
        require_owner(settings, profile)
        opened = store.get(_chosen(run))
        card.discard_edited(opened.run_dir)
        return _drawn(form, opened, view.request_of(repo, private, what), licence)

    drawn = [form.run, form.licence, *form.request]
    asked, answered = [form.run, form.repo, form.token], [form.account, form.licence, form.repo]
    places = [form.run, form.body, form.empty, form.status]
    gr.on([run_id.change, form.run.focus], arrive, [run_id, form.run], places, **QUIET)
    opened.select(arrive, [run_id, form.run], places, **QUIET)
    form.run.change(
        open_run, [form.run, form.licence],
        [*form.request, form.token, form.account, *form.sheet, form.status, form.publish, form.stop, seen],
        **QUIET).then(ask_hub, asked, answered, **QUIET)
    form.token.blur(ask_hub, asked, answered, **QUIET)
    gr.on([form.what.input, form.private.input, form.repo.blur, form.licence.change, form.repo.change], redraw, drawn,
          form.sheet, trigger_mode="always_last", **QUIET)
    timer.tick(tick, [form.run, seen, form.licence, *form.request], [*form.standing, seen], **QUIET)
    form.publish.click(publish, [form.run, form.token, *form.request], [form.publish, form.stop], **CLICK)
    form.stop.click(stop, form.run, None, **CLICK)
    form.edit.blur(save_card, [form.run, form.edit, form.licence, *form.request], form.sheet, **CLICK)
    form.anew.click(write_anew, drawn, form.sheet, **CLICK)
    return PublishTab(run_id)


def _chosen(run: str | None) -> str:
    if not run:
        raise RunError("No run is chosen.", "Choose the run to publish.")
    return run


def _drawn(form: _Form, opened: RunView, request: Any, licence: str) -> dict[Any, Any]:
    """Files and card for a request."""
    written = view.card_text(opened, request, licence)
    return {form.files: view.files_html(opened, request, licence, written), form.edit: written,
            form.preview: view.card_preview(opened, written), form.head: view.head_html(written),
            form.note: view.note_html(bool(card.edited(opened.run_dir)))}


def _stands(form: _Form, opened: RunView, request: Any, licence: str) -> dict[Any, Any]:
    """How the push of a run stands."""
    stands = view.standing(opened)
    label = text("publish.button.publish" if stands in ("new", "busy") else "publish.button.again")
    written = view.card_text(opened, request, licence)
    return {form.status: view.status_html(opened), form.files: view.files_html(opened, request, licence, written),
            form.publish: gr.Button(label, interactive=stands not in ("busy", "pushing")),
            form.stop: gr.Button(visible=stands == "pushing")}


def _build_form() -> _Form:
    """All components, left the push, right the card."""
    gr.HTML(f'<p class="lead">{text("publish.lead")}</p>', elem_classes=PART)
    run = gr.Dropdown(label=text("publish.run.label"), info=text("publish.run.info"), visible=False,
                      elem_id="publish-run")
    empty = gr.HTML(view.empty_html(), elem_classes=PART)
    status = gr.HTML("", elem_id="publish-status", elem_classes=PART)
    licence = gr.Textbox("", visible=False)
    with gr.Row(visible=False, elem_id="publish-body") as body:
        with gr.Column(scale=2, min_width=300):
            what = gr.Radio([], label=text("publish.what.label"), info=text("publish.what.info"))
            repo = gr.Textbox("", label=text("publish.repo.label"), info=text("publish.repo.info"), max_lines=1)
            private = gr.Checkbox(True, label=text("publish.private.label"), info=text("publish.private.info"))
            token = gr.Textbox("", label=text("publish.token.label"), info=text("publish.token.info"),
                               type="password", html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
                               placeholder=text("publish.token.placeholder"), visible=False)
            account = gr.HTML("", elem_classes=PART)
            with gr.Row():
                publish = gr.Button(text("publish.button.publish"), variant="primary")
                stop = gr.Button(text("publish.button.stop"), visible=False)
            files = gr.HTML("", elem_id="publish-files", elem_classes=PART)
        with gr.Column(scale=3, min_width=300):
            gr.HTML(f'<h3>{text("publish.card.title")}</h3>', elem_classes=PART)
            note = gr.HTML("", elem_classes=PART)
            with gr.Tabs():
                with gr.Tab(text("publish.card.preview")):
                    head = gr.HTML("", elem_classes=PART)
                    preview = gr.Markdown("", elem_id="publish-card", latex_delimiters=[])
                with gr.Tab(text("publish.card.edit")):
                    edit = gr.Textbox("", label=text("publish.card.text"), info=text("publish.card.text_info"),
                                      lines=24, max_lines=40, elem_id="publish-card-text")
                    anew = gr.Button(text("publish.card.anew"), size="sm")
    return _Form(run, body, empty, what, repo, private, token, account, licence, files, edit, preview, head, note,
                 status, publish, stop, anew)

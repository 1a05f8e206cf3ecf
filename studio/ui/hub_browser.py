"""The browser for base models and for data sets: a fold beside the field it fills. Wiring only.

Everybody who may look may search; with the token of the machine for its owner only, as nobody for others. Favourites,
what was used and what lies on this machine are the owner's.
"""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import PresetError, StudioError
from studio.preset.files import override
from studio.preset.schema import Preset
from studio.publishing import browse_choices
from studio.publishing.browse import PAGE, Token, model_details
from studio.publishing.browse_choices import Kind
from studio.publishing.browse_datasets import dataset_details
from studio.publishing.browse_local import local_details
from studio.publishing.browse_shelf import Search, facts_of, look
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.texts import text
from studio.ui.access import hub_token, is_owner, require_owner, require_viewer
from studio.ui.draft import preset_from
from studio.ui.form import widget_id
from studio.ui.hub_browser_view import dataset_html, model_html, problem_html, shelf_html
from studio.ui.messages import shown
from studio.ui.sheet import filled

QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
# searches wait for the Hub: a few at once for all visitors together, so that others' clicks never wait behind them
ASKING = {"concurrency_id": "hub", "concurrency_limit": 8, "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}
PLACES, ORDERS = ("hub", "starred", "recent", "here"), ("downloads", "trending_score", "likes", "last_modified")
FIELD = {"models": "model.model_name_or_path", "datasets": "data.dataset_name"}
# a search begins when the typing pauses; buttons tell the server by the data they carry
BROWSER_JS = """
const panel = element.closest('.hub-browser');
const press = event => {
  const button = event.target.closest('button[data-act]');
  if (!button) return;
  if (button.dataset.act === 'like') {
    const on = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', on);
    trigger('like', {id: button.dataset.id, on});
  } else if (button.dataset.act === 'clear') {
    const id = element.querySelector('h3').textContent;
    const back = [...panel.querySelectorAll('.hub-results [data-act=expand]')].find(row => row.dataset.id === id);
    trigger('clear');
    (back || panel.querySelector('.hub-query textarea, .hub-query input')).focus();
  } else {
    const {id, revision = '', config = '', split = ''} = button.dataset;
    trigger(button.dataset.act, {id, revision, config, split});
  }
};
element.addEventListener('click', press);
"""
DEBOUNCE_JS = """
let waiting;
panel.addEventListener('input', event => {
  if (!event.target.closest('.hub-query')) return;
  clearTimeout(waiting);
  waiting = setTimeout(() => trigger('input'), 400);
});
"""
# the details are drawn a moment after they have come; where nothing could be found out they have no heading
TO_DETAILS_JS = """() => {
  const end = performance.now() + 10000;
  const go = () => {
    const head = document.querySelector('#hub-%s-details h3');
    if (head) { head.focus({preventScroll: true}); head.scrollIntoView({block: 'nearest'}); }
    else if (performance.now() < end) requestAnimationFrame(go);
  };
  go();
}"""
TO_FIELD_JS = """() => setTimeout(() => {
  const field = document.querySelector('#%s input, #%s textarea');
  if (field) field.focus();
}, 50)"""


@dataclass(frozen=True)
class BrowserPart:
    """The components; `limit` and `taken` (what "Use this" put into the field last) are hidden."""

    kind: Kind
    fold: gr.Accordion
    where: gr.Radio
    query: gr.Textbox
    sort: gr.Dropdown
    everything: gr.Checkbox
    results: gr.HTML
    more_button: gr.Button
    details: gr.HTML
    limit: gr.Number
    taken: gr.Textbox


def build_browser(kind: Kind) -> BrowserPart:
    """The fold, closed, into the present column."""
    name = f"hub-{kind}"
    with gr.Accordion(text(f"hub.{kind}.title"), open=False, elem_id=name) as fold:  # noqa: SIM117
        with gr.Column(elem_classes="hub-browser"):
            where = gr.Radio([(text(f"hub.where.{place}"), place) for place in PLACES], value="hub",
                             label=text("hub.where.label"), info=text(f"hub.{kind}.here_help"), elem_id=f"{name}-where")
            query = gr.Textbox("", label=text(f"hub.{kind}.query"), info=text(f"hub.{kind}.query_help"), max_lines=1,
                               max_length=200, elem_id=f"{name}-query", elem_classes="hub-query")
            with gr.Column(elem_classes="field-grid"):
                sort = gr.Dropdown([(text(f"hub.sort.{order}"), order) for order in ORDERS], value="downloads",
                                   filterable=False, label=text("hub.sort.label"), info=text("hub.sort.help"))
                everything = gr.Checkbox(False, label=text(f"hub.{kind}.all"), info=text(f"hub.{kind}.all_help"))
            results = gr.HTML("", js_on_load=BROWSER_JS + DEBOUNCE_JS, elem_id=f"{name}-results", elem_classes="flush")
            more_button = gr.Button(text("hub.more"), size="md", visible=False)
            details = gr.HTML("", js_on_load=BROWSER_JS, elem_id=f"{name}-details", elem_classes="flush")
    return BrowserPart(kind, fold, where, query, sort, everything, results, more_button, details,
                       gr.Number(PAGE, visible=False), gr.Textbox("", visible=False))


def wire_browser(settings: Settings, store: RunStore, part: BrowserPart, stored: gr.BrowserState,
                 fields: dict[str, Any], sheet: list[Any], hub_key: gr.Textbox) -> Any:
    """Search, stars and details; returns the event after which the sheet holds what was taken.

    `hub_key` holds a pasted token.
    """
    kind = part.kind

    def asker(pasted: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> Token:
        return (hub_token(settings, token, pasted) if is_owner(settings, profile) else None) or False

    def found(query: str, where: str, sort: str, everything: bool, pasted: str, limit: float,
              profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, values: dict[str, Any]) -> list[Any]:
        require_viewer(settings, profile)
        owner = is_owner(settings, profile)
        shelf = look(kind, where, Search(query, sort, everything, int(limit)), settings,
                     store.list() if owner else (), asker(pasted, profile, token), owner=owner)
        stars = {result.id for result in browse_choices.starred(settings, kind)} if owner else set()
        page = shelf_html(kind, shelf, _preset(values), stars, owner)
        return [page, gr.Button(visible=shelf.more), limit, ""]

    @shown
    def search(query: str, where: str, sort: str, everything: bool, pasted: str, profile: gr.OAuthProfile | None,
               token: gr.OAuthToken | None, **values: Any) -> list[Any]:
        return found(query, where, sort, everything, pasted, PAGE, profile, token, values)

    @shown
    def search_more(query: str, where: str, sort: str, everything: bool, pasted: str, limit: float,
                    profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, **values: Any) -> list[Any]:
        return found(query, where, sort, everything, pasted, limit + PAGE, profile, token, values)

    @shown
    def details(event: gr.EventData, pasted: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None,
                **values: Any) -> str:
        require_viewer(settings, profile)
        try:
            here = store if is_owner(settings, profile) else None
            return _details(settings, here, kind, str(event.id), asker(pasted, profile, token), _preset(values))
        except StudioError as error:
            return problem_html(error)

    @shown
    def use(event: gr.EventData, draft: dict[str, Any], profile: gr.OAuthProfile | None, **values: Any) -> list[Any]:
        require_viewer(settings, profile)
        changed = override(preset_from(values), _changes(kind, event))
        return [gr.Accordion(open=False), "", str(event.id), *filled(changed, draft["origin"])]

    def remember(name: str, pasted: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> None:
        if name and is_owner(settings, profile):
            result = facts_of(kind, name, settings, store.list(), asker(pasted, profile, token))
            browse_choices.note_taken(settings, kind, result)

    @shown
    def star(event: gr.EventData, pasted: str, profile: gr.OAuthProfile | None,
             token: gr.OAuthToken | None) -> None:
        require_owner(settings, profile)
        result = facts_of(kind, str(event.id), settings, store.list(), asker(pasted, profile, token))
        browse_choices.set_star(settings, kind, result, bool(event.on))

    asked = [part.query, part.where, part.sort, part.everything, hub_key]
    listed = [part.results, part.more_button, part.limit, part.details]
    gr.on([part.fold.expand, part.results.input, part.query.submit, part.where.input, part.sort.input,
           part.everything.input], search, asked, listed, inputs_kwargs=fields, trigger_mode="always_last",
          show_progress="minimal", show_progress_on=part.results, **ASKING)
    part.more_button.click(search_more, [*asked, part.limit], listed, inputs_kwargs=fields, show_progress="minimal",
                           show_progress_on=part.results, **ASKING)
    part.results.expand(details, hub_key, part.details, inputs_kwargs=fields, show_progress="minimal", **ASKING).then(
        js=TO_DETAILS_JS % kind, **QUIET)
    part.details.clear(lambda: "", None, part.details, **QUIET)
    part.results.like(star, hub_key, None, **ASKING)
    part.taken.change(shown(remember), [part.taken, hub_key], None, show_progress="hidden", **ASKING)
    used = gr.on([part.results.select, part.details.select], use, stored,
                 [part.fold, part.details, part.taken, *sheet], inputs_kwargs=fields, show_progress="hidden", **CLICK)
    name = widget_id(FIELD[kind])
    used.success(js=TO_FIELD_JS % (name, name), **QUIET)
    return used


def _preset(values: dict[str, Any]) -> Preset | None:
    """What the form says, None while it holds a mistake: then nothing is said of what fits."""
    try:
        return preset_from(values)
    except PresetError:
        return None


def _changes(kind: Kind, event: gr.EventData) -> dict[str, Any]:
    """The fields that taking a result sets. What was edited by hand belongs to other data."""
    if kind == "models":
        return {FIELD[kind]: event.id, "model.model_revision": event.revision or "main"}
    return {FIELD[kind]: event.id, "data.dataset_revision": event.revision, "data.dataset_config": event.config,
            "data.dataset_train_split": event.split or "train", "data.edits": ""}


def _details(settings: Settings, store: RunStore | None, kind: Kind, name: str, token: Token,
             preset: Preset | None) -> str:
    """What the Hub says, else what lies here; without a `store` the Hub alone."""
    if kind == "datasets":
        return dataset_html(dataset_details(name, token=token))
    try:
        return model_html(model_details(name, token=token), preset)
    except StudioError as online:
        if store is None:
            raise
        try:
            return model_html(local_details(name, settings, [view.preset for view in store.list()]), preset)
        except StudioError:
            raise online from None

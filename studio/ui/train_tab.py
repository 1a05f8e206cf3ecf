"""The Train tab: five steps from "what do you want" to a started run. The widgets hold the preset; nothing else does.

Wiring only. What a preset is worth, what is wrong with it and how it looks is worked out in the modules beside.
"""

import html
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from studio.errors import PresetError, StudioError
from studio.evaluation.endpoint import ENDPOINT_KEY, JUDGE_KEY, pasted
from studio.evaluation.preferences import votes_preset
from studio.preset import files
from studio.preset.files import override
from studio.preset.flatten import leaves
from studio.preset.schema import Preset
from studio.publishing.repositories import ExistsError, in_words, met_by_plan
from studio.runs.checks import Finding
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.start import start as start_run
from studio.start import start_baselines
from studio.texts import text
from studio.ui import pasted_tokens
from studio.ui import train_steps as steps
from studio.ui.access import hub_token, may_look, require_owner, require_viewer
from studio.ui.doctor_export import wire_export
from studio.ui.doctor_mapping import TEMPLATES, wire_mapping
from studio.ui.doctor_report import mark_changed, wire_report
from studio.ui.doctor_rows import wire_rows
from studio.ui.draft import Draft, preset_from, problem_list, problems, widget_values
from studio.ui.field_problems import TO_TOP, build_problems, field_problems, refuse
from studio.ui.findings_view import findings_html, outlook_html, status_html
from studio.ui.form import is_choice, names_column
from studio.ui.gallery import cards_html, chosen_html, find_card, list_cards
from studio.ui.hub_browser import wire_browser
from studio.ui.look_ahead_progress import NOTHING, Looking
from studio.ui.messages import shown
from studio.ui.opening import show_after
from studio.ui.replaced_part import asked_first
from studio.ui.sheet import filled
from studio.ui.uploads import store_uploads

# a fixed secret: the draft is no secret, and a random one would forget it at each restart of the server
DRAFT_KEY, STEP_KEY, DRAFT_SECRET = "studio.draft", "studio.step", "fine-tune-studio-draft"
LAST_STEP = 5
CLONED = "run:"
DATASET, EDITS, PUSH, BUNDLED = "data.dataset_name", "data.edits", "publish.push_to_hub", "bundled:recipes"
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class TrainTab:
    """What other tabs need: `started` receives the id of a run just started; `clone(run_id)` and `take_votes(run_id)`
    fill `taken`; `hub_key` holds a pasted Hub token."""

    hub_key: gr.Textbox
    started: gr.Textbox
    taken: list[gr.components.Component]
    clone: Any
    take_votes: Any


def build_train_tab(settings: Settings, store: RunStore, page: gr.Blocks) -> TrainTab:
    """Build the five steps into the present tab of `page`."""
    stored = gr.BrowserState(storage_key=DRAFT_KEY, secret=DRAFT_SECRET)
    step = gr.BrowserState(1, storage_key=STEP_KEY, secret=DRAFT_SECRET)
    started = gr.Textbox(visible=False)
    with gr.Walkthrough(selected=1, elem_id="steps") as walkthrough:
        what, data, method = steps.build_what_step(settings), steps.build_data_step(), steps.build_method_step()
        check, start = steps.build_check_step(), steps.build_start_step()
    hub_key, wrong = steps.build_token(), build_problems()
    built = what.fields | method.fields | data.fields | start.fields
    fields = {name: built[name] for name, _ in leaves()}
    sheet = [method.yaml, method.status, wrong, stored, *fields.values()]
    taken = [walkthrough, what.gallery, what.chosen, *sheet]

    def restore(stored_draft: Any, stored_step: Any, profile: gr.OAuthProfile | None) -> list[Any]:
        allowed = may_look(settings, profile)
        cards = list_cards(settings) if allowed else []
        draft = Draft.read(stored_draft)
        if draft is None and cards:
            draft = Draft(files.dumps(cards[0].preset, comments=False), cards[0].id)
        draft = draft or Draft(files.dumps(Preset(), comments=False))
        runs = store.list() if allowed else []
        choices = [(f"{view.name} ({view.run_id[:8]})", view.run_id) for view in runs]
        at = stored_step if stored_step in range(1, LAST_STEP + 1) else 1
        preset = files.loads(draft.yaml)
        note = "" if draft.origin in [card.id for card in cards] else chosen_html(preset.name)
        return [gr.Dropdown(choices=choices, value=None), gr.Walkthrough(selected=at), cards_html(cards, draft.origin),
                note, *filled(preset, draft.origin)]

    @shown
    def choose(event: gr.EventData, profile: gr.OAuthProfile | None) -> list[Any]:
        require_viewer(settings, profile)
        card = find_card(settings, event.card)
        return ["", *filled(card.preset, card.id)]

    def take(preset: Preset, origin: str, name: str) -> list[Any]:
        """Updates of `taken`: a preset from elsewhere is named in the first step, and no card is marked."""
        gallery = cards_html(list_cards(settings))
        return [gr.Walkthrough(selected=1), gallery, chosen_html(name), *filled(preset, origin)]

    @shown
    def open_file(path: str, profile: gr.OAuthProfile | None) -> list[Any]:
        require_viewer(settings, profile)
        return take(files.load(Path(path)), "", Path(path).name)

    @shown
    def clone(run_id: str, profile: gr.OAuthProfile | None) -> list[Any]:
        require_viewer(settings, profile)
        view = store.get(run_id)
        return take(view.preset, f"{CLONED}{run_id}", view.name)

    @shown
    def take_votes(run_id: str, profile: gr.OAuthProfile | None) -> list[Any]:
        require_owner(settings, profile)
        preset = votes_preset(store.get(run_id), settings)
        return take(preset, "", preset.name)

    def from_form(draft: dict[str, Any], **values: Any) -> tuple[Any, str, dict[str, Any], Any]:
        found = problems(values)
        if found:
            return gr.skip(), status_html(problem_list(found)), field_problems(found), gr.skip()
        written = files.dumps(preset_from(values), comments=False)
        return written, status_html([]), field_problems({}), draft | {"yaml": written}

    def from_yaml(written: str, draft: dict[str, Any]) -> list[Any]:
        try:
            preset = files.loads(written)
        except PresetError as error:
            return [status_html([str(problem) for problem in error.problems]), *[gr.skip()] * (len(sheet) - 2)]
        return [status_html([]), field_problems({}), draft | {"yaml": written}, *widget_values(preset)]

    show_after(page.load(restore, [stored, step], [what.clone_choice, *taken], **QUIET), "steps")
    what.gallery.select(choose, None, [what.chosen, *sheet], show_progress="hidden", **CLICK)
    what.open_button.upload(open_file, what.open_button, taken, show_progress="hidden", **CLICK)
    what.clone_choice.select(clone, what.clone_choice, taken, show_progress="hidden", **CLICK)
    gr.on([field.input for field in fields.values()], from_form, stored, [method.yaml, method.status, wrong, stored],
          inputs_kwargs=fields, trigger_mode="always_last", **QUIET)
    method.yaml.input(from_yaml, [method.yaml, stored], sheet[1:], trigger_mode="always_last", **QUIET)

    _wire_steps(walkthrough, step, wrong, fields, [what, data, method, check, start])
    _wire_data(settings, data, stored, fields, sheet, hub_key)
    mark_changed(wire_browser(settings, store, data.browser, stored, fields, sheet, hub_key), data.report)
    wire_browser(settings, store, method.browser, stored, fields, sheet, hub_key)
    _wire_check(settings, check, stored, fields, sheet, hub_key)
    _wire_word(settings, start, fields, hub_key)

    @shown
    def begin(draft: dict[str, Any], hub_key: str, endpoint_key: str, judge_key: str, confirmed: bool, told: str,
              profile: gr.OAuthProfile | None, token: gr.OAuthToken | None, **values: Any) -> Iterator[dict[Any, Any]]:
        require_owner(settings, profile)
        if found := own_problems(values):
            yield found
            return
        act = partial(start_run, confirmed=confirmed, told=told)
        keys = {pasted(ENDPOINT_KEY): endpoint_key, pasted(JUDGE_KEY): judge_key}
        try:
            run_id = yield from begin_with(act, preset_from(values), draft, hub_key, token, keys)
        except ExistsError as error:
            gr.Warning(html.escape(text("publish.confirm.first")), title="")
            yield asked_first(start.word, error.message)
        else:
            yield {started: run_id, **asked_first(start.word, "")}

    @shown
    def try_untuned(draft: dict[str, Any], hub_key: str, endpoint_key: str, profile: gr.OAuthProfile | None,
                    token: gr.OAuthToken | None, **values: Any) -> Iterator[dict[Any, Any]]:
        require_owner(settings, profile)
        if found := own_problems(values):
            yield found
            return
        # nothing is made that could be published
        preset = override(preset_from(values), {PUSH: False})
        run_id = yield from begin_with(
            start_baselines, preset, draft, hub_key, token, {pasted(ENDPOINT_KEY): endpoint_key})
        yield {started: run_id}

    def own_problems(values: dict[str, Any]) -> dict[Any, Any]:
        """What is wrong with the fields of this step, for inside them; what is wrong elsewhere is told as a message."""
        found = problems(values)
        return {wrong: refuse(found)} if found.keys() & start.fields.keys() else {}

    def begin_with(act: Callable[..., str], preset: Preset, draft: dict[str, Any], hub_key: str,
                   token: gr.OAuthToken | None, keys: dict[str, str]) -> Iterator[dict[Any, Any]]:
        """How far the look ahead is, then the id of the run that `act` starts as the generator's return value."""
        hub = hub_token(settings, token, hub_key)
        origin, parent = _came_from(settings, store, draft["origin"])
        looking = Looking(preset, settings, hub)
        for now in looking.progress():
            yield {start.progress: now}
        run_id = act(store, preset, looking.outlook(), origin=origin, parent=parent, token=hub, keys=keys)
        pasted_tokens.keep(run_id, hub_key)
        return run_id

    # the look may have ended as an error too
    is_over = {"fn": lambda: NOTHING, "inputs": None, "outputs": start.progress, **QUIET}
    start.start_button.click(
        begin, [stored, hub_key, start.endpoint_key, start.judge_key, start.word.confirm, start.word.replaced],
        [started, *start.word.drawn, wrong, start.progress], inputs_kwargs=fields, show_progress="hidden",
        **CLICK).then(**is_over)
    start.try_button.click(try_untuned, [stored, hub_key, start.endpoint_key], [started, wrong, start.progress],
                           inputs_kwargs=fields, show_progress="hidden", **CLICK).then(**is_over)
    return TrainTab(hub_key, started, taken, clone, take_votes)


def _wire_steps(walkthrough: gr.Walkthrough, step: gr.BrowserState, wrong: gr.HTML, fields: dict[str, Any],
                built: list[Any]) -> None:
    """Back, next, and the step that a reload returns to. Next lets nobody pass a field of the step that is wrong."""

    def go_to(number: int) -> Any:
        return lambda: (gr.Walkthrough(selected=number), number)

    def go_on(number: int, own: dict[str, Any]) -> Any:
        def go(**values: Any) -> tuple[Any, Any, Any]:
            found = problems(values)
            if found.keys() & own.keys():
                return gr.skip(), gr.skip(), refuse(found)
            return gr.Walkthrough(selected=number), number, gr.skip()
        return go

    def note(event: gr.SelectData) -> int:
        return event.index + 1  # Gradio counts the headers from 0, the steps' ids from 1

    walkthrough.select(note, None, step, **QUIET)
    for number, part in enumerate(built, 1):
        if number > 1:
            part.back_button.click(go_to(number - 1), None, [walkthrough, step], **QUIET).then(js=TO_TOP, **QUIET)
        if number in (1, 2, 3):
            # one that mends what was refused may click again before it has been told so
            part.next_button.click(
                go_on(number + 1, part.fields), None, [walkthrough, step, wrong], inputs_kwargs=fields,
                show_progress="hidden", trigger_mode="always_last", **CLICK).then(js=TO_TOP, **QUIET)
        elif number < LAST_STEP:
            part.next_button.click(go_to(number + 1), None, [walkthrough, step], **QUIET).then(js=TO_TOP, **QUIET)


def _wire_data(settings: Settings, data: steps.DataStep, stored: gr.BrowserState, fields: dict[str, Any],
               sheet: list[Any], hub_key: gr.Textbox) -> None:
    """Upload and bundled rows; whatever names other data, or reads it otherwise, has it examined and shown anew."""

    @shown
    def take_upload(paths: list[str], draft: dict[str, Any], profile: gr.OAuthProfile | None,
                    **values: Any) -> list[Any]:
        require_owner(settings, profile)
        name = store_uploads(settings, [Path(path) for path in paths])
        return filled(override(preset_from(values), {DATASET: name, EDITS: ""}), draft["origin"])

    @shown
    def take_bundled(draft: dict[str, Any], **values: Any) -> list[Any]:
        return filled(override(preset_from(values), {DATASET: BUNDLED, EDITS: ""}), draft["origin"])

    examine = wire_report(settings, data.report, data.mapping.proposed, stored, fields, sheet, hub_key)
    show_rows = wire_rows(settings, data.rows, stored, fields, sheet, hub_key)
    # a file that is refused would be told as an error on each field of the form
    uploaded = data.upload.upload(take_upload, [data.upload, stored], sheet, inputs_kwargs=fields,
                                  show_progress_on=data.upload, **CLICK)
    mark_changed(uploaded, data.report)
    bundled = data.bundled_button.click(take_bundled, stored, sheet, inputs_kwargs=fields, show_progress="hidden",
                                        **CLICK)
    mark_changed(bundled, data.report)
    wire_export(settings, data.export, fields, hub_key)
    wire_mapping(settings, data.mapping, fields, data.report.unsure, hub_key)
    choices = [data.fields[name].input for name, field in leaves()
               if name in data.fields and (is_choice(field) or names_column(name))]
    written = [data.fields[name].submit for name in TEMPLATES]
    asked = [data.report.changed.change, data.look_button.click, data.step.select, data.fields[DATASET].submit,
             *choices, *written]
    gr.on([*asked, data.rows.edits.change], **examine)
    gr.on([*asked, data.rows.search.submit, data.rows.only.input], **show_rows)


def _wire_check(settings: Settings, part: steps.CheckStep, stored: gr.BrowserState, fields: dict[str, Any],
                sheet: list[Any], hub_key: gr.Textbox) -> None:
    """Findings on entering the step and on request; a finding's button mends the preset and checks again."""

    def check(hub_key: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None,
              **values: Any) -> Iterator[tuple[Any, Any, Any]]:
        try:
            require_owner(settings, profile)
            # whether to publish is decided in the next step and checked at the start
            preset = override(preset_from(values), {PUSH: False})
            looking = Looking(preset, settings, hub_token(settings, token, hub_key))
            for now in looking.progress():
                yield "", gr.Button(interactive=False), now
            outlook = looking.outlook()
        except StudioError as error:
            problems = error.problems if isinstance(error, PresetError) else (error,)
            yield findings_html([Finding.of(problem) for problem in problems]), gr.Button(interactive=False), NOTHING
        else:
            yield outlook_html(outlook), gr.Button(interactive=outlook.may_start), NOTHING

    @shown
    def mend(event: gr.EventData, draft: dict[str, Any], **values: Any) -> list[Any]:
        return filled(override(preset_from(values), event.fix), draft["origin"])

    checks = {"fn": check, "inputs": hub_key, "outputs": [part.findings, part.next_button, part.progress],
              "inputs_kwargs": fields, "show_progress": "hidden", "trigger_mode": "always_last", **CLICK}
    gr.on([part.step.select, part.again_button.click], **checks)
    part.findings.select(mend, stored, sheet, inputs_kwargs=fields, show_progress="hidden", **CLICK).success(**checks)


def _wire_word(settings: Settings, part: steps.StartStep, fields: dict[str, Any], hub_key: gr.Textbox) -> None:
    """Ask for a word as soon as the push at the end would replace something; one that was given for the same stays."""
    publish = {name: field for name, field in fields.items() if name.startswith("publish.")}

    def look_there(hub_key: str, asked: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None,
                   **values: Any) -> dict[Any, Any]:
        try:
            require_owner(settings, profile)
            planned = preset_from(values).publish
            hub = hub_token(settings, token, hub_key)
            replaced = in_words(met_by_plan(planned, hub)) if planned.push_to_hub else ""
        except StudioError:
            return gr.skip()  # the start itself says so
        return gr.skip() if replaced == asked else asked_first(part.word, replaced)

    changed = [field.blur if isinstance(field, gr.Textbox) else field.input for field in publish.values()]
    gr.on([*changed, part.step.select], look_there, [hub_key, part.word.replaced], part.word.drawn,
          inputs_kwargs=publish, trigger_mode="always_last", **QUIET)


def _came_from(settings: Settings, store: RunStore, origin: str) -> tuple[Preset | None, str]:
    """The preset a draft came from, and the run it was cloned from ("" for none)."""
    try:
        if origin.startswith(CLONED):
            parent = store.get(origin.removeprefix(CLONED))
            return parent.preset, parent.run_id
        return (find_card(settings, origin).preset, "") if origin else (None, "")
    except StudioError:
        # it was deleted since; the run can do without knowing it
        return None, ""

"""The Playground tab: one prompt, answered side by side by the base and the tuned model, and a vote. Wiring only.

Answers are hostile text: see `transcript`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.errors import DataError, StudioError
from studio.preset.schema import EvaluationSection
from studio.runs.playground import Playground, Target
from studio.runs.store import RunStore
from studio.settings import Settings
from studio.texts import text
from studio.ui import duel as duels
from studio.ui import pasted_tokens
from studio.ui import playground_view as view
from studio.ui import playground_votes as voting
from studio.ui.access import hub_token, may_look, require_owner, require_viewer
from studio.ui.conversation import Messages, Sampling, converse, with_system
from studio.ui.held_out import EXAMPLES, examples, next_question
from studio.ui.messages import shown
from studio.ui.opening import show_after
from studio.ui.transcript import build_transcript

TICK_S = 2
MAX_TOKENS, SEED = 256, 3407
SHOWN_CHARACTERS = 300  # of an example, until it is picked
QUIET = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
CLICK = {"concurrency_limit": None, "api_visibility": "private"}


@dataclass(frozen=True)
class PlaygroundTab:
    """What other tabs need: writing a run's id into `run_id` (its `.change` fires) picks that run here."""

    run_id: gr.Textbox


def build_playground_tab(settings: Settings, store: RunStore, page: gr.Blocks, hub_key: gr.Textbox) -> PlaygroundTab:
    """Build the tab into the present tab of `page`. `hub_key` holds a pasted Hub token."""
    playground, kept = Playground(settings, store), duels.Duels(store)
    run_id = gr.Textbox(visible=False)
    base_choice = (text("playground.base.label"), "")
    with gr.Row(equal_height=True, elem_id="playground-model"):
        model = gr.Dropdown(label=text("playground.model.label"), info=text("playground.model.info"),
                            allow_custom_value=True, scale=4, min_width=240)
        weights = gr.Dropdown(label=text("playground.weights.label"), info=text("playground.weights.info"),
                              scale=2, min_width=180)
        rival = gr.Dropdown([base_choice], value="", label=text("playground.votes.against.label"),
                            info=text("playground.votes.against.info"), scale=2, min_width=180)
    state = gr.HTML(elem_id="playground-state", elem_classes="flush")
    prompt = gr.Textbox(label=text("playground.prompt.label"), placeholder=text("playground.prompt.placeholder"),
                        lines=2, max_lines=12)
    with gr.Row(elem_id="playground-actions"):
        send = gr.Button(text("playground.send"), variant="primary", scale=0, min_width=140)
        stop = gr.Button(text("playground.stop"), scale=0, min_width=100)
        new_chat = gr.Button(text("playground.new_chat"), scale=0, min_width=110)
        load = gr.Button(text("playground.load"), scale=0, min_width=100)
        unload = gr.Button(text("playground.unload"), scale=0, min_width=100)
    samples = gr.Dataset(components=[gr.Textbox(visible=False)], samples=[], type="index", visible=False,
                         samples_per_page=EXAMPLES, label=text("playground.examples.label"))
    wanted = gr.Textbox(label=text("playground.wanted.label"), interactive=False, visible=False)
    blind, next_row = voting.build_switches()
    buttons = {}
    with gr.Row():
        with gr.Column(min_width=280):
            side_a = build_transcript("base")
            buttons["a"] = voting.build_button("a")
        with gr.Column(min_width=280):
            side_b = build_transcript("tuned")
            buttons["b"] = voting.build_button("b")
    with gr.Row(elem_id="playground-neither"):
        buttons |= {choice: voting.build_button(choice) for choice in ("tie", "both_bad")}
    votes = voting.VotePanel(buttons, voting.build_said(), gr.Textbox("", visible=False))
    with gr.Accordion(text("playground.settings.title"), open=False):
        system = gr.Textbox(label=text("playground.settings.system.label"), lines=2, max_lines=8,
                            info=text("playground.settings.system.info"))
        with gr.Row():
            temperature = _slider("temperature", 0, 2, 0, 0.05)
            top_p = _slider("top_p", 0.05, 1, 1, 0.05)
            max_tokens = build_longest()
            seed = gr.Number(SEED, label=text("playground.settings.seed.label"), precision=0, min_width=200,
                             info=text("playground.settings.seed.info"))
    with gr.Accordion(text("playground.exact.title"), open=False) as exact_fold:
        exact = gr.Textbox(label=text("playground.exact.label"), placeholder=text("playground.exact.empty"),
                           interactive=False, lines=4, max_lines=20)
    timer = gr.Timer(TICK_S)
    chats, picked = [side_a, side_b], [weights, rival, system, max_tokens, samples, wanted]
    fresh = [*chats, *votes.outputs]

    def state_html() -> str:
        status = playground.status()
        return view.status_html(status, view.target_name(store, status.target) if status.target else "")

    def tick(shown_now: str, profile: gr.OAuthProfile | None) -> Any:
        new = state_html() if may_look(settings, profile) else ""
        return gr.skip() if new == shown_now else new

    def fill(choice: str | None, chosen: Target | None = None) -> list[Any]:
        """The widgets that follow from a choice of model."""
        if not choice or not view.is_run(choice):
            only = (text("playground.choice.published"), "")
            return [gr.Dropdown([only], value="", interactive=False),
                    gr.Dropdown([base_choice], value="", interactive=False), "", MAX_TOKENS,
                    gr.Dataset(samples=[], visible=False), gr.Textbox(visible=False)]
        run = store.get(choice)
        options, found = view.weights_choices(run), examples(run)
        values = [name for _, name in options]
        value = chosen.checkpoint if chosen and chosen.checkpoint in values else next(iter(values), None)
        others = view.rival_choices(run, store.list())
        against = chosen.rival if chosen and chosen.rival in dict(others).values() else ""
        return [gr.Dropdown(options, value=value, interactive=True),
                gr.Dropdown(others, value=against, interactive=len(others) > 1), run.preset.data.system_prompt,
                run.preset.evaluation.max_new_tokens,
                gr.Dataset(samples=[[example.prompt[:SHOWN_CHARACTERS]] for example in found], visible=bool(found)),
                gr.Textbox(visible=False)]

    def open_page(profile: gr.OAuthProfile | None) -> list[Any]:
        """Offer what there is now; a model that is loaded is picked, else the newest run."""
        if not may_look(settings, profile):
            return [gr.Dropdown([]), "", *fill(None), *begin_anew(None, False)]
        choices = view.model_choices(settings, store.list())
        target = playground.status().target
        choice = (target.run_id or target.model) if target else choices[0][1] if choices else None
        return [gr.Dropdown(choices, value=choice), state_html(), *fill(choice, target),
                *begin_anew(choice, False, target.rival if target else "")]

    def begin_anew(choice: str | None, is_blind: bool, against: str | None = "") -> list[Any]:
        """Updates of `fresh`: no turns, nothing to vote on."""
        base_only = bool(choice) and not view.is_run(choice)
        names = voting.side_names(store, is_blind, against or "")
        return [*voting.empty_sides(names, is_blind, base_only), *voting.empty_panel(names)]

    @shown
    def pick(choice: str, is_blind: bool, profile: gr.OAuthProfile | None) -> list[Any]:
        require_viewer(settings, profile)
        return [*fill(choice), *begin_anew(choice, is_blind)]

    @shown
    def open_run(choice: str, is_blind: bool, profile: gr.OAuthProfile | None) -> list[Any]:
        require_viewer(settings, profile)
        choices = view.model_choices(settings, store.list())
        return [gr.Dropdown(choices, value=choice), *fill(choice), *begin_anew(choice, is_blind)]

    @shown
    def switch(choice: str | None, is_blind: bool, against: str | None, profile: gr.OAuthProfile | None) -> list[Any]:
        require_viewer(settings, profile)
        return [gr.Button(visible=is_blind), *begin_anew(choice, is_blind, against)]

    def pick_example(number: int, choice: str, profile: gr.OAuthProfile | None) -> list[Any]:
        require_viewer(settings, profile)
        run = store.get(choice)
        example = examples(run)[number]
        system_prompt = example.system or run.preset.data.system_prompt
        return [example.prompt, gr.Textbox(example.wanted, visible=True), system_prompt]

    @shown
    def load_model(choice: str | None, chosen: str | None, against: str | None, pasted: str,
                   profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> str:
        require_owner(settings, profile)
        target = view.target_of(choice, chosen, against)
        playground.start(target, _environment(settings, token, pasted, target))
        return state_html()

    @shown
    def unload_model(profile: gr.OAuthProfile | None) -> str:
        require_owner(settings, profile)
        playground.stop()
        return state_html()

    def answers(target: Target, question: str, histories: dict[str, Messages], is_blind: bool, system_prompt: str,
                sampling: Sampling, environment: dict[str, str], row: int = -1) -> Iterator[list[Any]]:
        """Updates of `answered` while both models answer, in the order of `histories`."""
        order, names = (*histories,), voting.side_names(store, is_blind, target.rival)
        panel, unchanged = voting.empty_panel(names), [gr.skip()] * len(votes.outputs)
        for now in converse(playground, target, question, system_prompt, sampling, histories, environment):
            # the prompt box is emptied once the prompt stands in the chats, not before: loading may fail
            yield [state_html(), "" if now.prompt_text else gr.skip(), now.prompt_text,
                   *voting.live_sides(now, order, names, is_blind), *panel]
            panel = unchanged
        duel = duels.finished(target, now, order, is_blind, system_prompt, sampling, row)
        if duel:
            kept.add(duel)
            yield [*[gr.skip()] * 3, *voting.whole_sides(store, duel), *voting.panel(store, duel)]
        elif target.run_id:
            yield [*[gr.skip()] * 5, *voting.empty_panel(names, text("playground.votes.ask_other_ways"))]

    def sampling_of(heat: float, share: float, longest: int | None, chosen_seed: int | None) -> Sampling:
        return Sampling(heat, share, longest or MAX_TOKENS, SEED if chosen_seed is None else chosen_seed)

    @shown
    def answer(choice: str | None, chosen: str | None, against: str | None, question: str, a: dict, b: dict,
               is_blind: bool, system_prompt: str, heat: float, share: float, longest: int | None,
               chosen_seed: int | None, pasted: str, profile: gr.OAuthProfile | None, token: gr.OAuthToken | None,
               ) -> Iterator[list[Any]]:
        require_owner(settings, profile)
        target = view.target_of(choice, chosen, against)
        if is_blind and not target.run_id:
            raise DataError(text("playground.votes.base_only"))
        histories = duels.blind_histories(target, []) if is_blind else {
            duels.opponent(target): a["messages"], duels.TUNED: b["messages"]}
        yield from answers(target, question, histories, is_blind, system_prompt,
                           sampling_of(heat, share, longest, chosen_seed),
                           _environment(settings, token, pasted, target))

    @shown
    def answer_next(choice: str | None, chosen: str | None, against: str | None, last: str, system_prompt: str,
                    heat: float, share: float, longest: int | None, chosen_seed: int | None, pasted: str,
                    profile: gr.OAuthProfile | None, token: gr.OAuthToken | None) -> Iterator[list[Any]]:
        require_owner(settings, profile)
        target = view.target_of(choice, chosen, against)
        if not target.run_id:
            raise DataError(text("playground.votes.base_only"))
        found = next_question(store.get(target.run_id), kept.row(last, target.run_id))
        for updates in answers(target, found.prompt, duels.blind_histories(target, found.history), True,
                               found.system or system_prompt, sampling_of(heat, share, longest, chosen_seed),
                               _environment(settings, token, pasted, target), found.row):
            yield [gr.Textbox(found.wanted, visible=True), *updates]

    def vote(choice: str) -> Any:
        @shown
        def voted(duel_id: str, profile: gr.OAuthProfile | None) -> list[Any]:
            require_owner(settings, profile)
            duel = kept.vote(duel_id, choice)
            return [*voting.whole_sides(store, duel), *voting.panel(store, duel)]

        return voted

    def render_prompt(question: str, side: dict, system_prompt: str, profile: gr.OAuthProfile | None) -> Any:
        if not question.strip():
            return gr.skip()
        try:
            require_owner(settings, profile)
            turns = [*side["messages"], {"role": "user", "content": question}]
            return playground.prompt_text(with_system(system_prompt, turns))
        except StudioError as error:
            return str(error)

    show_after(page.load(open_page, None, [model, state, *picked, *fresh], **QUIET), "playground-model")
    timer.tick(tick, state, state, **QUIET)
    model.input(pick, [model, blind], [*picked, *fresh], trigger_mode="always_last", **CLICK)
    run_id.change(open_run, [run_id, blind], [model, *picked, *fresh], **CLICK)
    gr.on([blind.input, rival.input, new_chat.click], switch, [model, blind, rival], [next_row, *fresh],
          show_progress="hidden", trigger_mode="always_last", **CLICK)
    samples.click(pick_example, [samples, model], [prompt, wanted, system], **CLICK)
    load.click(load_model, [model, weights, rival, hub_key], state, **CLICK)
    unload.click(unload_model, None, state, **CLICK)
    exact_fold.expand(render_prompt, [prompt, side_b, system], exact, **QUIET)
    drawn = [system, temperature, top_p, max_tokens, seed, hub_key]
    answered = [state, prompt, exact, *fresh]
    asks = {"concurrency_id": "gpu", "concurrency_limit": 1, "show_progress": "hidden", "api_visibility": "private"}
    target = [model, weights, rival]
    asking = [
        gr.on([send.click, prompt.submit], answer, [*target, prompt, *chats, blind, *drawn], answered, **asks),
        next_row.click(answer_next, [*target, votes.duel, *drawn], [wanted, *answered], **asks)]
    stop.click(None, None, None, cancels=asking, api_visibility="private").then(stopped_chats, chats, chats, **QUIET)
    for choice, button in buttons.items():
        button.click(vote(choice), votes.duel, fresh, show_progress="hidden", **CLICK).success(
            js=voting.GO_ON_JS, **QUIET)
    return PlaygroundTab(run_id)


def _slider(name: str, low: float, high: float, value: float, step: float) -> gr.Slider:
    return gr.Slider(low, high, value, step=step, label=text(f"playground.settings.{name}.label"), min_width=200,
                     info=text(f"playground.settings.{name}.info"))


def build_longest() -> gr.Number:
    """The box for the longest answer; it takes what a preset may say, for a run's own value is put into it."""
    least, most = EvaluationSection.model_fields["max_new_tokens"].metadata
    return gr.Number(MAX_TOKENS, minimum=least.ge, maximum=most.le, precision=0, min_width=200,
                     label=text("playground.settings.max_tokens.label"),
                     info=text("playground.settings.max_tokens.info"))


def stopped_chats(side_a: dict, side_b: dict) -> list[dict[str, Any]]:
    """Both sides as they are, with a word where an answer was cut off."""
    pending = (text("playground.facts.waiting"), text("playground.facts.answering"))
    return [side | {"facts": text("playground.facts.stopped")} if side["facts"] in pending else side
            for side in (side_a, side_b)]


def _environment(settings: Settings, token: gr.OAuthToken | None, pasted: str, target: Target) -> dict[str, str]:
    """The Hub token for a model's process: pasted now, or when the run was started, else as everywhere."""
    found = hub_token(settings, token, pasted.strip() or pasted_tokens.kept(target.run_id))
    return {"HF_TOKEN": found} if found else {}

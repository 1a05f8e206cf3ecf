"""Votes on the Playground tab: the switches, the buttons under the answers, and what stands there at each moment.

Which model answered where is known to the server alone until the vote (`duel`); the page gets answers and an id.
"""

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.evaluation.votes import read_votes
from studio.runs.store import RunStore
from studio.texts import text
from studio.ui.conversation import Column, Conversation
from studio.ui.differences import differences
from studio.ui.duel import Duel, Order, voted_model
from studio.ui.transcript import transcript
from studio.ui.vote_words import model_words, rate_sentences

Names = tuple[str, str]

SIDES = ("a", "b")
CHOICES = (*SIDES, "tie", "both_bad")
MARK_JS = """(on) => {
  for (const side of document.querySelectorAll('.transcript')) side.toggleAttribute('data-plain', !on);
}"""
# the button just pressed is disabled now: the keyboard goes on from the next prompt
GO_ON_JS = "() => document.querySelector('#playground-next-row')?.focus({preventScroll: true})"


@dataclass(frozen=True)
class VotePanel:
    """The components of voting; `buttons` by choice, `duel` holds the id of what can be voted on."""

    buttons: dict[str, gr.Button]
    said: gr.HTML
    duel: gr.Textbox

    @property
    def outputs(self) -> list[Any]:
        """The components that `panel` and `empty_panel` update."""
        return [self.duel, self.said, *(self.buttons[choice] for choice in CHOICES)]


def build_switches() -> tuple[gr.Checkbox, gr.Button]:
    """The row above the answers: whether they have names, whether differences are marked, and the next row to ask."""
    with gr.Row(elem_id="playground-switches", equal_height=True):
        blind = gr.Checkbox(False, label=text("playground.votes.blind.label"), elem_id="playground-blind",
                            info=text("playground.votes.blind.info"), min_width=300)
        mark = gr.Checkbox(True, label=text("playground.votes.mark.label"), info=text("playground.votes.mark.info"),
                           min_width=300)
    next_row = gr.Button(text("playground.votes.next_row"), visible=False, elem_id="playground-next-row")
    mark.change(None, mark, None, js=MARK_JS, api_visibility="private")
    return blind, next_row


def build_button(choice: str) -> gr.Button:
    """The button of one choice, not to be pressed yet."""
    names = (text("playground.base.label"), text("playground.tuned.label"))
    return gr.Button(_label(choice, names), interactive=False, min_width=120, elem_id=f"playground-vote-{choice}")


def build_said() -> gr.HTML:
    """Where it says what became of a vote."""
    return gr.HTML("", elem_id="playground-voted", elem_classes="flush")


def side_names(store: RunStore, blind: bool, rival: str) -> Names:
    """What stands over the two sides before a vote; `rival` is the run compared with, "" for the base model."""
    if blind:
        return text("playground.votes.a"), text("playground.votes.b")
    return model_words(store, rival, "") if rival else text("playground.base.label"), text("playground.tuned.label")


def empty_sides(names: Names, blind: bool, base_only: bool) -> list[dict[str, Any]]:
    """Both sides without turns; with a base model picked the tuned side says why it stays empty."""
    if blind:
        note = text("playground.votes.base_only" if base_only else "playground.votes.empty")
        return [transcript([], note=note, label=name) for name in names]
    return [transcript([], label=names[0]),
            transcript([], note=text("playground.tuned.base_only") if base_only else "", label=names[1])]


def live_sides(now: Conversation, order: Order, names: Names, blind: bool) -> list[dict[str, Any]]:
    """Both sides while the models answer; in a blind comparison without what would tell them apart."""
    columns = [now.columns[model] for model in order]
    return [transcript(column.messages, _hidden(column) if blind else column.facts, label=name)
            for name, column in zip(names, columns, strict=True)]


def whole_sides(store: RunStore, duel: Duel) -> list[dict[str, Any]]:
    """Both sides once both have answered, with what differs; named unless the duel is blind and without a vote."""
    marked = differences(*(column.messages[-1]["content"] for column in duel.columns)) or (None, None)
    names = list(side_names(store, duel.blind, duel.target.rival))
    if duel.blind and duel.choice:
        names = [text("playground.votes.revealed", side=name, model=model)
                 for name, model in zip(names, _models(store, duel), strict=True)]
    return [transcript(column.messages, column.facts if duel.is_open else _hidden(column), parts=parts, label=name)
            for name, column, parts in zip(names, duel.columns, marked, strict=True)]


def empty_panel(names: Names, said: str = "") -> list[Any]:
    """Updates of the panel's outputs while there is nothing to vote on."""
    return ["", _said([said] if said else []),
            *(gr.Button(_label(choice, names), interactive=False) for choice in CHOICES)]


def panel(store: RunStore, duel: Duel) -> list[Any]:
    """Updates of the panel's outputs for two whole answers, before the vote or after it."""
    names = side_names(store, duel.blind, duel.target.rival)
    if not duel.choice:
        said = [text("playground.votes.ask")]
    elif duel.blind:
        votes = read_votes(store.run_dir(duel.target.run_id)).current
        a, b = _models(store, duel)
        kept = text("playground.votes.kept", choice=_label(duel.choice, names), a=a, b=b)
        said = [kept, *rate_sentences(store, votes, duel.target.run_id)]
    else:
        said = [text("playground.votes.kept_open", choice=_label(duel.choice, names))]
    buttons = [gr.Button(_label(choice, names), interactive=not duel.choice) for choice in CHOICES]
    return [duel.id, _said(said), *buttons]


def _label(choice: str, names: Names) -> str:
    if choice not in SIDES:
        return text(f"playground.votes.{choice}")
    return text("playground.votes.better", side=names[SIDES.index(choice)])


def _models(store: RunStore, duel: Duel) -> tuple[str, str]:
    """The two models in words, as they stand."""
    a, b = (model_words(store, voted_model(duel.target, model), duel.target.run_id) for model in duel.order)
    return a, b


def _hidden(column: Column) -> str:
    """The line under a nameless answer: how far it is, but no counts, since speed tells the models apart."""
    words = ("waiting", "answering", "broken", "stopped")
    plain = [text(f"playground.facts.{word}") for word in words]
    return column.facts if column.facts in ("", *plain) else text("playground.votes.answered")


def _said(sentences: list[str]) -> str:
    return '<div class="vote-said" role="status">' + "".join(
        f"<p>{html.escape(sentence)}</p>" for sentence in sentences) + "</div>"

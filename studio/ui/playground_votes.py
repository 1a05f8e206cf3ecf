"""Votes on the Playground tab: the switches, the buttons under the answers, and what stands there at each moment.

Which model answered where is known to the server alone until the vote (`duel`); the page gets answers and an id.
"""

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.evaluation.votes import read_votes
from studio.runs.store import RunStore
from studio.ui.conversation import Column, Conversation
from studio.ui.differences import differences
from studio.ui.duel import Duel, Order, voted_model
from studio.ui.texts import text
from studio.ui.transcript import transcript
from studio.ui.vote_words import model_words, rate_sentences

SIDES = ("a", "b")
CHOICES = (*SIDES, "tie", "both_bad")
MARK_JS = """(on) => {
  for (const side of document.querySelectorAll('.transcript')) side.toggleAttribute('data-plain', !on);
}"""


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
    return gr.Button(_label(choice, False), interactive=False, min_width=120, elem_id=f"playground-vote-{choice}")


def build_said() -> gr.HTML:
    """Where it says what became of a vote."""
    return gr.HTML("", elem_id="playground-voted", elem_classes="flush")


def empty_sides(blind: bool, base_only: bool) -> list[dict[str, Any]]:
    """Both sides without turns; with a base model picked the tuned side says why it stays empty."""
    if blind:
        note = text("playground.votes.base_only" if base_only else "playground.votes.empty")
        return [transcript([], note=note, label=text(f"playground.votes.{side}")) for side in SIDES]
    return [transcript([]), transcript([], note=text("playground.tuned.base_only") if base_only else "")]


def live_sides(now: Conversation, order: Order, blind: bool) -> list[dict[str, Any]]:
    """Both sides while the models answer; in a blind comparison without what would tell them apart."""
    columns = [now.columns[name] for name in order]
    if not blind:
        return [transcript(column.messages, column.facts) for column in columns]
    return [transcript(column.messages, _hidden(column), label=text(f"playground.votes.{side}"))
            for side, column in zip(SIDES, columns, strict=True)]


def whole_sides(store: RunStore, duel: Duel) -> list[dict[str, Any]]:
    """Both sides once both have answered, with what differs; named unless the duel is blind and without a vote."""
    marked = differences(*(column.messages[-1]["content"] for column in duel.columns)) or (None, None)
    return [transcript(column.messages, column.facts if duel.is_open else _hidden(column), parts=parts,
                       label=_side(store, duel, number) if duel.blind else "")
            for number, (column, parts) in enumerate(zip(duel.columns, marked, strict=True))]


def empty_panel(blind: bool, said: str = "") -> list[Any]:
    """Updates of the panel's outputs while there is nothing to vote on."""
    return ["", _said([said] if said else []),
            *(gr.Button(_label(choice, blind), interactive=False) for choice in CHOICES)]


def panel(store: RunStore, duel: Duel) -> list[Any]:
    """Updates of the panel's outputs for two whole answers, before the vote or after it."""
    run_id = duel.target.run_id
    if duel.choice:
        kept = text("playground.votes.kept" if duel.blind else "playground.votes.kept_open",
                    choice=_label(duel.choice, duel.blind))
        names = [model_words(store, voted_model(duel.target, name), run_id) for name in duel.order]
        sides = [text("playground.votes.sides", a=names[0], b=names[1])] if duel.blind else []
        votes = read_votes(store.run_dir(run_id)).votes
        said = [" ".join([kept, *sides]), *(rate_sentences(store, votes, run_id) if duel.blind else [])]
    else:
        said = [text("playground.votes.ask")]
    buttons = [gr.Button(_label(name, duel.blind), interactive=not duel.choice) for name in CHOICES]
    return [duel.id, _said(said), *buttons]


def _label(choice: str, blind: bool) -> str:
    if choice not in SIDES:
        return text(f"playground.votes.{choice}")
    open_side = "base" if choice == "a" else "tuned"
    side = text(f"playground.votes.{choice}" if blind else f"playground.{open_side}.label")
    return text("playground.votes.better", side=side)


def _side(store: RunStore, duel: Duel, number: int) -> str:
    side = text(f"playground.votes.{SIDES[number]}")
    if not duel.is_open:
        return side
    model = model_words(store, voted_model(duel.target, duel.order[number]), duel.target.run_id)
    return text("playground.votes.revealed", side=side, model=model)


def _hidden(column: Column) -> str:
    """The line under a nameless answer: how far it is, but no counts, since speed tells the models apart."""
    words = ("waiting", "answering", "broken", "stopped")
    plain = [text(f"playground.facts.{word}") for word in words]
    return column.facts if column.facts in ("", *plain) else text("playground.votes.answered")


def _said(sentences: list[str]) -> str:
    return '<div class="vote-said" role="status">' + "".join(
        f"<p>{html.escape(sentence)}</p>" for sentence in sentences) + "</div>"

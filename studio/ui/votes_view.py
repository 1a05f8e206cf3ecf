"""The votes on a run's page: how often its model was preferred, the files, and the way to a preset that learns from
them."""

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio import words
from studio.evaluation.preferences import PREFERENCES_FILE, preference_rows
from studio.evaluation.votes import VOTES_FILE, read_votes
from studio.runs.store import BASELINES, RunStore, RunView
from studio.texts import text
from studio.ui.vote_words import rate_sentences


@dataclass(frozen=True)
class VotesPart:
    """The components of the part; the button leads to the Train tab, and the note says what comes of it."""

    html: gr.HTML
    button: gr.Button
    note: gr.HTML


def build_votes() -> VotesPart:
    """Build the part, empty."""
    gr.HTML(f"<h3>{text('playground.votes.title')}</h3>", elem_classes="runs-section")
    said = gr.HTML("", elem_id="run-votes", elem_classes="flush")
    with gr.Row():
        button = gr.Button(text("playground.votes.make_preset"), visible=False, scale=0, min_width=300,
                           elem_id="run-votes-preset")
    note = gr.HTML("", elem_id="run-votes-note", elem_classes="flush")
    return VotesPart(said, button, note)


def draw_votes(part: VotesPart, store: RunStore, view: RunView) -> dict[Any, Any]:
    """Updates of the part for a run as it stands."""
    found = read_votes(view.run_dir)
    rows = len(preference_rows(found.votes))
    sentences = rate_sentences(store, found.current, view.run_id)
    sentences += _counted("open", sum(not vote.blind for vote in found.current))
    sentences += _counted("earlier", len(found.votes) - len(found.current)) + _counted("damaged", found.damaged)
    if not sentences:
        sentences = [text("playground.votes.none_untrained" if view.kind == BASELINES else "playground.votes.none")]
    links = [_link(view, VOTES_FILE, text("playground.votes.all"))] if found.votes else []
    if rows:
        links.append(_link(view, PREFERENCES_FILE, text("playground.votes.preferences", rows=words.count(rows))))
    said = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)
    said += f'<p class="runs-note">{" · ".join(links)}</p>' if links else ""
    noted = text("playground.votes.preset_note" if view.has_merged else "playground.votes.preset_unmerged")
    return {part.html: said, part.button: gr.Button(visible=rows > 0, interactive=view.has_merged),
            part.note: f'<p class="runs-note">{html.escape(noted)}</p>' if rows else ""}


def votes_mark(view: RunView) -> str:
    """Changes when a vote is added, and when the run is trained further or merged."""
    path = view.run_dir / VOTES_FILE
    trained = view.state.phases["train"].ended_at if "train" in view.state.phases else ""
    return f"{view.run_id} {path.stat().st_size if path.is_file() else 0} {trained} {view.has_merged}"


def _counted(what: str, n: int) -> list[str]:
    if not n:
        return []
    return [text(f"playground.votes.{what}_one") if n == 1 else text(f"playground.votes.{what}", n=words.count(n))]


def _link(view: RunView, name: str, label: str) -> str:
    return f'<a href="download/{view.run_id}/{name}" download>{html.escape(label)}</a>'

"""One model's side of a chat: its turns as text nodes, exactly as written, and the counts under the last answer.

Answers are hostile text, so nothing is read as HTML or markdown; line breaks and indentation stay as they are.
"""

import html
import json
from typing import Any

import gradio as gr

from studio.texts import text
from studio.ui.differences import Parts

_TEMPLATE = """<section class="transcript" aria-label="{label}"><h3>{label}</h3>
<div class="turns" role="log" aria-live="off" tabindex="0" aria-label="{label}"></div><p class="facts"></p></section>"""

_SCRIPT = """
const section = element.querySelector('section'), title = element.querySelector('h3');
const turns = element.querySelector('.turns'), facts = element.querySelector('.facts');
const add = (parent, tag, name, text) => {
  const node = parent.appendChild(document.createElement(tag));
  node.className = name;
  node.textContent = text;
  return node;
};
const draw = () => {
  const {messages, facts: counts, note, label, parts} = props.value;
  const name = label || WORDS.assistant;
  title.textContent = name;
  for (const node of [section, turns]) node.setAttribute('aria-label', name);
  const atEnd = turns.scrollHeight - turns.scrollTop - turns.clientHeight < 40;
  turns.replaceChildren();
  if (!messages.length) add(turns, 'p', 'empty', note || WORDS.empty);
  for (const message of messages) {
    const turn = add(turns, 'div', 'turn ' + message.role, '');
    add(turn, 'span', 'who', message.role === 'assistant' ? name : WORDS[message.role]);
    const marked = parts && message === messages[messages.length - 1];
    const said = add(turn, 'div', 'said', marked ? '' : message.content);
    for (const [text, differs] of marked ? parts : []) add(said, differs ? 'mark' : 'span', '', text);
    if (message.role === 'assistant' && message.content) {
      const copy = add(turn, 'button', 'copy', WORDS.copy);
      copy.type = 'button';
      const done = () => { copy.textContent = WORDS.copied; };
      copy.onclick = () => navigator.clipboard.writeText(message.content).then(done);
    }
  }
  facts.textContent = counts;
  if (atEnd) turns.scrollTop = turns.scrollHeight;
};
draw();
watch('value', draw);
"""

_STYLE = """
.transcript { border: 1px solid var(--border-color-primary); border-radius: var(--radius-lg);
  background: var(--block-background-fill); color: var(--body-text-color); }
.transcript h3 { margin: 0; padding: 0.5rem 0.75rem; border-bottom: 1px solid var(--border-color-primary); }
.turns { height: 22rem; overflow-y: auto; padding: 0.75rem; display: flex; flex-direction: column; gap: 0.75rem; }
.turns .empty { margin: auto !important; padding: 1rem; text-align: center; color: var(--body-text-color-subdued); }
.turn { display: grid; grid-template-columns: 1fr auto; gap: 0.15rem 0.5rem; }
.who { font-size: 0.8rem; font-weight: 600; color: var(--body-text-color-subdued); }
.said { grid-column: 1 / -1; min-height: 2.2rem; padding: 0.4rem 0.6rem; border-radius: var(--radius-md);
  white-space: pre-wrap; overflow-wrap: anywhere; }
.said mark { background: var(--studio-warning-fill); color: inherit; border-radius: 2px; text-decoration: underline;
  text-decoration-color: var(--studio-warning); text-underline-offset: 3px; }
.transcript[data-plain] mark { background: none; text-decoration: none; }
.user .said { background: var(--background-fill-secondary); }
.assistant .said { border-left: 3px solid var(--primary-600); border-radius: 0; }
.copy { grid-row: 1; grid-column: 2; padding: 0 0.4rem; font-size: 0.8rem; color: var(--body-text-color-subdued);
  background: none; border: 1px solid var(--border-color-primary); border-radius: var(--radius-sm); cursor: pointer; }
.copy:hover { color: var(--body-text-color); }
.facts { min-height: 2.25rem; margin: 0; padding: 0.4rem 0.75rem; font-size: 0.85rem;
  font-variant-numeric: tabular-nums; color: var(--body-text-color-subdued);
  border-top: 1px solid var(--border-color-primary); }
@media (max-width: 640px) { .turns { height: 15rem; } }
"""


def build_transcript(name: str) -> gr.HTML:
    """The side of the model `name` ("base" or "tuned"); its value is what `transcript` returns."""
    said = {"user": text("playground.you"), "assistant": text(f"playground.{name}.label")}
    said |= {"empty": text(f"playground.{name}.empty")} | {key: text(f"playground.{key}") for key in ("copy", "copied")}
    script = f"const WORDS = {json.dumps(said, ensure_ascii=False)};{_SCRIPT}"
    label = html.escape(text(f"playground.{name}.label"))
    return gr.HTML(transcript([]), html_template=_TEMPLATE.format(label=label), css_template=_STYLE, js_on_load=script,
                   elem_id=f"playground-{name}", elem_classes="flush")


def transcript(messages: list[dict[str, str]], facts: str = "", note: str = "", label: str = "",
               parts: Parts | None = None) -> dict[str, Any]:
    """The value of a transcript: `messages` with role and content, the line below, and what stands in an empty one.

    `label` names the side, "" for its model; `parts` is the last message cut up, with what to mark in it.
    """
    return {"messages": messages, "facts": facts, "note": note, "label": label, "parts": parts}

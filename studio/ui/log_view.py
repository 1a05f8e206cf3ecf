"""The live log of a run: the browser keeps the byte offset, a tick brings only what is new, as text and never HTML."""

import json
import re
from typing import Any

import gradio as gr

from studio import words
from studio.runs.store import RunStore
from studio.texts import text

# a tick a second keeps up with 4,000 lines of 125 bytes
CHUNK_BYTES = 512 * 1024
TAIL_BYTES = 64 * 1024
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)(?=[^\n])")

_TEMPLATE = """<div class="runs-log"><div class="runs-log-bar">
<button type="button" class="runs-log-follow" aria-pressed="true">{pause}</button>
<a class="runs-log-download" download>{download}</a></div>
<pre tabindex="0" role="log" aria-live="off" aria-label="{region}"></pre></div>"""

# text goes in as text nodes; blocks of some hundred lines keep laying out cheap, and the oldest are dropped
_SCRIPT = """
const KEPT = 200000, KEPT_PAUSED = 2000000, BLOCK = 8000;
const pre = element.querySelector('pre'), button = element.querySelector('button'), link = element.querySelector('a');
let follow = true, length = 0, at = -1;
const show = () => {
  button.textContent = follow ? WORDS.pause : WORDS.follow;
  button.setAttribute('aria-pressed', follow);
  if (follow) pre.scrollTop = pre.scrollHeight;
};
const draw = () => {
  const value = props.value;
  if (!value.reset && value.offset === at) return;
  // what came while the log was not on the page is missing here: ask for the end anew
  if (!value.reset && value.start !== at) { at = -1; trigger('resync'); return; }
  if (value.reset) { pre.textContent = ''; length = 0; follow = true; }
  at = value.offset;
  link.href = 'download/' + value.run + '/worker.log';
  link.hidden = !value.run;
  for (let from = 0, to; from < value.text.length; from = to) {
    to = value.text.indexOf('\\n', from + BLOCK) + 1 || value.text.length;
    const last = pre.lastElementChild;
    const block = last && !last.textContent.endsWith('\\n') ? last : pre.appendChild(document.createElement('div'));
    block.append(value.text.slice(from, to));
    length += to - from;
  }
  while (length > (follow ? KEPT : KEPT_PAUSED) && pre.childElementCount > 1) {
    length -= pre.firstElementChild.textContent.length;
    pre.firstElementChild.remove();
  }
  show();
};
button.addEventListener('click', () => { follow = !follow; show(); });
pre.addEventListener('wheel', (event) => { if (event.deltaY < 0 && follow) { follow = false; show(); } });
pre.addEventListener('keydown', (event) => {
  if (['ArrowUp', 'PageUp', 'Home'].includes(event.key) && follow) { follow = false; show(); }
});
pre.addEventListener('touchmove', () => { if (follow) { follow = false; show(); } });
draw();
watch('value', draw);
"""


def build_log() -> gr.HTML:
    """The log with its follow switch and download link.

    Its value {run, start, offset, text, reset} is the text from byte `start` to `offset`; `reset` empties the log
    first. When the browser has missed some it triggers `resync`.
    """
    words_on_it = {name: text(f"runs.log.{name}") for name in ("pause", "follow", "download", "region")}
    template = _TEMPLATE.format(**words_on_it)
    script = f"const WORDS = {json.dumps(words_on_it)};" + _SCRIPT
    return gr.HTML(empty_log(), html_template=template, js_on_load=script, elem_id="runs-log")


def empty_log() -> dict[str, Any]:
    """The value that shows nothing."""
    return {"run": "", "start": 0, "offset": 0, "text": "", "reset": True}


def log_tail(store: RunStore, run_id: str) -> dict[str, Any]:
    """The value that shows the last lines of the log anew, and goes on from there. Raises `RunError`."""
    size = store.log_size(run_id)
    start = max(0, size - TAIL_BYTES)
    chunk, offset = store.log_chunk(run_id, start, TAIL_BYTES)
    if start:
        chunk = text("runs.log.skipped", size=words.size(start)) + "\n" + chunk.partition("\n")[2]
    return {"run": run_id, "start": start, "offset": offset, "text": readable(chunk), "reset": True}


def log_delta(store: RunStore, run_id: str, value: dict[str, Any]) -> dict[str, Any] | None:
    """The value that adds what is new behind `value["offset"]`, None if nothing is.

    `value` comes from the browser: another run's, or an offset that is none, starts anew from the tail. A reader who is
    too far behind (its tab slept) jumps to the tail too. Raises `RunError`.
    """
    offset = value.get("offset")
    size = store.log_size(run_id)
    if value.get("run") != run_id or not isinstance(offset, int) or not max(0, size - CHUNK_BYTES) <= offset <= size:
        return log_tail(store, run_id)
    chunk, new_offset = store.log_chunk(run_id, offset, CHUNK_BYTES)
    if not chunk:
        return None
    return {"run": run_id, "start": offset, "offset": new_offset, "text": readable(chunk), "reset": False}


def readable(chunk: str) -> str:
    """Log text without colour codes, and of a line that was written over and over only its last state."""
    if "\x1b" in chunk:
        chunk = ESCAPES.sub("", chunk)
    # most logs have neither, and the search for what was written over is slow
    return OVERWRITTEN.sub("", chunk).replace("\r", "") if "\r" in chunk else chunk

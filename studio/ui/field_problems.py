"""Messages inside the fields of the form, each below the value that it is about.

Gradio's own ones (`validator=`) go with the next event of any kind, as the tick of the header is, within three seconds.
"""

import html
import time
from typing import Any

import gradio as gr

from studio.ui.draft import folded, problem_list
from studio.ui.form import widget_id

# fields come onto the page with their step; then what is wrong with them is drawn, too
_SCRIPT = """
const clear = (shown) => {
  for (const input of shown.parentElement.querySelectorAll('[aria-invalid]')) {
    input.removeAttribute('aria-invalid');
    input.removeAttribute('aria-describedby');
  }
  shown.remove();
};
const draw = () => {
  const problems = props.value.problems;
  for (const shown of document.querySelectorAll('.field-problem')) {
    if (!(shown.parentElement.id in problems)) clear(shown);
  }
  for (const [id, words] of Object.entries(problems)) {
    const field = document.getElementById(id);
    if (!field) continue;
    let shown = field.querySelector(':scope > .field-problem');
    if (!shown) {
      shown = field.appendChild(document.createElement('p'));
      Object.assign(shown, {className: 'field-problem', id: id + '-problem'});
      shown.setAttribute('role', 'status');
      for (const input of field.querySelectorAll('input, textarea')) {
        input.setAttribute('aria-invalid', 'true');
        input.setAttribute('aria-describedby', shown.id);
      }
    }
    if (shown.textContent !== words) shown.textContent = words;
  }
};
const drawAndGo = () => {
  draw();
  if (!props.value.go) return;
  const shown = [...document.querySelectorAll('.field-problem')].find(shown => shown.offsetParent);
  if (shown) shown.parentElement.querySelector('input, textarea, button').focus();
};
// the steps themselves may come onto the page later than this
new MutationObserver(() => { if (Object.keys(props.value.problems).length) draw(); })
  .observe(document.body, {childList: true, subtree: true});
watch('value', drawAndGo);
"""
# a step that was refused stays where the message is
TO_TOP = ("() => [...document.querySelectorAll('.field-problem')].some(shown => shown.offsetParent)"
          " || window.scrollTo({top: 0})")


def build_problems() -> gr.HTML:
    """The component that draws its value, what `field_problems` returns, into the fields; itself it shows nothing."""
    return gr.HTML(field_problems({}), html_template="<span></span>", js_on_load=_SCRIPT, elem_id="field-problems")


def refuse(found: dict[str, str]) -> dict[str, Any]:
    """The same as `field_problems` where somebody wants to go on: the keyboard goes to the first field that is seen.

    What is wrong in a fold, which may be closed, is said in a message too. For events that use the queue.
    """
    if hidden := folded(found):
        gr.Warning(html.escape(" ".join(problem_list(hidden))), title="")
    return field_problems(found, go=True)


def field_problems(found: dict[str, str], go: bool = False) -> dict[str, Any]:
    """The value of the component for what is wrong, as {dotted name: sentence}."""
    # the moment makes the same problems a new value
    return {"problems": {widget_id(name): words for name, words in found.items()}, "go": go, "at": str(time.time_ns())}

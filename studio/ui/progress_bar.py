"""A line and a bar that are changed in place: the keyboard's focus on Cancel stays, and only new words are read out."""

import html

import gradio as gr

PROGRESS_JS = """
const box = element.querySelector('.examination'), said = box.querySelector('p');
const track = box.querySelector('.track'), cancel = box.querySelector('button');
const draw = () => {
  const now = props.value || {};
  box.hidden = !now.text;
  track.hidden = !now.running;
  if (cancel) cancel.hidden = !now.running;
  if (said.textContent !== (now.text || '')) said.textContent = now.text || '';
  track.setAttribute('aria-valuenow', Math.round(100 * (now.share || 0)));
  track.firstElementChild.style.width = 100 * (now.share || 0) + '%';
};
cancel?.addEventListener('click', () => trigger('select', {}));
draw(); watch('value', draw);
"""


def build_progress(label: str, elem_id: str, cancel: str = "") -> gr.HTML:
    """The bar, hidden until its value {"text", "running", "share"} has a text; `cancel` labels a button, "" for none.

    A press of that button is its `select` event.
    """
    button = f'<button type="button" class="fix">{html.escape(cancel)}</button>' if cancel else ""
    return gr.HTML({}, html_template=f"""<div class="examination" hidden>
<p role="status"></p>
<div class="track" role="progressbar" aria-label="{html.escape(label)}" aria-valuemin="0"
 aria-valuemax="100"><span></span></div>
{button}
</div>""", js_on_load=PROGRESS_JS, elem_id=elem_id, elem_classes="flush")

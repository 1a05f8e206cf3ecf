"""How far an examination is: a bar that is changed in place, so that its Cancel button keeps the keyboard's focus."""

import html
from typing import Any

from studio import words
from studio.data.doctor_process import ExaminationState
from studio.texts import text

SOON_S = 2

PROGRESS_HTML = f"""<div class="examination" hidden>
<p role="status"></p>
<div class="track" role="progressbar" aria-label="{html.escape(text("doctor.report.progress_label"))}" aria-valuemin="0"
 aria-valuemax="100"><span></span></div>
<button type="button" class="fix">{html.escape(text("doctor.report.cancel"))}</button>
</div>"""
PROGRESS_JS = """
const box = element.querySelector('.examination'), said = box.querySelector('p');
const track = box.querySelector('.track'), cancel = box.querySelector('button');
const draw = () => {
  const now = props.value || {};
  box.hidden = !now.text;
  track.hidden = cancel.hidden = !now.running;
  if (said.textContent !== (now.text || '')) said.textContent = now.text || '';
  track.setAttribute('aria-valuenow', Math.round(100 * (now.share || 0)));
  track.firstElementChild.style.width = 100 * (now.share || 0) + '%';
};
cancel.addEventListener('click', () => trigger('select', {}));
draw(); watch('value', draw);
"""


def progress_of(state: ExaminationState, seconds: float) -> dict[str, Any]:
    """The bar's value for an examination that began `seconds` ago; the time left is told once it can be guessed."""
    rows = words.count(state.rows)
    if state.done:
        said = "" if state.error or not state.report else text("doctor.report.done", rows=rows)
        return {"running": False, "share": 1.0, "text": said}
    if not state.rows:
        return {"running": True, "share": 0.0, "text": text("doctor.report.starting")}
    said = text(f"doctor.report.{state.part}", rows=rows)
    if seconds > SOON_S and 0.02 < state.share < 1:
        left = words.rough_duration(seconds * (1 - state.share) / state.share)
        said += ", " + text("doctor.report.left", share=words.percent(state.share), time=left)
    return {"running": True, "share": round(state.share, 3), "text": said}

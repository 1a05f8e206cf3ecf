"""How far an examination is, as the value of its bar."""

from typing import Any

from studio import words
from studio.data.doctor_process import ExaminationState
from studio.texts import text

SOON_S = 2


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

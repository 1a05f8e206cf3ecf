"""A look ahead at work in a thread of its own: what it does now, and about how long it still takes."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from studio import words
from studio.preset.schema import Preset
from studio.settings import Settings
from studio.start import Outlook, look_ahead
from studio.texts import text

TICK_S = 0.5
# until this server has measured it: the first look with a model fetches its tokenizer
FIRST_S, AGAIN_S = 12, 4
NOTHING = {"text": "", "running": False, "share": 0.0}

_usual = {True: FIRST_S, False: AGAIN_S}
_known: set[str] = set()


class Looking:
    """The look ahead at a preset, from its making on. `outlook` waits for its end."""

    def __init__(self, preset: Preset, settings: Settings, token: str | None):
        self._model = preset.model.model_name_or_path
        self._part = "rows"
        self._is_first = self._model not in _known
        self._began = time.monotonic()
        executor = ThreadPoolExecutor(1)
        self._outlook = executor.submit(look_ahead, preset, settings, token, self._note)
        executor.shutdown(wait=False)

    def progress(self) -> Iterator[dict[str, Any]]:
        """The bar's value twice a second until the look has ended; none where it ends at once."""
        while wait([self._outlook], TICK_S).not_done:
            yield progress_of(self._part, self._model, time.monotonic() - self._began, _usual[self._is_first])
        took = time.monotonic() - self._began
        # what was remembered, and a look that failed, says nothing of the next
        if took > TICK_S and self._outlook.exception() is None:
            _usual[self._is_first] = took
            _known.add(self._model)

    def outlook(self) -> Outlook:
        """What was seen. Raises what `look_ahead` raises."""
        return self._outlook.result()

    def _note(self, part: str) -> None:
        self._part = part


def progress_of(part: str, model: str, seconds: float, usual: float) -> dict[str, Any]:
    """The bar's value for a look that is at `part` after `seconds`, where the last one of its kind took `usual`."""
    left = usual - seconds
    time_left = text("train.check.left", time=words.rough_duration(left)) if left > 1 else text("train.check.longer")
    said = text(f"train.check.looks.{part}", model=words.plain(model, 60))
    return {"running": True, "share": round(min(seconds / usual, 0.95), 3), "text": f"{said}, {time_left}"}

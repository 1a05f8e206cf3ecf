"""Has a run's data examined beside the loading of its model, so that each run folder holds the data doctor's report.

Where nobody examined just these data before: from the command line that are files above 20 MB, and the Hub's.
"""

import os
from types import TracebackType

from studio import words
from studio.data import doctor_client, doctor_reports
from studio.data.doctor_client import Examination
from studio.data.sources import is_hub
from studio.errors import DataError, StudioError
from studio.worker.phase import Phase

SAID_EACH_S = 2
# for what an examination that is ended early has to say
LAST_WORDS_S = 10


class RunExamination:
    """An examination that goes on while the block works; at its end the report of all rows is in the run folder.

    Nothing is done where a report is there already or the rows are those of an earlier start (`resuming`). Where the
    block fails, the report is that of the rows that were read until then. What keeps the data from being examined is a
    warning: the training itself says what it cannot use.
    """

    def __init__(self, phase: Phase, resuming: bool):
        self._phase = phase
        self._wanted = not resuming and not (phase.run_dir / doctor_reports.REPORT_FILE).exists()
        self._running: Examination | None = None

    def __enter__(self) -> "RunExamination":
        if not is_hub(self._phase.preset.data.dataset_name):
            self.begin()
        return self

    def begin(self) -> None:
        """Start it; data sets of the Hub are examined once they are downloaded, not twice over the network."""
        if self._wanted:
            self._wanted, phase = False, self._phase
            try:
                self._running = doctor_client.examination(phase.preset, phase.settings, os.environ.get("HF_TOKEN"))
            except DataError as error:
                self._warn(error)

    def __exit__(self, failed: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._running is None:
            return
        if failed:
            self._running.cancel()
            self._running.wait(LAST_WORDS_S)
        else:
            self._wait(self._running)
        state = self._running.state()
        if state.report is not None and state.done:
            doctor_reports.write(state.report, self._phase.run_dir / doctor_reports.REPORT_FILE)
        elif state.error is not None and not failed:
            self._warn(state.error)

    def _warn(self, error: StudioError) -> None:
        self._phase.journal.warning(f"The run has no report on its data. {error.message}")

    def _wait(self, running: Examination) -> None:
        while not (state := running.wait(SAID_EACH_S)).done:
            self._phase.journal.progress("train", 0, 0, "", f"Examining the data, {words.percent(state.share)} of "
                                         + ("the rows" if state.part == "reading" else "the tokens"))

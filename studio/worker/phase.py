"""One phase of a run in its own process: set the environment, do the work, and say in the journal how it ended."""

import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from studio.errors import StudioError
from studio.preset import files
from studio.preset.schema import Preset
from studio.runs.events import EventWriter, RunStage
from studio.settings import Settings
from studio.worker import environment, failures

EXIT_DEFECT, EXIT_STUDIO_ERROR = 1, 3


@dataclass(frozen=True)
class Phase:
    """What a worker works on: the run folder, its preset, the studio's folders, and the journal it writes.

    `notes` are the reservations that the report of a comparison carries.
    """

    name: str
    run_dir: Path
    preset: Preset
    settings: Settings
    journal: EventWriter
    notes: list[str] = field(default_factory=list)

    def say(self, message: str) -> None:
        """Tell log and journal what is being done now, while there is nothing to count yet."""
        print(message, flush=True)
        self.journal.progress(self.name, 0, 0, "", message)

    def note(self, message: str, told: str = "") -> None:
        """Warn of what a reader of the figures must know. The report, which may be published, keeps the message, or
        what it is `told` instead.
        """
        self.journal.warning(message)
        self.notes.append(told or message)


def run_phase(name: str, run_dir: Path) -> int:
    """Do one phase of the run; returns the exit code. The run folder lies in `<data_dir>/runs`."""
    settings = Settings(data_dir=run_dir.parent.parent)
    environment.prepare(settings)
    journal = EventWriter(run_dir)
    started = time.monotonic()
    try:
        preset = files.load(run_dir / "preset.yaml")
        journal.stage(RunStage.RUNNING, name)
        result = _work(Phase(name, run_dir, preset, settings, journal))
        journal.done(name, result | {"seconds": round(time.monotonic() - started, 1)})
        return 0
    except StudioError as error:
        print(f"{error.message} {error.hint}".strip(), file=sys.stderr)
        journal.error(name, error.message, error.hint)
        return EXIT_STUDIO_ERROR
    except Exception as error:
        traceback.print_exc()
        journal.error(name, *failures.explain(error))
        return EXIT_DEFECT
    finally:
        journal.close()


def _work(phase: Phase) -> dict:
    """Do the phase and return its facts; each module brings in torch and Unsloth when it is imported."""
    if phase.name == "gguf":
        from studio.worker import gguf_export
        return gguf_export.export(phase)
    if phase.name == "parity":
        from studio.worker import parity
        return parity.compare(phase)
    phase.say("Starting Unsloth")
    if phase.name == "train":
        from studio.worker import sft
        return sft.train(phase)
    if phase.name == "evaluate":
        from studio.worker import evaluate
        return evaluate.evaluate(phase)
    if phase.name == "baselines":
        from studio.worker import baselines
        return baselines.try_baselines(phase)
    from studio.worker import merge
    return merge.merge(phase)

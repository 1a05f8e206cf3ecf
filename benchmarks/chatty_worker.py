"""A worker that only talks: 1,000 log lines a second, each opening with the time it was written, and ten steps.

Started by the real supervisor in place of `studio.worker`: `python -m benchmarks.chatty_worker PHASE RUN_DIR`.
"""

import sys
import time
from pathlib import Path

from studio.runs.events import EventWriter, RunStage

LINES_PER_S, BATCH, LIMIT_S = 1000, 10, 300
FILLER = "x" * 80


def main(phase: str, run_dir: Path) -> int:
    """Write until asked to stop, or for LIMIT_S seconds."""
    journal = EventWriter(run_dir)
    journal.stage(RunStage.RUNNING, phase)
    start = time.monotonic()
    for batch in range(LIMIT_S * LINES_PER_S // BATCH):
        time.sleep(max(0.0, start + batch * BATCH / LINES_PER_S - time.monotonic()))
        now, first = time.monotonic(), batch * BATCH
        print("\n".join(f"{now:.4f} line {first + line} {FILLER}" for line in range(BATCH)), flush=True)
        if batch % 10 == 0:
            journal.log(batch // 10 + 1, {"loss": 2.0, "learning_rate": 2e-4})
            journal.progress(phase, batch // 10, LIMIT_S * 10, "steps")
            if (run_dir / "stop_request").exists():
                break
    journal.done(phase, {"stopped": True})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))

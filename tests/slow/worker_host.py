"""Does phases of runs one after the other in one process, so that Unsloth is imported once for many tests.

Reads `PHASE RUN_DIR` lines and answers each with the exit code; output goes to the run's worker.log, as in a real run.
"""

import os
import sys
from pathlib import Path

from studio.worker.phase import run_phase


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    environment = dict(os.environ)
    for line in sys.stdin:
        phase, run_dir = line.split(maxsplit=1)
        log = os.open(Path(run_dir.strip()) / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        code = run_phase(phase, Path(run_dir.strip()))
        sys.stdout.flush()
        sys.stderr.flush()
        os.environ.clear()
        os.environ.update(environment)
        print(code, file=answers)


if __name__ == "__main__":
    main()

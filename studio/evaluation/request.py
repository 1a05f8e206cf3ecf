"""What a comparison was asked to use: `evaluate.json` in the run folder, written by the page or the command line."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "evaluate.json"


@dataclass(frozen=True)
class EvaluateRequest:
    """The data set whose rows are asked, "" for the run's own held-out rows, and another model to compare with
    (see other.py), "" for none."""

    data: str = ""
    against: str = ""


def write_request(run_dir: Path, request: EvaluateRequest) -> None:
    """Note what was asked for; replaces an earlier request."""
    partial = run_dir / f".{FILE}.{os.getpid()}"
    partial.write_text(json.dumps(asdict(request)) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / FILE)


def forget_request(run_dir: Path) -> None:
    """Compare on the run's own held-out rows again, with no other run."""
    (run_dir / FILE).unlink(missing_ok=True)


def read_request(run_dir: Path) -> EvaluateRequest:
    """What was asked for last."""
    try:
        return EvaluateRequest(**json.loads((run_dir / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return EvaluateRequest()

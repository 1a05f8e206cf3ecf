"""What a comparison was asked to use: `evaluate.json` in the run folder, written by the page or the command line."""

import json
import os
from pathlib import Path


def write_request(run_dir: Path, data: str) -> None:
    """Note the data set whose rows shall be asked, "" for the run's own held-out rows; replaces an earlier request."""
    partial = run_dir / f".evaluate.json.{os.getpid()}"
    partial.write_text(json.dumps({"data": data}) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / "evaluate.json")


def read_request(run_dir: Path) -> str:
    """The data set that was asked for last; "" where there was none."""
    try:
        return json.loads((run_dir / "evaluate.json").read_text(encoding="utf-8"))["data"]
    except FileNotFoundError:
        return ""

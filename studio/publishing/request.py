"""What a push was asked to do: `publish.json` in the run folder, written by the page or the command line."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from studio.preset.schema import Preset
from studio.publishing.release import What


@dataclass(frozen=True)
class PublishRequest:
    """Where to, for whom to see, and which of the run's models. Never a token."""

    repo_id: str
    private: bool = True
    what: What = "merged"


def write_request(run_dir: Path, request: PublishRequest) -> None:
    """Note the request, in place of an earlier one."""
    partial = run_dir / f".publish.json.{os.getpid()}"
    partial.write_text(json.dumps(asdict(request), indent=2) + "\n", encoding="utf-8")
    os.replace(partial, run_dir / "publish.json")


def read_request(run_dir: Path, preset: Preset) -> PublishRequest:
    """The last request, or what the preset asks for where there was none."""
    try:
        return PublishRequest(**json.loads((run_dir / "publish.json").read_text(encoding="utf-8")))
    except FileNotFoundError:
        section = preset.publish
        return PublishRequest(section.hub_model_id, section.hub_private_repo, section.what)

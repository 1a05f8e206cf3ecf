"""`python -m studio.publishing RUN_DIR`: push a run's model to the Hub, as its publish.json or preset asks.

With `--space` make the demo Space that its space.json asks for instead.

The token comes from HF_TOKEN or from `hf auth login`. STUDIO_PUSH_SILENCE_S is how long nothing may move.
"""

import argparse
import os
import sys
from pathlib import Path

from studio.settings import Settings


def main() -> int:
    """Entry point; exit code 0 pushed and compared, 3 refused or failed with a known cause, 1 a defect."""
    parser = argparse.ArgumentParser(prog="studio.publishing", description="Push a run's model to the Hub.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--space", action="store_true", help="make the demo Space instead")
    arguments = parser.parse_args()
    run_dir = arguments.run_dir.resolve()
    # with the bars off the client also stops telling how far an upload is
    os.environ.pop("HF_HUB_DISABLE_PROGRESS_BARS", None)
    silence_s = Settings.from_environment().push_silence_s
    if arguments.space:
        from studio.publishing.space import make_space
        return make_space(run_dir, silence_s)
    from studio.publishing.push import publish
    return publish(run_dir, silence_s)


if __name__ == "__main__":
    sys.exit(main())

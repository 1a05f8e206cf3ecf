"""Entry point on a Gradio Space: add what a Space cannot install by itself, then build and launch the studio."""

import subprocess
import sys
from importlib.util import find_spec

from studio.app import launch
from studio.settings import PROJECT_DIR, Settings


def ensure_unsloth() -> None:
    """Install unsloth into this environment where it is missing (a Space's disk is empty after each restart).

    A Space runs `pip install -r requirements.txt` only; requirements-unsloth.txt says why unsloth is not part of that.
    Raises `CalledProcessError` after pip has said what went wrong.
    """
    if find_spec("unsloth") is not None:
        return
    print("Installing unsloth, once per start of this Space: about half a minute.", flush=True)
    requirements = PROJECT_DIR / "requirements-unsloth.txt"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-cache-dir",
         "--no-warn-script-location", "--disable-pip-version-check", "-r", str(requirements)],
        check=True)


if __name__ == "__main__":
    ensure_unsloth()
    launch(Settings.from_environment())

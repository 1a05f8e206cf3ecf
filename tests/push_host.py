"""Pushes as it is told, each in a forked process of its own, so that many pushes pay for the imports once.

`python -m tests.push_host` reads a JSON object a line: {"run_dir"} runs the publish phase of a run, {"folder",
"repo_id"} pushes the files of a folder; with "token", "silence_s", "log" and "hurry", by which the client's waits are
divided. It answers two lines: the process id, then exit code and peak memory in kB. Its first line of all is the
version of the Hub's client.
"""

import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from studio.settings import PROJECT_DIR

DONE, REFUSED, SILENT = 0, 3, 4


class PushHost:
    """The host's process, from the test's side."""

    def __init__(self, environment: dict[str, str], folder: Path):
        self.log = folder / "push.log"
        self.process = subprocess.Popen([sys.executable, "-m", "tests.push_host"], cwd=PROJECT_DIR, env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.client = self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def begin(self, **asked: object) -> int:
        """Start a push; returns its process id."""
        self.process.stdin.write(json.dumps(asked | {"log": str(self.log)}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> tuple[int, int]:
        """Wait for the push; returns exit code (-9 for a killed one) and peak memory in kB."""
        code, memory_kb = self.process.stdout.readline().split()
        return int(code), int(memory_kb)

    def push(self, **asked: object) -> tuple[int, int]:
        self.begin(**asked)
        return self.end()

    def output(self) -> str:
        """What the last push printed."""
        return self.log.read_text()


def main() -> None:
    # all that a push imports, before the first one
    import huggingface_hub

    from studio.publishing import push  # noqa: F401

    print(huggingface_hub.__version__, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_in_child(asked))
        print(child, flush=True)
        _, status, usage = os.wait4(child, 0)
        print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, flush=True)


def _in_child(asked: dict) -> int:
    log = os.open(asked["log"], os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ["HF_TOKEN"] = asked["token"]
    waits, hurry = time.sleep, asked.get("hurry", 1)
    time.sleep = lambda seconds: waits(seconds / hurry)
    try:
        return _publish(asked) if "run_dir" in asked else _push(asked)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _publish(asked: dict) -> int:
    from studio.publishing.push import publish

    return publish(Path(asked["run_dir"]), asked["silence_s"])


def _push(asked: dict) -> int:
    from studio.errors import HubError
    from studio.publishing.push import Watchdog
    from studio.publishing.release import ReleaseFile
    from studio.publishing.upload import Destination, push_files

    leave: Callable = lambda error: os._exit(SILENT)  # noqa: E731
    watchdog = Watchdog(asked["silence_s"], leave)
    watchdog.start()
    folder = Path(asked["folder"])
    files = [ReleaseFile(path, path.name, path.stat().st_size) for path in sorted(folder.iterdir())]
    try:
        push_files(files, Destination(asked["repo_id"]), asked["token"], message=f"version {folder.name}",
                   on_progress=lambda progress: watchdog.alive(progress.doing))
    except HubError as error:
        print(error)
        return REFUSED
    return DONE


if __name__ == "__main__":
    main()

"""The playground's inference process: loads a base model with its adapter once and answers as either until it is ended.

`python -m studio.worker infer STATUS_FILE --run-dir DIR [--checkpoint NAME] [--rival-dir DIR]` or `... --model NAME`,
with the key in STUDIO_INFER_KEY. It listens on 127.0.0.1 at a port it chooses and tells in STATUS_FILE how far it is.
It ends by itself when nobody asks for a while or when the process that started it is gone; SIGTERM ends it at once.
"""

import argparse
import json
import math
import os
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.errors import StudioError
from studio.settings import Settings
from studio.worker import environment, failures

EXIT_DEFECT, EXIT_STUDIO_ERROR = 1, 3
SHUTDOWN_S = 2


class Status:
    """Writes STATUS_FILE, replacing it in one step; `stage` is loading, ready, failed or ended."""

    def __init__(self, path: Path):
        self._path = path

    def write(self, stage: str, **values: Any) -> None:
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        partial.write_text(json.dumps({"stage": stage, **values}), encoding="utf-8")
        os.replace(partial, self._path)

    def loading(self, message: str) -> None:
        """Tell status file and log what is being done now."""
        print(message, flush=True)
        self.write("loading", message=message)


@dataclass
class Watchdog:
    """Ends the process when its parent is gone or nobody has asked for `idle_minutes`; loading may take longer."""

    parent: int
    idle_minutes: float
    status: Status
    last_use: float = math.inf

    def start(self) -> None:
        threading.Thread(target=self._watch, daemon=True).start()

    def touch(self) -> None:
        """Somebody uses the model."""
        self.last_use = time.monotonic()

    def _watch(self) -> None:
        while os.getppid() == self.parent:
            if time.monotonic() - self.last_use > self.idle_minutes * 60:
                self.status.write(
                    "ended", message=f"Unloaded because nobody asked anything for {self.idle_minutes:g} minutes.")
                break
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2 * SHUTDOWN_S)
        os._exit(EXIT_DEFECT)


def main(argv: list[str]) -> int:
    """Load, then serve until ended; exit code 3 for a cause the person can mend, 1 for a defect."""
    parser = argparse.ArgumentParser(prog="studio.worker infer")
    parser.add_argument("status_file", type=Path)
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--checkpoint", default="", help="checkpoint-N; empty takes the run's final weights")
    parser.add_argument("--rival-dir", type=Path, help="a second run on the same base model, to answer as its rival")
    parser.add_argument("--model", default="", help="base model: Hub id, folder or .gguf file")
    parser.add_argument("--idle-minutes", type=float, default=30)
    parser.add_argument("--parent", type=int, default=os.getppid(),
                        help="end when this process is no longer the parent")
    arguments = parser.parse_args(argv)
    status = Status(arguments.status_file)
    watchdog = Watchdog(arguments.parent, arguments.idle_minutes, status)
    watchdog.start()
    settings = Settings.from_environment()
    environment.prepare(settings)
    try:
        status.loading("Starting")
        serve(_answerer(arguments, settings, status), watchdog)
        return 0
    except StudioError as error:
        print(f"{error.message} {error.hint}".strip(), file=sys.stderr)
        status.write("failed", message=error.message, hint=error.hint)
        return EXIT_STUDIO_ERROR
    except Exception as error:
        traceback.print_exc()
        message, hint = failures.explain(error)
        status.write("failed", message=message, hint=hint)
        return EXIT_DEFECT


def serve(answerer: Any, watchdog: Watchdog) -> None:
    """Answer over HTTP until a signal ends the process; "ready" is written once a request would be accepted."""
    import uvicorn

    from studio.worker.chat_app import build_chat_app

    key = os.environ.pop("STUDIO_INFER_KEY")
    app = build_chat_app(answerer, key, watchdog.touch)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        model = next(iter(answerer.models.values()))
        watchdog.touch()
        watchdog.status.write(
            "ready", port=listener.getsockname()[1], models=list(answerer.models), context=answerer.context,
            device=str(model.device), dtype=str(model.dtype).removeprefix("torch."))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=SHUTDOWN_S)
        uvicorn.Server(config).run(sockets=[listener])


def _answerer(arguments: argparse.Namespace, settings: Settings, status: Status) -> Any:
    """Load what the arguments name. Raises `StudioError`."""
    status.loading("Importing Unsloth")
    from studio.worker import chat_models

    if arguments.run_dir:
        return chat_models.load_run(
            arguments.run_dir, arguments.checkpoint, settings, status.loading, arguments.rival_dir)
    return chat_models.load_model(arguments.model, settings, status.loading)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Stands in for the inference process: same arguments, status file, key and protocol, but answers by a script.

`settings.worker_module = "tests.fake_infer"` puts it in place. An answer repeats the prompt and counts words, 100 a
second ("slowly": 5); a number in the prompt says how many. Asked "blindly" it does not say who it is, and the tuned
model counts backwards. Base models of certain names behave badly: see `MODELS`.
"""

import argparse
import json
import os
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WORD_S, SLOW_WORD_S = 0.01, 0.2
MODELS = {"fails": "refuses to load with a cause", "dies": "ends without a word", "slow": "waits for a file go_on",
          "deaf": "does not hear SIGTERM"}


def main(argv: list[str]) -> int:
    """Play one inference process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["infer"])
    parser.add_argument("status_file", type=Path)
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--rival-dir", type=Path)
    parser.add_argument("--model", default="")
    parser.add_argument("--idle-minutes", type=float)
    parser.add_argument("--parent", type=int)
    arguments = parser.parse_args(argv)

    def say(stage: str, **values: object) -> None:
        partial = arguments.status_file.with_name(".status")
        partial.write_text(json.dumps({"stage": stage, **values}))
        os.replace(partial, arguments.status_file)

    say("loading", message="Loading a script")
    if arguments.model == "fails":
        say("failed", message="fails cannot be loaded: it is a test.", hint="Choose another model.")
        return 3
    if arguments.model == "dies":
        print("RuntimeError: the script ends here")
        return 1
    if arguments.model == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while arguments.model == "slow" and not arguments.status_file.with_name("go_on").exists():
        time.sleep(0.01)
    names = (["base", "tuned"] if arguments.run_dir else ["base"]) + ["rival"] * bool(arguments.rival_dir)
    key = os.environ["STUDIO_INFER_KEY"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(key, names))
    threading.Thread(target=die_with, args=(arguments.parent,), daemon=True).start()
    say("ready", port=server.server_port, models=names, context=2048, device="cpu", dtype="bfloat16")
    server.serve_forever()
    return 0


def die_with(parent: int) -> None:
    """End when the parent is gone."""
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)


def handler(key: str, names: list[str]) -> type[BaseHTTPRequestHandler]:
    """The protocol of `studio.worker.chat_app`, as far as the studio's server uses it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.headers["Authorization"] != f"Bearer {key}":
                self._json(401, {"error": {"message": "The key is missing or wrong.", "hint": ""}})
            elif self.path == "/render":
                self._json(200, {"prompt": "".join(f"<|{m['role']}|>{m['content']}\n" for m in body["messages"])})
            elif body["model"] not in names:
                self._json(400, {"error": {"message": f'There is no model "{body["model"]}" here.', "hint": ""}})
            else:
                self._answer(body)

        def _answer(self, body: dict) -> None:
            prompt = body["messages"][-1]["content"]
            found = re.search(r"\d+", prompt)
            said = f"{body['model']} heard: {prompt}".split(" ")
            said += [str(i) for i in range(int(found[0]) if found else 5)]
            if "blindly" in prompt:
                said = said[:3:-1] if body["model"] == "tuned" else said[4:]
            said = said[:body["max_tokens"]]
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            try:
                for i, word in enumerate(said):
                    self._event({"content": word if i == 0 else f" {word}"})
                    time.sleep(SLOW_WORD_S if "slowly" in prompt else WORD_S)
                counts = {"prompt_tokens": 9, "completion_tokens": len(said), "total_tokens": 9 + len(said)}
                timings = {"first_token_s": WORD_S, "total_s": WORD_S * len(said), "tokens_per_s": 1 / WORD_S}
                self._event({"content": ""}, "stop", counts, timings)
            except OSError:
                print("hung up", flush=True)

        def _event(self, delta: dict, finish: str | None = None, usage: dict | None = None,
                   timings: dict | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            chunk = {"choices": [choice], "usage": usage, "timings": timings}
            self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())

        def _json(self, code: int, values: dict) -> None:
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(values).encode())

        def log_message(self, *args: object) -> None:
            """Keep the log for what the tests look for."""

    return Handler


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

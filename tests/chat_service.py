"""A small real HTTP server that speaks the OpenAI chat protocol as well, or as badly, as a test scripts it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Said:
    """What the service sends back: a status, a body (JSON, or text as it is), headers; None breaks the connection."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class ChatService:
    """`url` to ask at; in order, the bodies received and their headers Authorization and Accept-Encoding."""

    url: str
    requests: list[dict] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    encodings: list[str | None] = field(default_factory=list)


def completion(text: str | None, finish_reason: str = "stop", usage: tuple[int, int] | None = (7, 3)) -> dict:
    """The body of an answer."""
    counted = {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1]}} if usage else {}
    return {"object": "chat.completion", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}], **counted}


@contextmanager
def serve_chats(answer: Callable[[dict], Said | None]) -> Iterator[ChatService]:
    """Serve `answer(request body)` on a free port of this machine while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                service.requests.append(body)
                service.keys.append(self.headers.get("Authorization"))
                service.encodings.append(self.headers.get("Accept-Encoding"))
            said = answer(body) if self.path == "/v1/chat/completions" else Said({}, 404)
            if said is None:
                self.connection.close()
                return
            content = said.body.encode() if isinstance(said.body, str) else json.dumps(said.body).encode()
            self.send_response(said.status)
            for name, value in said.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        # where only five may wait to be accepted, one more connects a second later
        request_queue_size, daemon_threads = 128, True

    lock = threading.Lock()
    server = Server(("127.0.0.1", 0), Handler)
    service = ChatService(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""OpenAI's chat protocol over one `Answerer`, for the studio's own server on the same machine; a key is required.

Beyond OpenAI: every answer carries `timings`, the last chunk of a stream carries `usage` and `timings`, an error
carries a `hint`, and `/render` returns the exact prompt. One answer is generated at a time, the others wait.
"""

import asyncio
import json
import secrets
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from studio.errors import AccessError, ModelError, StudioError
from studio.worker.answerer import Answer, Answerer, Sampling

POLL_S = 0.1


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(extra="forbid")
    role: Literal["system", "user", "assistant", "tool", "developer"]
    content: str


class RenderRequest(BaseModel):
    """A chat whose prompt shall be shown."""

    model_config = ConfigDict(extra="forbid")
    messages: list[Message] = Field(min_length=1)


class ChatRequest(RenderRequest):
    """A chat to be answered; `seed` counts only with a temperature above 0."""

    model: str
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(256, ge=1, le=32_768)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    stream: bool = False


def build_chat_app(answerer: Answerer, key: str, touch: Callable[[], None]) -> FastAPI:
    """The app; `touch` is called whenever somebody asks or reads something."""

    def admit(authorization: Annotated[str, Header()] = "") -> None:
        if not secrets.compare_digest(authorization.encode(), f"Bearer {key}".encode()):
            raise AccessError("The key is missing or wrong.", "Only the studio that started this process may ask it.")
        touch()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, dependencies=[Depends(admit)])
    # one thread: generation is serial, and switching the adapter must not happen under another answer
    lane = ThreadPoolExecutor(max_workers=1)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        data = [{"id": name, "object": "model", "owned_by": "studio"} for name in answerer.models]
        return {"object": "list", "data": data}

    @app.post("/render")
    async def render(request: RenderRequest) -> dict[str, str]:
        return {"prompt": answerer.prompt(_plain(request))[0]}

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(request: ChatRequest, connection: Request) -> StreamingResponse | dict[str, Any]:
        if request.model not in answerer.models:
            raise ModelError(f'There is no model "{request.model}" here.', f"Ask one of: {', '.join(answerer.models)}.")
        _, ids = answerer.prompt(_plain(request))
        sampling = Sampling(request.temperature, request.top_p, request.max_tokens, request.seed)
        loop, cancelled, pieces = asyncio.get_running_loop(), threading.Event(), asyncio.Queue()

        def on_text(text: str) -> None:
            touch()
            loop.call_soon_threadsafe(pieces.put_nowait, text)

        def work() -> Answer | None:
            return None if cancelled.is_set() else answerer.answer(request.model, ids, sampling, on_text, cancelled)

        answer = loop.run_in_executor(lane, work)
        if request.stream:
            return StreamingResponse(_stream(request.model, answer, pieces, cancelled), media_type="text/event-stream")
        while not answer.done() and not await connection.is_disconnected():
            await asyncio.wait([answer], timeout=POLL_S)
        cancelled.set()
        return _completion(request.model, await answer)

    @app.exception_handler(StudioError)
    async def refuse(request: Request, error: StudioError) -> JSONResponse:
        return JSONResponse(_error(error), 401 if isinstance(error, AccessError) else 400)

    @app.exception_handler(RequestValidationError)
    async def refuse_body(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        return JSONResponse(_error(ModelError(f"{name}: {first['msg']}.", "Correct the request.")), 400)

    return app


async def _stream(model: str, answer: "asyncio.Future[Answer | None]", pieces: asyncio.Queue,
                  cancelled: threading.Event) -> AsyncIterator[str]:
    """Server-sent events of one answer. Closed by a client that hangs up, it ends the generation."""
    facts = {"id": f"chatcmpl-{secrets.token_hex(8)}", "object": "chat.completion.chunk", "created": int(time.time()),
             "model": model, "usage": None, "timings": None}
    answer.add_done_callback(lambda _: pieces.put_nowait(None))
    try:
        while (text := await pieces.get()) is not None:
            yield _event(facts | {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})
        result = await answer
        last = {"index": 0, "delta": {"content": ""}, "finish_reason": result.finish_reason}
        yield _event(facts | {"choices": [last]} | _counts(result))
    except StudioError as error:
        yield _event(_error(error))
    except Exception as error:
        traceback.print_exc()
        cause = f"The model failed to answer: {type(error).__name__}: {error}."
        yield _event(_error(ModelError(cause, "Load it again.")))
    finally:
        cancelled.set()
    yield "data: [DONE]\n\n"


def _event(values: dict[str, Any]) -> str:
    return f"data: {json.dumps(values, ensure_ascii=False)}\n\n"


def _completion(model: str, answer: Answer | None) -> dict[str, Any]:
    """A whole answer in OpenAI's shape; empty where the client hung up before its turn came."""
    if answer is None:
        return {}
    message = {"role": "assistant", "content": answer.text}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    return {"id": f"chatcmpl-{secrets.token_hex(8)}", "object": "chat.completion", "created": int(time.time()),
            "model": model, "choices": [choice]} | _counts(answer)


def _counts(answer: Answer) -> dict[str, Any]:
    return {
        "usage": {"prompt_tokens": answer.prompt_tokens, "completion_tokens": answer.completion_tokens,
                  "total_tokens": answer.prompt_tokens + answer.completion_tokens},
        "timings": {"first_token_s": round(answer.first_token_s, 3), "total_s": round(answer.total_s, 3),
                    "tokens_per_s": round(answer.tokens_per_s, 2)}}


def _error(error: StudioError) -> dict[str, Any]:
    return {"error": {"message": error.message, "hint": error.hint, "type": type(error).__name__, "code": None}}


def _plain(request: RenderRequest) -> list[dict[str, str]]:
    return [message.model_dump() for message in request.messages]

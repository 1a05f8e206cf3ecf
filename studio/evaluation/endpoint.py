"""A model behind an OpenAI-compatible address: many chats asked at once, with patience for a busy service.

The key goes into the request's header and nowhere else: no message here quotes a request, and where a service quotes
the key in its own words it is struck out.
"""

import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from studio import words
from studio.errors import EndpointError

ENDPOINT_KEY, JUDGE_KEY = "ENDPOINT_API_KEY", "JUDGE_API_KEY"
# the variables of the addresses that the keys of the environment belong to
HOMES = {ENDPOINT_KEY: "ENDPOINT_BASE_URL", JUDGE_KEY: "JUDGE_BASE_URL"}
OPENAI_URL = "https://api.openai.com/v1"
ATTEMPTS = 4
# a service that says it is busy is waited for longer than one that fails
BUSY_PATIENCE_S = 300
LONGEST_WAIT_S = 60
REPLY_BYTES = 4_000_000
# a packed reply of a few bytes may unpack into gigabytes
HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
REFUSALS = 3
# so many rows that fail before any was answered tell that the service is down
FIRST_ROWS = 2
SAID_CHARACTERS = 200
KEY_HINT = ("Paste the key at the start of a run, beside its button to resume, or under \"Compare with…\"; or set it "
            "in the environment together with the address it belongs to: ENDPOINT_API_KEY and ENDPOINT_BASE_URL, "
            "JUDGE_API_KEY and JUDGE_BASE_URL.")
UNPROTECTED_HINT = "No key is sent over http to another machine, where others could read it: give an https address."

Chat = list[dict[str, Any]]


@dataclass(frozen=True)
class Service:
    """Where to ask: base address, the model's name there, key ("" for none), requests at once, seconds to wait."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    at_once: int = 4
    timeout_s: float = 60

    @property
    def host(self) -> str:
        """The part of the address that a person knows it by."""
        return urlsplit(self.url).netloc

    @property
    def is_private(self) -> bool:
        """Whether nobody between here and there can read along: the way is https, or stays on this machine."""
        scheme, host, _ = _origin(self.url)
        return scheme == "https" or host == "localhost" or _is_loopback(host)


@dataclass(frozen=True)
class Reply:
    """What came back for one chat, in `seconds`; `cut` says the length limit ended it.

    Token counts are None where the service does not tell. `refused` is its reason for answering nothing, else "".
    """

    text: str
    prompt_tokens: int | None
    tokens: int | None
    seconds: float
    cut: bool
    refused: str = ""


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


def _none_for_wrong(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


# what nobody could have counted is not told: sums and prices are reckoned from it
_Count = Annotated[Annotated[int, Field(ge=0, le=10**9)] | None, WrapValidator(_none_for_wrong)]


class _Usage(BaseModel):
    prompt_tokens: _Count = None
    completion_tokens: _Count = None


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: Annotated[_Usage | None, WrapValidator(_none_for_wrong)] = None


@dataclass(frozen=True)
class _Trouble:
    """A failure that may pass: what happened, seconds to wait before the next try (None: as the tries go).

    `of_row` where one row alone may be the cause, as where its answer takes too long.
    """

    what: str
    busy: bool = False
    wait_s: float | None = None
    of_row: bool = False


def pasted(name: str) -> str:
    """The variable in which a key pasted at the start of a run travels to the run's processes, in place of `name`."""
    return f"PASTED_{name}"


def key_for(name: str, url: str, environ: Mapping[str, str] = os.environ) -> str:
    """The key for a service: the one pasted for this run, else that of the variable `name`, else OPENAI_API_KEY.

    "" for none. Who pastes a key sees the address in the preset. The keys of the environment are only sent where they
    belong, to ENDPOINT_BASE_URL, JUDGE_BASE_URL and OPENAI_BASE_URL: a preset from elsewhere must not draw them to its
    own address.
    """
    if key := environ.get(pasted(name), "").strip():
        return key
    homes = {name: environ.get(HOMES[name], ""), "OPENAI_API_KEY": environ.get("OPENAI_BASE_URL") or OPENAI_URL}
    for variable, home in homes.items():
        key = environ.get(variable, "").strip()
        if key and home and _origin(url) == _origin(home):
            return key
    return ""


def ask_all(service: Service, chats: list[Chat], max_tokens: int, answered_before: bool = False,
            first_wait_s: float = 1.0) -> Iterator[tuple[int, Reply]]:
    """Ask each chat greedily and yield (its index, reply) as the replies come.

    The first chat is asked alone, and where it fails one other, so that a service that is down is soon found out; one
    that has answered others before is known to work. A row on which a working service fails is one that it refuses.
    Raises `EndpointError` where `REFUSALS` rows in a row have failed, where the service is not there, or where it
    refuses whatever it is asked; replies that came are yielded before that.
    """
    _require_key(service)
    asker = _Asker(service, max_tokens, first_wait_s, answered_before, min(FIRST_ROWS, len(chats)))
    refused, answered = 0, int(answered_before)
    with asker.client, ThreadPoolExecutor(service.at_once) as pool:
        try:
            for part in (range(len(chats))[:1], range(len(chats))[1:2], range(len(chats))[2:]):
                waiting = {pool.submit(asker.ask, chats[i]): i for i in part}
                for future in as_completed(waiting):
                    reply = future.result()
                    if reply is None:
                        continue
                    yield waiting[future], reply
                    refused, answered = refused + bool(reply.refused), answered + (not reply.refused)
                    if not answered and refused == min(REFUSALS, len(chats)):
                        asker.give_up(f"refuses every request: {reply.refused}",
                                      "Check the model's name and the longest answer.")
                if asker.failure:
                    raise asker.failure
        finally:  # also where the caller stops listening
            asker.given_up.set()


class _Asker:
    """Asks one service from several threads; they share what was learned of it and when it wants to be left alone."""

    def __init__(self, service: Service, max_tokens: int, first_wait_s: float, works: bool = False,
                 first_rows: int = FIRST_ROWS):
        self._service, self._first_wait_s = service, first_wait_s
        self._key = service.key if service.is_private else ""
        key = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        self.client = httpx.Client(headers=HEADERS | key, timeout=service.timeout_s)
        self.given_up = threading.Event()
        self.failure: EndpointError | None = None
        self._settings: dict[str, Any] = {"model": service.model, "temperature": 0, "max_tokens": max_tokens}
        self._quiet_until = 0.0
        self._works, self._first_rows = works, first_rows
        self._failed_rows = 0  # since the last answer
        self._lock = threading.Lock()

    def ask(self, chat: Chat) -> Reply | None:
        """The reply to one chat, after as many tries as it takes; None once the service is given up."""
        failed, began = 0, time.monotonic()
        attempts = ATTEMPTS if self._works or not self._failed_rows else 1
        while not self.given_up.wait(max(0.0, self._quiet_until - time.monotonic())):
            reply = self._try(chat)
            if reply is None:
                continue
            if isinstance(reply, Reply):
                if not reply.refused:
                    with self._lock:
                        self._works, self._failed_rows = True, 0
                return reply
            failed += 1
            wait_s = reply.wait_s if reply.wait_s is not None else self._first_wait_s * 2 ** min(failed - 1, 5)
            if reply.busy and time.monotonic() - began + wait_s > BUSY_PATIENCE_S:
                self.give_up(reply.what)
            if not reply.busy and (failed >= attempts or wait_s > LONGEST_WAIT_S):
                return self._fail(reply)
            if reply.busy:  # the other threads would only make it worse
                self._quiet_until = time.monotonic() + wait_s
            self.given_up.wait(wait_s)
        return None

    def _fail(self, trouble: _Trouble) -> Reply | None:
        """What has failed for good: a row that the service refuses, or the service, which is then given up."""
        with self._lock:
            self._failed_rows += 1
            of_row = trouble.of_row and self._failed_rows < (REFUSALS if self._works else self._first_rows)
        if of_row:
            # tries and waits are no time that an answer takes
            return Reply("", None, None, 0.0, cut=False, refused=trouble.what)
        self.give_up(trouble.what)
        return None

    def give_up(self, what: str, hint: str = "Compare again later: what it has answered is kept.") -> None:
        """No more requests; the first cause is the one that is told."""
        if not self.given_up.is_set():
            self.failure = EndpointError(f"{self._service.host} {what}.", hint)
            self.given_up.set()

    def _try(self, chat: Chat) -> Reply | _Trouble | None:
        """One request: its reply, a trouble that may pass, or None: to be asked otherwise, or given up."""
        began, sent = time.monotonic(), dict(self._settings)
        try:
            response, body = self._post({"messages": chat, **sent}, began)
        except httpx.TimeoutException:
            return _Trouble(f"has not answered within {words.duration(self._service.timeout_s)}", of_row=True)
        except httpx.ConnectError:
            return _Trouble("cannot be reached")
        except httpx.DecodingError:
            return _Trouble("sends packed replies, though it is asked not to")
        except httpx.RequestError:
            return _Trouble("broke off the connection", of_row=True)
        except (httpx.InvalidURL, UnicodeError):
            self.give_up("has an address that leads nowhere", "Check the address.")
            return None
        status = response.status_code
        if status == 200:
            return self._read(body, time.monotonic() - began)
        said = self._said(body)
        if status == 429 and "quota" not in said:
            return _Trouble(f"says that it is asked too often{said}", busy=True, wait_s=_retry_after(response))
        if status in (408, 409, 425) or status >= 500:
            return _Trouble(f"fails with status {status}{said}", wait_s=_retry_after(response),
                            of_row=status not in (502, 503))
        if status in (401, 403):
            self.give_up(f"refuses the key{said}" if self._key else f"asks for a key{said}",
                         KEY_HINT if self._service.is_private else UNPROTECTED_HINT)
        elif status < 400:
            self.give_up("sends its visitors to another address", "Give the address that it leads to.")
        elif status in (404, 405, 429):
            self.give_up(f"answers with status {status}{said}",
                         "Check the address, which mostly ends in /v1, the model's name, and what the account allows.")
        elif not self._adapt(sent, said):
            return Reply("", None, None, time.monotonic() - began, cut=False, refused=f"status {status}{said}")
        return None

    def _post(self, content: dict[str, Any], began: float) -> tuple[httpx.Response, bytes]:
        """The response and its body, which has neither for ever nor any size."""
        # httpx would fail on half a surrogate pair, which rows may hold
        sent = json.dumps(content).encode()
        with self.client.stream("POST", f"{self._service.url}/chat/completions", content=sent) as response:
            if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                raise httpx.DecodingError("packed")
            body = b""
            for piece in response.iter_raw():
                body += piece
                if time.monotonic() - began > self._service.timeout_s:
                    raise httpx.ReadTimeout("it drips")
                if len(body) > REPLY_BYTES:
                    raise httpx.ReadError("it never ends")
        return response, body

    def _read(self, body: bytes, seconds: float) -> Reply | _Trouble:
        try:
            completion = _Completion.model_validate_json(body)
            choice = completion.choices[0]
        except (ValidationError, IndexError):
            return _Trouble("does not answer as an OpenAI-compatible service does; is the address right", of_row=True)
        usage = completion.usage
        return Reply((choice.message.content or "").strip(), usage and usage.prompt_tokens,
                     usage and usage.completion_tokens, seconds, cut=choice.finish_reason == "length")

    def _adapt(self, sent: dict[str, Any], said: str) -> bool:
        """Newer models name the length limit otherwise and set the temperature themselves: ask as they want it."""
        if "max_completion_tokens" in said and "max_tokens" in sent:
            self._settings = {name: value for name, value in sent.items() if name != "max_tokens"} | {
                "max_completion_tokens": sent["max_tokens"]}
            return True
        if "temperature" in said and "temperature" in sent:
            self._settings = {name: value for name, value in sent.items() if name != "temperature"}
            return True
        return False

    def _said(self, body: bytes) -> str:
        """The service's own words of an error, without the key, as the end of a sentence; "" where it has none."""
        try:
            said = str(_Refusal.model_validate_json(body).error.message)
        except ValidationError:
            return ""
        if self._service.key:
            said = said.replace(self._service.key, "[key]")
        return f" ({words.plain(said, SAID_CHARACTERS)})" if said.strip() else ""


class _Refused(BaseModel):
    message: str


class _Refusal(BaseModel):
    error: _Refused


def _require_key(service: Service) -> None:
    """A key with a line break or a letter that no header holds would be refused with the key in the refusal."""
    if service.key and not (service.key.isascii() and service.key.isprintable() and " " not in service.key):
        raise EndpointError(f"The key for {service.host} holds characters that no key has.", "Copy it anew.")


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds the service asks to wait, given as such or as a date; None where it says nothing readable."""
    value = response.headers.get("Retry-After", "")
    try:
        if value.replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port (None: the usual one), read as they are for a request; empty where none could be sent."""
    try:
        read = httpx.URL(url.strip())
    except (httpx.InvalidURL, UnicodeError):
        return "", "", None
    return read.scheme, read.raw_host.decode("ascii"), read.port


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

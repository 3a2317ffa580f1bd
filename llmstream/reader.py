"""The strict reader of Ollama's chat stream: a request out, typed chunks in, every fault an error.

What the usual stack takes for a complete answer (no `done: true`, no `done_reason`) is `UpstreamTruncated` here; a line
that is no JSON is `UpstreamProtocol`; silence is `UpstreamTimeout` or `UpstreamStalled`. All lines that came in one
read are handed over together.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import weakref
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

from llmstream.chunks import Chunk, LastChunk, decode, not_ollama, safe_text
from llmstream.errors import (
    ModelNotFound,
    UpstreamBusy,
    UpstreamEmpty,
    UpstreamError,
    UpstreamStalled,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llmstream.events import json_value

# How long to wait, after `done: true`, for the end of the body that lets the connection be used again.
_DRAIN_S = 0.1

# No line of Ollama's is as long: it holds one token, or one tool call.
_LINE_BYTES = 16 * 2**20


class PromptTooLong(UpstreamError):
    """The prompt does not fit the context, and truncation was not allowed."""


class Disconnected(UpstreamUnreachable):
    """The connection ended before an answer began: Ollama was restarted or killed, so asking once more may help."""


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where Ollama is and how long it may take; `options` go to aiohttp's request (`headers`, `ssl`, `proxy` …)."""

    url: str
    connect_timeout_s: float = 5
    first_token_timeout_s: float = 300
    token_timeout_s: float = 60
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shown_url(self) -> str:
        """The address without a user's name and password."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


async def read_chat(connection: Connection, body: Mapping[str, Any], receive: Callable[[list[Chunk]], None]) -> None:
    """One request to `/api/chat`: `receive` gets its chunks, in lists of those that came together.

    Returns after the one that ends with a `LastChunk`. Cancelling closes the connection, which makes Ollama stop.
    Raises the `UpstreamError` subclasses, `ModelNotFound`, `PromptTooLong`, and whatever `receive` raises; what came
    before the fault was handed over before.
    """
    # A tool call is generated in silence, so there only the first token's limit can tell a stall.
    silence_s = connection.first_token_timeout_s if body.get("tools") else connection.token_timeout_s
    with _Watchdog(connection.first_token_timeout_s) as watchdog:
        async with _open(connection, body, watchdog) as response:
            lines = _Lines(receive, watchdog, silence_s)
            with _handed_on(response.content, lines):
                await lines.last
                await _drain(response, lines)


async def read_version(connection: Connection) -> str:
    """The version of the Ollama that answers; raises `UpstreamUnreachable`, or `UpstreamProtocol`."""
    session = await _session()
    timeout = aiohttp.ClientTimeout(total=connection.connect_timeout_s)
    try:
        async with session.get(f"{connection.url}/api/version", timeout=timeout, **connection.options) as response:
            return str((await response.json())["version"])
    except (aiohttp.ContentTypeError, ValueError, KeyError, TypeError) as error:
        raise not_ollama("an answer without a version") from error
    except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
        raise unreachable(connection) from error


class _Lines:
    """Takes the bytes of a body as they come, and hands over the chunks of its whole lines.

    last: done when the last chunk has been handed over, or with the error that came instead. eof: done at the end of
    the body.
    """

    def __init__(self, receive: Callable[[list[Chunk]], None], watchdog: _Watchdog, silence_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.last: asyncio.Future[None] = self._loop.create_future()
        self.eof: asyncio.Future[None] = self._loop.create_future()
        self.surplus = False  # whether more came after the last chunk
        self._receive = receive
        self._watchdog = watchdog
        self._silence_s = silence_s
        self._started = False
        self._gathering = False
        self._gathered: list[bytes] = []
        self._begun: list[bytes] = []  # of a line whose end has not come
        self._size = 0
        watchdog.watch(self.fail)

    def feed(self, data: bytes) -> None:
        """A piece of the body.

        The first one in a turn of the loop is looked at at once, because where tokens come one by one there is no
        other, and with many streams a turn takes long; the rest that one read of the socket brings, together.
        """
        if self._gathering:
            self._gathered.append(data)
        else:
            self._gathering = True
            self._loop.call_soon(self._turn, context=self._context)
            self._context.run(self._look, data)

    def _turn(self) -> None:
        self._gathering = False
        if self._gathered:
            data, self._gathered = b"".join(self._gathered), []
            self._look(data)

    def end(self, error: UpstreamError | None = None) -> None:
        """The body has ended, or was broken off with this error."""
        self._context.run(self._turn)
        if error is None and self._begun and not self.last.done():  # a body that is not streamed has no newline
            self._hand_over(b"".join(self._begun))
        self.fail(
            error
            or UpstreamTruncated("The answer broke off: Ollama ended the stream without saying that it was complete.")
        )
        if not self.eof.done():
            self.eof.set_result(None)

    def fail(self, error: Exception) -> None:
        """Nothing more is handed over; where the last chunk has been, this says nothing new."""
        if not self.last.done():
            self.last.set_exception(error)

    def _look(self, data: bytes) -> None:
        if self.last.done():
            self.surplus = True
            return
        self._watchdog.heard_at = self._loop.time()
        complete, newline, rest = data.rpartition(b"\n")
        if newline:
            if self._begun:
                complete = b"".join([*self._begun, complete])
            self._begun = [rest] if rest else []
            self._size = len(rest)
            self._hand_over(complete)
        else:
            self._begun.append(rest)
            self._size += len(rest)
            if self._size > _LINE_BYTES:
                self.fail(not_ollama(f"a line of more than {_LINE_BYTES} bytes"))

    def _hand_over(self, complete: bytes) -> None:
        chunks, error = decode(complete)
        try:
            if chunks:
                if not self._started:
                    self._begin(chunks)
                self._receive(chunks)
        except Exception as raised:
            return self.fail(raised)
        if error is not None:
            self.fail(error)
        elif chunks[-1].done and not self.last.done():
            self.last.set_result(None)

    def _begin(self, chunks: list[Chunk]) -> None:
        self._started = True
        self._watchdog.started(self._silence_s)
        last = chunks[0]
        if isinstance(last, LastChunk) and last.done_reason in ("load", "unload"):
            raise UpstreamEmpty("Ollama loaded or unloaded the model instead of answering. Ask again.")


# Who reads a body that is handed on as it comes.
_readers: dict[aiohttp.StreamReader, _Lines] = {}


class _Body(aiohttp.StreamReader):
    """A body that is handed on as it comes.

    aiohttp's own keeps it until a task has been woken for it, and parses once more to see whether there is more; with
    one token a read that would be a third of all that the token costs. The class of aiohttp's body is changed to this
    one, so it has no slots of its own.
    """

    __slots__ = ()

    def feed_data(self, data: bytes, size: int = 0) -> bool:
        if (lines := _readers.get(self)) is not None:
            lines.feed(data)
        return False

    def begin_http_chunk_receiving(self) -> None:
        """Nobody asks where chunks end."""

    def end_http_chunk_receiving(self) -> None:
        """Nobody asks where chunks end."""

    def feed_eof(self) -> None:
        super().feed_eof()
        if (lines := _readers.get(self)) is not None:
            lines.end()

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        super().set_exception(exc, *cause)
        if (lines := _readers.get(self)) is not None:
            lines.end(_cut(exc))


@contextmanager
def _handed_on(content: aiohttp.StreamReader, lines: _Lines) -> Generator[None]:
    """Hand on a body: what has come of it, and what will."""
    if not content.at_eof():
        while data := content._read_nowait(-1):  # read_nowait would raise before it hands out what came before a cut
            lines.feed(data)
    if (error := content.exception()) is not None:
        lines.end(_cut(error))
    elif content.is_eof():
        lines.end()
    else:
        content.__class__ = _Body
        _readers[content] = lines
    try:
        yield
    finally:
        _readers.pop(content, None)
        if not lines.last.cancelled() and lines.last.done():
            lines.last.exception()  # somebody who was cancelled meanwhile did not see it, and asyncio would complain


def _cut(error: BaseException) -> UpstreamTruncated:
    truncated = UpstreamTruncated("The answer broke off: the connection to Ollama was cut.")
    truncated.__cause__ = error
    return truncated


@asynccontextmanager
async def _open(
    connection: Connection, body: Mapping[str, Any], watchdog: _Watchdog
) -> AsyncGenerator[aiohttp.ClientResponse, None]:
    """The response to the request, with status 200; closed at the end whatever happens."""
    session = await _session()
    timeout = aiohttp.ClientTimeout(total=None, connect=connection.connect_timeout_s)
    try:
        response = await session.post(
            f"{connection.url}/api/chat",
            data=_encode(body),
            timeout=timeout,
            allow_redirects=False,  # Ollama sends none; following one would lose the body, or take it elsewhere
            **connection.options,
        )
    except asyncio.CancelledError:
        watchdog.raise_if_it_was_me()
        raise
    except aiohttp.InvalidURL as error:
        raise UpstreamUnreachable(f"{connection.shown_url} is not an address. Set OLLAMA_HOST.") from error
    except aiohttp.ServerDisconnectedError as error:
        raise Disconnected("Ollama closed the connection without an answer. Ask again.") from error
    except aiohttp.ClientResponseError as error:
        raise not_ollama("an answer that is not HTTP") from error
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(connection) from error
    try:
        watchdog.watch(lambda error: response.close())
        if response.status != 200:
            raise await _status_error(response, body)
        yield response
    finally:
        response.close()  # gives the connection back where the whole body was read, else cuts it


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(body)
    except (UnicodeEncodeError, TypeError):  # a lone surrogate, or a value of a chain's own type
        return msgspec.json.encode(json_value(body))


async def _status_error(response: aiohttp.ClientResponse, body: Mapping[str, Any]) -> UpstreamError | ModelNotFound:
    try:
        async with asyncio.timeout(_DRAIN_S * 10):
            text = (await response.content.read(64 * 1024)).decode("utf-8", "replace")
    except (TimeoutError, aiohttp.ClientError, OSError):
        text = ""
    try:
        error = json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):
        return not_ollama(f"HTTP status {response.status} without Ollama's error text")
    if response.status == 404:
        return model_not_found(str(body.get("model", "")))
    if response.status == 503:
        return UpstreamBusy("Ollama's queue is full (OLLAMA_MAX_QUEUE). Ask again in a moment.")
    if "input length exceeds the context length" in str(error):
        return PromptTooLong("The prompt is longer than the model's context. Shorten it, or raise num_ctx.")
    return UpstreamError(f"Ollama refused the request (status {response.status}): {safe_text(error)}")


def model_not_found(model: str) -> ModelNotFound:
    """The error for a model that has not been pulled, with the command that pulls it."""
    return ModelNotFound(f"The model {model!r} is not there. Get it with `ollama pull {model}`.")


def unreachable(connection: Connection) -> UpstreamUnreachable:
    """The error for an address where nothing listens, with what to do."""
    return UpstreamUnreachable(
        f"Ollama is not running at {connection.shown_url}. Start it with `ollama serve`, or run with --demo "
        "(in Python: `with llmstream.demo():`)."
    )


def _too_slow(limit_s: float) -> UpstreamTimeout:
    return UpstreamTimeout(
        f"Ollama sent nothing for {limit_s:g} s. It may be loading a large model or serving others: "
        "try again, or raise LLMSTREAM_FIRST_TOKEN_TIMEOUT_S. If the model answers nobody, restart Ollama."
    )


async def _drain(response: aiohttp.ClientResponse, lines: _Lines) -> None:
    """Wait for the end of the body, so that the connection can serve again; a server that holds it open loses it."""
    try:
        if not lines.eof.done():
            async with asyncio.timeout(_DRAIN_S):
                await lines.eof
    except TimeoutError:
        response.close()
    if lines.surplus:
        response.close()  # more after the end: not to be trusted with another request


class _Watchdog:
    """Ends a silence of `limit_s` seconds: the waiting for a response, then the response; one timer for all reads.

    heard_at: when something came, in the loop's time.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._started = False
        self._expired = False
        self._fail: Callable[[UpstreamError], None] | None = None
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self._timer = self._loop.call_later(limit_s, self._check)

    def watch(self, fail: Callable[[UpstreamError], None]) -> None:
        """From now on this is called with what the silence means; until now the task is cancelled."""
        self._fail = fail

    def started(self, limit_s: float) -> None:
        """The first chunk is there: from now on this limit holds."""
        self._started = True
        self._limit_s = limit_s
        self._timer.cancel()
        self._timer = self._loop.call_later(limit_s, self._check)

    def raise_if_it_was_me(self) -> None:
        """In the task, after it was cancelled while it waited for the response."""
        if self._expired and self._task is not None and self._task.uncancel() == 0:
            raise self._error() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def _error(self) -> UpstreamError:
        if not self._started:
            return _too_slow(self._limit_s)
        return UpstreamStalled(f"The answer stopped: Ollama sent nothing more for {self._limit_s:g} s. Ask again.")

    def _check(self) -> None:
        left_s = self.heard_at + self._limit_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check)
            return
        self._expired = True
        if self._fail is not None:
            self._fail(self._error())
        elif self._task is not None:
            self._task.cancel()


_sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[aiohttp.ClientSession, None]]
_sessions = weakref.WeakKeyDictionary()
_open_sessions: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession]
_open_sessions = weakref.WeakKeyDictionary()


async def _session() -> aiohttp.ClientSession:
    """The running loop's session: no limit on connections, closed when the loop shuts down its generators."""
    loop = asyncio.get_running_loop()
    session = _open_sessions.get(loop)
    if session is None or session.closed:
        _sessions[loop] = keeper = _keep_session()
        _open_sessions[loop] = session = await anext(keeper)
    return session


async def _keep_session() -> AsyncGenerator[aiohttp.ClientSession, None]:
    """A session for as long as this generator lives: `asyncio.run` and its like close open generators at the end.

    So a script that never heard of the session leaves none unclosed.
    """
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=30),
        headers={"content-type": "application/json"},
        cookie_jar=aiohttp.DummyCookieJar(),  # Ollama sets none
    ) as session:
        try:
            yield session
        finally:  # a session holds its loop, so it would be kept for ever
            loop = asyncio.get_running_loop()
            _open_sessions.pop(loop, None)
            _sessions.pop(loop, None)

"""The strict reader of Ollama's chat stream: bytes in, typed chunks out, every departure from the protocol an error.

What the usual stack takes for a complete answer (no `done: true`, no `done_reason`) is `UpstreamTruncated` here; a line
that is no JSON is `UpstreamProtocol`; silence is `UpstreamTimeout` or `UpstreamStalled`. All lines that came in one
read are handed over together.
"""

from __future__ import annotations

import asyncio
import json
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

from llmstream.errors import (
    ModelNotFound,
    UpstreamBusy,
    UpstreamError,
    UpstreamProtocol,
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

# Texts of Ollama that name no path and no prompt, so a person may see them. Others are replaced.
_SAFE_TEXTS = (
    "an error was encountered while running the model",
    "does not support",
    "invalid model name",
    "model is required",
    "must be of type",
    "model requires more system memory",
    "invalid message format",
    "server busy",
    "unexpected EOF",
)


class PromptTooLong(UpstreamError):
    """The prompt does not fit the context, and truncation was not allowed."""


class Disconnected(UpstreamUnreachable):
    """The connection ended before an answer began: Ollama was restarted or killed, so asking once more may help."""


class Message(msgspec.Struct, gc=False):
    """A piece of the assistant's message."""

    content: str = ""
    thinking: str = ""
    tool_calls: list[dict[str, Any]] | None = None


class Chunk(msgspec.Struct, gc=False):
    """One line of the stream."""

    message: Message | None = None
    done: bool = False
    error: Any = None
    logprobs: list[Any] | None = None


class LastChunk(Chunk, gc=False, omit_defaults=True):
    """The line with `done: true`: counts, and durations in nanoseconds."""

    model: str = ""
    created_at: str = ""
    done_reason: str = ""
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int | None = None
    prompt_eval_duration: int = 0
    eval_count: int | None = None
    eval_duration: int = 0


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


async def read_chat(connection: Connection, body: Mapping[str, Any]) -> AsyncGenerator[list[Chunk], None]:
    """One request to `/api/chat`: its chunks, in lists of those that came together; the last one is a `LastChunk`.

    Closing the generator closes the connection, which makes Ollama stop. Raises the `UpstreamError` subclasses,
    `ModelNotFound`, and `PromptTooLong`; what came before the fault was handed over before.
    """
    # A tool call is generated in silence, so there only the first token's limit can tell a stall.
    silence_s = connection.first_token_timeout_s if body.get("tools") else connection.token_timeout_s
    with _Watchdog(connection.first_token_timeout_s) as watchdog:
        async with _open(connection, body, watchdog) as response:
            begun: list[bytes] = []  # of a line whose end has not come
            size = 0
            while data := await _read(response, watchdog):
                complete, newline, rest = data.rpartition(b"\n")
                if not newline:
                    begun.append(rest)
                    size += len(rest)
                    if size > _LINE_BYTES:
                        raise _not_ollama(f"a line of more than {_LINE_BYTES} bytes")
                    continue
                chunks, error = _decode(b"".join([*begun, complete]))
                begun, size = [rest] if rest else [], len(rest)
                if chunks:
                    watchdog.started(silence_s)
                    yield chunks
                if error is not None:
                    raise error
                if chunks[-1].done:
                    await _drain(response)
                    return
            if begun:  # a body that is not streamed ends without a newline
                chunks, error = _decode(b"".join(begun))
                if chunks:
                    yield chunks
                if error is not None:
                    raise error
                if chunks[-1].done:
                    return
    raise UpstreamTruncated("The answer broke off: Ollama ended the stream without saying that it was complete.")


async def read_version(connection: Connection) -> str:
    """The version of the Ollama that answers; raises `UpstreamUnreachable`, or `UpstreamProtocol`."""
    session = await _session()
    timeout = aiohttp.ClientTimeout(total=connection.connect_timeout_s)
    try:
        async with session.get(f"{connection.url}/api/version", timeout=timeout, **connection.options) as response:
            return str((await response.json())["version"])
    except (aiohttp.ContentTypeError, ValueError, KeyError, TypeError) as error:
        raise _not_ollama("an answer without a version") from error
    except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
        raise unreachable(connection) from error


async def _read(response: aiohttp.ClientResponse, watchdog: _Watchdog) -> bytes:
    """What one socket read brought, b"" at the end of the body; after a cut first what had arrived before it."""
    content = response.content
    try:
        data = await content.readany()
    except (aiohttp.ClientError, OSError) as error:
        # aiohttp raises before it hands out what it has already taken from the socket.
        if left := content._read_nowait(-1):
            return left
        if watchdog.expired:
            raise watchdog.error() from None
        raise UpstreamTruncated("The answer broke off: the connection to Ollama was cut.") from error
    watchdog.touch()
    return data


def _decode(lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
    """The chunks of complete lines, up to the one with `done: true` or the first fault, and that fault."""
    try:
        chunks = _decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError):
        chunks = None
    if chunks is not None and _plain(chunks, lines):
        return chunks, None
    return _decode_one_by_one(lines)


_decode_lines = msgspec.json.Decoder(Chunk).decode_lines


def _plain(chunks: list[Chunk], lines: bytes) -> bool:
    """Whether every line is a message and none of them is the last."""
    if len(chunks) != lines.count(b"\n") + 1:  # the decoder passes over empty lines
        return False
    return all(chunk.message is not None and not chunk.done and chunk.error is None for chunk in chunks)


def _decode_one_by_one(lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
    chunks: list[Chunk] = []
    for line in lines.split(b"\n"):
        try:
            chunk = _decode_line(line)
        except ValueError:  # msgspec's and json's errors are ValueErrors
            return chunks, _not_ollama("a line that is not one of its messages")
        if chunk.error is not None:
            return chunks, _error_line(chunk.error)
        if isinstance(chunk, LastChunk) and not chunk.done_reason:
            return chunks, UpstreamTruncated("The answer broke off: Ollama gave no reason for its end.")
        chunks.append(chunk)
        if chunk.done:
            break
    return chunks, None


def _decode_line(line: bytes) -> Chunk:
    try:
        chunk = msgspec.json.decode(line, type=Chunk)
        if chunk.done:
            return msgspec.json.decode(line, type=LastChunk)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Invalid UTF-8 becomes U+FFFD; a lone surrogate may find its other half in the next chunk.
        fields = json.loads(line.decode("utf-8", "replace"))
        chunk = msgspec.convert(fields, Chunk)
        if chunk.done:
            return msgspec.convert(fields, LastChunk)
    if chunk.message is None and chunk.error is None:
        raise ValueError("a line without a message")
    return chunk


def _not_ollama(what: str) -> UpstreamProtocol:
    return UpstreamProtocol(
        f"Expected Ollama's chat stream, got {what}. "
        "Check that OLLAMA_HOST is an Ollama, not another server or a proxy's page."
    )


def _error_line(error: object) -> UpstreamError:
    return UpstreamError(f"Ollama broke off the answer: {safe_text(error)}")


def safe_text(error: object) -> str:
    """Ollama's own text where it is known to hold no path and no prompt."""
    text = error if isinstance(error, str) else ""
    known = any(part in text for part in _SAFE_TEXTS) and "/" not in text and "\\" not in text
    return text[:200] if known else "it reported an error. Its log says more (`ollama serve` prints it)."


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
        raise _not_ollama("an answer that is not HTTP") from error
    except (aiohttp.ClientError, OSError) as error:
        raise unreachable(connection) from error
    try:
        watchdog.watch(response)
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
        return _not_ollama(f"HTTP status {response.status} without Ollama's error text")
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


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read up to the end of the body, so that the connection can serve again; a server that holds it open loses it."""
    try:
        async with asyncio.timeout(_DRAIN_S):
            if await response.content.readany():
                response.close()  # more after the end: not to be trusted with another request
    except (TimeoutError, aiohttp.ClientError, OSError):
        response.close()


class _Watchdog:
    """Ends a silence of `limit_s` seconds: the waiting for a response, then the response; one timer for all reads."""

    def __init__(self, limit_s: float) -> None:
        self.expired = False
        self._limit_s = limit_s
        self._started = False
        self._response: aiohttp.ClientResponse | None = None
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        self._touched = self._loop.time()
        self._timer = self._loop.call_later(limit_s, self._check)

    def watch(self, response: aiohttp.ClientResponse) -> None:
        """The response is there."""
        self._response = response

    def touch(self) -> None:
        """Something came."""
        self._touched = self._loop.time()

    def started(self, limit_s: float) -> None:
        """The first chunk is there: from now on this limit holds."""
        if not self._started:
            self._started = True
            self._limit_s = limit_s
            self._timer.cancel()
            self._timer = self._loop.call_later(limit_s, self._check)

    def raise_if_it_was_me(self) -> None:
        """In the task, after it was cancelled while it waited for the response."""
        if self.expired and self._task is not None and self._task.uncancel() == 0:
            raise self.error() from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()

    def error(self) -> UpstreamError:
        """What the silence means."""
        if not self._started:
            return _too_slow(self._limit_s)
        return UpstreamStalled(f"The answer stopped: Ollama sent nothing more for {self._limit_s:g} s. Ask again.")

    def _check(self) -> None:
        left_s = self._touched + self._limit_s - self._loop.time()
        if left_s > 0:
            self._timer = self._loop.call_later(left_s, self._check)
            return
        self.expired = True
        if self._response is not None:
            self._response.close()
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

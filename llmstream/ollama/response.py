"""The response to a chat, taken as it comes: chunks handed over, errors told, a silence ended, a flood held."""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable, Mapping
from typing import Any

from llmstream.concurrency import Watchdog
from llmstream.errors import ModelNotFound, UpstreamBusy, UpstreamEmpty, UpstreamError
from llmstream.ollama.chunks import Chunk, LastChunk, decode, error_text
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.names import how_to_get
from llmstream.ollama.server_kinds import OLLAMA
from llmstream.ollama.waiting import Waiting

# How long the text of an error may take after its status, and how many bytes of it are looked at.
_ERROR_S = 1
_ERROR_BYTES = 64 * 2**10

# No line of Ollama's is as long: it holds one token, or one tool call.
_LINE_BYTES = 16 * 2**20


class PromptTooLong(UpstreamError):
    """The prompt does not fit the context, and truncation was not allowed."""


# Takes chunks that came together, and gives what to wait for before more are brought, if anything.
Receive = Callable[[list[Chunk]], asyncio.Future[None] | None]


class ChatResponse:
    """A `Receiver` of the response: hands over the chunks of its whole lines, and ends a silence that is too long.

    waiting: what is told until the first chunk comes, and learns from the last one. last: done when the last chunk has
    been handed over, or with the error that came instead. eof: done at the end of the body.
    """

    transport: asyncio.Transport  # from when on it is read

    def __init__(
        self, endpoint: Endpoint, body: Mapping[str, Any], receive: Receive, waiting: Waiting | None = None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.last: asyncio.Future[None] = self._loop.create_future()
        self.eof: asyncio.Future[None] = self._loop.create_future()
        self._endpoint = endpoint
        self._server = endpoint.server
        self._model = str(body.get("model", ""))
        self._receive = receive
        self._waiting = waiting
        self._status = 0
        self._started = self._paused = False
        self._begun: list[bytes] = []  # of a line whose end has not come, or of an error's text
        self._size = 0
        # A tool call is generated in silence, so there only the first token's limit can tell a stall.
        self._silence_s = endpoint.first_token_timeout_s if body.get("tools") else endpoint.token_timeout_s
        self._limit_s = endpoint.first_token_timeout_s
        self._heard_at = self._loop.time()
        self._watchdog = Watchdog()
        self._watchdog.start(self._due, self._expire)

    def leave(self) -> None:
        """Ends the watching for silence: the request is over, or its caller has gone."""
        self._watchdog.stop()
        if self.last.done() and not self.last.cancelled():
            self.last.exception()  # who was cancelled meanwhile did not see it, and asyncio would complain

    def head(self, status: int) -> None:
        """Takes the status: the body is the answer, or an error."""
        self._status = status
        self._heard_at = self._loop.time()
        if status != 200:
            self._limit(_ERROR_S)

    def feed(self, data: bytes) -> None:
        """Hands over the chunks of the whole lines in a piece of the body."""
        try:
            self._context.run(self._feed, data)
        except Exception as raised:  # nobody hears of it in a callback of the loop's, and somebody waits
            self._fail(raised)

    def end(self, error: UpstreamError | None) -> None:
        """Hands over the rest, or the error."""
        try:
            self._context.run(self._end, error)
        except Exception as raised:  # as above
            self._fail(raised)
        if not self.eof.done():
            self.eof.set_result(None)

    def _feed(self, data: bytes) -> None:
        if self.last.done():
            return None
        if self._status != 200:
            return self._keep_unfinished(data)
        if self._is_heard(data):
            self._heard_at = self._loop.time()
        complete, newline, rest = data.rpartition(b"\n")
        if newline:
            if self._begun:
                complete = b"".join([*self._begun, complete])
            self._begun = [rest] if rest else []
            self._size = len(rest)
            self._take(*self._decode(complete))
        else:
            self._keep_unfinished(data)

    def _keep_unfinished(self, data: bytes) -> None:
        self._begun.append(data)
        self._size += len(data)
        if self._status != 200 and self._size > _ERROR_BYTES:
            self._fail(self._refusal())
        elif self._size > _LINE_BYTES:
            self._fail(self._server.protocol(f"a line of more than {_LINE_BYTES} bytes"))

    def _take(self, chunks: list[Chunk], error: UpstreamError | None) -> None:
        if chunks and not self._started:
            chunks = self._begin_answer(chunks)
        if chunks:
            full = self._receive(chunks)
            if full is not None:
                self._pause(full)
        if error is not None:
            self._fail(error)
        elif chunks and chunks[-1].done and not self.last.done():
            self.last.set_result(None)
            self._resume()  # for the end of the body
            if self._waiting is not None:
                self._waiting.learn(chunks[-1])

    def _begin_answer(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks of the answer among the first ones; the others tell how much of the prompt has been read."""
        chunks = [chunk for chunk in chunks if not self._is_progress(chunk)]
        if not chunks:
            return chunks
        if self._waiting is not None:
            self._waiting.end()
        self._started = True
        self._limit(self._silence_s)
        last = chunks[0]
        if isinstance(last, LastChunk) and last.done_reason in ("load", "unload"):
            raise UpstreamEmpty("Ollama loaded or unloaded the model instead of answering. Ask again.")
        return chunks

    def _is_progress(self, chunk: Chunk) -> bool:
        said = chunk.message
        if said is not None and (said.content or said.thinking or said.tool_calls):
            return False
        if chunk.done or chunk.prompt_eval_completed is None or not chunk.prompt_eval_total:
            return False
        if self._waiting is not None:
            self._waiting.read(chunk.prompt_eval_completed, chunk.prompt_eval_total)
        return True

    def _end(self, error: UpstreamError | None) -> None:
        if self._status not in (0, 200):
            return self._fail(self._refusal())
        if error is None and self._begun and not self.last.done():  # a body that is not streamed has no newline
            self._take(*self._decode(b"".join(self._begun)))
        if error is None and not self.last.done():
            self._take(*self._decode_end())
        self._fail(error or self._server.truncated())

    def _pause(self, full: asyncio.Future[None]) -> None:
        if not self._paused and not self.transport.is_closing():
            self._paused = True
            self.transport.pause_reading()
            full.add_done_callback(lambda done: self._resume())

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._heard_at = self._loop.time()
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def _fail(self, error: Exception) -> None:
        """Fails `last` with an error and hands over no more; does nothing once the last chunk is handed over."""
        if not self.last.done():
            self.last.set_exception(error)

    def _limit(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._watchdog.start(self._due, self._expire)

    def _due(self) -> float:
        return (self._loop.time() if self._paused else self._heard_at) + self._limit_s

    def _expire(self) -> None:
        if self._status not in (0, 200):
            self._fail(self._refusal())
        elif self._started:
            self._fail(self._server.stalled(self._limit_s))
        else:
            self._fail(self._server.too_slow(self._limit_s))

    def _refusal(self) -> UpstreamError | ModelNotFound:
        if 300 <= self._status < 400:
            return self._server.redirected(self._endpoint.shown_url, self._status)
        return self._status_error(b"".join(self._begun))

    # What differs from one kind of server to the other.

    def _is_heard(self, data: bytes) -> bool:
        """True if a piece of the body breaks the silence."""
        return True

    def _decode(self, lines: bytes) -> tuple[list[Chunk], UpstreamError | None]:
        """The chunks of complete lines up to the last chunk or the first fault, and that fault."""
        return decode(lines)

    def _decode_end(self) -> tuple[list[Chunk], UpstreamError | None]:
        """The chunks that the end of the body means, and the fault that it is."""
        return [], self._server.truncated()

    def _status_error(self, body: bytes) -> UpstreamError | ModelNotFound:
        status = self._status
        try:
            error = json.loads(body)["error"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return OLLAMA.protocol(f"HTTP status {status} without Ollama's error text", status=status)
        if status == 404:
            return model_not_found(self._model)
        if status == 503:
            return UpstreamBusy("Ollama's queue is full (OLLAMA_MAX_QUEUE). Ask again in a moment.")
        if "input length exceeds the context length" in str(error):
            return PromptTooLong("The prompt is longer than the model's context. Shorten it, or raise num_ctx.")
        return OLLAMA.refused(status, error_text(error))


def model_not_found(model: str, near: str = "") -> ModelNotFound:
    """The error for a model that has not been pulled, with how to get it; near: of `nearest_model`."""
    return ModelNotFound(f"The model {model!r} is not there.{near} {how_to_get(model)}")

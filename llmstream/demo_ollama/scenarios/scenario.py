"""The parts of a scenario, and its playing over a connection."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Send

from llmstream.demo_ollama.answers import tokens
from llmstream.demo_ollama.scripted_answers import Pause
from llmstream.ollama_server.backend import AnswerChunk, ChatRequest, Model, ToolCall
from llmstream.ollama_server.lines import AnswerLines, go_json
from llmstream.ollama_server.responses import until_disconnected

SENTENCE = "The sky is blue because air scatters blue light more than red light."
JSON_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Head:
    """The status and content type of a response, where they are not those of a stream."""

    status: int = 200
    content_type: str = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Drop:
    """The end of a connection without the last chunk: closed (FIN), or with `reset` torn down (RST)."""

    reset: bool = False


FOR_EVER = Pause(math.inf)  # so until the client leaves

Step = bytes | Head | Drop | Pause
Steps = Generator[Step, None, None]
Scenario = Callable[["Call"], Steps]


@dataclass(frozen=True, slots=True)
class ScenarioModel:
    """A scenario that a model's name means: `demo:tokens-500` is `tokens` with 500."""

    scenario: Scenario
    argument: float
    model: Model


class Call:
    """One request that a scenario answers.

    request: what was asked. number: 1 for the first request of this model on this server, then 2, 3 ... argument: the
    number at the end of the model's name. context_length: tokens that the model's context holds. interval_s: time
    between tokens where the server has a pace, else 0.
    """

    def __init__(
        self, request: ChatRequest, *, number: int, argument: float, context_length: int, interval_s: float
    ) -> None:
        self.number = number
        self.argument = argument
        self.context_length = context_length
        self.interval_s = interval_s
        self.has_tool_result = any(message.get("role") == "tool" for message in request.messages)
        self._begun = request.begun
        self._lines = AnswerLines(request)

    def line(self, content: str = "", *, thinking: str = "", calls: Iterable[ToolCall] = ()) -> bytes:
        """A line with `done: false`."""
        return go_json(self._lines.chunk(AnswerChunk(content, thinking, tuple(calls)))) + b"\n"

    def say(self, text: str = SENTENCE) -> list[bytes]:
        """A line for each token of the text, or of its rest where the client has begun it."""
        return [self.line(token) for token in tokens(text.removeprefix(self._begun))]

    def done(self, reason: str = "stop", *, prompt_tokens: int = 11, answer_tokens: int = 15) -> bytes:
        """The last line; an empty reason is left out."""
        line = self._lines.done(reason, prompt_tokens=prompt_tokens, answer_tokens=answer_tokens)
        return go_json({key: value for key, value in line.items() if value != "" or key != "done_reason"}) + b"\n"

    def half(self) -> list[bytes]:
        """The lines of five tokens, and half of the next one's."""
        lines = self.say()
        return [*lines[:5], lines[5][:40]]

    def whole(self) -> list[bytes]:
        """The lines of a whole answer that says `SENTENCE`."""
        return [*self.say(), self.done()]

    def empty(self, reason: str) -> bytes:
        """The body Ollama sends when it loaded or unloaded a model and generated nothing."""
        return go_json(self._lines.empty(reason))

    def head(self) -> dict[str, Any]:
        """`model` and `created_at`, for lines built by hand."""
        line = self._lines.empty("")
        return {"model": line["model"], "created_at": line["created_at"]}


def error_line_of(text: str) -> bytes:
    """A line that says the answer failed."""
    return go_json({"error": text}) + b"\n"


def refusal(status: int, text: str) -> tuple[Step, ...]:
    """A status and an error instead of a stream."""
    return Head(status, JSON_TYPE), go_json({"error": text})


async def play(
    steps: Steps, *, receive: Receive, send: Send, drop: Callable[[bool], None], on_first_bytes: Callable[[], None]
) -> None:
    """Sends what a scenario yields, each chunk of bytes by itself, until it ends or the client leaves.

    steps: what the scenario does. receive: ASGI; the body of the request must have been read. send: ASGI. drop: closes
    the connection; its argument says whether to reset it. on_first_bytes: called once, before the headers go out.
    """
    await until_disconnected(receive, _play(steps, send, drop, on_first_bytes))


async def _play(steps: Steps, send: Send, drop: Callable[[bool], None], on_first_bytes: Callable[[], None]) -> None:
    started = False
    for step in steps:
        if isinstance(step, Drop):
            drop(step.reset)
            step = FOR_EVER  # cancelled as soon as the server sees the connection gone
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            continue
        if not started:
            started = True
            on_first_bytes()
            await _start(send, step if isinstance(step, Head) else Head())
        if isinstance(step, bytes):
            await send({"type": "http.response.body", "body": step, "more_body": True})
        await asyncio.sleep(0)  # one write each, and endless ones let the others run
    if not started:
        await _start(send, Head())
    await send({"type": "http.response.body", "body": b""})


async def _start(send: Send, head: Head) -> None:
    headers = [(b"content-type", head.content_type.encode())]
    await send({"type": "http.response.start", "status": head.status, "headers": headers})

"""Ollama's dialect of an answer: events made into the chunks that `ollama_server` writes as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmstream.errors import InvalidRequest, RunCancelled, error_from_code
from llmstream.events import Cancelled, Event, Failed, Finished, Interrupted, Reasoning, Status, Token, Usage
from llmstream.ollama_server import backend
from llmstream.ollama_server.backend import AnswerChunk
from llmstream.view.answer import OneText
from llmstream.view.client_calls import ClientCalls
from llmstream.view.interrupts import ASK_ELSEWHERE


class OllamaEncoder:
    """The chunks of one run, fed from its first event; raises its error where the answer is not complete.

    truncate: whether a prompt that is too long may be cut.
    """

    def __init__(self, *, truncate: bool = True) -> None:
        self._truncate = truncate
        self._calls = ClientCalls()
        self._answer, self._thinking = OneText(ASK_ELSEWHERE), OneText()

    def encode(self, events: Sequence[Event]) -> Iterator[AnswerChunk]:
        """The chunks of events that came together: one for all the text in a row, one for the thinking."""
        kind: type[Event] | None = None
        texts: list[str] = []
        for event in events:
            if type(event) is Token or type(event) is Reasoning:
                if texts and type(event) is not kind:
                    yield _chunk(kind, texts)
                    texts = []
                kind = type(event)
                texts.append((self._answer if kind is Token else self._thinking).text_of(event))
            else:
                if texts:
                    yield _chunk(kind, texts)
                kind, texts = None, []
                yield from self._rare(event)
        if texts:
            yield _chunk(kind, texts)

    def _rare(self, event: Event) -> Iterator[AnswerChunk]:
        self._calls.note(event)
        if isinstance(event, Status) and event.state == "prompt_truncated" and not self._truncate:
            raise InvalidRequest("the input length exceeds the context length")
        self._thinking.rare(event)
        if text := self._answer.rare(event):
            yield AnswerChunk(text)
        if isinstance(event, Interrupted):  # the calls it waits with are not the client's
            yield _end("stop", event.usage)
        elif isinstance(event, Finished):
            for call in self._calls.by_id("").values():
                yield AnswerChunk(tool_calls=(backend.ToolCall(call.name, call.arguments),))
            yield _end("length" if event.reason == "length" else "stop", event.usage)
        elif isinstance(event, Failed):
            raise error_from_code(event.code, event.message)
        elif isinstance(event, Cancelled):
            raise RunCancelled


def _chunk(kind: type[Event] | None, texts: list[str]) -> AnswerChunk:
    text = "".join(texts)
    return AnswerChunk(text) if kind is Token else AnswerChunk("", text)


def _end(reason: str, usage: Usage) -> AnswerChunk:
    return AnswerChunk(done_reason=reason, prompt_tokens=usage.input_tokens, answer_tokens=usage.output_tokens)

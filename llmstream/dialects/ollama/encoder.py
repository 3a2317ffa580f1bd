"""Ollama's dialect of an answer: events made into the chunks that `ollama_server` writes as lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmstream.errors import InvalidRequest, RunCancelled, error_from_code
from llmstream.events import Cancelled, Event, Failed, Finished, Interrupted, Reasoning, Status, Token
from llmstream.ollama_server import backend
from llmstream.ollama_server.backend import AnswerChunk
from llmstream.view.client_answer import ClientAnswer


class OllamaEncoder:
    """The chunks of one run, fed from its first event; raises its error where the answer is not complete.

    truncate: whether a prompt that is too long may be cut.
    """

    def __init__(self, *, truncate: bool = True) -> None:
        self._truncate = truncate
        self._answer = ClientAnswer()

    def encode(self, events: Sequence[Event]) -> Iterator[AnswerChunk]:
        """The chunks of events that came together: one for all the text in a row, one for the thinking."""
        kind: type[Event] | None = None
        texts: list[str] = []
        for event in events:
            if texts and type(event) is not kind:
                yield _chunk(kind, texts)
                texts = []
            kind = type(event)
            if type(event) is Token or type(event) is Reasoning:
                texts.append(self._answer.texts[kind].text_of(event))
            else:
                yield from self._rare(event)
        if texts:
            yield _chunk(kind, texts)

    def _rare(self, event: Event) -> Iterator[AnswerChunk]:
        if isinstance(event, Status) and event.state == "prompt_truncated" and not self._truncate:
            raise InvalidRequest("the input length exceeds the context length")
        if text := self._answer.rare(event):
            yield AnswerChunk(text)
        if isinstance(event, Finished | Interrupted):
            for call in self._answer.calls("").values():
                yield AnswerChunk(tool_calls=(backend.ToolCall(call.name, call.arguments),))
            reason = "length" if isinstance(event, Finished) and event.reason == "length" else "stop"
            read, made = event.usage.input_tokens, event.usage.output_tokens
            yield AnswerChunk(done_reason=reason, prompt_tokens=read, answer_tokens=made)
        elif isinstance(event, Failed):
            raise error_from_code(event.code, event.message)
        elif isinstance(event, Cancelled):
            raise RunCancelled


def _chunk(kind: type[Event] | None, texts: list[str]) -> AnswerChunk:
    text = "".join(texts)
    return AnswerChunk(text) if kind is Token else AnswerChunk("", text)

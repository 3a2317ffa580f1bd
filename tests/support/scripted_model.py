"""A chat model that says what it is told to, and what a person sees of a chain's run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import Field

from llmstream import astream_events
from llmstream.core.question.inputs import Input
from llmstream.events import (
    Data,
    Event,
    Failed,
    Finished,
    Interrupted,
    Reasoning,
    Token,
    ToolCall,
    ToolResult,
    Withdrawn,
)
from llmstream.settings import Settings
from llmstream.view.answer import AnswerText


class ScriptedModel(GenericFakeChatModel):
    """Says set messages, word by word, a call in one chunk; keeps what it was given."""

    given: list[list[str]] = Field(default_factory=list)

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, Any]:
        """It calls what it was told to call."""
        return self

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        self.given.append([str(message.content) for message in messages])
        for chunk in chunks_of(next(self.messages)):
            made = ChatGenerationChunk(message=chunk)
            if run_manager is not None:
                run_manager.on_llm_new_token(str(chunk.text), chunk=made)
            yield made


class AsyncModel(BaseChatModel):
    """The beginning of a model of one's own that speaks only where it is awaited."""

    @property
    def _llm_type(self) -> str:
        return "own"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        raise AssertionError("a model that is awaited was asked in sync code")


def chunks_of(message: AIMessage | str) -> Iterator[AIMessageChunk]:
    """A message as a model streams it: thinking, words, calls, and how it ended."""
    message = AIMessage(message) if isinstance(message, str) else message
    if thinking := message.additional_kwargs.get("reasoning_content"):
        yield AIMessageChunk(content="", additional_kwargs={"reasoning_content": thinking})
    *words, last = message.content.split(" ") if isinstance(message.content, str) else [message.content]
    yield from (AIMessageChunk(content=f"{word} ") for word in words)
    yield AIMessageChunk(content=last)
    if message.tool_calls:
        calls: Any = [
            {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": place}
            for place, call in enumerate(message.tool_calls)
        ]
        yield AIMessageChunk(content="", tool_call_chunks=calls)
    if message.response_metadata:
        yield AIMessageChunk(content="", response_metadata=message.response_metadata)


def says(*messages: AIMessage | str) -> ScriptedModel:
    """A model that says these messages, one a call."""
    return ScriptedModel(messages=iter(messages))


def asks(name: str = "weather", id: str = "c1", text: str = "", **arguments: Any) -> AIMessage:
    """A message that calls a tool."""
    return AIMessage(text, tool_calls=[{"name": name, "args": arguments, "id": id}])


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"18 degrees in {city}"


@tool
def broken(city: str) -> str:
    """A tool that fails."""
    raise ValueError("the station is down")


@dataclass
class Seen:
    """A run as a person sees it."""

    text: str = ""
    shown: str = ""  # all text that came, withdrawn or not
    reasoning: str = ""
    end: Event | None = None
    calls: list[tuple[str, str]] = field(default_factory=list)
    results: list[tuple[str, Any]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)  # those that stand
    sources_of: dict[str | None, list[str]] = field(default_factory=dict)  # by the message that they came with
    data: dict[str, Any] = field(default_factory=dict)
    withdrawn: int = 0
    pieces: int = 0

    @property
    def reason(self) -> str:
        """How it ended."""
        if isinstance(self.end, Finished):
            return self.end.reason
        return self.end.code if isinstance(self.end, Failed) else type(self.end).__name__.lower()

    @property
    def interrupts(self) -> list[Any]:
        """What is asked of a person."""
        return list(self.end.interrupts) if isinstance(self.end, Interrupted) else []


async def see(chain: object, question: Input = "hi", **arguments: Any) -> Seen:
    """Run a chain to its end."""
    seen, answer, events = Seen(), AnswerText(), []
    arguments.setdefault("settings", Settings(demo="never"))
    async for event in astream_events(question, chain=chain, **arguments):
        events.append(event)
        _note(seen, event)
    answer.put(events)
    seen.text, seen.reasoning = answer.text, answer.reasoning
    _check_order(events)
    return seen


def _note(seen: Seen, event: Event) -> None:
    match event:
        case Token(text):
            seen.shown += text
            seen.pieces += 1
        case ToolCall(id, name):
            seen.calls.append((id, name))
        case ToolResult(id, output):
            seen.results.append((id, output))
        case Data("sources", value, message):
            seen.sources += [source["title"] for source in value]
            seen.sources_of.setdefault(message, []).extend(source["title"] for source in value)
        case Data(name, value):
            seen.data[name] = value
        case Withdrawn(message):
            seen.withdrawn += 1
            gone = seen.sources_of.pop(message, [])
            seen.sources = [title for title in seen.sources if title not in gone]
        case Finished() | Failed() | Interrupted():
            seen.end = event


def _check_order(events: Sequence[Event]) -> None:
    """What holds of every run: messages one after the other, one result a call, after the call."""
    order = [event.message for event in events if isinstance(event, Token | Reasoning)]
    changes = [message for place, message in enumerate(order) if place == 0 or order[place - 1] != message]
    assert len(changes) == len(set(changes)), f"messages are woven together: {changes}"
    called: set[str] = set()
    answered: list[str] = []
    for event in events:
        if isinstance(event, ToolCall):
            assert event.id not in called
            called.add(event.id)
        elif isinstance(event, ToolResult):
            assert event.id in called
            answered.append(event.id)
    assert len(answered) == len(set(answered))

"""The bodies of LangChain's Agent Streaming Protocol: commands, and what a stream shows.

Source: `langchain_protocol`, whose fields are in snake case on the wire.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from llmstream.dialects.langgraph.frames import Wanted
from llmstream.errors import CapabilityMissing, InvalidRequest
from llmstream.http.ask import Ask, check_rest
from llmstream.http.parts import (
    Message,
    answer_of,
    call_of,
    content_of,
    file_part,
    image_part,
    in_turns,
    result_of,
    text_part,
    unreadable_part,
)
from llmstream.settings import Thinking

_TYPES = {"user": "human", "assistant": "ai", "developer": "system"}
_ROLES = {"human": "user", "system": "system"}


class Command(BaseModel):
    """A command; its method says what its params are."""

    id: int
    method: str = Field(max_length=100)
    params: dict[str, Any] = {}


class StreamRequest(BaseModel):
    """The body of a stream: channels to show, and the places in the agent that events come from."""

    channels: list[str] = Field(max_length=1000)
    namespaces: list[list[str]] | None = None
    depth: int | None = None
    since: int = 0

    def wanted(self) -> Wanted:
        """The filter: all events here come from the root, so any other place shows nothing."""
        is_root = not self.namespaces or [] in self.namespaces
        return Wanted(frozenset(self.channels) if is_root else (), self.since)


class Call(BaseModel):
    """A call that an earlier answer made."""

    id: str | None = None
    name: str
    args: dict[str, Any] = {}


class InputMessage(BaseModel):
    """A message of LangChain's, as a client sends it."""

    type: Literal["human", "user", "ai", "assistant", "system", "developer", "tool"]
    content: str | list[dict[str, Any] | str]
    id: str | None = Field(None, max_length=200)
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None

    def kept(self) -> dict[str, Any]:
        """The message as its thread keeps it."""
        fields = self.model_dump(exclude_none=True)
        calls = [{"type": "tool_call", **call.model_dump()} for call in self.tool_calls or ()]
        return {
            **fields,
            "type": _TYPES.get(self.type, self.type),
            "id": self.id or uuid.uuid4().hex,
            **({"tool_calls": calls} if calls else {}),
        }


class Configurable(BaseModel):
    """The values for a run beside its input; everything else in there is for other agents."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = None
    thinking: Thinking | None = None
    options: dict[str, Any] = {}
    checkpoint_id: str | None = None


class Config(BaseModel):
    """LangChain's config of a run."""

    model_config = ConfigDict(extra="ignore")

    configurable: Configurable = Field(default_factory=Configurable)


class _Run(BaseModel):
    config: Config | None = None
    metadata: JsonValue = None

    @property
    def configurable(self) -> Configurable:
        """The values for the run; raises `CapabilityMissing` for what can't be done."""
        found = self.config.configurable if self.config else Configurable()
        if found.checkpoint_id is not None:
            raise CapabilityMissing("A thread goes on from its end only: checkpoint_id can't be honoured here.")
        return found


class Input(BaseModel):
    """The graph's input: the messages that are new. Other fields are a graph's own, and can't be given."""

    model_config = ConfigDict(extra="allow")

    messages: list[InputMessage] = Field(min_length=1, fail_fast=True)

    @field_validator("messages", mode="before")
    @classmethod
    def _each(cls, given: Any) -> Any:
        """As LangGraph reads them: one alone may stand for a list, a text for a question, a role for a type."""
        return [_typed(each) for each in (given if isinstance(given, list) else [given])]

    def kept(self) -> list[dict[str, Any]]:
        """The messages as their thread keeps them; raises `InvalidRequest` for other input."""
        check_rest(self.model_extra)
        return [each.kept() for each in self.messages]


def _typed(message: Any) -> Any:
    match message:
        case str():
            return {"type": "human", "content": message}
        case {"role": role, **rest} if "type" not in rest:
            return {**rest, "type": role}
    return message


class RunStart(_Run):
    """The params of `run.start`."""

    assistant_id: str = ""
    input: Input
    multitask_strategy: Literal["interrupt", "rollback", "reject", "enqueue"] | None = None

    def ask(self, thread: str, messages: Sequence[Mapping[str, Any]]) -> Ask:
        """The question with these messages of the thread; raises `InvalidRequest` for what can't be done."""
        found = self.configurable
        turns = in_turns(messages, lambda message: _ROLES.get(message["type"]))
        return Ask(
            messages=[_read(message, is_current=is_current) for message, is_current in turns],
            model=found.model,
            thinking=found.thinking,
            options=found.options,
            thread=thread,
        )


class Response(BaseModel):
    """An answer to what a graph asks; namespace: every graph is asked at its root."""

    interrupt_id: str
    response: JsonValue = None
    namespace: JsonValue = None


class InputRespond(_Run):
    """The params of `input.respond`: one answer, or several together."""

    interrupt_id: str | None = None
    response: JsonValue = None
    responses: list[Response] | None = None
    update: JsonValue = None
    goto: JsonValue = None

    def ask(self, thread: str) -> Ask:
        """The question as every dialect asks it; raises `InvalidRequest` for what can't be done."""
        _ = self.configurable
        if self.update is not None or self.goto is not None:
            raise CapabilityMissing("update and goto can't be honoured here: the graph goes on by itself.")
        answers = {each.interrupt_id: each.response for each in self.responses or ()}
        if self.interrupt_id is not None:
            answers[self.interrupt_id] = self.response
        if not answers:
            raise InvalidRequest("There is no answer: give interrupt_id and response.")
        return Ask(messages=[], thread=thread, resume=answers)


def _read(message: Mapping[str, Any], *, is_current: bool) -> Message:
    """A thread's message as the core takes it; is_current: whether it belongs to the current turn."""
    given = message.get("content") or ""
    parts = [text_part(given)] if isinstance(given, str) else given
    kind = message["type"]
    if kind == "ai":
        texts = [part if isinstance(part, str) else str(part.get("text") or "") for part in parts]
        calls = [call_of(each.get("id"), each["name"], each["args"]) for each in message.get("tool_calls", ())]
        thoughts = (
            [str(part.get("reasoning") or "") for part in parts if isinstance(part, Mapping)] if is_current else []
        )
        return answer_of("".join(texts), calls, "\n".join(filter(None, thoughts)))
    content = content_of(parts, _part, is_current=is_current)
    if kind == "tool":
        return result_of(message.get("tool_call_id"), content)
    return {"role": _ROLES[kind], "content": content}


def _part(part: Any) -> Message | None:
    match part:
        case str(text) | {"type": "text", "text": str(text)}:
            return text_part(text)
        case {"type": "image_url", "image_url": str(url) | {"url": str(url)}} | {"type": "image", "url": str(url)}:
            return image_part(url)
        case {"type": "image" | "file", "base64": str(data), "mime_type": str(kind), **more} | {
            "type": "image" | "file",
            "source_type": "base64",
            "data": str(data),
            "mime_type": str(kind),
            **more,
        }:
            return file_part(f"data:{kind};base64,{data}", kind, str(more.get("filename") or ""))
        case {"type": "file", "url": str(url), **more}:
            return file_part(url, str(more.get("mime_type") or ""))
        case {"type": "reasoning" | "non_standard"}:
            return None
    raise unreadable_part(part)

"""The body of AG-UI's `POST /agui`, a `RunAgentInput`.

Source: https://docs.ag-ui.com/sdk/python/core/types
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from llmstream.errors import InvalidRequest
from llmstream.events import Interrupt
from llmstream.http.ask import Ask
from llmstream.http.parts import (
    Message,
    answer_of,
    call_of,
    content_of,
    file_part,
    in_turns,
    result_of,
    text_part,
    tool_of,
    unreadable_part,
)
from llmstream.settings import Thinking
from llmstream.view.interrupts import refusal_of


class _Model(BaseModel):
    # The protocol lets producers add fields of their own.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore")


class AguiTool(_Model):
    """A tool that the page has."""

    name: str
    description: str = ""
    parameters: JsonValue = None


class AguiContext(_Model):
    """Something that the page tells about itself."""

    description: str = ""
    value: str


class _Kept(_Model):
    """A value that is sent back to the client as it came, whatever is in it."""

    model_config = ConfigDict(extra="allow")


class AguiFunction(_Kept):
    """The function that a call names, with its arguments as JSON text."""

    name: str
    arguments: str | None = None


class AguiCall(_Kept):
    """A call that an earlier answer made."""

    id: str
    function: AguiFunction


class AguiMessage(_Kept):
    """A message; activities are not shown to the model."""

    role: Literal["developer", "system", "user", "assistant", "tool", "reasoning", "activity"]
    content: str | list[dict[str, Any]] | dict[str, Any] | None = None
    tool_calls: list[AguiCall] | None = None
    tool_call_id: str | None = None
    error: str | None = None

    def to_message(self, *, thoughts: str, is_current: bool) -> Message:
        """The message as the core takes it.

        thoughts: those that came before it. is_current: whether it belongs to the current turn.
        """
        parts = self.content if isinstance(self.content, list) else [text_part(self.text)]
        content = content_of(parts, _part, is_current=is_current)
        if self.role == "tool":
            return result_of(self.tool_call_id, content or self.error or "")
        if self.role != "assistant":
            return {"role": "system" if self.role == "developer" else self.role, "content": content}
        calls = [call_of(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()]
        return answer_of(content, calls, thoughts if is_current else "")

    @property
    def text(self) -> str:
        """The content where it is a text."""
        return self.content if isinstance(self.content, str) else ""


def _part(part: Mapping[str, Any]) -> Message:
    source = part.get("source")
    match {**part, **source} if isinstance(source, dict) else part:
        case {"type": "text", "text": str(text)}:
            return text_part(text)
        # The type is now that of the source; the part's own says what it is shown as. Before 1.0 there was `binary`.
        case {"type": "data", "value": str(data), "mimeType": str(kind), **more} | {
            "type": "binary",
            "data": str(data),
            "mimeType": str(kind),
            **more,
        }:
            return file_part(f"data:{kind};base64,{data}", kind, str(more.get("filename") or ""))
        case {"type": "url", "value": str(url), **more} | {"type": "binary", "url": str(url), **more}:
            return file_part(url, str(more.get("mimeType") or ("image/" if part.get("type") == "image" else "")))
    raise unreadable_part(part)


class ForwardedProps(_Model):
    """The wishes of a page beside the messages; everything else in there is for other agents."""

    model: str | None = None
    thinking: Thinking | None = None
    options: dict[str, Any] = {}


class AguiAnswer(_Model):
    """The answer to what an earlier run asked a person."""

    interrupt_id: str
    status: Literal["resolved", "cancelled"]
    payload: JsonValue = None


class AguiRequest(_Model):
    """The body of `POST /agui`."""

    thread_id: str = Field(min_length=1, max_length=200)
    run_id: str = Field(min_length=1, max_length=200)
    messages: list[AguiMessage] = Field(fail_fast=True)
    tools: list[AguiTool] | None = None
    context: list[AguiContext] | None = None
    forwarded_props: ForwardedProps | None = None
    resume: list[AguiAnswer] | None = None

    def sent(self) -> list[dict[str, Any]]:
        """The messages as the client sent them."""
        return [message.model_dump(by_alias=True, exclude_none=True) for message in self.messages]

    def answers(self, asked: Sequence[Interrupt]) -> dict[str, Any] | None:
        """The answers to what an earlier run asked, by its ids; what a person does not want to answer is refused."""
        refusals = {each["id"]: refusal_of(each) for each in asked}
        return {
            each.interrupt_id: each.payload if each.status == "resolved" else refusals.get(each.interrupt_id)
            for each in self.resume or ()
        } or None

    def ask(self, asked: Sequence[Interrupt] = ()) -> Ask:
        """The request as the server takes it; raises `InvalidRequest` for what can't be done.

        asked: what the run before, in the same thread, wants to know from a person.
        """
        messages = self._messages()
        if not messages and not self.resume:
            raise InvalidRequest("There is nothing to answer: give messages.")
        if self.context:
            known = "\n\n".join(f"{each.description}\n{each.value}".strip() for each in self.context)
            messages.insert(0, {"role": "system", "content": known})
        props = self.forwarded_props or ForwardedProps()
        return Ask(
            messages=messages,
            model=props.model,
            thinking=props.thinking,
            options=props.options,
            tools=[tool_of(tool.name, tool.description, tool.parameters) for tool in self.tools or ()],
            thread=self.thread_id,
            resume=self.answers(asked),
        )

    def _messages(self) -> list[Message]:
        messages, thoughts = [], ""
        for each, is_current in in_turns(self.messages, lambda message: message.role):
            if each.role == "reasoning":
                thoughts = each.text
            elif each.role != "activity":
                messages.append(each.to_message(thoughts=thoughts, is_current=is_current))
                thoughts = ""
        return messages

"""The body of AG-UI's `POST /agui`, a `RunAgentInput`.

Source: https://docs.ag-ui.com/sdk/python/core/types
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from llmstream.errors import InvalidRequest
from llmstream.http.ask import Ask, Message, call_of, content_of, image_part, result_of, text_part, tool_of
from llmstream.settings import Thinking


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


class AguiFunction(_Model):
    """The function that a call names, its arguments as JSON text."""

    name: str
    arguments: str


class AguiCall(_Model):
    """A call that an earlier answer made."""

    id: str
    function: AguiFunction


class AguiMessage(_Model):
    """A message; thoughts and activities of earlier answers are not shown to the model again."""

    role: Literal["developer", "system", "user", "assistant", "tool", "reasoning", "activity"]
    content: str | list[dict[str, Any]] | dict[str, Any] | None = None
    tool_calls: list[AguiCall] | None = None
    tool_call_id: str | None = None
    error: str | None = None

    def to_message(self) -> Message | None:
        """The message as the core takes it; None for what is not for the model."""
        if self.role in ("reasoning", "activity"):
            return None
        parts = self.content if isinstance(self.content, list) else []
        content = self.content if isinstance(self.content, str) else content_of([_part(part) for part in parts])
        if self.role == "tool":
            if not self.tool_call_id:
                raise InvalidRequest("A tool message needs its toolCallId.")
            return result_of(self.tool_call_id, content or self.error or "")
        message: Message = {"role": "system" if self.role == "developer" else self.role, "content": content}
        if self.tool_calls:
            message["tool_calls"] = [call_of(c.id, c.function.name, c.function.arguments) for c in self.tool_calls]
        return message


def _part(part: Mapping[str, Any]) -> Message:
    match part:
        case {"type": "text", "text": str(text)}:
            return text_part(text)
        case {"type": "image", "source": {"type": "data", "value": str(data), "mimeType": str(kind)}}:
            return image_part(f"data:{kind};base64,{data}", kind)
        case {"type": "image", "source": {"type": "url", "value": str(url)}}:
            return image_part(url)
        case {"type": "binary", "mimeType": str(kind), "data": str(data)}:  # before 1.0
            return image_part(f"data:{kind};base64,{data}", kind)
    raise InvalidRequest(
        f"A message part of the type {str(part.get('type'))[:40]!r} can't be read; text and images can."
    )


class ForwardedProps(_Model):
    """What a page may ask for beside the messages; everything else in there is for other agents."""

    model: str | None = None
    thinking: Thinking | None = None
    options: dict[str, Any] = {}


class AguiRequest(_Model):
    """The body."""

    thread_id: str = Field(min_length=1, max_length=200)
    run_id: str = Field(min_length=1, max_length=200)
    messages: list[AguiMessage]
    tools: list[AguiTool] | None = None
    context: list[AguiContext] | None = None
    forwarded_props: ForwardedProps | None = None
    resume: list[JsonValue] | None = None

    def ask(self) -> Ask:
        """What is asked for; raises `InvalidRequest` for what can't be done."""
        if self.resume:
            raise InvalidRequest("No run here was interrupted, so none can be resumed.")
        messages = [message for each in self.messages if (message := each.to_message()) is not None]
        if not messages:
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
        )

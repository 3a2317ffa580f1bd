"""The body of Anthropic's `POST /v1/messages`: what can be done is done, what can't is refused.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from llmstream.errors import InvalidRequest
from llmstream.http.ask import Ask, check_rest, options_of
from llmstream.http.ignored import note_ignored
from llmstream.http.parts import (
    Message,
    answer_of,
    call_of,
    content_of,
    file_part,
    image_part,
    in_turns,
    parts_of,
    result_of,
    text_part,
    tool_of,
    unreadable_part,
)
from llmstream.settings import Thinking

# Anthropic's name → Ollama's.
_OPTIONS = {
    "max_tokens": "num_predict",
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "stop_sequences": "stop",
}

# What an answer can do without: where it is made, what is cached, how its own service trims a long conversation.
_ADVICE = ("cache_control", "container", "context_management", "inference_geo", "mcp_servers", "service_tier", "speed")
_HARMLESS = {"service_tier": ("auto", "standard_only")}

_EFFORTS: dict[str, Thinking] = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max"}


class Tool(BaseModel):
    """A tool; those that Anthropic's servers carry out themselves have another type, and no schema."""

    model_config = ConfigDict(extra="allow")

    name: str
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class ToolChoice(BaseModel):
    """The tools that may be called, and if one must be."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool = False


class ThinkingConfig(BaseModel):
    """The wish of a client about thinking."""

    model_config = ConfigDict(extra="allow")

    type: Literal["enabled", "disabled", "adaptive"]


class OutputConfig(BaseModel):
    """The form of the answer, and how hard to think of it."""

    model_config = ConfigDict(extra="allow")

    effort: str | None = None
    format: dict[str, Any] | None = None


class InputMessage(BaseModel):
    """One message: text, or blocks."""

    role: Literal["user", "assistant", "system"]
    content: str | list[dict[str, Any]]

    def to_messages(self, *, is_current: bool) -> list[Message]:
        """The messages as the core takes them: each tool result is one; is_current: whether of the current turn."""
        blocks = [text_part(self.content)] if isinstance(self.content, str) else self.content
        if self.role == "assistant":
            return [_answer(blocks, is_current=is_current)]
        results = [_result(block, is_current=is_current) for block in blocks if block.get("type") == "tool_result"]
        rest = [block for block in blocks if block.get("type") != "tool_result"]
        said = [{"role": self.role, "content": content_of(rest, _part, is_current=is_current)}]
        return [*results, *(said if rest or not results else ())]


def _answer(blocks: Sequence[Mapping[str, Any]], *, is_current: bool) -> Message:
    texts = [str(block.get("text") or "") for block in blocks if block.get("type") == "text"]
    thoughts = [str(block.get("thinking") or "") for block in blocks if block.get("type") == "thinking"]
    uses = [block for block in blocks if block.get("type") == "tool_use"]
    calls = [call_of(block.get("id"), block.get("name"), block.get("input")) for block in uses]
    return answer_of("\n".join(texts), calls, "\n".join(thoughts) if is_current else "")


def _result(block: Mapping[str, Any], *, is_current: bool) -> Message:
    content = content_of(parts_of(block.get("content")), _part, is_current=is_current)
    return result_of(block.get("tool_use_id"), content)


def _part(block: Any) -> Message | None:
    match block:
        case {"type": "text", "text": str(text)}:
            return text_part(text)
        case {"type": "image", "source": {"type": "base64", "media_type": str(kind), "data": str(data)}}:
            return image_part(f"data:{kind};base64,{data}")
        case {"type": "image" | "document", "source": {"type": "url", "url": str(url)}}:
            return image_part(url)
        case {"type": "document", "source": {"type": "text", "data": str(text)}}:
            return text_part("\n".join(each for each in (block.get("title"), text) if isinstance(each, str)))
        case {"type": "document", "source": {"type": "base64", "media_type": str(kind), "data": str(data)}}:
            return file_part(f"data:{kind};base64,{data}", name=str(block.get("title") or ""))
        case {"type": "document", "source": {"type": "content", "content": str(text)}}:
            return text_part(text)
        case {"type": "tool_reference" | "cache_edits"}:
            return None
    raise unreadable_part(block)


class Prompt(BaseModel):
    """The question: the part of a body that takes tokens."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[InputMessage] = Field(min_length=1, fail_fast=True)
    system: str | list[dict[str, Any]] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: dict[str, Any] | None = None

    def read(self) -> list[Message]:
        """The messages as the core takes them; raises `InvalidRequest` for what can't be read."""
        system = [text_part(self.system)] if isinstance(self.system, str) else self.system or []
        turns = in_turns(self.messages, _speaker)
        said = [each for message, is_current in turns for each in message.to_messages(is_current=is_current)]
        text = content_of(system, _part, is_current=True)
        return [*([{"role": "system", "content": text}] if text else ()), *said]

    def chosen_tools(self) -> tuple[list[Message], bool]:
        """The tools that may be called, and whether one must be."""
        found = [tool for tool in self.tools or () if tool.input_schema is not None]
        note_ignored(f"tools_{tool.name}" for tool in self.tools or () if tool.input_schema is None)
        choice = self.tool_choice
        if choice is not None and choice.type == "none":
            return [], False
        if choice is not None and choice.type == "tool":
            found = [tool for tool in found if tool.name == choice.name]
        must_call = choice is not None and choice.type in ("any", "tool")
        return [tool_of(tool.name, tool.description, tool.input_schema) for tool in found], must_call


def _speaker(message: InputMessage) -> str:
    """The speaker who begins a turn: results of calls are sent as a user's, and go on with the turn of the call."""
    blocks = message.content if isinstance(message.content, list) else []
    return "tool" if any(block.get("type") == "tool_result" for block in blocks) else message.role


class MessagesRequest(Prompt):
    """The body of `POST /v1/messages`."""

    max_tokens: int | None = Field(None, ge=1)
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None

    @property
    def max_calls(self) -> int | None:
        """The number of calls that the client takes at once; None for any number."""
        return 1 if self.tool_choice is not None and self.tool_choice.disable_parallel_tool_use else None

    def ask(self) -> Ask:
        """The request as the server takes it; raises `InvalidRequest` for what can't be done."""
        check_rest(self.model_extra, harmless=_HARMLESS, advice=_ADVICE)
        tools, must_call = self.chosen_tools()
        return Ask(
            messages=self.read(),
            model=self.model,
            thinking=self._thinking(),
            options=options_of(self, _OPTIONS),
            tools=tools,
            must_call=must_call,
            format=self._format(),
        )

    def _thinking(self) -> Thinking | None:
        """The amount of thinking; "adaptive" leaves it to the server, as not to say anything does."""
        kind = self.thinking.type if self.thinking else "adaptive"
        if kind != "enabled":
            return None if kind == "adaptive" else False
        effort = self.output_config.effort if self.output_config else None
        return _EFFORTS.get(effort or "", True)

    def _format(self) -> dict[str, Any] | None:
        match (self.output_config.format if self.output_config else None) or self.output_format:
            case None:
                return None
            case {"type": "json_schema", "schema": dict(schema)}:
                return schema
        raise InvalidRequest("output_config.format takes the type json_schema with its schema.")

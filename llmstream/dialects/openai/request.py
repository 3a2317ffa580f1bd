"""The body of OpenAI's `POST /v1/chat/completions`: what can be done is done, what can't is refused.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from llmstream.dialects.openai.tools import Call, CalledFunction, Tool, chosen_tools
from llmstream.errors import InvalidRequest
from llmstream.http.ask import Ask, check_rest, options_of
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

# OpenAI's name → Ollama's.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
    # Not OpenAI's, but what many clients of servers like this one send.
    "top_k": "top_k",
    "min_p": "min_p",
    "repeat_penalty": "repeat_penalty",
    "repetition_penalty": "repeat_penalty",
    "stop": "stop",
}

_EFFORTS: dict[str, Thinking] = {
    "none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "max",
}  # fmt: skip

# What may stand in fields whose other values ask for what is not here.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "store": (False, True),  # for OpenAI's own pages
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "function_call": ("none", "auto"),
    "verbosity": ("medium",),
}

# In tokens; -1 is no limit, as some clients say it.
_Limit = Annotated[int | None, Field(ge=-1), AfterValidator(lambda limit: None if limit == -1 else limit)]

# The types of parts that hold what a model thought.
_THOUGHTS = ("thinking", "reasoning")


class ChatMessage(BaseModel):
    """One message. Thoughts are not OpenAI's, but what clients of servers like this one send back with their calls."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None

    def to_message(self, *, is_current: bool) -> Message:
        """The message as the core takes it; is_current: True if it belongs to the current turn."""
        parts = self.content if isinstance(self.content, list) else [text_part(self.content or self.refusal or "")]
        content = content_of(parts, _part, is_current=is_current)
        match self.role:
            case "tool":
                return result_of(self.tool_call_id, content)
            case "function":  # as tools were called before they had ids
                return result_of(self.name, content)
            case "assistant":
                return answer_of(content, self._calls(), self._thoughts() if is_current else "")
            case "system" | "developer":
                return {"role": "system", "content": content}
        return {"role": "user", "content": content}

    def _thoughts(self) -> str:
        parts = self.content if isinstance(self.content, list) else []
        found = [str(part.get("thinking") or part.get("text") or "") for part in parts if part.get("type") in _THOUGHTS]
        return self.reasoning_content or self.reasoning or "\n".join(found)

    def _calls(self) -> list[Message]:
        calls = [call_of(call.id, call.function.name, call.function.arguments) for call in self.tool_calls or ()]
        if self.function_call is not None:
            calls.append(call_of(self.function_call.name, self.function_call.name, self.function_call.arguments))
        return calls


def _part(part: Message) -> Message | None:
    match part:
        case {"type": str(kind)} if kind in _THOUGHTS:
            return None
        case {"type": "text", "text": str(text)} | {"type": "refusal", "refusal": str(text)}:
            return text_part(text)
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
            return image_part(url)
        case {"type": "file", "file": {"file_data": str(url), **more}}:
            return file_part(url, name=str(more.get("filename") or ""))
    raise unreadable_part(part)


def thinking_of(effort: str | None) -> Thinking | None:
    """The amount of thinking, by OpenAI's names; raises `InvalidRequest` for an unknown one."""
    if effort is None:
        return None
    if effort not in _EFFORTS:
        raise InvalidRequest(f"The effort of reasoning is one of {', '.join(_EFFORTS)}.")
    return _EFFORTS[effort]


class StreamOptions(BaseModel):
    """The options of a stream: what it tells beside the answer."""

    include_usage: bool = False
    include_obfuscation: bool = False


class CompletionRequest(BaseModel):
    """The body of `POST /v1/chat/completions`."""

    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[ChatMessage] = Field(min_length=1, fail_fast=True)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: _Limit = None
    max_completion_tokens: _Limit = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    repetition_penalty: float | None = None
    stop: str | list[str] | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None

    @property
    def include_usage(self) -> bool:
        """True if the stream ends with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    @property
    def max_calls(self) -> int | None:
        """The number of calls that the client takes at once; None for any number."""
        return 1 if self.parallel_tool_calls is False else None

    def ask(self) -> Ask:
        """The request as the server takes it; raises `InvalidRequest` for what can't be done."""
        check_rest(self.model_extra, harmless=_HARMLESS)
        tools, must_call = chosen_tools([tool.to_tool() for tool in self.tools or ()], self.tool_choice)
        turns = in_turns(self.messages, lambda message: message.role)
        return Ask(
            messages=[message.to_message(is_current=is_current) for message, is_current in turns],
            model=self.model,
            thinking=thinking_of(self.reasoning_effort),
            options=options_of(self, _OPTIONS),
            tools=tools,
            must_call=must_call,
            format=format_of(self.response_format, "response_format"),
        )


def format_of(asked: Mapping[str, Any] | None, name: str) -> str | dict[str, Any] | None:
    """The form of the answer; raises `InvalidRequest` for an unknown one. name: of the field that asks for it."""
    match asked:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return "json"
        case {"type": "json_schema", "json_schema": {"schema": dict(schema)}}:
            return schema
    raise InvalidRequest(f"{name} takes the types text, json_object and json_schema with its schema.")

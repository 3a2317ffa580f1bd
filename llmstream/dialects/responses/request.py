"""The body of OpenAI's `POST /v1/responses`: what can be done is done, what can't is refused.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from llmstream.dialects.openai.request import format_of, thinking_of
from llmstream.dialects.openai.tools import chosen_tools
from llmstream.dialects.responses.items import REFERENCE, Item, messages_of
from llmstream.dialects.responses.resource import RepeatedFields
from llmstream.errors import InvalidRequest
from llmstream.http.ask import Ask, check_rest, options_of
from llmstream.http.ignored import note_ignored
from llmstream.http.parts import Message, tool_of

# OpenAI's name → Ollama's.
_OPTIONS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_output_tokens": "num_predict",
    "presence_penalty": "presence_penalty",
    "frequency_penalty": "frequency_penalty",
}

# What an answer can do without.
_ADVICE = (
    "client_metadata", "context_management", "include", "max_tool_calls", "moderation", "service_tier", "truncation",
)  # fmt: skip
# What may stand in fields whose other values are ignored, or ask for what is not here.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "service_tier": ("auto", "default"),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
_NO_CONVERSATION = (
    "The parameter 'conversation' is not kept here; send the whole conversation as `input`, with `store: false` in the "
    "AI SDK."
)


class Tool(BaseModel):
    """A tool; of those that are no functions, none can be called here."""

    model_config = ConfigDict(extra="allow")

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ReasoningConfig(BaseModel):
    """The effort of reasoning; a summary is told, whichever is asked for."""

    model_config = ConfigDict(extra="allow")

    effort: str | None = None


class TextConfig(BaseModel):
    """The form of the answer."""

    model_config = ConfigDict(extra="allow")

    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ResponseRequest(BaseModel):
    """The body. `stream_options` says how a stream is written, and nothing about the answer."""

    model_config = ConfigDict(extra="allow")

    model: str
    input: str | Annotated[list[dict[str, Any]], Field(min_length=1, fail_fast=True)]
    instructions: str | None = None
    stream: bool | None = False
    stream_options: JsonValue = None
    background: bool | None = False
    previous_response_id: str | None = Field(None, max_length=80)
    conversation: JsonValue = None
    store: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    reasoning: ReasoningConfig | None = None
    text: TextConfig | None = None
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None

    def said(self) -> RepeatedFields:
        """The fields of the request that the response repeats."""
        given = {name: value for name in RepeatedFields.__struct_fields__ if (value := getattr(self, name)) is not None}
        return RepeatedFields(**given)

    def references(self) -> list[str]:
        """The ids of the items of earlier responses that stand for themselves."""
        return [str(item.get("id")) for item in self.items if item.get("type") == REFERENCE]

    @property
    def items(self) -> Sequence[Item]:
        """The input, as items."""
        return [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input

    def ask(self, found: Mapping[str, Item], thread: str | None = None) -> Ask:
        """The question as every dialect asks it; raises `InvalidRequest` for what can't be done.

        found: the items that are referred to, by their ids. thread: on which the chain goes on.
        """
        self._check()
        tools, must_call = chosen_tools(self._functions(), self.tool_choice)
        items = [found[str(item.get("id"))] if item.get("type") == REFERENCE else item for item in self.items]
        return Ask(
            messages=self._messages(items),
            model=self.model,
            thinking=thinking_of(self.reasoning.effort if self.reasoning else None),
            options=options_of(self, _OPTIONS),
            tools=tools,
            must_call=must_call,
            format=self._format(),
            thread=thread,
        )

    def _check(self) -> None:
        check_rest(self.model_extra, harmless=_HARMLESS, advice=_ADVICE)
        if self.conversation is not None:
            raise InvalidRequest(_NO_CONVERSATION)
        if self.text is not None and self.text.verbosity not in (None, "medium"):
            note_ignored(["verbosity"])

    def _messages(self, items: Sequence[Item]) -> list[Message]:
        said = messages_of(items)
        if self.previous_response_id is None:
            return [*([{"role": "system", "content": self.instructions}] if self.instructions else ()), *said]
        if len(said) != 1:
            raise InvalidRequest("With previous_response_id, the input is one message: the thread has those before it.")
        note_ignored(["instructions"] if self.instructions else ())  # the thread began with some
        return said

    def _functions(self) -> list[Message]:
        others = [tool for tool in self.tools or () if tool.type != "function"]
        note_ignored(f"tools_{(tool.name or tool.type)[:40]}" for tool in others)
        functions = [tool for tool in self.tools or () if tool.type == "function"]
        if not all(tool.name for tool in functions):
            raise InvalidRequest("A tool of the type function has its name beside the type, not in `function`.")
        return [tool_of(tool.name or "", tool.description, tool.parameters) for tool in functions]

    def _format(self) -> str | dict[str, Any] | None:
        asked = self.text.format if self.text else None
        return format_of(asked and {**asked, "json_schema": asked}, "text.format")

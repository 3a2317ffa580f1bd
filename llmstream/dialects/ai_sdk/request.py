"""The body of the AI SDK's `POST /api/chat`, as useChat and assistant-ui send it.

Source: https://ai-sdk.dev/docs/ai-sdk-ui/transport and assistant-ui's AssistantChatTransport.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from llmstream.dialects.ai_sdk.encoder import ONE_OF_SEVERAL
from llmstream.dialects.openai.request import thinking_of
from llmstream.errors import InvalidRequest
from llmstream.http.ask import Ask, check_rest
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
    written,
)
from llmstream.settings import Thinking

_CALL_SETTINGS = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "maxTokens": "num_predict",
    "maxOutputTokens": "num_predict",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "stopSequences": "stop",
}

# Of the number of a call among several, in one question to a person.
_DIGITS = 5

# What an earlier answer was shown with, and the model need not see again.
_SHOWN_ONLY = ("step-start", "reasoning", "reasoning-file", "source-url", "source-document", "custom")


class UIMessage(BaseModel):
    """One message: a role and its parts."""

    id: str = Field("", max_length=200)
    role: Literal["system", "user", "assistant"]
    parts: list[dict[str, Any]]

    def to_messages(self, *, is_current: bool) -> list[Message]:
        """The messages as the core takes them: an answer with tool calls becomes several.

        is_current: whether this one belongs to the current turn.
        """
        if self.role != "assistant":
            return [{"role": self.role, "content": content_of(self.parts, _input_part, is_current=is_current)}]
        steps: list[list[dict[str, Any]]] = [[]]
        for part in _kept(self.parts):
            # What comes after a call is another answer of the model, made from the call's result.
            if part.get("type") == "step-start" or (not _is_tool(part) and any(map(_is_tool, steps[-1]))):
                steps.append([])
            steps[-1].append(part)
        return [message for step in steps for message in _step(step, is_current=is_current)]


def _kept(parts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts without those of messages that the chain took back."""
    gone: set[object] = set()
    for part in parts:
        match part:
            case {"type": "data-withdrawn", "data": {"message": str(message), "calls": list(calls)}}:
                gone |= {message, *map(str, calls)}
    return [part for part in parts if str(part.get("toolCallId")) not in gone and _message_of(part) not in gone]


def _message_of(part: Mapping[str, Any]) -> str | None:
    match part:
        case {"providerMetadata": {"llmstream": {"message": str(message)}}}:
            return message
    return None


def _is_tool(part: Mapping[str, Any]) -> bool:
    kind = str(part.get("type", ""))
    return kind.startswith("tool-") or kind == "dynamic-tool"


def _input_part(part: Mapping[str, Any]) -> Message | None:
    match part:
        case {"type": "text", "text": str(text)}:
            return text_part(text)
        case {"type": "file", "mediaType": str(media_type), "url": str(url)}:
            return file_part(url, media_type, str(part.get("filename") or ""))
        case {"type": str(kind)} if kind in _SHOWN_ONLY or kind.startswith("data-") or _is_tool(part):
            return None
    raise unreadable_part(part)


def _step(parts: list[dict[str, Any]], *, is_current: bool) -> list[Message]:
    """One answer of the model, and the results of its calls; a call without a result is left out."""
    text, thoughts = _joined(parts, "text"), _joined(parts, "reasoning")
    calls, results = [], []
    for part in filter(_is_tool, parts):
        output = part.get("output") if part.get("state") == "output-available" else part.get("errorText")
        if part.get("state") not in ("output-available", "output-error", "output-denied"):
            continue
        call_id, kind = part.get("toolCallId"), str(part["type"])
        name = part.get("toolName") if kind == "dynamic-tool" else kind.removeprefix("tool-")
        calls.append(call_of(call_id, name, part.get("input")))
        denied = part["state"] == "output-denied"
        results.append(result_of(call_id, "The call was denied." if denied else written(output)))
    if not text and not calls:
        return []
    return [answer_of(text, calls, thoughts if is_current else ""), *results]


def _joined(parts: list[dict[str, Any]], kind: str) -> str:
    return "\n".join(str(part.get("text") or "") for part in parts if part.get("type") == kind)


def _decided(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The answers to what the last run asked, by a person's approvals; raises `InvalidRequest` where one is open."""
    starts = [place for place, part in enumerate(parts) if part.get("type") == "step-start"]
    parts = parts[starts[-1] if starts else 0 :]
    answers: dict[str, Any] = {}
    several: dict[str, dict[int, Any]] = {}
    for part in parts:
        match part:
            case {"state": "approval-responded", "approval": {"id": str(approval), "approved": bool(approved)}}:
                reason = part["approval"].get("reason")
                rejected = {"type": "reject", **({"message": str(reason)} if reason else {})}
                decision = {"type": "approve"} if approved else rejected
                interrupt, of_several, number = approval.rpartition(ONE_OF_SEVERAL)
                if of_several and number.isdecimal() and len(number) < _DIGITS:
                    several.setdefault(interrupt, {})[int(number)] = decision
                else:
                    answers[approval] = decision
    if (answers or several) and any(part.get("state") == "approval-requested" for part in parts):
        raise InvalidRequest("Every call that waits for an approval must be decided on.")
    for interrupt, found in several.items():
        answers[interrupt] = {"decisions": [found[number] for number in sorted(found)]}
    return answers


@dataclass(frozen=True)
class Continued:
    """The answer that goes on: its id, and the ids of the calls in it."""

    id: str
    calls: tuple[str, ...]


class FrontendTool(BaseModel):
    """A tool that the page has, under its name."""

    model_config = ConfigDict(extra="allow")

    description: str | None = None
    parameters: dict[str, Any] | None = None


class ModelConfig(BaseModel):
    """The model to ask, as assistant-ui names it; a client brings no keys or addresses here."""

    model_config = ConfigDict(extra="forbid")

    modelName: str | None = None  # noqa: N815
    reasoningEffort: str | None = None  # noqa: N815


class AiSdkRequest(BaseModel):
    """The body: messages or the last one alone; `model`, `thinking`, `options` and `on_leave` are as in `POST /runs`.

    `metadata`, `trigger` and `messageId` say nothing that the messages don't. Without an `id` the chat is called by the
    id of the run.
    """

    model_config = ConfigDict(extra="allow")

    id: str | None = Field(None, min_length=1, max_length=200, description="The chat.")
    messages: list[UIMessage] | None = Field(None, fail_fast=True)
    message: UIMessage | None = None
    trigger: Literal["submit-message", "regenerate-message"] | None = None
    messageId: str | None = None  # noqa: N815
    resume: dict[str, Any] | None = Field(None, description="From the id of each `data-interrupt` to the answer.")
    metadata: JsonValue = None
    system: str | None = None
    tools: dict[str, FrontendTool] | None = None
    callSettings: dict[str, Any] | None = None  # noqa: N815
    config: ModelConfig | None = None
    model: str | None = None
    thinking: Thinking | None = None
    options: dict[str, Any] | None = None
    on_leave: Literal["cancel", "continue"] = "cancel"

    def ui_messages(self) -> list[UIMessage]:
        """The messages, whichever of the two fields they came in."""
        return self.messages if self.messages else [self.message] if self.message is not None else []

    def continued(self) -> Continued | None:
        """The answer that goes on, after the page has made the calls in it, or a person has decided on them."""
        last = self._last_answer()
        if last is None or not last.id:
            return None
        return Continued(last.id, tuple(str(part.get("toolCallId")) for part in last.parts if _is_tool(part)))

    def _last_answer(self) -> UIMessage | None:
        last = self.ui_messages()[-1:]
        return last[0] if last and last[0].role == "assistant" else None

    def ask(self) -> Ask:
        """The request as the server takes it; raises `InvalidRequest` for what can't be done."""
        # A page's own switches, switched off.
        check_rest({name: value for name, value in (self.model_extra or {}).items() if value is not False})
        turns = in_turns(self.ui_messages(), lambda message: message.role)
        messages = [each for message, is_current in turns for each in message.to_messages(is_current=is_current)]
        answer = self._last_answer()
        resume = {**(_decided(answer.parts) if answer else {}), **(self.resume or {})}
        if not messages and not resume:
            raise InvalidRequest("There is nothing to answer: give messages, or message.")
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        config = self.config or ModelConfig()
        return Ask(
            messages=messages,
            model=self.model or config.modelName,
            thinking=self.thinking if self.thinking is not None else thinking_of(config.reasoningEffort),
            options={**self._call_settings(), **(self.options or {})},
            tools=[tool_of(name, tool.description, tool.parameters) for name, tool in (self.tools or {}).items()],
            thread=self.id,
            resume=resume or None,
        )

    def _call_settings(self) -> dict[str, Any]:
        given = {name: value for name, value in (self.callSettings or {}).items() if value is not None}
        given.pop("headers", None)  # for the model's provider, and there is none
        unknown = sorted(set(given) - set(_CALL_SETTINGS))
        if unknown:
            raise InvalidRequest(f"The call setting {unknown[0][:40]!r} is not supported here.")
        return {_CALL_SETTINGS[name]: value for name, value in given.items()}

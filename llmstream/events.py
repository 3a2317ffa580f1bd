"""The events of a run, and their dict form.

A run is a sequence of events numbered 1, 2, 3 …; the log gives the numbers, so an event does not carry its own.
The last one is terminal: `Finished`, `Failed`, `Cancelled` or `Interrupted`, exactly one of them. `Reset` goes to one
client and is never part of a log.

A chain may say more than one message: what one model call, or one node of a graph, says. Where it may, the pieces carry
the `message` they belong to and the `name` of its node or branch; messages come one after the other, never woven
together. A message may be withdrawn later.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, TypedDict, get_args

import msgspec

from llmstream.errors import LlmstreamError

State = Literal["queued", "loading", "waiting", "prompt_truncated"]
FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "other"]
CancelledBy = Literal["stop", "left", "replaced"]


class Started(msgspec.Struct, frozen=True, gc=False, tag="started"):
    """The run was accepted; `created_at` is in seconds since 1970."""

    model: str
    created_at: float


class Status(msgspec.Struct, frozen=True, gc=False, tag="status", omit_defaults=True):
    """The state of a run before its answer; `position` 1 is next, `eta_s` and `progress` (0 to 0.95) are guesses."""

    state: State
    detail: str = ""
    position: int | None = None
    eta_s: float | None = None
    progress: float | None = None
    tokens: int | None = None


class Reasoning(msgspec.Struct, frozen=True, gc=False, tag="reasoning", omit_defaults=True, repr_omit_defaults=True):
    """A piece of the model's thinking."""

    text: str
    message: str | None = None
    name: str | None = None


class Token(msgspec.Struct, frozen=True, gc=False, tag="token", omit_defaults=True, repr_omit_defaults=True):
    """A piece of the answer; the pieces joined, with a blank line between messages, are the answer."""

    text: str
    message: str | None = None
    name: str | None = None


class Continued(msgspec.Struct, frozen=True, gc=False, tag="continued"):
    """A seam: what stands before it was said by the run `of`, which was cut; from here on the model goes on."""

    of: str


class Withdrawn(msgspec.Struct, frozen=True, gc=False, tag="withdrawn"):
    """A draft that the chain did not keep: its text, thinking, calls and sources are taken back, results are not."""

    message: str


class ToolCall(msgspec.Struct, frozen=True, tag="tool_call", omit_defaults=True, repr_omit_defaults=True):
    """The model asks for a tool to be called."""

    id: str
    name: str
    arguments: dict[str, Any]
    message: str | None = None


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    """The result of the tool called under `id`."""

    id: str
    output: Any


class Data(msgspec.Struct, frozen=True, tag="data", omit_defaults=True, repr_omit_defaults=True):
    """Anything else a chain emits; `sources` is a list of `{"title", "url", "excerpt"}`, which belongs to a message."""

    name: str
    value: Any
    message: str | None = None


class Usage(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The number of tokens in and out, as the model counts them (hidden ones too)."""

    input_tokens: int | None = None
    output_tokens: int | None = None


class Timings(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Seconds from the start of the run, and the speed of the answer."""

    time_to_first_token_s: float | None = None
    total_s: float | None = None
    load_s: float | None = None
    tokens_per_s: float | None = None


class Finished(msgspec.Struct, frozen=True, gc=False, tag="finished", omit_defaults=True):
    """The answer is complete, or cut at the limit of tokens (`reason="length"`)."""

    reason: FinishReason
    usage: Usage
    timings: Timings
    prompt_truncated: bool = False


class Failed(msgspec.Struct, frozen=True, gc=False, tag="failed"):
    """The answer is not complete; what came before is kept."""

    code: str
    message: str
    retryable: bool


class Cancelled(msgspec.Struct, frozen=True, gc=False, tag="cancelled"):
    """The run was stopped, or was left by all who watched it."""

    by: CancelledBy


class Interrupt(TypedDict):
    """A question of a graph to a person: `value` is the graph's own, `id` names the question in the answer."""

    id: str
    value: Any


class Interrupted(msgspec.Struct, frozen=True, tag="interrupted", omit_defaults=True):
    """The graph waits for a person; the answer to it starts another run on the same thread."""

    interrupts: list[Interrupt]
    usage: Usage
    timings: Timings


class Reset(msgspec.Struct, frozen=True, gc=False, tag="reset"):
    """Tells one client that its position can't be honoured: it drops what it has and begins anew."""

    reason: str


Event: TypeAlias = (
    Started | Status | Reasoning | Token | Continued | Withdrawn | ToolCall | ToolResult | Data
    | Finished | Failed | Cancelled | Interrupted | Reset
)  # fmt: skip
Terminal: TypeAlias = Finished | Failed | Cancelled | Interrupted

TERMINAL: tuple[type[Terminal], ...] = (Finished, Failed, Cancelled, Interrupted)
_TERMINAL = frozenset(TERMINAL)  # the class of a Struct is an ABC's, so `isinstance` takes ten times as long
EVENT_TYPES: Mapping[str, type[Event]] = {str(cls.__struct_config__.tag): cls for cls in get_args(Event)}


def is_terminal(event: Event) -> bool:
    """True if no event comes after this one."""
    return type(event) in _TERMINAL


def to_dict(event: Event) -> dict[str, Any]:
    """The event as plain JSON-ready types, `type` first; fields at their default are left out of some."""
    fields: dict[str, Any] = msgspec.to_builtins(event)
    return fields


def from_dict(fields: Mapping[str, Any]) -> Event | None:
    """The event a dict describes, or None for a type this version does not know (to be ignored).

    Raises `msgspec.ValidationError` where a known type lacks a field or has one of another type.
    """
    cls = EVENT_TYPES.get(str(fields.get("type")))
    return None if cls is None else msgspec.convert(dict(fields), cls, strict=False)


def failed(error: LlmstreamError) -> Failed:
    """The terminal event for an error."""
    return Failed(error.code, error.message, error.retryable)


def size_of(event: Event) -> int:
    """The approximate number of bytes that an event takes."""
    if isinstance(event, Token | Reasoning):
        return len(event.text)
    try:
        return len(msgspec.json.encode(event))
    except (TypeError, ValueError):  # a chain may emit anything
        return len(msgspec.json.encode(json_value(event)))


def well_formed(text: str) -> str:
    """The text as UTF-8 can hold it: halves of a surrogate pair joined, lone ones replaced by U+FFFD; a plain str."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str.__str__(text)  # LangChain's texts may be of a class of their own, which no encoder takes


def json_value(value: object, *, depth: int = 32) -> Any:
    """Any value as what JSON can hold: NaN and infinities become null, unknown objects and huge numbers their `str`.

    A chain may emit anything; nothing it emits may break the stream. Below `depth` levels the `str` stands too.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() < 64 else _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return well_formed(value)
    if depth <= 0:
        return _text(value)
    if isinstance(value, Mapping):
        return {_text(key): json_value(item, depth=depth - 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [json_value(item, depth=depth - 1) for item in value]
    if isinstance(value, msgspec.Struct):
        return json_value(msgspec.structs.asdict(value), depth=depth - 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return json_value({each.name: getattr(value, each.name) for each in dataclasses.fields(value)}, depth=depth - 1)
    if not isinstance(value, type) and callable(dump := getattr(value, "model_dump", None)):
        return json_value(dump(), depth=depth - 1)
    return _text(value)


def _text(value: object) -> str:
    try:
        return well_formed(str(value))
    except Exception:  # whatever a __str__ of somebody's own raises
        return f"<{type(value).__name__}>"

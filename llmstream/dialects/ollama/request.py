"""A request in Ollama's dialect, as `ollama_server` has checked it, made into what the server takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

from llmstream.errors import InvalidRequest
from llmstream.http.ask import Ask, asks_nothing, check_rest
from llmstream.http.parts import Message, answer_of, call_of, image_part, in_turns, result_of, text_part
from llmstream.ollama_server.backend import ChatRequest
from llmstream.settings import Thinking

# `keep_alive` is for /api/ps, `truncate` is honoured where the answer is made, `shift` is how a context may overflow.
_KNOWN = (
    "model", "messages", "prompt", "system", "images", "tools", "format", "options", "think", "stream", "truncate",
    "keep_alive", "shift", "suffix", "name",
)  # fmt: skip

# How a model is run, not what is asked of it: editors send these with every request.
HARDWARE = frozenset((
    "num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "numa", "low_vram", "f16_kv", "use_mmap", "use_mlock",
))  # fmt: skip

# Where an answer is cut, which needs no model.
LIMITS = frozenset(("num_predict", "stop"))


def ask_of(request: ChatRequest, *, takes_think: bool, left_out: Collection[str]) -> Ask:
    """The request as the server takes it; raises `InvalidRequest` for what can't be done.

    takes_think: whether `think` means something to what answers. left_out: options that it is not told of.
    """
    # False and 0 are what leaving a field of Ollama's out says.
    check_rest({name: value for name, value in request.body.items() if name not in _KNOWN and value})
    messages = list(request.messages)
    if request.is_generate and (images := request.body.get("images")):
        messages[-1:] = [{**message, "images": images} for message in messages[-1:]]
    reader, turns = _Messages(), in_turns(messages, lambda message: message.get("role"))
    shape = request.body.get("format") or None
    if shape is not None and shape != "json" and not isinstance(shape, Mapping):
        raise InvalidRequest('The format is "json" or a JSON schema.')
    return Ask(
        messages=[reader.read(message, is_current=is_current) for message, is_current in turns],
        model=request.model,
        thinking=_thinking(request, shape) if takes_think else None,
        options={
            name: value
            for name, value in request.options.items()
            if not _is_default(name, value) and name not in left_out
        },
        tools=cast("tuple[Mapping[str, Any], ...]", request.tools),
        format=shape,
    )


def _thinking(request: ChatRequest, shape: object) -> Thinking:
    """The thinking to ask for: Ollama does not hold one that may think, but doesn't, to the format of its answer."""
    unsaid = request.body.get("think") is None
    return False if unsaid and shape is not None else cast("Thinking", request.think)


def _is_default(name: str, value: object) -> bool:
    """True if an option says no more than its absence: empty, or an answer without a limit."""
    return asks_nothing(value) or (name == "num_predict" and isinstance(value, int) and value < 0)


class _Messages:
    """Gives calls without an id one, and results the id of the call they answer: Ollama goes by order and name."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[tuple[str, str]] = []  # id and name of the calls without a result

    def read(self, message: Mapping[str, Any], *, is_current: bool) -> Message:
        """The message as the core takes it; is_current: True if it belongs to the current turn."""
        role, text = message.get("role"), str(message.get("content") or "")
        if role == "assistant":
            thoughts = message.get("thinking") if is_current else ""
            calls = [self._call(call) for call in _list_of(message, "tool_calls")]
            return answer_of(text, calls, str(thoughts or ""))
        # The type of an image is not said, and nobody looks: Ollama reads it from the bytes.
        images = [image_part(f"data:image/png;base64,{each}") for each in _list_of(message, "images")]
        content = [text_part(text), *images] if images else text
        if role in ("tool", "function"):
            return result_of(self._answered(message), content)
        return {"role": role, "content": content}

    def _call(self, call: object) -> Message:
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(call, Mapping) or not isinstance(function, Mapping):
            raise InvalidRequest("A tool call needs its function.")
        self._count += 1
        made = call_of(call.get("id") or f"call_{self._count}", function.get("name"), function.get("arguments"))
        self._open.append((made["id"], made["function"]["name"]))
        return made

    def _answered(self, message: Mapping[str, Any]) -> str | None:
        """The id of the call that a message answers; None where the client sends that call no more."""
        if given := message.get("tool_call_id"):
            return str(given)
        name = message.get("tool_name") or message.get("name")
        call = next((call for call in self._open if call[1] == name), self._open[0] if self._open else None)
        if call is None:
            return None
        self._open.remove(call)
        return call[0]


def _list_of(message: Mapping[str, Any], field: str) -> list[Any]:
    given = message.get(field) or []
    if not isinstance(given, list):
        raise InvalidRequest(f"The field {field!r} of a message is a list.")
    return given

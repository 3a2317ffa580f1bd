"""Reads and checks the bodies of requests; refuses with the statuses and texts of Ollama 0.24."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from llmstream.errors import InvalidRequest
from llmstream.ollama.names import tagged
from llmstream.ollama_server.backend import ChatRequest, OllamaError
from llmstream.untrusted_json import check_cost, check_numbers, mended

_GO_TYPES: dict[type, str] = {
    str: "string",
    bool: "bool",
    list: "array",
    dict: "object",
    int: "number",
    float: "number",
    type(None): "null",
}
# More than 64 bits have; Python refuses to read thousands of them.
_DIGITS = 25

_TEXT = (str, "string")
_FLAG = (bool, "bool")
_NUMBER = (int, "int")

_CHAT_FIELDS: dict[str, tuple[type, str]] = {
    "model": _TEXT,
    "prompt": _TEXT,
    "system": _TEXT,
    "suffix": _TEXT,
    "messages": (list, "[]api.Message"),
    "tools": (list, "api.Tools"),
    "options": (dict, "map[string]interface {}"),
    "stream": _FLAG,
    "truncate": _FLAG,
    "top_logprobs": _NUMBER,
}

_INTEGERS = "num_keep seed num_predict top_k repeat_last_n num_ctx num_batch num_gpu main_gpu num_thread"
_FLOATS = "top_p min_p typical_p temperature repeat_penalty presence_penalty frequency_penalty"
# From an option to Ollama's name of its type, and Python's types of such JSON.
_OPTIONS: dict[str, tuple[str, tuple[type, ...]]] = {
    **dict.fromkeys(_INTEGERS.split(), ("integer", (int, float))),
    **dict.fromkeys(_FLOATS.split(), ("float32", (int, float))),
    "use_mmap": ("boolean", (bool,)),
    "stop": ("array", (list,)),
}

_THINK_LEVELS = ("high", "medium", "low", "max")
_THINK_RULE = '"high", "medium", "low", "max", true, or false)'

# host, namespace and model, each of Ollama's letters, and a tag (types/model/name.go).
_NAME = re.compile(r"(?:[\w][\w.:-]{0,349}/)?(?:\w[\w-]{0,79}/)?\w[\w.-]{0,79}(?::\w[\w.-]{0,79})?", re.ASCII)
# With one way only to read many digits.
_DURATION = re.compile(r"[+-]?(?:(?:\d++(?:\.\d*+)?|\.\d++)(?:ns|us|µs|ms|s|m|h))++|[+-]?0")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def read_json(data: bytes, go_type: str) -> dict[str, Any]:
    """The JSON object in a body.

    data: the body. go_type: the type Ollama names in its refusal, `api.ChatRequest`.

    Raises `OllamaError` with status 400: no body, half or broken JSON, or no object.
    """
    if not data.strip():
        raise OllamaError("missing request body", status=400)
    try:
        check_cost(data)
        text = mended(data).decode()
        value = json.loads(text, parse_int=_integer)
        check_numbers(value, "json")
    except InvalidRequest as error:
        raise OllamaError(error.message, status=400) from None
    except json.JSONDecodeError as error:
        raise OllamaError(_syntax_error(text, error), status=400) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = _GO_TYPES[type(value)]
        raise OllamaError(f"json: cannot unmarshal {kind} into Go value of type {go_type}", status=400)
    return value


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else math.inf


def _syntax_error(text: str, error: json.JSONDecodeError) -> str:
    # Python points at the end of the text, or at the start of a string that never ends.
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return "unexpected EOF"
    return f"invalid character {text[error.pos]!r} looking for beginning of value"


def full_name(name: str) -> str:
    """The name with its tag, in lower case: `Demo` is `demo:latest`.

    Raises `OllamaError` with status 400: the name has a letter that names can't have.
    """
    if not _NAME.fullmatch(name):
        raise OllamaError("invalid model name", status=400)
    return tagged(name).lower()


def read_chat(data: bytes, *, is_generate: bool) -> ChatRequest:
    """The checked request of `/api/chat` or `/api/generate`; its model may still be unknown.

    Raises `OllamaError` with status 400: broken JSON, a field of the wrong type, no model.
    """
    go_type = "GenerateRequest" if is_generate else "ChatRequest"
    body = read_json(data, f"api.{go_type}")
    fields = {name: body[name] for name in _CHAT_FIELDS if body.get(name) is not None}
    for name, value in fields.items():
        _check_type(value, _CHAT_FIELDS[name], f"{go_type}.{name}")
    if not 0 <= fields.get("top_logprobs", 0) <= 20:
        raise OllamaError("top_logprobs must be between 0 and 20", status=400)
    chat = ChatRequest(
        model=fields.get("model", ""),
        messages=_prompt_messages(fields) if is_generate else _messages(fields.get("messages", [])),
        think=_think(body.get("think")),
        tools=tuple(fields.get("tools", [])),
        options=fields.get("options", {}),
        stream=fields.get("stream", True),
        truncate=fields.get("truncate", True),
        keep_alive_s=_keep_alive_s(body.get("keep_alive")),
        is_generate=is_generate,
        body=body,
    )
    if not chat.model and is_generate:
        raise OllamaError("model '' not found", status=404)
    if not chat.model:
        raise OllamaError("model is required", status=400)
    return chat


def _check_type(value: Any, expected: tuple[type, str], field: str) -> None:
    if type(value) is not expected[0]:
        kind = _GO_TYPES[type(value)]
        raise OllamaError(
            f"json: cannot unmarshal {kind} into Go struct field {field} of type {expected[1]}", status=400
        )


def _messages(messages: list[Any]) -> tuple[dict[str, Any], ...]:
    for message in messages:
        _check_type(message, (dict, "api.Message"), "ChatRequest.messages")
        for name in ("role", "content"):
            if message.get(name) is not None:
                _check_type(message[name], _TEXT, f"ChatRequest.messages.{name}")
    return tuple(messages)


def _prompt_messages(fields: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    if not fields.get("prompt"):
        return ()
    system = [{"role": "system", "content": fields["system"]}] if fields.get("system") else []
    return (*system, {"role": "user", "content": fields["prompt"]})


def _think(value: Any) -> bool | str | None:
    if value is None or isinstance(value, bool) or value in _THINK_LEVELS:
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        raise OllamaError(f'invalid think value: "{value:.80}" (must be {_THINK_RULE}', status=400)
    raise OllamaError(f"think must be a boolean or string ({_THINK_RULE}", status=400)


def _keep_alive_s(value: Any) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if not isinstance(value, str):
        kind = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}[type(value)]
        raise OllamaError(f"Unsupported type: '{kind}'", status=400)
    if not _DURATION.fullmatch(value):
        raise OllamaError(f'time: invalid duration "{value:.80}"', status=400)
    parts = re.findall(r"([\d.]+)(ns|us|µs|ms|s|m|h)", value)
    seconds = sum(float(number) * _UNIT_S[unit] for number, unit in parts)
    return -seconds if value.startswith("-") else seconds


def check_options(options: dict[str, Any]) -> None:
    """Checks the types of the options that Ollama knows; others are ignored.

    Raises `OllamaError` with status 500 (Ollama's own choice): an option of the wrong type.
    """
    for name, value in options.items():
        if name not in _OPTIONS or value is None:
            continue
        kind, types = _OPTIONS[name]
        if type(value) not in types:
            raise OllamaError(f'option "{name}" must be of type {kind}')
        if isinstance(value, list) and not all(isinstance(item, str) for item in value):
            raise OllamaError(f'option "{name}" must be of an array of strings')

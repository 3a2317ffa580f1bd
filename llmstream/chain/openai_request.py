"""The default chain's request to an OpenAI-compatible server, beside the messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from llmstream.errors import InvalidRequest
from llmstream.settings import Thinking

# Ollama's names of options, where OpenAI's servers have others. What they know beyond OpenAI's (top_k, min_p …) has the
# name that it has here.
_NAMES = {"num_predict": "max_tokens"}
_NAMES_OF_VLLM = {"repeat_penalty": "repetition_penalty"}


def fields_of(
    kind: str,
    thinking: Thinking | None,
    options: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]],
    format: str | Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The fields of the request; kind: of the server, by `OpenAIServer.kind`. Raises `InvalidRequest`."""
    if "num_ctx" in options:
        raise InvalidRequest(
            "num_ctx is an option of Ollama's own API: an OpenAI-compatible server has the context it was started with "
            "(vLLM: --max-model-len, llama.cpp: --ctx-size). Leave it out."
        )
    names = _NAMES | _NAMES_OF_VLLM if kind == "vLLM" else _NAMES
    # In `extra_body`: what ChatOpenAI knows by name, it renames to what only OpenAI's own server takes.
    body = {names.get(name, name): value for name, value in options.items()} | _thinking(kind, thinking)
    fields: dict[str, Any] = {"extra_body": body} if body else {}
    if tools:
        fields["tools"] = list(tools)
    if format == "json":
        fields["response_format"] = {"type": "json_object"}
    elif format is not None and kind == "llama-cpp-python":
        fields["response_format"] = {"type": "json_object", "schema": format}
    elif format is not None:
        schema = {"name": "answer", "schema": format}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    return fields


def _thinking(kind: str, thinking: Thinking | None) -> dict[str, Any]:
    """The fields that ask for thinking, or for none: each server has its own, and an unknown one may refuse any."""
    if isinstance(thinking, str):
        return {"reasoning_effort": thinking}
    if thinking is None:
        return {}
    if kind in ("vLLM", "llama.cpp"):
        return {"chat_template_kwargs": {"enable_thinking": thinking}}
    return {"reasoning_effort": "none"} if kind == "Ollama" and not thinking else {}

"""Exceptions of other libraries made into our errors, where the one that raised them was talking to Ollama."""

from __future__ import annotations

import re

from llmstream.errors import (
    CapabilityMissing,
    LlmstreamError,
    ModelNotFound,
    UpstreamBusy,
    UpstreamEmpty,
    UpstreamError,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from llmstream.ollama.chunks import error_text
from llmstream.ollama.server_kinds import OLLAMA

_UNREACHABLE = "Ollama can't be reached where the chain's model looks for it (its base_url)."
_LATE = "Ollama did not answer in time. Ask again, or raise the timeout of the chain's model."
_CUT = "The answer broke off: the connection to Ollama was cut. Ask again."
_NO_STREAM = "Expected Ollama's chat stream, got {}. Check the chain's base_url."

# By class name, over the classes an exception inherits from: those of httpx, aiohttp, requests, ollama and Python.
_BY_NAME: dict[str, tuple[type[LlmstreamError], str]] = {
    "ConnectError": (UpstreamUnreachable, _UNREACHABLE),
    "ConnectTimeout": (UpstreamUnreachable, _UNREACHABLE),
    "ClientConnectorError": (UpstreamUnreachable, _UNREACHABLE),
    "TimeoutException": (UpstreamTimeout, _LATE),
    "Timeout": (UpstreamTimeout, _LATE),
    "RemoteProtocolError": (UpstreamTruncated, _CUT),
    "ReadError": (UpstreamTruncated, _CUT),
    "ClientPayloadError": (UpstreamTruncated, _CUT),
    "ChunkedEncodingError": (UpstreamTruncated, _CUT),
    "ServerDisconnectedError": (UpstreamTruncated, _CUT),
    "ClientOSError": (UpstreamTruncated, _CUT),
    "ConnectionError": (UpstreamUnreachable, _UNREACHABLE),
    "OllamaEndpointNotFoundError": (
        ModelNotFound,
        "Ollama does not have the chain's model. Get it with `ollama pull`.",
    ),
    "UnicodeDecodeError": (UpstreamProtocol, _NO_STREAM.format("text that is not UTF-8")),
    "JSONDecodeError": (UpstreamProtocol, _NO_STREAM.format("a line that is not JSON")),
    "ValidationError": (UpstreamProtocol, _NO_STREAM.format("a line that is none of its messages")),
}


def translate(error: Exception, *, from_model: bool) -> LlmstreamError | None:
    """Our error for one that an Ollama model raised; None where it is the chain's own."""
    if isinstance(error, LlmstreamError):
        return error
    ours = error.__cause__ or error.__context__
    if isinstance(ours, LlmstreamError):
        return ours
    if not from_model:
        return None
    for cls in type(error).__mro__:
        if cls.__name__ == "ResponseError":
            return _response_error(getattr(error, "status_code", 0), str(getattr(error, "error", "")))
        if cls.__name__ in _BY_NAME:
            kind, message = _BY_NAME[cls.__name__]
            return kind(f"{message} {OLLAMA.remedy()}" if kind is UpstreamUnreachable else message)
    return _by_text(str(error)) if isinstance(error, ValueError) else None


def _by_text(text: str) -> LlmstreamError | None:
    """Our error for one known by its text: LangChain's ValueError for no answer, langchain_community's for a status."""
    if "No generation chunks were returned" in text:
        return UpstreamEmpty("Ollama answered nothing. Ask again.")
    status = re.match(r"Ollama call failed with status code (\d+)", text)
    return _response_error(int(status[1]), "") if status else None


def _response_error(status: int, text: str) -> LlmstreamError:
    if status == 404:
        return ModelNotFound("Ollama does not have the chain's model. Get it with `ollama pull`.")
    if text.lstrip().startswith("<"):
        return UpstreamProtocol(_NO_STREAM.format("a web page"))
    if status == 503:
        return UpstreamBusy("Ollama's queue is full (OLLAMA_MAX_QUEUE). Ask again in a moment.")
    if "does not support" in text:
        return CapabilityMissing(f"Ollama refused the request: {error_text(text)}")
    return UpstreamError(f"Ollama reported an error: {error_text(text)}")

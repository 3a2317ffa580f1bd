"""Errors that OpenAI-compatible servers tell, as ours."""

from __future__ import annotations

import json
import re

from llmstream.errors import ModelNotFound, UpstreamBusy, UpstreamError
from llmstream.ollama.response import PromptTooLong
from llmstream.ollama.server_kinds import OPENAI, safe_text
from llmstream.untrusted_json import json_object

# Texts that name no path and no prompt, so a person may see them. Others are replaced.
_SAFE_TEXTS = (
    "The script of",  # of the demo, in a test
    "does not support",
    "is not supported",
    "must be",
    "out of memory",
    "server busy",
    "Loading model",
    "Rate limit",
    "Engine",
    "Compute error",
)
# What vLLM, llama.cpp's server, LM Studio, Ollama and OpenAI say of a prompt that does not fit.
_TOO_LONG = re.compile(
    r"context_length_exceeded|maximum context length|context (size|length|window)|longer than the (maximum|context)"
    r"|exceed_context_size|prompt is too long",
    re.IGNORECASE,
)


def error_of(error: object) -> UpstreamError:
    """Our error for one that the server tells in its stream."""
    return _too_long(error) or UpstreamError(f"The model server broke off the answer: {error_text(error)}")


def status_error(status: int, body: bytes, model: str) -> UpstreamError | ModelNotFound:
    """Our error for a status that comes in the place of an answer."""
    fields = json_object(body)
    error = fields if fields.get("object") == "error" else fields.get("error")  # an older vLLM's is the body itself
    if status in (401, 403):
        return UpstreamError(f"The model server refused the key (status {status}). Set LLMSTREAM_UPSTREAM_KEY.")
    if status in (429, 503) and error is not None:
        return UpstreamBusy("The model server is busy, or loads its model. Ask again in a moment.")
    if error is None:
        return OPENAI.protocol(f"HTTP status {status} without OpenAI's error text", status=status)
    if (too_long := _too_long(error)) is not None:
        return too_long
    if status == 404 and "model" in _text(error).lower():
        return model_not_found(model)
    return OPENAI.refused(status, error_text(error))


def model_not_found(model: str, near: str = "") -> ModelNotFound:
    """The error for a model that the server has not, with where to see those that it has; near: of `nearest_model`."""
    return ModelNotFound(f"The model {model!r} is not there.{near} `llmstream models` names those that are.")


def error_text(error: object) -> str:
    """The text of an error where it is known to hold no path and no prompt, else one that names the log."""
    message = error.get("message") if isinstance(error, dict) else error
    return safe_text(message, _SAFE_TEXTS) or "it reported an error. Its log says more."


def _too_long(error: object) -> PromptTooLong | None:
    text = _text(error)
    if not _TOO_LONG.search(text):
        return None
    fields = error if isinstance(error, dict) else {}
    said = re.search(r"(?:maximum context length is|context size \(|context length of(?: only)?) ?(\d+)", text)
    size = fields.get("n_ctx") or (said and said[1])
    tokens = f" of {size} tokens" if size else ""
    return PromptTooLong(
        f"The prompt is longer than the model's context{tokens}. Shorten it, or start the server with a longer one "
        "(vLLM: --max-model-len, llama.cpp: --ctx-size)."
    )


def _text(error: object) -> str:
    """All that an error says, its code and type too; only to be looked at, never shown."""
    return json.dumps(error)[:10_000]

"""Failures as people are told of them who can't mend the server: without its commands, settings and addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from llmstream.errors import LlmstreamError, error_from_code
from llmstream.events import Failed, Status
from llmstream.logger import logger

# A command or a name in code, an address, a setting.
_FOR_DEVELOPERS = re.compile(r"`|://|LLMSTREAM_|OLLAMA_|base_url")
_NEXT_SENTENCE = re.compile(r"(?<=[.!?]) (?=[A-Z])")

# Of what only who runs the server can mend, where nothing else is left. What is wrong with a request its sender can
# mend, so that stays as it is.
_SENTENCES = {
    "body_too_large": "The question, with all that goes with it, is too large.",
    "chain_failed": "The server failed to answer. Ask again later.",
    "model_not_found": "The model is not there. Choose another one.",
    "upstream_busy": "The model has too much to do. Ask again in a moment.",
    "upstream_empty": "The model answered nothing. Ask again.",
    "upstream_error": "The model failed. Ask again.",
    "upstream_protocol": "The model's answer can't be read.",
    "upstream_stalled": "The answer stopped. Ask again.",
    "upstream_timeout": "The model did not begin in time. Ask again in a moment.",
    "upstream_truncated": "The answer broke off. Ask again.",
    "upstream_unreachable": "The model can't be reached. Ask again later.",
}

_NEXT_HOST = "Another server of the model is asked."
_DEMO = "A demo answers here, not a language model."
_PASSING = "Answers may take longer just now."


def plain_message(code: str, message: str) -> str:
    """The sentences of an error's message that are for everybody, or that of its code; the log has the others."""
    if code not in _SENTENCES or not _FOR_DEVELOPERS.search(message):
        return message
    logger.warning("%s: %s", code, message)
    kept = [each for each in _NEXT_SENTENCE.split(message) if not _FOR_DEVELOPERS.search(each)]
    return " ".join(kept) or _SENTENCES[code]


def plain_event(event: Failed | Status) -> Failed | Status:
    """The event with a plain message; itself where it has one."""
    if isinstance(event, Failed):
        return Failed(event.code, plain_message(event.code, event.message), event.retryable)
    # The one status that names anything of the server's.
    return msgspec.structs.replace(event, detail=_NEXT_HOST) if _FOR_DEVELOPERS.search(event.detail) else event


def plain_notice(*, is_demo: bool) -> str:
    """A sentence in the place of a notice: that a demo answers, or that some of the model's servers are away."""
    return _DEMO if is_demo else _PASSING


def plain_error(error: LlmstreamError) -> LlmstreamError:
    """The error with a plain message; itself where it has one."""
    message = plain_message(error.code, error.message)
    return error if message == error.message else error_from_code(error.code, message)


@contextmanager
def plain_errors(is_public: bool) -> Iterator[None]:
    """Raises the block's errors with plain messages, where those who ask can't mend the server."""
    try:
        yield
    except LlmstreamError as error:
        if not is_public or (plain := plain_error(error)) is error:
            raise
        raise plain from error

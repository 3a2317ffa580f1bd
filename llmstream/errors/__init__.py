"""The errors of llmstream, one class per stable `code`; none of them knows HTTP.

LlmstreamError
├── SettingsError                a setting or environment variable that can't be used
├── InvalidRequest               the question, messages or options can't be used
│   ├── BodyTooLarge             the request or its question is over a limit
│   └── CapabilityMissing        the model can't see images, call tools or think
├── Unauthorized, Forbidden, HostNotAllowed, ModelNotFound, ModelNotAllowed, NotFound
├── RunNotFound, RunCancelled, StillRunning, KeyConflict, ServerShutdown, OwnerLost, StoreCorrupt
├── Busy (TooManyRuns: of one caller; StoreUnavailable, StoreFull: of the store shared by several processes)
├── UpstreamError                Ollama failed; the subclasses say how
│   ├── UpstreamUnreachable, UpstreamBusy, UpstreamTimeout, UpstreamStalled
│   └── UpstreamTruncated, UpstreamEmpty, UpstreamProtocol
└── LimitExceeded, ChainFailed   an answer grew beyond a limit; the chain raised an exception of its own
A message says to a person what to do, in a sentence or two. It holds no prompt, path or trace: anybody may see it.
"""

from __future__ import annotations

from typing import ClassVar

from llmstream.errors.in_cell import ShownInCell


class LlmstreamError(ShownInCell, Exception):
    """The base of all errors; `str(error)` may be shown to a user. text: the message where none is given."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False
    text: ClassVar[str] = ""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or self.text)

    @property
    def message(self) -> str:
        """The text for a person."""
        return str(self)


class SettingsError(LlmstreamError):
    """A setting or environment variable has a value that can't be used."""

    code = "settings"


class InvalidRequest(LlmstreamError):
    """The question, the messages, the options or the chain's input can't be used as they are."""

    code = "invalid_request"


class BodyTooLarge(InvalidRequest):
    """The request, or the question in it, is larger than the settings allow."""

    code = "body_too_large"


class CapabilityMissing(InvalidRequest):
    """The model can't do what was asked of it: see images, call tools, think."""

    code = "capability_missing"


class Unauthorized(LlmstreamError):
    """The token is missing or wrong."""

    code = "unauthorized"


class Forbidden(LlmstreamError):
    """The request came from a page that may not use this server."""

    code = "forbidden"


class HostNotAllowed(LlmstreamError):
    """The request named a host that this server does not answer to."""

    code = "host_not_allowed"


class ModelNotFound(LlmstreamError):
    """The model has not been pulled, or there is none at all."""

    code = "model_not_found"


class ModelNotAllowed(LlmstreamError):
    """The settings do not let a client ask for this model."""

    code = "model_not_allowed"


class NotFound(LlmstreamError):
    """The server has nothing at the address that was asked."""

    code = "not_found"


class RunNotFound(LlmstreamError):
    """The run is unknown, expired, or another caller's: the three can't be told apart."""

    code = "run_not_found"
    text = "There is no such run, or it has expired. Start a new one."


class KeyConflict(LlmstreamError):
    """A request key was used again with another request."""

    code = "key_conflict"
    text = "This request key was used with another request. Send a new key with a new request."


class RunCancelled(LlmstreamError):
    """The answer was stopped before its end and is not complete."""

    code = "cancelled"
    text = "The answer was stopped before its end. Ask again for a whole one."


class StillRunning(LlmstreamError):
    """The run goes on, and what was asked of it takes one that has ended."""

    code = "still_running"


class Busy(LlmstreamError):
    """All places and the queue are taken; `retry_after_s` is how long to wait before asking again, in seconds."""

    code = "busy"
    retryable = True

    def __init__(self, message: str = "", *, retry_after_s: int = 2) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TooManyRuns(Busy):
    """One caller has as many runs as the settings allow to one."""

    code = "too_many_runs"


class StoreUnavailable(Busy):
    """The store that several processes share does not answer."""

    code = "store_unavailable"
    text = "The server can't reach its store just now. Ask again in a moment."


class StoreFull(StoreUnavailable):
    """The store that several processes share has no room."""

    code = "store_full"
    text = "The server's store is full. Ask again in a moment."


class StoreCorrupt(LlmstreamError):
    """An entry in the store was not written by this library, or not whole."""

    code = "store_corrupt"
    text = "What was stored of this answer can't be read. Ask again."


class OwnerLost(LlmstreamError):
    """The process that made the answer died, or was cut off for too long."""

    code = "owner_lost"
    retryable = True
    text = "The server process that made this answer was lost. Ask again."


class ServerShutdown(LlmstreamError):
    """The server is going down."""

    code = "server_shutdown"
    retryable = True
    text = "The server is shutting down. Ask again in a moment."


class UpstreamError(LlmstreamError):
    """Ollama reported an error."""

    code = "upstream_error"
    retryable = True


class UpstreamUnreachable(UpstreamError):
    """No Ollama answers at the configured address."""

    code = "upstream_unreachable"


class UpstreamBusy(UpstreamError):
    """Ollama's own queue is full."""

    code = "upstream_busy"


class UpstreamTimeout(UpstreamError):
    """Ollama sent nothing before the first token's time was over."""

    code = "upstream_timeout"


class UpstreamStalled(UpstreamError):
    """Ollama stopped sending in the middle of an answer."""

    code = "upstream_stalled"


class UpstreamTruncated(UpstreamError):
    """The answer ended without Ollama saying that it is complete."""

    code = "upstream_truncated"


class UpstreamEmpty(UpstreamError):
    """Ollama only loaded or unloaded the model and answered nothing."""

    code = "upstream_empty"


class UpstreamProtocol(UpstreamError):
    """The answer is not in Ollama's protocol."""

    code = "upstream_protocol"
    retryable = False


class LimitExceeded(LlmstreamError):
    """An answer grew beyond the limit on events, bytes or time."""

    code = "limit_exceeded"


class ChainFailed(LlmstreamError):
    """The chain raised an exception that is not about Ollama."""

    code = "chain_failed"
    cause_is_theirs = True


_BY_CODE = {it.code: it for it in [*globals().values()] if isinstance(it, type) and issubclass(it, LlmstreamError)}


def error_from_code(code: str, message: str) -> LlmstreamError:
    """The exception for a `code` that came over the wire; an unknown code gives a plain `LlmstreamError`."""
    return _BY_CODE.get(code, LlmstreamError)(message)

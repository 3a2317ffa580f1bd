"""Errors made into HTTP responses: the status of each, and the form in which the clients of a dialect read it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.responses import Response

from llmstream.errors import Busy, LlmstreamError, error_from_code
from llmstream.logger import logger

_STATUS = {
    "invalid_request": 422, "body_too_large": 413, "capability_missing": 422, "unauthorized": 401, "forbidden": 403,
    "host_not_allowed": 421, "model_not_found": 404, "model_not_allowed": 403, "run_not_found": 404,
    "not_found": 404, "still_running": 409,
    "key_conflict": 409, "cancelled": 409, "busy": 503, "too_many_runs": 429, "upstream_unreachable": 502,
    "upstream_busy": 503, "upstream_timeout": 504, "upstream_stalled": 504, "upstream_truncated": 502,
    "upstream_empty": 502, "upstream_protocol": 502, "upstream_error": 502, "chain_failed": 500, "server_shutdown": 503,
    "store_unavailable": 503, "store_full": 503, "store_corrupt": 500, "owner_lost": 503,
}  # fmt: skip
_RETRY_AFTER_S = 2


@dataclass(frozen=True)
class ErrorForm:
    """The form in which the clients of a dialect read an error.

    body: from an error and its status to the bytes of the body. bad_request: the status of a request that can't be
    understood. says_retry: whether a header tells them not to ask again (`x-should-retry`). schema: that of the body,
    for the OpenAPI document.
    """

    body: Callable[[LlmstreamError, int], bytes]
    schema: Mapping[str, Any]
    media_type: str = "application/json"
    bad_request: int = 400
    says_retry: bool = False


def error_fields(error: LlmstreamError) -> dict[str, object]:
    """The fields of an error, as this server's own clients read them."""
    return {"code": error.code, "message": error.message, "retryable": error.retryable}


def object_schema(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT: dict[str, Any] = {"type": "string"}
NATIVE = ErrorForm(
    lambda error, status: msgspec.json.encode(error_fields(error)),
    object_schema(code=TEXT, message=TEXT, retryable={"type": "boolean"}),
    bad_request=422,
)


def status_of(error: LlmstreamError, *, bad_request: int) -> int:
    """The status of an error; bad_request: that of a request that can't be understood."""
    status = _STATUS.get(error.code, 500)
    return bad_request if status == 422 else status


@contextmanager
def hook(name: str, says: str) -> Generator[None]:
    """Runs the app's own code: what it raises on purpose goes on, and any other error is logged, and told as `says`."""
    try:
        yield
    except (LlmstreamError, HTTPException):
        raise
    except Exception as error:
        logger.exception("%s failed", name)
        raise LlmstreamError(f"{says} Its log says why.") from error


@contextmanager
def refusals_told() -> Generator[None]:
    """Raises an `HTTPException` of the app's own as an error of ours with its words, where there is no response."""
    try:
        yield
    except HTTPException as error:
        raise LlmstreamError(str(error.detail)) from error


def error_response(error: Exception, form: ErrorForm = NATIVE) -> Response:
    """An error as a response with its status; one that is not ours is shown without its text."""
    known = error if isinstance(error, LlmstreamError) else error_from_code("chain_failed", "The server failed.")
    status = status_of(known, bad_request=form.bad_request)
    headers = {"cache-control": "no-store"}
    if status in (429, 503):
        headers["retry-after"] = str(known.retry_after_s if isinstance(known, Busy) else _RETRY_AFTER_S)
    if form.says_retry and not known.retryable:
        headers["x-should-retry"] = "false"
    return Response(form.body(known, status), status, headers, form.media_type)

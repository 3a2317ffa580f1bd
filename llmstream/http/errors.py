"""Errors as HTTP responses: the status of each, and what its body says."""

from __future__ import annotations

from llmstream.errors import (
    Busy,
    LlmstreamError,
)

STATUS = {
    "invalid_request": 422, "body_too_large": 413, "capability_missing": 422, "unauthorized": 401, "forbidden": 403,
    "host_not_allowed": 421, "model_not_found": 404, "model_not_allowed": 403, "run_not_found": 404,
    "key_conflict": 409, "cancelled": 409, "busy": 503, "too_many_runs": 429, "upstream_unreachable": 502,
    "upstream_busy": 503, "upstream_timeout": 504, "upstream_stalled": 504, "upstream_truncated": 502,
    "upstream_empty": 502, "upstream_protocol": 502, "upstream_error": 502, "chain_failed": 500, "server_shutdown": 503,
}  # fmt: skip


def error_fields(error: LlmstreamError) -> dict[str, object]:
    """An error as every failure with a status tells it."""
    return {"code": error.code, "message": error.message, "retryable": error.retryable}


def status_of(error: LlmstreamError) -> int:
    """The status of an error; clients of these dialects know a bad request as 400."""
    status = STATUS.get(error.code, 500)
    return 400 if status == 422 else status


def retry_headers(error: LlmstreamError) -> dict[str, str]:
    """What an error's headers say about asking again."""
    headers = {"cache-control": "no-store"}
    if isinstance(error, Busy):
        headers["retry-after"] = str(error.retry_after_s)
    return headers

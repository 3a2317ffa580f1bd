"""The body of a request: limited in size before it is parsed, and read as JSON of a declared form."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Sequence
from typing import Any, Generic, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope

from llmstream.errors import BodyTooLarge, InvalidRequest
from llmstream.http.request_headers import Fields, content_type, first_of_each, is_json
from llmstream.http.schemas import inlined
from llmstream.settings import Settings
from llmstream.untrusted_json import check_cost, mended, without_images

M = TypeVar("M", bound=BaseModel)
# Of where something is wrong, and of what is wrong: a client may send long names.
_NAME, _SENTENCE = 200, 500
_NOT_JSON = "The body must be JSON, with `content-type: application/json`."
_LENGTH = re.compile(r"[0-9]{1,18}")


class JsonBody(Generic[M]):
    """A dependency of FastAPI's that reads the body of a request as a model.

    FastAPI's own reading takes as long as all else until the first token. hint: what follows a sentence on a body that
    can't be read. also: content types that pass for JSON's, where a client knows no better.
    """

    def __init__(self, model: type[M], *, hint: str = "", also: Collection[str] = ()) -> None:
        self._model = model
        self._hint = hint
        self._also = also

    async def __call__(self, request: Request) -> M:
        """The body; raises `InvalidRequest` for one that is no JSON, or not of the model's form."""
        kind = content_type(first_of_each(request.scope))
        if not is_json(kind) and kind not in self._also:
            raise self._refused(_NOT_JSON)
        try:
            data = await request.body()
        except ClientDisconnect:  # nobody reads this; it is no fault of the server's, so nothing to log
            raise InvalidRequest("The body broke off.") from None
        try:
            check_cost(data)
            return self._read(data)
        except ValidationError as error:
            raise self._refused(unreadable(error)) from None
        except InvalidRequest as error:
            raise self._refused(error.message) from None

    def _read(self, data: bytes) -> M:
        try:
            return self._model.model_validate_json(data)
        except ValidationError as error:
            # Pydantic takes no half of a surrogate pair.
            if error.error_count() > 1 or _all_errors(error)[0]["type"] != "json_invalid":
                raise
        return self._model.model_validate_json(mended(data))

    def documented(self) -> dict[str, Any]:
        """The body as OpenAPI describes it."""
        return {"required": True, "content": {"application/json": {"schema": _schema(self._model)}}}

    def _refused(self, what: str) -> InvalidRequest:
        return InvalidRequest(f"{what} {self._hint}".strip())


@functools.cache
def _schema(model: type[BaseModel]) -> Any:
    """The JSON Schema of a model without references, made once: every app documents the same few bodies."""
    schema = model.model_json_schema()
    return inlined(schema, schema.pop("$defs", {}))


def unreadable(error: RequestValidationError | ValidationError) -> str:
    """A sentence that says where a request is not of its declared form, and why."""
    first = _all_errors(error)[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")[:_NAME]
    return f"{where or 'The body'}: {first['msg'][:_SENTENCE]}."


def _all_errors(error: RequestValidationError | ValidationError) -> Sequence[Any]:
    """The errors of a check without the values that came; pydantic gives all of them or none."""
    if isinstance(error, ValidationError):
        return error.errors(include_url=False, include_context=False, include_input=False)
    return error.errors()


async def limit_body(scope: Scope, headers: Fields, receive: Receive, settings: Settings) -> Receive:
    """`receive` for a body within the limits; raises `BodyTooLarge` before anything is parsed.

    A body of JSON, also one that says it is text, and a form with files, may have images on top.
    """
    if scope["type"] != "http":
        return receive
    limit = settings.max_body_bytes
    kind = content_type(headers)
    is_form = kind == "multipart/form-data"
    may_hold_images = is_form or kind == "text/plain" or (kind.startswith("application/") and kind.endswith("json"))
    most = limit + (settings.max_image_bytes if may_hold_images else 0)
    length = headers.get("content-length")
    if length is not None and (not _LENGTH.fullmatch(length) or int(length) > most):
        raise _too_large(settings)
    # HTTP/1 ends a body by its length, to which the server holds it, or by its chunks; HTTP/2 needs neither.
    is_held = scope.get("http_version", "1.1").startswith("1.") and "transfer-encoding" not in headers
    if is_held and int(length or 0) <= (most if is_form else limit):
        return receive
    messages = await _read_all(receive, most, settings)
    body = b"" if is_form else b"".join(message.get("body", b"") for message in messages)
    if len(body) > limit and len(without_images(body)) > limit:
        raise _too_large(settings)
    return _replay(messages, receive)


async def _read_all(receive: Receive, limit: int, settings: Settings) -> list[Message]:
    messages: list[Message] = []
    size = 0
    while not messages or messages[-1].get("more_body"):
        message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise _too_large(settings)
        messages.append(message)
    return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    async def replayed() -> Message:
        return messages.pop(0) if messages else await receive()

    return replayed


def _too_large(settings: Settings) -> BodyTooLarge:
    return BodyTooLarge(
        f"The request is larger than {settings.max_body_bytes} bytes, and {settings.max_image_bytes} for images in "
        "base64. Shorten it, or raise LLMSTREAM_MAX_BODY_BYTES or LLMSTREAM_MAX_IMAGE_BYTES."
    )

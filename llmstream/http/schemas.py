"""Schemas for the OpenAPI document: of bodies that are read, and of what the messages of a stream hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmstream.events import EVENT_TYPES

_TYPED = (
    "Typed server-sent events. Each message has `id: <run>-<seq>`, `event: <type>` and the event as JSON in `data`. "
    "The last one is finished, failed, cancelled or interrupted."
)
_PLAIN = "Text as server-sent events: the data of each message is a piece of the answer; then `event: done`."
_TYPED_EXAMPLE = """: open
id: 7d616b19-2
event: token
data: {"type":"token","run":"7d616b19","seq":2,"text":"The"}
"""
_PLAIN_EXAMPLE = """: open
id: 7d616b19-2
data: The sky is

id: 7d616b19-3
event: done
data:
"""


def stream(description: str, data: Mapping[str, Any] | None = None, *, example: str = "") -> dict[str, Any]:
    """The OpenAPI response of server-sent events; data: the schema of what stands in each as JSON, None for a text."""
    json_text = {} if data is None else {"contentMediaType": "application/json", "contentSchema": data}
    texts = {name: {"type": "string"} for name in ("id", "event")}
    item = {"type": "object", "properties": {**texts, "data": {"type": "string", **json_text}}}
    media: dict[str, Any] = {"itemSchema": item}
    return {
        "description": description,
        "content": {"text/event-stream": {**media, **({"example": example} if example else {})}},
    }


def typed_stream() -> dict[str, Any]:
    """The OpenAPI response of a stream of typed events: what the data of each message may be."""
    schemas, components = msgspec.json.schema_components(EVENT_TYPES.values())
    events = [_numbered(inlined(schema, components)) for schema in schemas]
    return stream(_TYPED, {"oneOf": events}, example=_TYPED_EXAMPLE)


def plain_stream() -> dict[str, Any]:
    """The OpenAPI response of a stream of text."""
    return stream(_PLAIN, example=_PLAIN_EXAMPLE)


def json_response(description: str, schema: Mapping[str, Any] | type) -> dict[str, Any]:
    """The OpenAPI response of one JSON value, by its schema or its type."""
    if isinstance(schema, type):
        (found,), components = msgspec.json.schema_components([schema])
        schema = inlined(found, components)
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def json_or_stream(description: str, data: Mapping[str, Any] | None) -> dict[str, Any]:
    """The OpenAPI response of one JSON object or of server-sent events, as the request asks; data: as of `stream`."""
    response = json_response(description, {"type": "object"})
    return {**response, "content": response["content"] | stream("", data)["content"]}


NOTHING: dict[int | str, dict[str, Any]] = {204: {"description": "Nothing more to give"}}


def inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    """The schema with each reference replaced by what it refers to."""
    if isinstance(schema, list):
        return [inlined(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: inlined(value, definitions) for key, value in schema.items()}


def _numbered(schema: dict[str, Any]) -> dict[str, Any]:
    properties = schema["properties"]
    numbers = {"run": {"type": "string"}, "seq": {"type": "integer"}}
    return {**schema, "properties": {"type": properties["type"], **numbers, **properties}}

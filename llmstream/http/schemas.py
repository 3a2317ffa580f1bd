"""Schemas for the OpenAPI document: of bodies that are read, and of what the messages of a stream hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmstream.events import EVENT_TYPES

_TYPED = (
    "Each message has `id: <run>-<seq>`, `event: <type>` and the event as JSON in `data`. The last one is "
    "finished, failed, cancelled or interrupted."
)
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


def typed_stream() -> dict[str, Any]:
    """The OpenAPI content of a stream of typed events: what the data of each message may be."""
    schemas, components = msgspec.json.schema_components(EVENT_TYPES.values())
    events = [_numbered(inlined(schema, components)) for schema in schemas]
    schema = {"type": "string", "description": _TYPED, "oneOf": events}
    return {"text/event-stream": {"schema": schema, "example": _TYPED_EXAMPLE}}


def plain_stream() -> dict[str, Any]:
    """The OpenAPI content of a stream of text."""
    schema = {"type": "string", "description": "The data of each message is a piece of the answer; then `event: done`."}
    return {"text/event-stream": {"schema": schema, "example": _PLAIN_EXAMPLE}}


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

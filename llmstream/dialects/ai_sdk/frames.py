"""The frames of the UI message stream: server-sent events whose data is a JSON object, or `[DONE]` at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from llmstream.events import Data, Finished, Interrupted
from llmstream.http.encoder import frame


def broken(text: str) -> str:
    """The frames of a failure; without a finish, as the SDK's own streams have one, some transports would ask again."""
    return frame("error", errorText=text) + frame("finish", finishReason="error")


def numbers(event: Finished) -> dict[str, Any]:
    """The figures of an answer's end; the reason as well, because not every page is shown the finish."""
    fields: dict[str, Any] = {"reason": event.reason, **measured(event)}
    return {**fields, "prompt_truncated": True} if event.prompt_truncated else fields


def measured(event: Finished | Interrupted) -> dict[str, Any]:
    """The usage and the timings of an answer."""
    return {"usage": msgspec.to_builtins(event.usage), "timings": msgspec.to_builtins(event.timings)}


def data_frames(event: Data, told: Mapping[str, str]) -> str:
    """The frames of data: sources as the SDK knows them, anything else as a data part; told: of their message."""
    if event.name != "sources" or not isinstance(event.value, list):
        return frame(f"data-{event.name}", data=event.value)
    return "".join(_source(n, source, told) for n, source in enumerate(event.value, 1) if isinstance(source, dict))


def _source(number: int, source: dict[str, Any], told: Mapping[str, str]) -> str:
    title = str(source.get("title") or "Untitled")
    fields: dict[str, Any] = {"sourceId": f"source-{number}", "title": title}
    if source.get("excerpt") or told:
        excerpt = {"excerpt": source["excerpt"]} if source.get("excerpt") else {}
        fields["providerMetadata"] = {"llmstream": {**excerpt, **told}}
    if source.get("url"):
        return frame("source-url", url=source["url"], **fields)
    return frame("source-document", mediaType="text/plain", **fields)

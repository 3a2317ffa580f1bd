"""The headers of a request, by name."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

Fields = Mapping[str, str]


def first_of_each(scope: Scope) -> Fields:
    """The request's headers by name, the first of each name; half of the names looked up are not there."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(list(scope["headers"]))}


def content_type(headers: Fields) -> str:
    """The content type without its parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(kind: str) -> bool:
    """True if a content type is JSON's, which a page can send to another site only if that agrees."""
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def opens_page(scope: Scope, headers: Fields) -> bool:
    """True if a person follows a link to a page, which is harmless: the page with the link can't read the answer."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )

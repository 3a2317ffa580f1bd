"""The description of a wire protocol to the server: a name, its routes, and what its clients expect beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Response

from llmstream.http.errors import ErrorForm
from llmstream.http.route import Guard, guarded_route
from llmstream.http.service import Service


class Routes:
    """Adds routes to a router, each behind the guard of its service, with the errors of one form."""

    def __init__(
        self, router: APIRouter, service: Service, form: ErrorForm, *, prefix: str = "", tag: str = ""
    ) -> None:
        self._router = router
        self._route = guarded_route(Guard(service, form))
        content = {form.media_type.partition(";")[0]: {"schema": form.schema}}
        self._failures: dict[int | str, dict[str, Any]] = {
            "4XX": {"description": "Refused", "content": content},
            "5XX": {"description": "Failed; most can be asked again", "content": content},
        }
        self._prefix = prefix
        self._tags: list[Any] = [tag] if tag else []

    def add(self, method: str, path: str, endpoint: Callable[..., Any], summary: str, **options: Any) -> None:
        """Adds a route, which may fail in the form's way; options are those of FastAPI's `add_api_route`."""
        responses = {**self._failures, **options.pop("responses", {})}
        self._router.add_api_route(
            self._prefix + path,
            endpoint,
            methods=[method],
            summary=summary,
            responses=responses,
            **{"tags": self._tags, "response_class": Response, "route_class_override": self._route, **options},
        )


@dataclass(frozen=True)
class Dialect:
    """A wire protocol.

    add: adds its routes to a router, over a service. forms: from the paths under which its clients ask to the form in
    which they read an error there. request_headers, response_headers: what a page of another origin may send and read
    beside the usual.
    """

    name: str
    add: Callable[[APIRouter, Service], None]
    forms: Mapping[str, ErrorForm] = field(default_factory=dict)
    request_headers: Sequence[str] = ()
    response_headers: Sequence[str] = ()

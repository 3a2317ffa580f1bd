"""Routes that let in whom the settings allow, and tell every failure in the form that their clients read.

They are FastAPI's routes, so that they obey whatever their router is included with: dependencies, a prefix, another
router. An `HTTPException` of the app's own goes through as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from llmstream.addresses import LOOPBACK_HOSTS
from llmstream.errors import InvalidRequest, LlmstreamError
from llmstream.http.audience import CALLER, is_public
from llmstream.http.body import JsonBody, limit_body, unreadable
from llmstream.http.errors import ErrorForm, error_response
from llmstream.http.ignored import begin_request, ignored_header
from llmstream.http.origins import check_host, check_origin, check_sender
from llmstream.http.request_headers import first_of_each
from llmstream.http.security import identify_caller
from llmstream.http.service import Service
from llmstream.runs.redacted_failures import plain_errors

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="Resume after this event.")]
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", max_length=200, description="Starts at most one run.")
]


@dataclass(frozen=True)
class Guard:
    """The rule of a route: who may come in, and in which form the others are told that they may not.

    service: whose settings and `identify` hold.
    """

    service: Service
    form: ErrorForm

    async def admit(self, request: Request) -> Request:
        """The request of a caller who may ask, also in an app without our doors; raises `LlmstreamError`."""
        scope, settings, identify = request.scope, self.service.runs.limits, self.service.identify
        headers = first_of_each(scope)
        check_sender(scope, headers)
        if CALLER in scope and identify is None:  # our doors are in front
            return request
        # The names of somebody's own app are its own affair, unless they were told.
        if settings.allowed_hosts != LOOPBACK_HOSTS:
            check_host(scope, headers, {*settings.allowed_hosts, *LOOPBACK_HOSTS})
        check_origin(scope, headers, settings.allowed_origins)
        scope[CALLER] = await identify_caller(scope, identify)
        return Request(scope, await limit_body(scope, headers, request.receive, settings))


class GuardedRoute(APIRoute):
    """A route behind a guard; `guarded_route` makes the class for one."""

    guard: ClassVar[Guard]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        bodies = [each.call for each in self.dependant.dependencies if isinstance(each.call, JsonBody)]
        if bodies:  # FastAPI does not see what a dependency reads
            self.openapi_extra = {**(self.openapi_extra or {}), "requestBody": bodies[0].documented()}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler of a request, behind the guard."""
        handle = super().get_route_handler()
        guard = self.guard

        async def guarded(request: Request) -> Response:
            begin_request()
            try:
                admitted = await guard.admit(request)
                with plain_errors(is_public(guard.service.runs.limits, request.scope)):
                    response = await handle(admitted)
                response.headers.update(ignored_header())
                return response
            except LlmstreamError as error:
                return error_response(error, guard.form)
            except RequestValidationError as error:
                return error_response(InvalidRequest(unreadable(error)), guard.form)

        return guarded


def guarded_route(guard: Guard) -> type[GuardedRoute]:
    """The class of the routes behind a guard, for FastAPI's `route_class_override`."""
    return type("GuardedRoute", (GuardedRoute,), {"guard": guard})

"""Routes that let in whom the settings allow, and tell every failure in the form that their clients read.

A POST with a JSON body is read here: FastAPI's own reading takes as long as all else until the first token. It is
declared to FastAPI all the same, which documents it, and reads it where somebody includes the router with dependencies.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Annotated, Any, cast

from fastapi import Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from llmstream.errors import InvalidRequest, LlmstreamError
from llmstream.http.body import limit_body
from llmstream.http.headers import first_of_each
from llmstream.http.origins import check_host, check_origin
from llmstream.http.security import CALLER, Identify, identify_caller
from llmstream.settings import LOOPBACK_HOSTS, Settings

_KEY_LENGTH = 200
LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", description="Resume after this event.")]

IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", max_length=_KEY_LENGTH, description="Starts at most one run.")
]

OnError = Callable[[LlmstreamError], Response]

# The arguments by which an endpoint takes the two headers.
_HEADERS = {"last_event_id": "last-event-id", "key": "idempotency-key"}


async def admit(request: Request, settings: Settings, identify: Identify | None) -> Request:
    """The request of somebody who may ask, also in an app without our doors; raises `LlmstreamError`."""
    scope = request.scope
    if CALLER in scope and identify is None:  # our doors are in front
        return request
    headers = first_of_each(scope)
    # The names of somebody's own app are its own affair, unless they were told.
    if settings.allowed_hosts != LOOPBACK_HOSTS:
        check_host(scope, headers, {*settings.allowed_hosts, *LOOPBACK_HOSTS})
    check_origin(scope, headers, settings.allowed_origins)
    scope[CALLER] = await identify_caller(scope, identify)
    return Request(scope, await limit_body(scope, headers, request.receive, settings.max_body_bytes))


def guarded_route(
    settings: Callable[[], Settings], identify: Identify | None, on_error: OnError, *, hint: str = ""
) -> type[APIRoute]:
    """A class of routes; hint: what follows a sentence on a request that can't be read."""

    class GuardedRoute(_Route):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.is_plain = _is_plain(self)
            if self.is_plain:
                self.app = self._answer

        async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive, send)
            try:
                request = await admit(request, settings(), identify)
                response = await self.endpoint(request, **await _arguments(self, request, hint))
            except LlmstreamError as error:
                response = on_error(error)
            await response(scope, request.receive, send)

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    return await handle(await admit(request, settings(), identify))
                except LlmstreamError as error:
                    return on_error(error)
                except RequestValidationError as error:
                    return on_error(_unreadable(error, hint))
                except HTTPException as error:
                    return on_error(InvalidRequest(f"The body is not JSON that can be read: {error.detail}"))
                except RecursionError:
                    return on_error(InvalidRequest("The JSON is nested too deeply."))

            return guarded

    return GuardedRoute


class _Route(APIRoute):
    is_plain: bool


class Shortcut:
    """A middleware that leads to these routes' own reading of a request, past FastAPI's router and what is around it.

    That takes longer than all that the routes check. Middlewares of somebody's own are added outside of this one.
    """

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        self._routes = {route.path: route for route in routes if isinstance(route, _Route) and route.is_plain}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI app."""
        path = scope["path"].removeprefix(scope.get("root_path", "")) if scope.get("method") == "POST" else ""
        route = self._routes.get(path)
        if route is None:
            return await self._app(scope, receive, send)
        scope["route"] = route
        await route.app(scope, receive, send)


def _is_plain(route: APIRoute) -> bool:
    """Whether an endpoint takes a request, a JSON body, and none but the two headers, and gives a response."""
    takes = route.dependant
    headers = {field.name for field in takes.header_params}
    return (
        route.methods == {"POST"}
        and route.response_class is Response
        and len(takes.body_params) == 1
        and takes.request_param_name == "request"
        and headers <= _HEADERS.keys()
        and not (takes.path_params or takes.query_params or takes.cookie_params or takes.dependencies)
    )


async def _arguments(route: APIRoute, request: Request, hint: str) -> dict[str, Any]:
    """What a plain endpoint takes beside the request; raises `InvalidRequest`."""
    headers = first_of_each(request.scope)
    (body,) = route.dependant.body_params
    model = cast("type[BaseModel]", body.field_info.annotation)
    arguments: dict[str, Any] = {each.name: headers.get(_HEADERS[each.name]) for each in route.dependant.header_params}
    if len(arguments.get("key") or "") > _KEY_LENGTH:
        raise InvalidRequest(f"Idempotency-Key: it may have at most {_KEY_LENGTH} characters.")
    # A page of another site can send text without asking first, but no JSON.
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise InvalidRequest(f"The body must be JSON, with `content-type: application/json`. {hint}".strip())
    try:
        arguments[body.name] = model.model_validate_json(await request.body())
    except ValidationError as error:
        raise _unreadable(error, hint) from None
    except ClientDisconnect:  # nobody reads this; it is no fault of the server's, so nothing to log
        raise InvalidRequest("The body broke off.") from None
    return arguments


def _unreadable(error: RequestValidationError | ValidationError, hint: str) -> InvalidRequest:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return InvalidRequest(f"{where or 'The body'}: {first['msg']}. {hint}".strip())

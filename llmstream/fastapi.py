"""The FastAPI surface: a router to mount in one's own app, and the whole app.

from fastapi import FastAPI
from llmstream.fastapi import create_router

app = FastAPI()
app.include_router(create_router(), prefix="/llm")
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.middleware.cors import CORSMiddleware

from llmstream import __version__, dialects
from llmstream.core.generator import as_runnable
from llmstream.demo_ollama.stand_in import Fallback
from llmstream.dialects import DIALECTS
from llmstream.errors import SettingsError
from llmstream.errors.nearest import names_nearest
from llmstream.http import pages
from llmstream.http.ignored import IGNORED_HEADER
from llmstream.http.origins import LOCAL_ORIGIN
from llmstream.http.prepare import Prepare
from llmstream.http.route import GuardedRoute
from llmstream.http.security import Identify, Security
from llmstream.http.service import Service
from llmstream.logger import logger
from llmstream.runs.end_hook import OnEnd
from llmstream.runs.manager import Runs
from llmstream.settings import Settings

# What a router can speak: "native" is everything but the dialects of other clients.
PROTOCOLS = dialects.NAMES

# What a page of another origin may send and read.
_CORS_REQUEST = [
    *("Content-Type", "Last-Event-ID", "Idempotency-Key", "Authorization"),
    *(header for dialect in DIALECTS for header in dialect.request_headers),
]
_CORS_RESPONSE = [
    *("X-Run-Id", "Location", "Retry-After", IGNORED_HEADER),
    *(header for dialect in DIALECTS for header in dialect.response_headers),
]


@names_nearest
def create_router(
    chain: object = None,
    *,
    settings: Settings | None = None,
    runs: Runs | None = None,
    identify: Identify | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    name: str = "chain",
    answer_nodes: Sequence[str] = (),
    prepare: Prepare | None = None,
    on_end: OnEnd | None = None,
) -> APIRouter:
    """The endpoints, to be included in an app of one's own; they obey the dependencies that they are included with.

    chain: any LangChain Runnable; None is the default chain, whose model a client may choose.
    protocols: which of `PROTOCOLS` to speak. name: what the chain is called where a client names a model.
    answer_nodes: see `astream`.
    settings: None reads the environment. runs: shared with other surfaces; None makes new ones.
    identify: request → the caller's name, or None to refuse; runs belong to their caller.
    prepare: (request, what is asked) → the `Prepared` values that a chain of one's own is given beside the question.
    on_end: called behind each run that has ended, to store or bill it; with `runs`, give it to `Runs`.
    Origins are checked here too, and hosts where `allowed_hosts` is set; the token and CORS are the app's own affair
    (`create_app` does them).
    """
    runs = _runs(runs, settings, on_end)
    service = _service(chain, runs, name=name, identify=identify, answer_nodes=answer_nodes, prepare=prepare)
    router = APIRouter(lifespan=_lifespan(service))
    _add_routes(router, service, protocols)
    return router


@names_nearest
def create_app(
    settings: Settings | None = None,
    *,
    chain: object = None,
    identify: Identify | None = None,
    runs: Runs | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    name: str = "chain",
    answer_nodes: Sequence[str] = (),
    prepare: Prepare | None = None,
    on_end: OnEnd | None = None,
) -> FastAPI:
    """The whole app: the router, its doors, CORS, the documentation pages, the demo Ollama where none answers."""
    runs = _runs(runs, settings, on_end)
    runs.identify = identify or runs.identify
    fallback = None
    if chain is None:
        fallback = Fallback(lambda: settings or runs.settings, partial(setattr, runs, "settings"))

    service = _service(chain, runs, name=name, answer_nodes=answer_nodes, prepare=prepare)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with fallback or nullcontext(), _lifespan(service)(app):
            yield

    app = FastAPI(title="llmstream", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.runs = runs
    app.state.fallback = fallback
    # Not included: FastAPI looks at all routes of an included router twice a request.
    _add_routes(app.router, service, protocols)
    pages.add_pages(app, lambda: fallback.notice if fallback else None)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list((settings or runs.settings).allowed_origins),
        allow_origin_regex=LOCAL_ORIGIN,
        allow_methods=["GET", "POST", "HEAD", "DELETE"],
        allow_headers=_CORS_REQUEST,
        expose_headers=_CORS_RESPONSE,
        allow_credentials=True,
    )
    app.add_middleware(Security, settings=settings or runs.settings, identify=identify, form_of=dialects.form_at)
    return app


def _runs(runs: Runs | None, settings: Settings | None, on_end: OnEnd | None) -> Runs:
    if runs is None:
        return Runs(settings, on_end=on_end)
    if on_end is not None:
        raise SettingsError("on_end belongs to the runs: give it to Runs(on_end=…), which are shared here.")
    return runs


def _service(chain: object, runs: Runs, *, prepare: Prepare | None, **options: Any) -> Service:
    if prepare is not None and chain is None:
        raise SettingsError("prepare belongs to a chain of your own: give one, or leave prepare out.")
    return Service(runs, None if chain is None else as_runnable(chain), prepare=prepare, **options)


def _add_routes(router: APIRouter, service: Service, protocols: Sequence[str]) -> None:
    if isinstance(protocols, str):
        raise SettingsError(f'protocols takes a list, such as ["openai"], got {protocols!r}.')
    if unknown := sorted(set(protocols) - set(PROTOCOLS)):
        raise SettingsError(f"protocols takes some of {', '.join(PROTOCOLS)}, got {', '.join(unknown)}.")
    for dialect in DIALECTS:
        if dialect.name in protocols:
            dialect.add(router, service)


def _lifespan(service: Service) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        if service.identify is None and _is_behind_dependencies(app, service):
            logger.warning(
                "the endpoints of llmstream are included with dependencies, but without `identify`: all who pass the "
                "dependencies are one caller, so one can stop another's runs. Give create_router an `identify`."
            )
        await service.runs.reopen()
        yield
        await service.runs.drain(0)

    return lifespan


def _is_behind_dependencies(app: Any, service: Service) -> bool:
    """True if an app includes a service's endpoints with dependencies of its own."""
    return any(
        context.dependencies != context.original_route.dependencies
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, GuardedRoute) and context.original_route.guard.service is service
    )

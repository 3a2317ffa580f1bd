"""The FastAPI surface: a router to mount in one's own app, and the whole app.

from fastapi import FastAPI
from llmstream.fastapi import create_router

app = FastAPI()
app.include_router(create_router(), prefix="/llm")
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from llmstream import __version__, dialects
from llmstream.core.generate import as_runnable
from llmstream.demo_ollama.fallback import Fallback
from llmstream.dialects.native.routes import (
    Api,
    add_native,
    error_response,
)
from llmstream.errors import SettingsError
from llmstream.http import pages
from llmstream.http.origins import LOCAL_ORIGIN
from llmstream.http.route import Shortcut, guarded_route
from llmstream.http.security import Identify, Security
from llmstream.runs.owner import Runs
from llmstream.settings import Settings

# What a page of another origin may send and read.
_CORS_REQUEST = ["Content-Type", "Last-Event-ID", "Idempotency-Key", "Authorization", *dialects.REQUEST_HEADERS]
_CORS_RESPONSE = ["X-Run-Id", "Location", "Retry-After", *dialects.RESPONSE_HEADERS]
_HINT = 'Expected a JSON body, for example {"question": "…"}.'

# What a router can speak: "native" is everything but the dialects of other clients.
PROTOCOLS = ("native", *dialects.PROTOCOLS)


def create_router(
    chain: object = None,
    *,
    settings: Settings | None = None,
    runs: Runs | None = None,
    identify: Identify | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    name: str = "chain",
) -> APIRouter:
    """The endpoints, to be included in an app of one's own.

    chain: any LangChain Runnable; None is the default chain, whose model a client may choose.
    protocols: which of `PROTOCOLS` to speak. name: what the chain is called where a client names a model.
    settings: None reads the environment. runs: shared with other surfaces; None makes new ones.
    identify: request → the caller's name, or None to refuse; runs belong to their caller.
    Origins are checked here too, and hosts where `allowed_hosts` is set; the token and CORS are the app's own affair
    (`create_app` does them).
    """
    if unknown := sorted(set(protocols) - set(PROTOCOLS)):
        raise SettingsError(f"protocols takes some of {', '.join(PROTOCOLS)}, got {', '.join(unknown)}.")
    runs = runs or Runs(settings)
    runnable = None if chain is None else as_runnable(chain)
    route = guarded_route(lambda: runs.settings, identify, error_response, hint=_HINT)
    router = APIRouter(route_class=route, lifespan=_drained(runs))
    if "native" in protocols:
        add_native(router, Api(runs, runnable, name))
    service = dialects.Service(runs, runnable, name=name, identify=identify)
    for each in dialects.create_routers(service, protocols):
        router.include_router(each)
    return router


def create_app(
    settings: Settings | None = None,
    *,
    chain: object = None,
    identify: Identify | None = None,
    runs: Runs | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    name: str = "chain",
) -> FastAPI:
    """The whole app: the router, its doors, CORS, the documentation pages, the demo Ollama where none answers."""
    settings = settings or Settings.load()
    runs = runs or Runs(settings)
    fallback = Fallback(settings, lambda changed: setattr(runs, "settings", changed)) if chain is None else None

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        runs.reopen()
        async with fallback or _nothing():
            yield
            await runs.drain(0)

    app = FastAPI(title="llmstream", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.runs = runs
    app.state.fallback = fallback
    # The routes themselves, not the router: FastAPI looks for an included router's routes twice with every request.
    app.router.routes += create_router(chain, runs=runs, protocols=protocols, name=name).routes
    pages.add_pages(app, lambda: fallback.notice if fallback else None)
    app.add_middleware(Shortcut, routes=app.router.routes)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(settings.allowed_origins),
        allow_origin_regex=LOCAL_ORIGIN,
        allow_methods=["GET", "POST", "HEAD"],
        allow_headers=_CORS_REQUEST,
        expose_headers=_CORS_RESPONSE,
        allow_credentials=True,
    )
    app.add_middleware(Security, settings=settings, identify=identify, refusal=dialects.refusal)
    return app


@asynccontextmanager
async def _nothing() -> AsyncGenerator[None]:
    yield


def _drained(runs: Runs) -> Callable[[Any], Any]:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[None]:
        runs.reopen()
        yield
        await runs.drain(0)

    return lifespan

"""Every route behind the login that its router was included with, and errors of somebody's own as they are."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection

from llmstream.errors import Busy, LlmstreamError
from llmstream.fastapi import PROTOCOLS, create_app, create_router
from llmstream.settings import Settings

SETTINGS = Settings(demo="never")
PASS = {"authorization": "Bearer s"}


async def echo(question: str) -> str:
    """A chain that needs no model."""
    return f"You asked {question}"


def login(authorization: Annotated[str | None, Header()] = None) -> None:
    if authorization != "Bearer s":
        raise HTTPException(401, "log in first", {"www-authenticate": "Bearer"})


def router() -> APIRouter:
    return create_router(echo, settings=SETTINGS)


def by_include() -> FastAPI:
    app = FastAPI()
    app.include_router(router(), dependencies=[Depends(login)])
    return app


def by_prefix() -> FastAPI:
    app = FastAPI()
    app.include_router(router(), prefix="/llm", dependencies=[Depends(login)])
    return app


def by_router_in_router() -> FastAPI:
    app, outer = FastAPI(), APIRouter(prefix="/api", dependencies=[Depends(login)])
    outer.include_router(router(), prefix="/llm")
    app.include_router(outer)
    return app


def by_app() -> FastAPI:
    app = FastAPI(dependencies=[Depends(login)])
    app.include_router(router())
    return app


def by_mount() -> FastAPI:
    app = FastAPI()
    app.mount("/mounted", by_include())
    return app


def by_routers_around() -> FastAPI:
    app, outer, inner = FastAPI(), APIRouter(), APIRouter(prefix="/api", dependencies=[Depends(login)])
    last = APIRouter(prefix="/llm")
    last.include_router(router())
    inner.include_router(last)
    outer.include_router(inner)
    app.include_router(outer)
    return app


FORMS = [by_include, by_prefix, by_router_in_router, by_routers_around, by_app, by_mount]


def asking(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")


def routes_of(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of every route that leads to llmstream."""
    found: list[tuple[str, str]] = []
    for context in iter_route_contexts(app.routes):
        if isinstance(inner := getattr(context.original_route, "app", None), FastAPI):
            found += [(method, f"{context.path}{path}") for method, path in routes_of(inner)]
        elif getattr(context.endpoint, "__module__", "").startswith("llmstream"):
            path = re.sub(r"{.*?}", "x", context.path or "")
            found += [(method, path) for method in context.methods or ()]
    return found


@pytest.mark.parametrize("form", FORMS)
async def test_no_route_is_open(form: Callable[[], FastAPI]) -> None:
    """Whatever way the router is guarded, every one of its routes asks for the login, in the login's own words."""
    app = form()
    routes = routes_of(app)
    assert len(PROTOCOLS) < len(routes)
    assert any("/ollama/api/chat" in path for _, path in routes)
    async with asking(app) as client:
        for method, path in routes:
            answer = await client.request(method, path, params={"question": "x"}, json={"question": "x"})
            assert (401, "Bearer") == (answer.status_code, answer.headers.get("www-authenticate")), (method, path)
            assert method == "HEAD" or {"detail": "log in first"} == answer.json(), (method, path)


@pytest.mark.parametrize("form", FORMS)
async def test_who_passes_is_answered(form: Callable[[], FastAPI]) -> None:
    """With the login the same routes answer."""
    app = form()
    prefix = next(path for _, path in routes_of(app) if path.endswith("/nostream")).removesuffix("/nostream")
    async with asking(app) as client:
        native = await client.post(f"{prefix}/nostream", json={"question": "hi"}, headers=PASS)
        body = {"model": "chain", "messages": [{"role": "user", "content": "hi"}], "stream": False}
        ollama = await client.post(f"{prefix}/ollama/api/chat", json=body, headers=PASS)
    assert {"answer": "You asked hi"} == native.json()
    assert "You asked hi" == ollama.json()["message"]["content"]


async def test_every_route_is_documented() -> None:
    """The OpenAPI document has every path of every dialect, but for those that answer what is not there."""
    app = by_include()
    documented = {re.sub(r"{.*?}", "x", path) for path in app.openapi()["paths"]}
    assert {path for _, path in routes_of(app)} - documented == {"/ollama", "/ollama/x", "/ollama/v1/x", "/v1/x"}


def refuses(error: Exception) -> Callable[[HTTPConnection], Any]:
    async def identify(connection: HTTPConnection) -> str:
        raise error

    return identify


async def test_identify_that_waits_holds_nobody_up() -> None:
    """One that is not async, and asks a database, say, is asked for several requests at once."""
    both = threading.Barrier(2, timeout=20)

    def identify(connection: HTTPConnection) -> str:
        both.wait()
        return "ann"

    async with asking(create_app(SETTINGS, chain=echo, identify=identify)) as client:
        answers = await asyncio.gather(client.get("/models"), client.get("/models"))
    assert [200, 200] == [answer.status_code for answer in answers]


OWN = HTTPException(402, "pay first", {"x-price": "5"})


@pytest.mark.parametrize("path", ["/nostream", "/v1/chat/completions", "/api/chat", "/agui", "/ollama/api/chat"])
@pytest.mark.parametrize("whole_app", [True, False])
async def test_identify_raises_of_its_own(path: str, whole_app: bool) -> None:
    """An `HTTPException` of `identify` keeps status, detail and headers, in every dialect."""
    identify = refuses(OWN)
    app = create_app(SETTINGS, chain=echo, identify=identify) if whole_app else FastAPI()
    if not whole_app:
        app.include_router(create_router(echo, settings=SETTINGS, identify=identify))
    async with asking(app) as client:
        answer = await client.post(path, json={})
    assert (402, {"detail": "pay first"}, "5") == (answer.status_code, answer.json(), answer.headers["x-price"])


@pytest.mark.parametrize(
    ("error", "status"), [(LlmstreamError("who?"), 500), (KeyError("user"), 500), (Busy("too many"), 503)]
)
@pytest.mark.parametrize("path", ["/nostream", "/v1/models", "/ollama/api/tags"])
async def test_identify_is_broken(error: Exception, status: int, path: str) -> None:
    """Whatever `identify` raises has a status, and says nothing of an error that is not meant for people."""
    async with asking(create_app(SETTINGS, chain=echo, identify=refuses(error))) as client:
        answer = await client.request("POST" if path == "/nostream" else "GET", path)
    assert status == answer.status_code
    assert "user" not in answer.text


@pytest.mark.parametrize("name", [True, 7, b"ann", object(), ["ann"]])
@pytest.mark.parametrize("whole_app", [True, False])
async def test_identify_names_nobody(name: Any, whole_app: bool, caplog: pytest.LogCaptureFixture) -> None:
    """What is no text is nobody's name: `True` would be everybody's. Whoever wrote `identify` is told so."""
    app = create_app(SETTINGS, chain=echo, identify=lambda connection: name) if whole_app else FastAPI()
    if not whole_app:
        app.include_router(create_router(echo, settings=SETTINGS, identify=lambda connection: name))
    async with asking(app) as client:
        answer = await client.post("/runs", json={"question": "hi"})
    assert 500 == answer.status_code, answer.text
    assert f"not {type(name).__name__}" in caplog.text


async def test_only_what_is_no_json_is_called_so() -> None:
    """A body that is no JSON is refused as such; an error of a dependency is not."""
    async with asking(by_include()) as client:
        broken = await client.post("/nostream", content="{", headers={**PASS, "content-type": "application/json"})
        missing = await client.post("/nostream", content="{", headers={"content-type": "application/json"})
    assert (422, True) == (broken.status_code, "Invalid JSON" in broken.json()["message"])
    assert {"detail": "log in first"} == missing.json()


@pytest.mark.parametrize(("form", "warned"), [(by_include, True), (by_router_in_router, True), (by_app, True)])
async def test_one_caller_behind_a_login(
    form: Callable[[], FastAPI], warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A router behind dependencies that does not know its callers says so at the start."""
    app = form()
    with caplog.at_level(logging.WARNING, "llmstream"):
        async with app.router.lifespan_context(app):
            pass
    assert warned == ("identify" in caplog.text)


async def test_no_warning_without_a_login_or_with_identify(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is said where nobody logs in, or where callers are told apart."""
    plain, told_apart = FastAPI(), FastAPI()
    plain.include_router(router())
    named = create_router(echo, settings=SETTINGS, identify=lambda connection: "ann")
    told_apart.include_router(named, dependencies=[Depends(login)])
    with caplog.at_level(logging.WARNING, "llmstream"):
        for app in (plain, told_apart):
            async with app.router.lifespan_context(app):
                pass
    assert "" == caplog.text

"""The app as a whole: models and health, its document, several routers, a chain that blocks, a start after an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from langchain_core.output_parsers import StrOutputParser

from llmstream import __version__
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.fastapi import create_app, create_router
from llmstream.http.pages import Assets
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.faultkit import Exchange, ask, start
from tests.support.http_runs import events
from tests.support.serving import Serve, serving


def test_health_of_a_chain_of_ones_own(settings: Settings, serve: Serve) -> None:
    """It may need no Ollama, so nothing is missing without one; what answers is the chain, by its name."""
    alone = settings.change(ollama_url="http://127.0.0.1:9")
    url = serve(create_app(alone, chain=lambda question: question, name="mine")).url
    expected = {"status": "ok", "version": __version__, "demo": False, "model": "mine"}
    assert expected == ask(f"{url}/health").json
    takes = {"model": False, "thinking": False, "images": False, "continue": False}
    assert {"models": [], "default": "mine", "takes": takes} == ask(f"{url}/models").json
    of_a_model = serve(create_app(alone, chain=StrictChatOllama(model="demo") | StrOutputParser())).url
    assert ask(f"{of_a_model}/models").json["takes"]["continue"]


def test_chat_that_is_not_built(serve: Serve, tmp_path: Path) -> None:
    """Where the chat page was not built, the files that it would have are not found; that is no failure."""
    app = FastAPI()
    app.state.runs = Runs(Settings(demo="never"))
    app.mount("/assets", Assets(directory=tmp_path / "none", check_dir=False))
    assert 404 == ask(f"{serve(app).url}/assets/index.js").status


def test_two_routers_in_one_app(settings: Settings, serve: Serve) -> None:
    """Each gives out its own addresses."""
    app = FastAPI()
    for prefix in ("/a", "/b"):
        app.state.runs = runs = Runs(settings)
        app.include_router(create_router(runs=runs), prefix=prefix)
    url = serve(app).url
    for prefix in ("/a", "/b"):
        created = ask(f"{url}{prefix}/runs", "POST", question="q", model="demo:tokens-2")
        base = f"{prefix}/runs/{created.json['run_id']}"
        urls = (created.headers["location"], created.json["events_url"], created.json["stop_url"])
        assert (base, f"{base}/events", f"{base}/stop") == urls
        assert " 1 2" == ask(url + urls[1]).text


def test_models_and_health(url: str, upstream: DemoOllama) -> None:
    """What a client may ask for, and whether it can be answered."""
    models = ask(f"{url}/models").json
    assert {model["name"] for model in models["models"]} == set(upstream.models)
    assert "demo:tokens-5" == models["default"]
    health = ask(f"{url}/health").json
    assert ("ok", False, True) == (health["status"], health["demo"], health["ollama"]["reachable"])


def test_health_without_ollama(upstream: DemoOllama, url: str) -> None:
    """The server lives without Ollama and says so, in words that name no path."""
    upstream.close()
    health = ask(f"{url}/health")
    assert (200, "degraded", False) == (health.status, health.json["status"], health.json["ollama"]["reachable"])
    assert "upstream_unreachable" == health.json["error"]["code"]
    assert 502 == ask(f"{url}/models").status
    upstream.start()
    assert "ok" == ask(f"{url}/health").json["status"]


def test_runs_can_be_shared(settings: Settings, serve: Serve) -> None:
    """A run started in the process is followed over HTTP."""
    runs = Runs(settings)
    served = serve(create_app(settings, runs=runs))
    run = start(served.url, question="q", model="demo:tokens-2")
    assert served.runs is runs
    assert " 1 2" == events(served.url, run).text


def test_the_api_describes_its_events(url: str) -> None:
    """OpenAPI lists every endpoint and every type of event; the page for it asks no other host."""
    schema = ask(f"{url}/openapi.json").json
    assert {"/stream", "/runs", "/runs/{run_id}/events", "/nostream", "/health"} <= set(schema["paths"])
    stream = schema["paths"]["/stream"]["post"]["responses"]["200"]["content"]["text/event-stream"]
    data = stream["itemSchema"]["properties"]["data"]["contentSchema"]
    types = {each["properties"]["type"].get("enum", [None])[0] for each in data["oneOf"]}
    assert {"started", "token", "reasoning", "status", "tool_call", "finished", "failed", "cancelled"} <= types
    page = ask(f"{url}/docs")
    assert (200, False) == (page.status, any(host in page.body for host in (b"//cdn", b"https://", b"unpkg")))
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert 200 == ask(f"{url}/docs/assets/swagger-ui-bundle.js").status
    chat = ask(f"{url}/")
    assert (200, "text/html") == (chat.status, chat.headers["content-type"].partition(";")[0])


def test_a_sync_chain_holds_up_nobody_else(settings: Settings, serve: Serve) -> None:
    """A generator that blocks does so in a thread of its own: other answers come meanwhile."""
    gate = threading.Event()

    def chain(question: str) -> Iterator[str]:
        if question == "slow":
            assert gate.wait(timeout=30)
        yield f"{question}!"

    url = serve(create_app(settings, chain=chain)).url
    with Exchange(f"{url}/stream", "POST", question="slow") as slow:
        assert "fast!" == ask(f"{url}/stream", "POST", question="fast").text
        gate.set()
        assert "slow!" == slow.all().text


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_jumps_ends_nothing(
    jump_s: float, settings: Settings, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the time of day is set anew, runs go on, ended ones stay readable, and keys stay known."""
    url = serve(create_app(settings)).url
    ended = ask(f"{url}/stream", "POST", question="q", model="demo:tokens-2", request_id="key")
    with Exchange(f"{url}/stream", "POST", question="q", model="demo:stall-3") as going:
        going.until(lambda exchange: exchange.text == " 1 2 3")
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + jump_s)
        assert ended.messages == events(url, ended.headers["x-run-id"]).messages
        again = ask(f"{url}/stream", "POST", question="q", model="demo:tokens-2", request_id="key")
        assert ended.headers["x-run-id"] == again.headers["x-run-id"]
        assert "running" == ask(f"{url}/runs/{going.headers['x-run-id']}").json["state"]


def test_a_mounted_app_works_without_its_lifespan(settings: Settings, serve: Serve) -> None:
    """Starlette does not run the lifespan of a mounted app: it answers all the same."""
    runs, parent = Runs(settings), FastAPI()
    parent.mount("/llm", create_app(settings, runs=runs))
    parent.state.runs = runs
    url = f"{serve(parent).url}/llm"
    created = ask(f"{url}/runs", "POST", question="q", model="demo:tokens-2")
    assert f"/llm/runs/{created.json['run_id']}" == created.headers["location"]
    assert " 1 2" == events(url, created.json["run_id"]).text


@pytest.mark.parametrize("mounted", [False, True])
def test_an_app_may_be_started_again(settings: Settings, mounted: bool) -> None:
    """After its end an app takes new questions when it begins anew, as in the tests of whoever uses it."""
    runs = Runs(settings)
    app = create_app(settings, runs=runs)
    if mounted:
        app = FastAPI()
        app.state.runs = runs
        app.include_router(create_router(runs=runs))
    for _ in range(2):
        with serving(app) as served:
            assert 200 == ask(f"{served.url}/nostream", "POST", question="q").status

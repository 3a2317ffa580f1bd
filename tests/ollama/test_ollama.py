"""Ollama as llmstream uses it: which model, what it can do, what is sent, what is asked again."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from langchain_core.output_parsers import StrOutputParser

from llmstream import open_chain
from llmstream.addresses import parse_ollama_host
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama, Model
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.errors import (
    InvalidRequest,
    LlmstreamError,
    ModelNotFound,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from llmstream.events import Failed, Finished
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from llmstream.ollama.names import is_cloud, same_model
from llmstream.settings import Settings
from tests.support.answering import PROMPT, events_of, outline, raw_server
from tests.support.serving import post

ANSWER = [("token", SENTENCE), ("finished", "stop")]
MISSING = [("failed", "capability_missing", False)]


def models(upstream: DemoOllama, *there: tuple[str, str, tuple[str, ...]]) -> None:
    """Give the demo these models: name, when it was changed, capabilities."""
    upstream.models.clear()
    for name, modified_at, capabilities in there:
        upstream.models[name] = Model(name, capabilities=capabilities, modified_at=f"{modified_at}T00:00:00Z")


def ollama(upstream: DemoOllama) -> Ollama:
    """An instance that has remembered nothing yet."""
    return Ollama(Endpoint(url=upstream.url))


def bodies(upstream: DemoOllama) -> list[dict[str, Any]]:
    """The chat requests it got."""
    return [request.body for request in upstream.requests if request.path == "/api/chat"]


def load(upstream: DemoOllama, model: str, keep_alive: str) -> None:
    """Load a model for some time."""
    post(f"{upstream.url}/api/generate", {"model": model, "keep_alive": keep_alive}).raise_for_status()


async def test_loaded_model_that_expires_last(upstream: DemoOllama) -> None:
    """What is in memory answers first: of several the one that stays longest."""
    there = [(name, "2026-01-01", ("completion",)) for name in ("a:latest", "b:latest", "c:latest")]
    models(upstream, *there)
    for name, keep_alive in (("a", "5m"), ("b", "1h"), ("c", "10m")):
        await asyncio.to_thread(load, upstream, name, keep_alive)

    assert "b:latest" == await ollama(upstream).choose_model()


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ([("old:1", "2025-01-01", ("completion",)), ("new:1", "2026-01-01", ("completion",))], "new:1"),
        ([("new:1", "2026-01-01", ("embedding",)), ("old:1", "2025-01-01", ("completion", "tools"))], "old:1"),
        ([("big:480b-cloud", "2026-01-01", ("completion",)), ("old:1", "2025-01-01", ("completion",))], "old:1"),
        ([("big:cloud", "2026-01-01", ("completion",)), ("old:1", "2025-01-01", ("completion",))], "old:1"),
    ],
)
async def test_newest_model_that_can_answer(upstream: DemoOllama, there: list[Any], chosen: str) -> None:
    """With none in memory the newest one answers; one for embeddings can't, and one in the cloud is not local."""
    models(upstream, *there)

    assert chosen == await ollama(upstream).choose_model()


@pytest.mark.parametrize(
    "there", [[], [("e:1", "2026-01-01", ("embedding",))], [("big:cloud", "2026-01-01", ("completion",))]]
)
async def test_no_model_that_can_answer(upstream: DemoOllama, there: list[Any]) -> None:
    """Where there is none, the error has the command that gets one."""
    models(upstream, *there)
    events = await events_of(settings=Settings(ollama_url=upstream.url))

    assert [("failed", "model_not_found", False)] == outline(events)
    assert isinstance(events[-1], Failed)
    assert "`ollama pull llama3.2`" in events[-1].message


async def test_model_of_the_settings_is_not_chosen(upstream: DemoOllama) -> None:
    """A model that is named, in the settings or in the call, is not looked for."""
    settings = Settings(ollama_url=upstream.url, model="demo:one-chunk")
    named = await events_of(settings=settings)
    other = await events_of(settings=settings, model="demo:length")

    assert (ANSWER, ("finished", "length")) == (outline(named), outline(other)[-1])
    assert not [request for request in upstream.requests if request.path in ("/api/tags", "/api/ps")]


async def test_many_ask_at_once(upstream: DemoOllama) -> None:
    """A hundred runs that begin together ask once which model there is and what it can do."""
    asked = ollama(upstream)
    await asyncio.gather(*(asked.choose_model() for _ in range(100)))
    await asyncio.gather(*(asked.capabilities("demo") for _ in range(100)))
    paths = [request.path for request in upstream.requests]

    assert [1, 2] == [paths.count("/api/tags"), paths.count("/api/show")]


async def test_one_of_many_leaves(upstream: DemoOllama) -> None:
    """Whoever leaves while all wait for one question takes it from nobody."""
    asked = ollama(upstream)
    tasks = [asyncio.create_task(asked.capabilities("demo")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()

    assert [frozenset({"completion"})] * 2 == await asyncio.gather(*tasks[1:])


PICTURE = {
    "role": "user",
    "content": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": "iVBORw0KGgo="}],
}
TOOL = {"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}


@pytest.mark.parametrize("parser", [False, True])
@pytest.mark.parametrize("wanted", ["vision", "tools", "thinking"])
@pytest.mark.parametrize("able", [False, True])
async def test_capabilities(upstream: DemoOllama, wanted: str, able: bool, parser: bool) -> None:
    """What a model can't do is refused before it is asked; what it can do is sent."""
    models(upstream, ("m:latest", "2026-01-01", ("completion", *([wanted] if able else []))))
    upstream.answers.update({"x": SENTENCE, "hi": SENTENCE, "\nx": SENTENCE})
    chain: Any = StrictChatOllama(model="m", base_url=upstream.url, reasoning=True if wanted == "thinking" else None)
    chain = chain.bind(tools=[TOOL]) if wanted == "tools" else chain
    events = await events_of(
        [PICTURE] if wanted == "vision" else "hi", chain=chain | StrOutputParser() if parser else chain
    )

    assert (("finished", "stop") if able else MISSING[0]) == outline(events)[-1]
    assert able == bool(bodies(upstream))
    if able:
        [body] = bodies(upstream)
        [message] = body["messages"]
        sent = {"vision": message.get("images"), "tools": body.get("tools"), "thinking": body.get("think")}
        assert sent[wanted]
    else:
        assert isinstance(events[-1], Failed)
        assert "'m'" in events[-1].message


async def test_old_ollama_tells_no_capabilities(upstream: DemoOllama) -> None:
    """An Ollama that tells no capabilities answers for itself."""
    models(upstream, ("m:latest", "2026-01-01", ()))
    chain = StrictChatOllama(model="m", base_url=upstream.url).bind(tools=[TOOL])
    events = await events_of(chain=chain)

    assert ("failed", "capability_missing", False) != outline(events)[-1]
    assert bodies(upstream)


@pytest.mark.parametrize(
    ("model", "settings", "changes", "think"),
    [
        ("demo", {}, {}, None),
        ("demo", {}, {"thinking": False}, None),
        ("demo-thinking", {}, {}, False),
        ("demo-thinking", {}, {"thinking": True}, True),
        ("demo-thinking", {}, {"thinking": "low"}, "low"),
        ("demo-thinking", {"thinking": True}, {}, True),
        ("demo-thinking", {"thinking": "high"}, {"thinking": False}, False),
    ],
)
async def test_thinking(
    upstream: DemoOllama, model: str, settings: dict[str, Any], changes: dict[str, Any], think: Any
) -> None:
    """Thinking is off unless asked for, and a model that can't think is not sent the word."""
    events = await events_of(model=model, settings=Settings(ollama_url=upstream.url, **settings), **changes)
    [body] = bodies(upstream)

    assert think == body.get("think")
    assert isinstance(events[-1], Finished)
    assert bool(think) == ("reasoning" in [row[0] for row in outline(events)])


async def test_default_chain_sends_nothing_of_its_own(upstream: DemoOllama) -> None:
    """No system prompt, no option, no keep_alive, no format: the question alone."""
    await events_of(model="demo", settings=Settings(ollama_url=upstream.url))
    [body] = bodies(upstream)
    kept = {name: value for name, value in body.items() if value not in ({}, [], None)}

    assert {
        "model": "demo",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "truncate": False,
    } == kept


async def test_settings_and_options_are_sent(upstream: DemoOllama) -> None:
    """What is set is sent, the call's options over the settings'."""
    settings = Settings(ollama_url=upstream.url, system_prompt="Be {brief}.", temperature=0.5, num_ctx=256)
    await events_of(model="demo", settings=settings, options={"temperature": 0, "seed": 7, "top_k": None})
    [body] = bodies(upstream)

    assert {"temperature": 0, "num_ctx": 256, "seed": 7} == body["options"]
    assert [("system", "Be {brief}."), ("user", "hi")] == [
        (message["role"], message["content"]) for message in body["messages"]
    ]


def test_open_chain(upstream: DemoOllama) -> None:
    """The default chain can be had as a Runnable, to build upon."""
    chain = open_chain(Settings(ollama_url=upstream.url), model="demo:one-chunk") | StrOutputParser()

    assert SENTENCE == "".join(chain.stream({"messages": [("human", "hi")]}))
    assert SENTENCE == chain.invoke({"messages": [("human", "hi")]})


@pytest.mark.parametrize("truncate", [None, True, False])
async def test_prompt_too_long(upstream: DemoOllama, truncate: bool | None) -> None:
    """Where the request doesn't say, it is first asked without truncation, and then with it, and that is told."""
    body = {"model": "demo", "messages": [{"role": "user", "content": "word " * 300}], "options": {"num_ctx": 256}}
    told: list[Any] = []
    chunks: list[Any] = []
    try:
        sent = body if truncate is None else {**body, "truncate": truncate}
        await ollama(upstream).chat(sent, chunks.extend, notify=told.append)
    except UpstreamError as error:
        chunks = [str(error)]

    asked, states = ([False, True], ["prompt_truncated"]) if truncate is None else ([truncate], [])

    assert asked == [each["truncate"] for each in bodies(upstream)]
    assert states == [status.state for status in told]
    assert ("Shorten it" in str(chunks[-1])) == (truncate is False)


async def test_prompt_truncated_is_in_the_end(upstream: DemoOllama) -> None:
    """The last event tells it again."""
    settings = Settings(ollama_url=upstream.url, num_ctx=256)
    events = await events_of("word " * 300, model="demo", settings=settings)

    assert ("prompt_truncated",) == outline(events)[0]
    assert isinstance(events[-1], Finished)
    assert events[-1].prompt_truncated


async def test_nothing_to_answer(upstream: DemoOllama) -> None:
    """Empty messages would only load the model, so they are refused."""
    with pytest.raises(InvalidRequest):
        await ollama(upstream).chat({"model": "demo", "messages": []}, print)

    assert [] == upstream.requests


async def test_connection_that_was_closed_is_asked_once_more() -> None:
    """A connection that a restart closed is no fault: the request is sent once more, and only once."""
    line = json.dumps({"message": {"content": "a"}, "done": True, "done_reason": "stop"}).encode() + b"\n"
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(line), line)
    requests = 0

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        requests += 1
        if requests > 1 and not json.loads(body).get("never"):
            writer.write(answer)
        else:
            writer.close()

    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    async with raw_server(script) as (url, _):
        chunks: list[Chunk] = []
        await Ollama(Endpoint(url=url)).chat(body, chunks.extend)
        with pytest.raises(UpstreamUnreachable):
            await Ollama(Endpoint(url=url)).chat({**body, "never": True}, print)

    assert ["a"] == [chunk.message.content for chunk in chunks if chunk.message]
    assert 4 == requests


async def test_server_that_is_no_ollama() -> None:
    """Whatever answers instead of an Ollama is told as that, also where it is asked for models."""

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")

    async def broken(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")

    async def other(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot Found")

    for each, told in ((script, "not an Ollama"), (broken, "status 500"), (other, "not an Ollama")):
        async with raw_server(each) as (url, _):
            server = Ollama(Endpoint(url=url))
            with pytest.raises(UpstreamError, match=told):
                await server.models()
            with pytest.raises((UpstreamError, ModelNotFound)):
                await server.capabilities("m")
            assert not await server.running()


async def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing listens, every question is refused with the next step."""
    server = Ollama(Endpoint(url="http://127.0.0.1:9"))
    for question in (server.models(), server.choose_model(), server.capabilities("m"), server.version()):
        with pytest.raises(UpstreamUnreachable, match="ollama serve"):
            await question
    with pytest.raises(UpstreamUnreachable, match="ollama serve"):
        await asyncio.to_thread(list, server.pull("m"))

    assert not await server.running()


async def test_models_and_pull(upstream: DemoOllama) -> None:
    """The models, the newest first, and one more after a pull; what can't be had is named."""
    server = ollama(upstream)
    models(upstream, ("a:1", "2025-01-01", ("completion",)), ("b:1", "2026-01-01", ("completion",)))
    before = [model.name for model in await server.models()]
    steps = await asyncio.to_thread(list, server.pull("demo-new"))
    with pytest.raises(ModelNotFound, match="could not pull 'nope'"):
        await asyncio.to_thread(list, server.pull("nope"))

    assert ["b:1", "a:1"] == before
    assert "demo-new:latest" in [model.name for model in await server.models()]
    assert "success" == steps[-1].status
    assert "demo" in await server.version()


async def test_unknown_model(upstream: DemoOllama) -> None:
    """A model that isn't there is refused with the command that gets it, also when only looked at."""
    with pytest.raises(ModelNotFound, match=r"`ollama pull nope:1`"):
        await ollama(upstream).capabilities("nope:1")


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("a", "a:latest", True),
        ("a:latest", "a", True),
        ("a:1", "a", False),
        ("host:5000/a", "host:5000/a:latest", True),
        ("a", "b", False),
    ],
)
def test_same_model(left: str, right: str, same: bool) -> None:
    """A name without a tag means the latest."""
    assert same == same_model(left, right)


@pytest.mark.parametrize(
    ("name", "cloud"),
    [("a:cloud", True), ("a:480b-cloud", True), ("a:cloud@gpu", True), ("cloud", False), ("cloudy:1", False)],
)
def test_is_cloud(name: str, cloud: bool) -> None:
    """The tag tells that a model runs elsewhere."""
    assert cloud == is_cloud(name)


async def test_instances_are_shared(upstream: DemoOllama) -> None:
    """One address with the same limits is one instance; other limits are another."""
    settings = Settings(ollama_url=upstream.url)

    assert Ollama.of(settings) is Ollama.of(settings.change(model="x"))
    assert Ollama.of(settings) is not Ollama.of(settings.change(token_timeout_s=1))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted on Linux")
async def test_no_connection_stays_open_for_a_question(upstream: DemoOllama) -> None:
    """Asking what there is leaves no connection behind to a server that has gone, and opens one to a server."""
    await ollama(upstream).models()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with DemoOllama(tokens_per_s=None) as other:
            await ollama(other).models()
        await ollama(upstream).models()

    assert before >= len(os.listdir("/proc/self/fd"))


def test_error_base() -> None:
    """All of them can be caught as one."""
    assert issubclass(UpstreamTimeout, LlmstreamError)


async def test_prompt_of_a_chain(upstream: DemoOllama) -> None:
    """A chain of one's own is sent as it stands, with the check that truncation is told."""
    await events_of(chain=PROMPT | StrictChatOllama(model="demo:one-chunk", base_url=upstream.url, num_ctx=512))
    [body] = bodies(upstream)

    assert ({"num_ctx": 512}, False) == (body["options"], body["truncate"])


@contextmanager
def locked(upstream: DemoOllama, wanted: str) -> Iterator[int]:
    """A proxy on loopback that lets in who sends this Authorization; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if self.headers.get("authorization") != wanted:
                return self.send_error(401)
            headers = {"content-type": "application/json"}
            answer = httpx.request(self.command, f"{upstream.url}{self.path}", content=body, headers=headers)
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST  # noqa: N815 - the name http.server looks for

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


async def test_name_and_password_reach_every_question(upstream: DemoOllama) -> None:
    """Those of OLLAMA_HOST are sent with the questions about models, too."""
    secret = base64.b64encode(b"ann:se cret").decode()
    with locked(upstream, f"Basic {secret}") as port:
        url = parse_ollama_host(f"http://ann:se%20cret@127.0.0.1:{port}")
        events = await events_of("hi", settings=Settings(ollama_url=url, demo="never"))
    assert ("finished", "stop") == outline(events)[-1]


@pytest.mark.parametrize(
    "kwargs", [{"headers": {"Authorization": "Basic YTpi"}}, {"auth": ("a", "b"), "timeout": httpx.Timeout(20)}]
)
async def test_client_kwargs_reach_every_question(upstream: DemoOllama, kwargs: dict[str, Any]) -> None:
    """What a StrictChatOllama is told of its client holds where its model's capabilities are asked for."""
    with locked(upstream, "Basic YTpi") as port:
        model = StrictChatOllama(model="demo-thinking", base_url=f"http://127.0.0.1:{port}", client_kwargs=kwargs)
        events = await events_of("hi", chain=model.bind(reasoning=True))
    assert ("finished", "stop") == outline(events)[-1]
    assert 20 == model.upstream().endpoint.first_token_timeout_s or "timeout" not in kwargs


async def test_proxies_of_the_environment_are_not_for_ollama(
    upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the questions about models nor the chat go through it."""
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    events = await events_of("hi", settings=Settings(ollama_url=upstream.url, demo="never"))
    assert ("finished", "stop") == outline(events)[-1]


@pytest.mark.parametrize(
    ("host", "said"), [("::1", "http://[::1]:11434"), ("'127.0.0.1:9'", "http://127.0.0.1:9"), ("localhost:abc", "abc")]
)
def test_every_form_of_ollama_host_is_understood(host: str, said: str) -> None:
    """Those too on which the `ollama` package fails when it is imported; nonsense is an error in words."""
    code = "import llmstream\ntry: list(llmstream.stream('hi'))\nexcept llmstream.LlmstreamError as error: print(error)"
    environment = {**os.environ, "OLLAMA_HOST": host}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=100)
    assert said in done.stdout
    assert "" == done.stderr

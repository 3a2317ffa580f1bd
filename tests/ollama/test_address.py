"""Where Ollama is, and what reaches it there: name and password, headers, certificates, no proxy."""

from __future__ import annotations

import asyncio
import base64
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

from llmstream.addresses import parse_ollama_host
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.errors import ModelNotFound, UpstreamError, UpstreamUnreachable
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings
from tests.support.answering import events_of, outline, raw_server
from tests.support.ollama_models import ollama


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


async def test_client_kwargs_leave_the_key(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's key is sent beside them, as the `ollama` package sends it."""
    monkeypatch.setenv("OLLAMA_API_KEY", "key")
    with locked(upstream, "Bearer key") as port:
        url = f"http://127.0.0.1:{port}"
        model = StrictChatOllama(model="demo", base_url=url, client_kwargs={"headers": {"x-tenant": "a"}})
        events = await events_of("hi", chain=model)
    assert ("finished", "stop") == outline(events)[-1]


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

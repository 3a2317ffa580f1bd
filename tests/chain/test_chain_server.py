"""Which server the strict model asks, and how: addresses, client_kwargs, certificates, time limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.errors import (
    LlmstreamError,
    SettingsError,
    UpstreamStalled,
)
from llmstream.settings import override
from tests.support import DATA
from tests.support.answering import raw_server
from tests.support.sky import model

pytestmark = pytest.mark.usefixtures("ollama")


async def test_time_limits_of_the_environment(ollama: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model by itself, outside llmstream's generators, knows the time limits too."""
    monkeypatch.setenv("LLMSTREAM_TOKEN_TIMEOUT_S", "0.1")
    with pytest.raises(UpstreamStalled):
        await model("demo:stall-1").ainvoke("hi")


async def test_base_url(ollama: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    """A base_url goes before the environment, and is read as OLLAMA_HOST is."""
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")

    assert SENTENCE == (await model(base_url=ollama.url.removeprefix("http://")).ainvoke("hi")).content
    with pytest.raises(LlmstreamError):
        await model().ainvoke("hi")


async def test_client_kwargs() -> None:
    """Headers, cookies and a password are sent; what can't be honoured is refused, not ignored."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        for kwargs in (
            {"headers": {"X-Key": "a", "X-Bytes": b"b"}, "cookies": {"b": "c"}},
            {"auth": ("ann", "secret"), "verify": False},
        ):
            with pytest.raises(LlmstreamError):
                await model(base_url=url, client_kwargs=kwargs).ainvoke("hi")

    assert b"X-Key: a\r\n" in heads[0]
    assert b"X-Bytes: b\r\n" in heads[0]
    assert b"Cookie: b=c" in heads[0]
    assert any(b"Authorization: Basic YW5uOnNlY3JldA==" in head for head in heads)
    with pytest.raises(SettingsError, match="transport"):
        await model(client_kwargs={"transport": None}).ainvoke("hi")
    with pytest.raises(SettingsError, match="proxy is not supported"):
        await model(client_kwargs={"proxy": "http://127.0.0.1:9"}).ainvoke("hi")


@pytest.mark.filterwarnings("ignore:.*verify=<str>:DeprecationWarning")  # httpx's, for a model's other client
def test_certificates_of_client_kwargs() -> None:
    """They are checked unless somebody said no, and those of a file are loaded once."""
    pem = str(DATA / "tls" / "localhost.pem")
    of_file = [model(client_kwargs={"verify": pem}).upstream().endpoint for _ in range(2)]
    said: list[dict[str, Any]] = [{"verify": None}, {"headers": {}, "proxy": None}, {"verify": False}]

    assert [True, True, False] == [model(client_kwargs=kwargs).upstream().endpoint.tls for kwargs in said]
    assert of_file[0].target == of_file[1].target


def test_server_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model asks the server that its fields name now, and looks for it once."""
    monkeypatch.setenv("OLLAMA_HOST", "a:1")
    asked = model()
    urls = [asked.upstream().endpoint.url]
    with override(ollama_url="http://b:1"):
        urls.append(asked.upstream().endpoint.url)
    asked.base_url = "http://c:1"

    assert ["http://a:1", "http://b:1", "http://c:1"] == [*urls, asked.upstream().endpoint.url]
    assert asked.upstream() is asked.upstream()


async def test_timeout_of_client_kwargs() -> None:
    """A timeout given to the client is the limit for the first token, and for the next ones."""

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        """Says nothing."""

    async with raw_server(script) as (url, _):
        with pytest.raises(LlmstreamError, match=r"0\.1 s"):
            await model(base_url=url, client_kwargs={"timeout": 0.1}).ainvoke("hi")

"""Who is let in and told what, where something unusual came first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from fastapi import FastAPI

from llmstream.demo_ollama import DemoOllama
from llmstream.errors import ServerShutdown, SettingsError
from llmstream.fastapi import create_app
from llmstream.ollama.models import Ollama
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.command import run
from tests.support.holding import LIMIT_S
from tests.support.serving import Served, post


async def test_request_key_during_the_drain(settings: Settings) -> None:
    """A repeated request gives its run, to its end; only a new one is refused."""
    runs = Runs(settings)
    release = asyncio.Event()

    async def chain(question: str) -> str:
        await release.wait()
        return question

    run = await runs.start("hi", chain=chain, request_key="k")
    draining = asyncio.create_task(runs.drain(20))
    await asyncio.sleep(0)
    assert run.id == (await runs.start("hi", chain=chain, request_key="k")).id
    with pytest.raises(ServerShutdown):
        await runs.start("hi", chain=chain, request_key="another")
    release.set()
    await draining


@pytest.mark.parametrize("token", ["s\u00e9cret", "sec\nret", "secret\0", " my-secret", "\U0001f511"])
def test_token_that_no_header_can_carry(token: str) -> None:
    """It is refused at the start, without being shown."""
    with pytest.raises(SettingsError, match="all that a header can carry") as refused:
        Settings(token=token)
    assert token not in refused.value.message


@pytest.mark.parametrize("address", ["http://user:secret@127.0.0.1:9", "http://user:sec/secret@127.0.0.1:9", "secret"])
def test_address_with_a_password(address: str) -> None:
    """The password of `--url` is in no message."""
    done = run("ask", "--url", address, "hi", ollama="127.0.0.1:9")
    assert done.returncode in (1, 2)
    assert 1 == len(done.stderr.splitlines())
    assert "secret" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/chat", {"id": "c" * 5000, "messages": [{"role": "user", "parts": [{"type": "text", "text": "x"}]}]}),
        ("/agui", {"threadId": "c" * 5000, "runId": "r", "messages": [{"id": "1", "role": "user", "content": "x"}]}),
        ("/runs", {"question": "x", "request_id": "c" * 5000}),
    ],
)
def test_id_that_is_too_long(
    serve: Callable[[FastAPI], Served], settings: Settings, path: str, body: dict[str, object]
) -> None:
    """It is refused with a sentence that names it."""
    answer = post(serve(create_app(settings)).url + path, body)
    assert answer.status_code in (400, 422)
    assert "200 characters" in answer.text


async def test_model_that_answers_nobody(upstream: DemoOllama) -> None:
    """`doctor` tells a model whose place was never freed from one that answers."""
    ollama = Ollama.of(Settings(ollama_url=upstream.url))
    assert await ollama.first_token_s("demo:silent", within_s=0.5) is None
    assert await ollama.first_token_s("demo", within_s=LIMIT_S) is not None

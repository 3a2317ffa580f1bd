"""How faults of an OpenAI-compatible server are told, and which are tried again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llmstream.chain.openai_model import StrictChatOpenAI
from llmstream.core.direct import fast_way
from llmstream.events import Finished
from llmstream.settings import Settings
from tests.support.answering import PROMPT, events_of, listened_to, outline
from tests.support.openai_faults import END, LONG, SKY, STOP, WORDS, both_ways, error
from tests.support.openai_server import DONE, event, openai_server, stream, usage
from tests.support.reading import response


async def test_comments_break_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that only shows that it lives, for ever, is given up as a silent one."""

    async def pinging(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(LONG)
        while not writer.is_closing():
            writer.write(b": ping\n\n")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with openai_server(pinging) as server:
        for found in await both_ways(server, monkeypatch):
            assert [("failed", "upstream_timeout", True)] == found


async def test_busy_server_is_asked_again() -> None:
    """A server that loads its model is asked again for a while, before the first token only."""
    loading = response(error("Loading model", code=503), status="503 Service Unavailable")
    answers = [loading, stream(WORDS, END, DONE)]

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with openai_server(script) as server:
        found = outline(await events_of(settings=Settings(upstream=server.url, model="m")))
    assert [SKY, STOP] == found


@pytest.mark.parametrize(
    ("message", "more", "tokens"),
    [
        ("This model's maximum context length is 4096 tokens. However, you requested 5000 tokens", {}, "4096"),
        ("request (5000 tokens) exceeds the available context size (2048 tokens), try increasing it",
         {"type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 2048}, "2048"),
        ("Trying to keep the first 5000 tokens when context the overflows. context length of only 1024 tokens", {},
         "1024"),
        ("x", {"code": "context_length_exceeded"}, None),
    ],
)  # fmt: skip
async def test_prompt_that_is_too_long(message: str, more: dict[str, Any], tokens: str | None) -> None:
    """It is told with the length of the context, where the server tells it, and what to do; nothing is cut silently."""
    async with openai_server(response(error(message, **more), status="400 Bad Request")) as server:
        events = await events_of(settings=Settings(upstream=server.url, model="m"))
    told: Any = events[-1]
    assert "upstream_error" == told.code
    assert "--max-model-len" in told.message
    assert tokens is None or f" of {tokens} tokens" in told.message


@pytest.mark.parametrize(
    ("message", "shown"), [("Compute error.", True), ("Compute error in /root/x", False), ("the prompt was: y", False)]
)
async def test_only_known_texts_are_shown(message: str, shown: bool) -> None:
    """The server's own text reaches a person only where it is known and names no path."""
    async with openai_server(stream(event({"error": {"message": message}}))) as server:
        told: Any = (await events_of(settings=Settings(upstream=server.url, model="m")))[-1]
    assert shown == (message in told.message)


async def test_server_that_is_down() -> None:
    """It is told with its address and the setting, and neither its key nor a password."""
    settings = Settings(upstream="http://ann:pass@127.0.0.1:9/v1", upstream_key="secret", model="m")
    told: Any = (await events_of(settings=settings))[-1]
    assert "upstream_unreachable" == told.code
    assert "http://127.0.0.1:9/v1" in told.message
    assert "LLMSTREAM_UPSTREAM" in told.message
    assert not {"secret", "pass"} & set(told.message.replace("@", " ").replace(":", " ").split())


async def test_the_default_chain_is_read_straight() -> None:
    """Both the default chain and `prompt | StrictChatOpenAI` take the way without LangChain's objects."""
    async with openai_server(stream(WORDS, END, DONE)) as server:
        chain = PROMPT | StrictChatOpenAI(model="m", base_url=server.url, api_key="k")
        assert await fast_way(chain, {"question": "hi"}) is not None


@pytest.mark.parametrize("own", ["timeout", "stream_usage"])
async def test_what_is_for_langchains_client_is_not_sent(own: str) -> None:
    """A server that checks its fields would refuse it; either way to the server asks for the usage."""
    async with openai_server(stream(WORDS, END, usage(), DONE)) as server:
        chain = PROMPT | StrictChatOpenAI(model="m", base_url=server.url, api_key="k").bind(**{own: 5})
        for each in (chain, listened_to(chain)):
            assert isinstance((await events_of(chain=each))[-1], Finished)
    assert [(True, False)] * 2 == [(body["stream_options"]["include_usage"], own in body) for body in server.bodies]

"""Ollama as llmstream uses it: what a model can do, what is sent, what is asked again."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser

from llmstream import open_chain
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.errors import InvalidRequest, ModelNotFound, UpstreamError, UpstreamUnreachable
from llmstream.events import Failed, Finished
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from llmstream.settings import Settings
from tests.support.answering import PROMPT, events_of, outline, raw_server
from tests.support.ollama_models import models, ollama

MISSING = [("failed", "capability_missing", False)]


def bodies(upstream: DemoOllama) -> list[dict[str, Any]]:
    """The chat requests it got."""
    return [request.body for request in upstream.requests if request.path == "/api/chat"]


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


async def test_instances_are_shared(upstream: DemoOllama) -> None:
    """One address with the same limits is one instance; other limits are another."""
    settings = Settings(ollama_url=upstream.url)

    assert Ollama.of(settings) is Ollama.of(settings.change(model="x"))
    assert Ollama.of(settings) is not Ollama.of(settings.change(token_timeout_s=1))


async def test_prompt_of_a_chain(upstream: DemoOllama) -> None:
    """A chain of one's own is sent as it stands, with the check that truncation is told."""
    await events_of(chain=PROMPT | StrictChatOllama(model="demo:one-chunk", base_url=upstream.url, num_ctx=512))
    [body] = bodies(upstream)

    assert ({"num_ctx": 512}, False) == (body["options"], body["truncate"])

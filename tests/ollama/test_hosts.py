"""Several hosts: which of them is asked, and what becomes of a question where one is dead, busy or stuck."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from llmstream.chain import aopen_chain
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.answers import DEMO
from llmstream.errors import SettingsError
from llmstream.events import Event, Failed, Finished, Status
from llmstream.ollama.names import tagged
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.settings import Settings
from tests.support.answering import events_of, listened_to, outline
from tests.support.openai_server import DONE, VLLM, openai_server, piece, stream, text
from tests.support.reading import response
from tests.support.real_ollama import RealOllama


@pytest.fixture
def second() -> Iterator[DemoOllama]:
    """A second host, on which a model of a scenario's name answers like any other."""
    with DemoOllama(tokens_per_s=None) as server:
        yield server


def of(*hosts: DemoOllama, model: str = "demo", **changes: object) -> Settings:
    """Settings that point to these hosts, all of which have the model."""
    for host in hosts:
        host.models.setdefault(tagged(model), replace(DEMO, name=tagged(model)))
    return Settings(upstream=",".join(host.url for host in hosts), model=model, demo="never").change(**changes)


def name(host: DemoOllama) -> str:
    return host.url.removeprefix("http://")


def chats(*hosts: DemoOllama) -> list[int]:
    """How many chats each host was asked for."""
    return [sum(request.path == "/api/chat" for request in host.requests) for host in hosts]


def told(events: list[Event]) -> list[str]:
    """What was told of a change of host."""
    return [event.detail for event in events if isinstance(event, Status) and "instead" in event.detail]


async def warm(settings: Settings, *hosts: DemoOllama) -> None:
    """Has the hosts load the model."""
    for host in hosts:
        await events_of(model=f"{settings.model}@{name(host)}", settings=settings)
    await (await upstream_of(settings)).models()


async def test_host_with_the_model(upstream: DemoOllama, second: DemoOllama) -> None:
    """Only hosts that have the model are asked, the first one where nothing else tells them apart."""
    settings = of(upstream, second)
    second.models["other:latest"] = replace(DEMO, name="other:latest")
    await events_of(settings=settings)
    assert [1, 0] == chats(upstream, second)
    assert isinstance((await events_of(settings=settings, model="other"))[-1], Finished)
    assert [1, 1] == chats(upstream, second)
    failed = (await events_of(settings=settings, model="nope"))[-1]
    assert isinstance(failed, Failed)
    assert "model_not_found" == failed.code


async def test_model_that_came_later(upstream: DemoOllama, second: DemoOllama) -> None:
    """A model that was pulled after the last look is found at once."""
    settings = of(upstream, second)
    await events_of(settings=settings)
    second.models["new:latest"] = replace(DEMO, name="new:latest")
    assert isinstance((await events_of(settings=settings, model="new"))[-1], Finished)


async def test_warm_host_goes_first(upstream: DemoOllama, second: DemoOllama) -> None:
    """A host that has the model in memory is asked before the first one."""
    settings = of(upstream, second)
    await warm(settings, second)
    await events_of("Another question", settings=settings)
    assert [0, 2] == chats(upstream, second)


async def test_fewest_runs(upstream: DemoOllama, second: DemoOllama) -> None:
    """Of two that have it in memory, the one that answers less of us is asked."""
    settings = of(upstream, second, model="demo:endless-100")
    await warm(settings.change(model="demo"), upstream, second)
    running = asyncio.create_task(events_of(model=f"demo:endless-100@{name(upstream)}", settings=settings))
    assert await asyncio.to_thread(upstream.wait_active)
    before = chats(upstream, second)
    await events_of("Another question", model="demo", settings=settings)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [before[0], before[1] + 1] == chats(upstream, second)


async def test_conversation_stays(upstream: DemoOllama, second: DemoOllama) -> None:
    """What a host has read already of a conversation it need not read again."""
    settings = of(upstream, second)
    await warm(settings, upstream)
    await events_of("Why?", model=f"demo@{name(second)}", settings=settings)
    await warm(settings, upstream)
    before = chats(upstream, second)
    history = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    await events_of([*history, {"role": "user", "content": "And?"}], settings=settings)
    assert [before[0], before[1] + 1] == chats(upstream, second)


@pytest.mark.parametrize(
    ("model", "trouble"),
    [
        ("demo", "can't be reached"),
        ("demo:html-502", "can't be reached"),
        ("demo:busy", "is busy"),
        ("demo:silent", "did not answer in time"),
        ("demo:gone", "does not have the model any more"),
    ],
)
async def test_next_host(
    upstream: DemoOllama, second: DemoOllama, model: str, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A host that can't begin an answer is passed over, which is told; it is not asked again for a while."""
    settings = of(upstream, second, model=model, first_token_timeout_s=0.3)
    await (await upstream_of(settings)).capabilities(model)
    if model == "demo":
        upstream.close()
    if model == "demo:gone":
        del upstream.models[model]
    events = await events_of(settings=settings)
    assert isinstance(events[-1], Finished)
    assert [f"`{name(upstream)}` {trouble}: asking `{name(second)}` instead."] == told(events)
    assert (model != "demo:gone") == (f"{name(upstream)} {trouble}" in caplog.text)
    before = chats(upstream)
    events = await events_of(settings=settings)
    assert isinstance(events[-1], Finished)
    if model != "demo:gone":
        assert [] == told(events)
        assert before == chats(upstream)


async def test_slow_host_is_not_stuck(upstream: DemoOllama, second: DemoOllama) -> None:
    """A host that answered another question meanwhile is not avoided, though the silent one goes on elsewhere."""
    settings = of(upstream, second, model="demo:silent", first_token_timeout_s=1)
    waiting = asyncio.create_task(events_of(settings=settings))
    assert await asyncio.to_thread(upstream.wait_active)
    await events_of(model=f"demo@{name(upstream)}", settings=settings)
    assert 1 == len(told(await waiting))
    assert [0, 0] == [host.failures for host in await (await upstream_of(settings)).hosts()]


async def test_chain_that_langchain_runs(upstream: DemoOllama, second: DemoOllama) -> None:
    """The default chain as a part of one's own asks the next host, too."""
    settings = of(upstream, second, model="demo:busy")
    chain = listened_to(await aopen_chain(settings))
    events = await events_of({"messages": [("user", "hi")]}, chain=chain, settings=settings)
    assert isinstance(events[-1], Finished)
    assert [f"`{name(upstream)}` is busy: asking `{name(second)}` instead."] == told(events)


@pytest.mark.parametrize(("model", "code"), [("demo:cut", "upstream_truncated"), ("demo:stall-2", "upstream_stalled")])
async def test_no_other_host_after_the_first_token(
    upstream: DemoOllama, second: DemoOllama, model: str, code: str
) -> None:
    """What has begun is told as broken off, and never begun anew."""
    settings = of(upstream, second, model=model, token_timeout_s=0.3)
    events = outline(await events_of(settings=settings))
    assert ["token", "failed"] == [each[0] for each in events]
    assert code == events[-1][1]
    assert [1, 0] == chats(upstream, second)


async def test_pinned_host(upstream: DemoOllama, second: DemoOllama) -> None:
    """`model@host` asks that host and no other, whatever becomes of it."""
    settings = of(upstream, second, model="demo:silent", first_token_timeout_s=0.2)
    failed = (await events_of(model=f"demo:silent@{name(upstream)}", settings=settings))[-1]
    assert isinstance(failed, Failed)
    assert "upstream_timeout" == failed.code
    assert [1, 0] == chats(upstream, second)
    for pinned in (f"demo:silent@{name(second)}", f"demo:silent@{name(second)}:latest"):
        assert isinstance((await events_of(model=pinned, settings=settings))[-1], Finished)


async def test_all_hosts_are_busy(upstream: DemoOllama) -> None:
    """Where all of them are busy they are asked again, as one would be."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as second:
        settings = of(upstream, second, model="demo:busy-1")
        assert isinstance((await events_of(settings=settings))[-1], Finished)
        assert 3 == sum(chats(upstream, second))


async def test_nobody_answers(upstream: DemoOllama, second: DemoOllama) -> None:
    """Where no host is there the answer fails as with one."""
    settings = of(upstream, second)
    for host in (upstream, second):
        host.close()
    failed = (await events_of(settings=settings))[-1]
    assert isinstance(failed, Failed)
    assert "upstream_unreachable" == failed.code


async def test_silent_host_slows_nobody(upstream: DemoOllama) -> None:
    """A host that takes connections and says nothing is not waited for: not for models, not for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings(upstream=f"{url},{upstream.url}", demo="never", connect_timeout_s=600)
        async with asyncio.timeout(8):
            server = await upstream_of(settings)
            assert await server.running()
            assert {(name(upstream),)} == {model.hosts for model in await server.models()}
            assert isinstance((await events_of(settings=settings))[-1], Finished)


async def test_questions_do_not_wait_for_looks(upstream: DemoOllama, second: DemoOllama) -> None:
    """What is known of the hosts is refreshed now and then, not for each question."""
    settings = of(upstream, second)
    for _ in range(20):
        await events_of(settings=settings)
    assert 10 > sum(request.path == "/api/tags" for request in second.requests)
    assert [20, 0] == chats(upstream, second)


def test_addresses() -> None:
    """Several addresses are separated by commas; the first Ollama is that of a model on its own."""
    settings = Settings(upstream="a, b:1,,a")
    assert ("http://a:11434,http://b:1", "http://a:11434") == (settings.upstream, settings.ollama_url)
    with pytest.raises(SettingsError, match="of one kind"):
        Settings(upstream="a,b/v1")


async def test_openai_hosts() -> None:
    """OpenAI-compatible servers are chosen from alike; a fault of the first one has the second one asked."""
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 28\r\n\r\n" + b'{"error": {"message": "no"}}'
    answer = stream(text("The sky"), piece("stop"), DONE)
    async with openai_server(busy) as first, openai_server(answer) as other:
        settings = Settings(upstream=f"{first.url},{other.url}", upstream_key="k")
        events = await events_of(settings=settings)
    assert [("token", "The sky "), ("finished", "stop")] == outline(events)
    assert 1 == len(told(events))


async def test_host_that_fails() -> None:
    """A host whose server fails (500) is passed over for a while; where two fail it is the question, and no host is."""
    broken = response(b'{"error": {"message": "Compute error."}}', status="500 Internal Server Error")
    answer = stream(text("The sky"), piece("stop"), DONE)
    async with openai_server(broken) as first, openai_server(broken) as second, openai_server(answer) as third:
        settings = Settings(upstream=f"{first.url},{third.url}")
        for _ in range(2):
            events = await events_of(settings=settings)
            assert [("token", "The sky "), ("finished", "stop")] == outline(events)
        assert [1, 0] == [host.failures for host in await (await upstream_of(settings)).hosts()]
        assert 1 == len(first.bodies)

        settings = Settings(upstream=f"{first.url},{second.url},{third.url}", model="m")
        events = await events_of(settings=settings)
        assert [("failed", "upstream_error", True)] == outline(events)
        assert [0, 0, 0] == [host.failures for host in await (await upstream_of(settings)).hosts()]
        assert [2, 1, 2] == [len(each.bodies) for each in (first, second, third)]


@pytest.mark.parametrize("count", [1, 2])
async def test_server_that_is_no_ollama(count: int) -> None:
    """An address without /v1 is asked what it speaks, once."""
    answer = stream(text("The sky"), piece("stop"), DONE)
    async with openai_server(answer, models=VLLM) as server, openai_server(answer) as other:
        urls = [each.url.removesuffix("/v1") for each in (server, other)][:count]
        settings = Settings(upstream=",".join(urls))
        for _ in range(2):
            assert [("token", "The sky "), ("finished", "stop")] == outline(await events_of(settings=settings))
        asked = [head.split()[1] for head in (*server.heads, *other.heads)]
    assert count == asked.count("/api/version")
    assert "m" == server.bodies[0]["model"]


async def test_real_ollamas(real_ollama: RealOllama, own_real_ollama: RealOllama) -> None:
    """The second one answers when the first one is killed."""
    settings = Settings(upstream=f"{own_real_ollama.url},{real_ollama.url}", model="tiny-chat", demo="never")
    first = own_real_ollama.url.removeprefix("http://")
    assert isinstance((await events_of(model=f"tiny-chat@{first}", settings=settings))[-1], Finished)
    await (await upstream_of(settings)).models()
    own_real_ollama.kill_server()
    events = await events_of(settings=settings)
    assert isinstance(events[-1], Finished)
    assert 1 == len(told(events))

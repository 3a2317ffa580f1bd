"""An answer that was cut goes on with several hosts, with OpenAI-compatible servers, and with a real Ollama."""

from __future__ import annotations

import asyncio

import pytest

from llmstream.demo_ollama import DemoOllama, Pause
from llmstream.errors import InvalidRequest
from llmstream.events import Continued, Finished, Token
from llmstream.runs.manager import Runs
from llmstream.settings import Settings
from tests.support.continued import COUNT, cut, followed, texts
from tests.support.openai_server import DONE, openai_server, piece, stream, text
from tests.support.real_ollama import RealOllama
from tests.support.serving import answer


async def test_another_host_goes_on(upstream: DemoOllama) -> None:
    """What a host has said that was killed in its answer is continued by the one that is left."""
    with DemoOllama(tokens_per_s=None) as other:
        hosts = {host.url: host for host in (upstream, other)}
        for host in hosts.values():
            host.answers["q"] = lambda request: COUNT if request.begun else [COUNT[:8], Pause(600)]
        run = await Runs(Settings(upstream=",".join(hosts), demo="never")).start("q", model="demo")
        said = ""
        async for event in run.follow():
            said += answer([event])
            if said == COUNT[:8] and isinstance(event, Token):
                await asyncio.to_thread(next(host for host in hosts.values() if host.active).close)
        events = await followed(await run.continue_())

    assert (COUNT[:8], COUNT[8:]) == texts(events)


async def test_hosts_of_several_kinds_are_not_asked() -> None:
    """What one kind of server goes on with, another one would answer from the beginning."""
    body = stream(text("The sky"), piece("length"), DONE)
    one, other = ([{"id": "m", "object": "model", "owned_by": kind}] for kind in ("vllm", "library"))
    async with openai_server(body, models=one) as first, openai_server(body, models=other) as second:
        run = await cut(Runs(Settings(upstream=f"{first.url},{second.url}")), "q")
        with pytest.raises(InvalidRequest, match="several kinds"):
            await run.continue_()


@pytest.mark.parametrize("kind", ["vllm", "llamacpp", "library"])
async def test_openai_compatible_servers(kind: str) -> None:
    """Each is asked in its way: to go on with the last message, and without thinking."""
    answers = iter([stream(text("The sky"), piece("length"), DONE), stream(text("is blue."), piece("stop"), DONE)])
    models = [{"id": "m", "object": "model", "owned_by": kind}]

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    async with openai_server(script, models=models, props={}) as server:
        run = await cut(Runs(Settings(upstream=server.url)), "q")
        events = await followed(await run.continue_())
    body = server.bodies[-1]
    going_on = {"continue_final_message": True, "add_generation_prompt": False}
    going_on["chat_template_kwargs"] = {"enable_thinking": False}  # type: ignore[assignment]

    assert "The sky is blue. " == answer(events)
    assert {"role": "assistant", "content": "The sky "} == body["messages"][-1]
    assert (going_on if kind != "library" else {"reasoning_effort": "none"}).items() <= body.items()


async def test_an_unknown_server_is_not_asked() -> None:
    """One that would begin anew is not asked to go on."""
    body = stream(text("The sky"), piece("length"), DONE)
    async with openai_server(body, models=[{"id": "m", "owned_by": "somebody"}]) as server:
        run = await cut(Runs(Settings(upstream=server.url)), "q")
        with pytest.raises(InvalidRequest, match="Ollama, vLLM and llama"):
            await run.continue_()


@pytest.mark.parametrize(
    "question", ["What color is the sky?", "Draw a table.", "Say hello in Hindi.", "Send me emoji."]
)
async def test_a_real_ollama_says_the_same(real_settings: Settings, question: str) -> None:
    """Cut after every five tokens and continued each time, it comes to the text that it says in one go."""
    runs = Runs(real_settings)
    whole = await followed(await runs.start(question))
    run = await runs.start(question, options={"num_predict": 5})
    events = await followed(run)
    seams = 0
    while isinstance(end := events[-1], Finished) and end.reason == "length":
        run, seams = await run.continue_(), seams + 1
        events = await followed(run)

    assert answer(whole) == answer(events)
    assert 1 < seams == sum(isinstance(event, Continued) for event in events)


async def test_a_real_ollama_is_killed(own_real_ollama: RealOllama) -> None:
    """What a killed server has said is kept, and the one that is started again goes on with it."""
    settings = Settings(ollama_url=own_real_ollama.url, model="tiny-chat", temperature=0, demo="never")
    runs = Runs(settings)
    run = await runs.start("Count to 100.")
    said = 0
    async for event in run.follow():
        said += isinstance(event, Token)
        if said == 20:
            said += 1
            await asyncio.to_thread(own_real_ollama.kill_server)
    cut_at = await run.snapshot()
    await asyncio.to_thread(own_real_ollama.restart)
    events = await followed(await run.continue_())

    assert ("failed", "upstream_truncated") == (cut_at.state, (cut_at.error or {})["code"])
    assert cut_at.text == texts(events)[0]
    assert ", ".join(map(str, range(1, 101))) + "." == answer(events)

"""A cut answer goes on in another process than the one that began it, by what their store has of its question."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.errors import InvalidRequest, LlmstreamError, RunNotFound
from llmstream.events import Cancelled, Continued
from llmstream.runs.end_hook import EndedRun
from llmstream.runs.log import NewRun
from llmstream.runs.manager import Runs
from llmstream.runs.redis.log import RedisLog
from llmstream.runs.run import Run
from llmstream.settings import Settings
from tests.support.cut_answers import COUNT, MakeRuns, asked_with, begun, cut, followed, key_of, until_said
from tests.support.faultkit import eventually
from tests.support.openai_server import DONE, openai_server, piece, stream, text
from tests.support.redis import RedisServer
from tests.support.redis_runs import MakeLog
from tests.support.serving import answer


async def test_it_goes_on_there(upstream: DemoOllama, replica: MakeRuns) -> None:
    """The kept text, one seam, and what the model adds, to the very request that it was asked with before."""
    told: list[EndedRun] = []
    here, there = replica(), replica(told.append)
    messages = [{"role": "system", "content": "Be \ud83d brief."}, {"role": "user", "content": "q"}]
    run = await cut(here, messages, options={"seed": 7, "num_predict": 5})
    goes_on = await there.continue_run(run.id)
    events = await followed(goes_on)
    first, second = asked_with(upstream)

    assert SENTENCE.startswith(whole := answer(events))
    assert len(whole) > len(kept := (await run.snapshot()).text)
    assert [Continued(run.id)] == [event for event in events if isinstance(event, Continued)]
    assert second == {**first, "messages": [*first["messages"], {"role": "assistant", "content": kept}]}
    assert [goes_on.id] == there.active or (await goes_on.position())[0]
    assert await asyncio.to_thread(eventually, lambda: [whole] == [each.text for each in told])


async def test_an_openai_compatible_server(process: MakeLog) -> None:
    """The same of another kind of server, with an image in the conversation, thinking and options."""
    answers = iter([stream(text("The sky"), piece("length"), DONE), stream(text("is blue."), piece("stop"), DONE)])

    async def script(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    models = [{"id": "m", "object": "model", "owned_by": "vllm"}]
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    question = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    async with openai_server(script, models=models) as server:
        here, there = (Runs(Settings(upstream=server.url), log=process()) for _ in range(2))
        run = await cut(here, question, model="m", thinking=True, options={"num_predict": 2, "seed": 7})
        events = await followed(await there.continue_run(run.id))
    first, second = server.bodies
    cut_off = {"role": "assistant", "content": "The sky "}

    assert "The sky is blue. " == answer(events)
    assert [*first["messages"], cut_off] == second["messages"]
    assert {"seed": 7, "max_tokens": 2}.items() <= second.items()


async def test_again_and_in_a_third(replica: MakeRuns) -> None:
    """What goes on there belongs to that process, and is continued from anywhere as any other run."""
    here, there, third = replica(), replica(), replica()
    run = await cut(here)
    second = await there.continue_run(run.id)
    await followed(second)
    await there.log.stored()  # type: ignore[attr-defined]
    events = await followed(await third.continue_run(second.id))

    assert [run.id, second.id] == [event.of for event in events if isinstance(event, Continued)]
    assert SENTENCE.startswith(answer(events))


async def test_callers_and_keys(replica: MakeRuns) -> None:
    """Another caller's run is not found, and a key starts one continuation, whichever process is asked."""
    here, there, third = replica(), replica(), replica()
    run = await cut(here, caller="ann")
    with pytest.raises(RunNotFound):
        await there.continue_run(run.id, caller="bob")
    asking = [runs.continue_run(run.id, caller="ann", request_key="k") for runs in (there, third, here) * 3]

    assert 1 == len({run.id for run in await asyncio.gather(*asking)})


async def test_a_chain_of_ones_own(upstream: DemoOllama, replica: MakeRuns) -> None:
    """It is that process's own one; its steps before the model are not run again. No other chain will do."""
    looked_up: list[str] = []

    def look_up(question: str) -> str:
        looked_up.append(question)
        return "a page"

    def chain(**options: Any) -> Any:
        steps = {"context": RunnableLambda(look_up), "question": RunnablePassthrough()}
        prompt = ChatPromptTemplate([("system", "{context}"), ("user", "{question}")])
        return steps | prompt | StrictChatOllama(model="demo:length", base_url=upstream.url, **options)

    here, there = replica(), replica()
    run = await cut(here, chain=chain(seed=7))
    for other in (None, chain()):
        with pytest.raises(InvalidRequest, match="another model, another model server or with other settings"):
            await there.continue_run(run.id, chain=other)
    await followed(await there.continue_run(run.id, chain=chain(seed=7)))

    assert ["q"] == looked_up
    said = [each["content"] for each in asked_with(upstream)[-1]["messages"]]
    assert ["a page", "q", (await run.snapshot()).text] == said


@pytest.mark.parametrize(
    ("arguments", "changes", "why"),
    [
        ({"model": "demo:one-chunk"}, {}, "is complete"),
        ({"chain": FakeListChatModel(responses=["One two"], error_on_chunk_number=2)}, {}, "This chain's answer"),
        ({"question": "x" * 2**20}, {}, "larger than 1 MiB"),
        ({"format": "json"}, {}, "given format"),
        ({}, {"temperature": 0.5}, "another model, another model server or with other settings"),
        ({}, {"ollama_url": "elsewhere"}, "another model, another model server or with other settings"),
        ({}, {"allowed_models": ["llama3.2"]}, "not allowed here"),
        ({"options": {"num_gpu": 1}}, {}, "'num_gpu' is not allowed here"),
    ],
)
async def test_refusals(
    upstream: DemoOllama, replica: MakeRuns, arguments: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    """Each with its sentence: as with the process that began it, and what another process can't do."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as elsewhere:
        changes = {name: elsewhere.url if value == "elsewhere" else value for name, value in changes.items()}
        run = await cut(replica(), **arguments)
        before = len(asked_with(upstream))
        with pytest.raises(LlmstreamError, match=why):
            await replica(**changes).continue_run(run.id)

    assert before == len(asked_with(upstream))
    assert [] == asked_with(elsewhere)


async def test_a_store_that_lost_it(server: RedisServer, replica: MakeRuns) -> None:
    """Where the store has no question, the process that began the answer alone can go on with it."""
    here, there = replica(), replica()
    run = await cut(here)
    server.client.delete(key_of(run))
    with pytest.raises(InvalidRequest, match="only the server process that began it knows the question"):
        await there.continue_run(run.id)

    assert SENTENCE.startswith(answer(await followed(await here.continue_run(run.id))))


async def test_how_long_the_question_is_stored(server: RedisServer, upstream: DemoOllama, replica: MakeRuns) -> None:
    """As long as the run goes on; after a cut as long as its answer; after a complete answer not at all."""
    here = replica()
    run, whole = await begun(here, upstream), await cut(here, model="demo:one-chunk")
    await here.log.stored()  # type: ignore[attr-defined]

    assert "q" == json.loads(server.client.get(key_of(run)))["messages"][-1]["content"]
    assert 3600_000 < server.client.pttl(key_of(run))
    assert not server.client.exists(key_of(whole))
    await run.stop()
    await here.log.stored()  # type: ignore[attr-defined]
    assert 0 < server.client.pttl(key_of(run)) <= 600_000


def rolled_back(server: RedisServer, run: Run) -> None:
    """The run is as it was when it had just been created, as after a failover."""
    meta = key_of(run).removesuffix(":q")
    server.client.delete(f"{meta}:e", f"{meta}:q")
    server.client.hset(meta, "n", 0)


@pytest.mark.parametrize("forget", [lambda server, run: server.client.flushall(), rolled_back])
async def test_a_store_that_forgets(
    server: RedisServer, upstream: DemoOllama, replica: MakeRuns, forget: Callable[[RedisServer, Run], None]
) -> None:
    """The owner writes the question again with the answer."""
    here, there = replica(), replica()
    run = await begun(here, upstream)
    await here.log.stored()  # type: ignore[attr-defined]
    forget(server, run)
    await run.stop()
    await here.log.stored()  # type: ignore[attr-defined]
    goes_on = await there.continue_run(run.id)
    assert COUNT == "".join([answer([event]) async for event in until_said(goes_on, COUNT)])


async def test_the_last_run_of_a_chat(replica: MakeRuns) -> None:
    """The one that goes on with it elsewhere takes its place and its note; an older one's does not."""
    here, there = replica(), replica()
    run = await cut(here, chat="chat")
    await here.log.swap("", "chat", run.id, "note")
    second = await there.continue_run(run.id)
    await followed(second)
    assert (second.id, "note") == await here.log.named("", "chat")

    await followed(await there.continue_run(run.id))
    assert (second.id, "note") == await here.log.named("", "chat")


async def test_another_message_comes_meanwhile(upstream: DemoOllama, settings: Settings, process: MakeLog) -> None:
    """A new message that comes while the last answer of its chat is continued elsewhere is the one that goes on."""

    class Late(RedisLog):
        async def create(self, run: NewRun) -> str:
            assert cut.id == await here.log.swap("", "chat", new.id, "")  # the message comes in this moment
            return await super().create(run)

    here, log = Runs(settings, log=process()), process()
    log.__class__ = Late
    cut, new = [await begun(here, upstream, chat="chat") for _ in range(2)]
    await here.log.swap("", "chat", cut.id, "")
    await cut.stop()
    await here.log.stored()  # type: ignore[attr-defined]
    there = Runs(settings, log=log)
    events = await asyncio.wait_for(followed(await there.continue_run(cut.id)), 20)

    assert Cancelled("replaced") == events[-1]
    assert (new.id, "") == await there.log.named("", "chat")
    assert not (await new.position())[0]

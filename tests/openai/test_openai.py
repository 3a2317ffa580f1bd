"""An OpenAI-compatible server as a setting: its models, what is asked of it, its key, and the commands."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

import llmstream
from llmstream.chain.openai_model import StrictChatOpenAI
from llmstream.errors import ModelNotFound, UpstreamError
from llmstream.events import Status
from llmstream.ollama.chunks import Chunk
from llmstream.ollama.endpoint import Endpoint
from llmstream.ollama.models import Ollama
from llmstream.ollama.server_kinds import OPENAI
from llmstream.openai.models import OpenAIServer
from llmstream.openai.upstream_from_settings import upstream_of
from llmstream.settings import Settings
from tests.support.answering import events_of, outline
from tests.support.command import run
from tests.support.openai_server import DONE, VLLM, event, openai_server, piece, stream, text, usage
from tests.support.pixel import PIXEL

ANSWER = stream(text("The sky is"), piece("stop"), usage(), DONE)
LLAMA_CPP = [{"id": "gemma", "object": "model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131072}}]
PROPS = {
    "default_generation_settings": {"n_ctx": 8192},
    "modalities": {"vision": True, "audio": False},
    "chat_template_caps": {"supports_tools": True},
    "chat_template": "{% if enable_thinking %}<think>{% endif %}",
}
OLLAMA = [{"id": "qwen3:8b", "object": "model", "owned_by": "library"}]


async def test_addresses() -> None:
    """An address that ends in /v1 is that of an OpenAI-compatible server, any other that of an Ollama."""
    assert Settings(upstream="gpu:8000/v1/").upstream == "http://gpu:8000/v1"
    assert Settings(upstream="https://gpu/v1").upstream == "https://gpu:443/v1"
    assert isinstance(await upstream_of(Settings(upstream="gpu/v1")), OpenAIServer)
    ollama = Settings(upstream="127.0.0.1:9", upstream_key="k")
    assert ("http://127.0.0.1:9", "k") == (ollama.ollama_url, ollama.ollama_api_key)
    assert isinstance(await upstream_of(ollama), Ollama)


def test_an_ollama_that_is_named_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program gives goes before the environment, and the last change counts."""
    monkeypatch.setenv("LLMSTREAM_UPSTREAM", "http://gpu:8000/v1")
    assert Settings().upstream == "http://gpu:8000/v1"
    assert Settings(ollama_url="http://a:1").upstream is None
    assert Settings().change(ollama_url="http://a:1").upstream is None


async def test_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key goes to the server with each request, and a key of the environment for another one does not."""
    monkeypatch.setenv("OPENAI_API_KEY", "of-openai")
    async with openai_server(ANSWER) as server:
        await events_of(settings=Settings(upstream=server.url, upstream_key="secret-key"))
    assert len(server.heads) == 2
    assert all("Authorization: Bearer secret-key" in head for head in server.heads)


@pytest.mark.parametrize(
    ("models", "props", "told", "able"),
    [
        (VLLM, None, ("m", 4096), frozenset()),
        (LLAMA_CPP, PROPS, ("gemma", 8192), frozenset({"completion", "vision", "tools", "thinking"})),
        (LLAMA_CPP, None, ("gemma", None), frozenset()),
        (OLLAMA, None, ("qwen3:8b", None), frozenset()),
        ([{"id": "text-embedding-x"}, {"id": "chat"}], None, ("chat", None), frozenset()),
    ],
    ids=["vLLM", "llama.cpp", "llama.cpp without /props", "Ollama", "unknown"],
)
async def test_models(models: Any, props: Any, told: tuple[str, int | None], able: frozenset[str]) -> None:
    """Models, their context and abilities are what the server tells of them, and no more."""
    async with openai_server(ANSWER, models=models, props=props) as server:
        upstream = await upstream_of(Settings(upstream=server.url))
        assert told[0] == await upstream.choose_model()
        assert told in [(each.name, each.context_length) for each in await upstream.models()]
        assert able == await upstream.capabilities(told[0])
        with pytest.raises(ModelNotFound):
            await upstream.capabilities("nope")


async def test_server_without_models() -> None:
    """A server that has no model, or is none, is told as such."""
    async with openai_server(ANSWER, models=[]) as server:
        with pytest.raises(ModelNotFound, match="LLMSTREAM_MODEL"):
            await (await upstream_of(Settings(upstream=server.url))).choose_model()
        other = await upstream_of(Settings(upstream=server.url.replace("/v1", "/x/v1")))
        with pytest.raises(UpstreamError, match="LLMSTREAM_UPSTREAM"):
            await other.choose_model()
        assert await other.running()
    assert not await (await upstream_of(Settings(upstream="http://127.0.0.1:9/v1"))).running()


@pytest.mark.parametrize(
    ("models", "thinking", "sent"),
    [
        (VLLM, False, {"chat_template_kwargs": {"enable_thinking": False}}),
        (VLLM, True, {"chat_template_kwargs": {"enable_thinking": True}}),
        (VLLM, "max", {"reasoning_effort": "max"}),
        (LLAMA_CPP, False, {"chat_template_kwargs": {"enable_thinking": False}}),
        (OLLAMA, False, {"reasoning_effort": "none"}),
        (OLLAMA, True, {}),
        ([{"id": "m"}], False, {}),
        ([{"id": "m"}], "high", {"reasoning_effort": "high"}),
    ],
)
async def test_thinking(models: Any, thinking: Any, sent: dict[str, Any]) -> None:
    """Thinking is asked for, or not, as each server takes it."""
    async with openai_server(ANSWER, models=models) as server:
        await events_of(settings=Settings(upstream=server.url, thinking=thinking))
    names = ("chat_template_kwargs", "reasoning_effort")
    assert sent == {name: server.bodies[0][name] for name in names if name in server.bodies[0]}


async def test_request() -> None:
    """Messages, options, tools and a form are sent by OpenAI's names; the answer is streamed, with its usage."""
    tool = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "hi"}]
    options = {"num_predict": 5, "temperature": 0.5, "top_k": 3, "repeat_penalty": 1.1, "stop": ["x"]}
    async with openai_server(ANSWER) as server:
        settings = Settings(upstream=server.url)
        events: Any = await events_of(messages, settings=settings, options=options, tools=[tool])
        await events_of("hi", settings=settings, format={"type": "object"})
    first, second = server.bodies
    wanted = {
        "model": "m", "stream": True, "stream_options": {"include_usage": True}, "messages": messages, "tools": [tool],
        "max_tokens": 5, "temperature": 0.5, "top_k": 3, "repetition_penalty": 1.1, "stop": ["x"],
    }  # fmt: skip
    assert wanted == {name: first.get(name) for name in wanted}
    assert {"type": "object"} == second["response_format"]["json_schema"]["schema"]
    assert (3, 5) == (events[-1].usage.input_tokens, events[-1].usage.output_tokens)


async def test_images() -> None:
    """An image goes as the data: URL that these servers take."""
    url = f"data:image/png;base64,{PIXEL}"
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    async with openai_server(ANSWER) as server:
        await events_of([{"role": "user", "content": parts}], settings=Settings(upstream=server.url))
    assert {"type": "image_url", "image_url": {"url": url}} in server.bodies[0]["messages"][0]["content"]


async def test_num_ctx_is_refused() -> None:
    """The context of such a server is set where it is started: asking for another one would change nothing."""
    async with openai_server(ANSWER) as server:
        told: Any = (await events_of(settings=Settings(upstream=server.url, num_ctx=8192)))[-1]
    assert "invalid_request" == told.code
    assert "--ctx-size" in told.message


class Answer(BaseModel):
    """An answer of a form."""

    color: str


async def test_model_is_a_chat_openai() -> None:
    """It streams, invokes and gives objects as `ChatOpenAI` does, in async and sync code, and keeps the thinking."""
    answer = stream(piece(reasoning="Hm."), piece(content='{"color": "blue"}'), piece("stop"), usage(), DONE)
    async with openai_server(answer) as server:
        model = StrictChatOpenAI(model="m", base_url=server.url, api_key="k")
        assert isinstance(model, ChatOpenAI)
        whole = await model.ainvoke("hi")
        sync = await asyncio.to_thread(model.invoke, "hi")
        pieces = [each async for each in model.astream("hi")]
        made = await model.with_structured_output(Answer, method="json_schema").ainvoke("hi")
        of_thread = await asyncio.to_thread(lambda: [str(each.content) for each in model.stream("hi")])
    assert '{"color": "blue"}' == whole.content == sync.content == "".join(str(each.content) for each in pieces)
    assert "Hm." == whole.additional_kwargs["reasoning_content"]
    assert ("m", "stop") == (whole.response_metadata["model_name"], whole.response_metadata["finish_reason"])
    assert whole.usage_metadata is not None
    assert 8 == whole.usage_metadata["total_tokens"]
    assert '{"color": "blue"}' == "".join(of_thread)
    assert Answer(color="blue") == made
    schema = server.bodies[3]["response_format"]
    assert "color" in json.dumps(schema)


async def test_model_tells_a_cut_answer() -> None:
    """Where `ChatOpenAI` gives half an answer for a whole one, it raises."""
    async with openai_server(stream(text("The sky"))) as server:
        usual: Any = ChatOpenAI(model="m", base_url=server.url, api_key="k", streaming=True)
        assert "The sky " == (await usual.ainvoke("hi")).content
        await usual.root_async_client.close()
        with pytest.raises(llmstream.errors.UpstreamTruncated):
            await StrictChatOpenAI(model="m", base_url=server.url, api_key="k").ainvoke("hi")


async def command(*arguments: str, **variables: str) -> str:
    """The output of a command."""
    done = await asyncio.to_thread(run, *arguments, ollama="http://127.0.0.1:9", **variables)
    return done.stdout + done.stderr


async def test_commands() -> None:
    """`doctor`, `models` and `ask` name the server and use it, and show no key."""
    async with openai_server(ANSWER) as server:
        environ = {"LLMSTREAM_UPSTREAM": server.url, "LLMSTREAM_UPSTREAM_KEY": "secret-key"}
        doctor = await command("doctor", **environ)
        models = await command("models", **environ)
        asked = await command("ask", "What color is the sky?", **environ)
    assert f"OpenAI-compatible server (vLLM) at {server.url}" in doctor
    assert "m (4096 tokens)" in doctor
    assert "secret-key" not in doctor
    assert "*  m" in models
    assert "The sky is" in asked


async def test_stop_closes_the_connection() -> None:
    """An answer that is stopped ends the request, which makes these servers stop."""
    closed = asyncio.Event()

    async def endless(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(text("on and"))
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async with openai_server(endless) as server:
        events = llmstream.astream_events("hi", settings=Settings(upstream=server.url))
        async for event in events:
            if outline([event])[:1] and outline([event])[0][0] == "token":
                break
        await events.aclose()
        await asyncio.wait_for(closed.wait(), 1)


@pytest.mark.parametrize(("models", "asks"), [(LLAMA_CPP, True), (VLLM, False)])
async def test_a_server_that_reads_the_prompt_tells_how_far_it_is(models: list[dict[str, Any]], asks: bool) -> None:
    """llama.cpp's server is asked to tell; that is a status, begins no answer, and is no piece of it."""
    told = asyncio.Event()
    statuses: list[Status] = []

    def notify(status: Status) -> None:
        statuses.append(status)
        told.set()

    async def slow(body: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        if asks:
            delta = {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}}]}
            for processed in (40, 100):
                read = {"total": 240, "cache": 40, "processed": processed, "time_ms": 300}
                writer.write(event({**delta, "prompt_progress": read}))
            await told.wait()
        writer.write(text("The sky is") + piece("stop") + DONE)
        writer.close()

    chunks: list[Chunk] = []
    async with openai_server(slow, models=models) as server:
        upstream = OpenAIServer(Endpoint(url=server.url, server=OPENAI, tell_after_s=0.1))
        await upstream.choose_model()
        body = {"model": "gemma", "messages": [{"role": "user", "content": "hi"}]}
        await upstream.chat(body, chunks.extend, notify=notify)
    assert asks == server.bodies[0].get("return_progress", False)
    assert "The sky is " == "".join(chunk.message.content or "" for chunk in chunks if chunk.message)
    assert [(200, True)] * asks == [(each.tokens, (each.progress or 0) > 0) for each in statuses]

"""Any chain as an Ollama model: the `ollama` package against `/ollama`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import httpx
import ollama
import pytest

from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.answers import DemoBackend
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.demo_ollama.scripted_answers import Answers
from llmstream.dialects.ollama.encoder import OllamaEncoder
from llmstream.events import Event, Reasoning, Started, Token, ToolCall, ToolResult
from llmstream.fastapi import create_app
from llmstream.ollama_server.app import create_ollama_app
from llmstream.ollama_server.backend import AnswerChunk, ChatRequest
from llmstream.settings import Settings
from tests.support.faultkit import Exchange
from tests.support.golden import forever, golden
from tests.support.npm import EXACT
from tests.support.ollama_dialect import echo
from tests.support.serving import Serve, Served, get, post

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def client(served: Served) -> Iterator[ollama.Client]:
    """The `ollama` package's client."""
    with closing(ollama.Client(host=f"{served.url}/ollama")) as made:
        yield made


def ask(**changes: Any) -> dict[str, Any]:
    """A request."""
    return {"model": "demo", "messages": [{"role": "user", "content": "Why?"}], **changes}


def chat(served: Served, **changes: Any) -> httpx.Response:
    """One chat request, read to its end."""
    return post(f"{served.url}/ollama/api/chat", json=ask(**changes))


SCENARIOS: dict[str, dict[str, Any]] = {
    "reasoning": {"model": "demo:thinking", "think": True, "stream": False},
    "text": {"model": "demo:one-chunk", "stream": False},
    "tool_call": {"model": "demo:tool-call", "tools": [WEATHER]},
    "length": {"model": "demo:length", "stream": False},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_transcript(served: Served, scenario: str) -> None:
    """The bytes are those of the golden transcript."""
    golden(f"ollama_{scenario}", chat(served, **SCENARIOS[scenario]).content)


@pytest.mark.parametrize("scenario", ["error-line", "no-done"])
def test_transcript_of_a_late_error(serve: Serve, settings: Settings, scenario: str) -> None:
    """The last line of an answer that is not complete is an error, and none says done."""
    served = serve(create_app(settings, chain=StrictChatOllama(model=f"demo:{scenario}", base_url=settings.ollama_url)))
    lines = [json.loads(line) for line in chat(served, model="chain").content.splitlines()]
    assert "done" not in lines[-1]
    assert not any(line.get("done") for line in lines)
    golden(f"ollama_{scenario.replace('-', '_')}", json.dumps(lines[-1]).encode())


def test_transcript_of_a_stopped_answer(serve: Serve, settings: Settings) -> None:
    """A stop is told as an error: what came is not the whole answer."""
    served = serve(create_app(settings, chain=forever))
    url = f"{served.url}/ollama/api/chat"
    with httpx.stream("POST", url, json=ask(model="chain"), timeout=30) as response:
        pieces = response.iter_raw()
        body = next(pieces)
        run = next(iter(served.runs._running))
        assert 202 == post(f"{served.url}/runs/{run}/stop").status_code
        body += b"".join(pieces)
    golden("ollama_stopped", body)


def test_text_is_exact(client: ollama.Client, upstream: DemoOllama) -> None:
    """What the package joins is what the model said, also where its line splitting would break."""
    upstream.answers["Why?"] = EXACT
    answer = list(client.chat(**ask(), stream=True))
    assert EXACT == "".join(part.message.content or "" for part in answer)
    assert "stop" == answer[-1].done_reason
    assert (answer[-1].eval_count or 0) > 0


def test_thinking(client: ollama.Client) -> None:
    """Thinking comes where it is asked for, and is refused where the model can't."""
    answer = client.chat(**ask(model="demo:thinking", think=True))
    assert ("Let me think.", SENTENCE) == (answer.message.thinking, answer.message.content)
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        client.chat(**ask(think=True))


def test_tool_call_both_ways(client: ollama.Client) -> None:
    """The model's call comes to the client, and the result goes to the model."""
    request = ask(model="demo:tool-call", tools=[WEATHER])
    message = client.chat(**request).message
    assert [("get_weather", {"city": "Paris"})] == [
        (call.function.name, call.function.arguments) for call in message.tool_calls or ()
    ]
    request["messages"] += [message, {"role": "tool", "tool_name": "get_weather", "content": "Sunny"}]
    assert SENTENCE == client.chat(**request).message.content


def test_generate(client: ollama.Client, upstream: DemoOllama) -> None:
    """`/api/generate` answers a prompt, with its system message and its format."""
    upstream.answers["Why?"] = "Because."
    assert "Because." == client.generate(model="demo", prompt="Why?", system="Be brief.", format="json").response
    sent = upstream.requests[-1].body
    assert ["system", "user"] == [message["role"] for message in sent["messages"]]
    assert "json" == sent["format"]


@pytest.mark.parametrize(
    ("said", "think"), [({}, True), ({"format": "json"}, False), ({"format": "json", "think": True}, True)]
)
def test_thinks_where_no_form_is_demanded(
    client: ollama.Client, upstream: DemoOllama, said: dict[str, Any], think: bool
) -> None:
    """A model that may think does so unsaid, but not where its answer has to have a form: Ollama would not hold it."""
    client.chat(**ask(model="demo:thinking", **said))
    assert think == upstream.requests[-1].body["think"]


def test_options_reach_the_model(client: ollama.Client, upstream: DemoOllama) -> None:
    """Options go to Ollama as they are."""
    client.chat(**ask(options={"temperature": 0.5, "seed": 7}))
    assert {"temperature": 0.5, "seed": 7} == upstream.requests[-1].body["options"]


@pytest.mark.parametrize("change", [{"options": {"num_keep": 1}}, {"raw": True}, {"logprobs": True}, {"format": "xml"}])
def test_what_cannot_be_done_is_refused(served: Served, change: dict[str, Any]) -> None:
    """What a client asks for and nobody here can do is a 400."""
    response = chat(served, **change)
    assert 400 == response.status_code
    assert response.json()["error"]


def test_page_that_sends_much_is_answered(serve: Serve, settings: Settings) -> None:
    """Fields and options that ask for nothing are no reason to refuse, and some chat by OpenAI's dialect below."""
    served = serve(create_app(settings, chain=echo))
    extras: dict[str, Any] = {
        "options": {"num_predict": -1, "stop": [], "num_ctx": 8192, "num_gpu": 1}, "keep_alive": "5m", "think": False,
        "format": "", "tools": [], "template": "", "raw": False, "context": [], "metadata": {"chat_id": "c"},
        "session_id": "s", "features": {"web_search": False},
    }  # fmt: skip
    assert 200 == chat(served, model="chain", stream=False, **extras).status_code
    assert "chain" == get(f"{served.url}/ollama/v1/models").json()["data"][0]["id"]
    answer = post(f"{served.url}/ollama/v1/chat/completions", json=ask(model="chain:latest")).json()
    assert "You asked: Why?" == answer["choices"][0]["message"]["content"]
    missing = post(f"{served.url}/ollama/v1/chat/completions", json=ask())
    assert (404, "model_not_found") == (missing.status_code, missing.json()["error"]["code"])


def test_context_length_is_the_servers_affair(serve: Serve, settings: Settings, upstream: DemoOllama) -> None:
    """An option of the hardware reaches the model where the settings allow it, and is left aside where they don't."""
    for allowed, sent in ((settings.allowed_options, {}), (("num_ctx",), {"num_ctx": 4096})):
        served = serve(create_app(settings.change(allowed_options=allowed)))
        assert 200 == chat(served, options={"num_ctx": 4096}).status_code
        assert sent == upstream.requests[-1].body.get("options")


def test_image_for_a_model_that_does_not_see(client: ollama.Client) -> None:
    """An image is refused where Ollama itself would not look at it."""
    with pytest.raises(ollama.ResponseError, match="images"):
        client.chat("demo", [{"role": "user", "content": "Why?", "images": ["iVBORw0KGgo="]}])


@pytest.mark.parametrize(("model", "status"), [("nobody", 404), ("demo-thinking", 403), ("demo:error-500", 502)])
def test_early_error_is_a_status(serve: Serve, settings: Settings, model: str, status: int) -> None:
    """A failure before the first token is a status with Ollama's body."""
    served = serve(create_app(settings.change(allowed_models=("demo", "nobody", "demo:error-500"))))
    response = chat(served, model=model)
    assert status == response.status_code
    assert response.json()["error"]


@pytest.mark.parametrize("model", ["demo:error-line", "demo:no-done"])
def test_late_error_raises(client: ollama.Client, model: str) -> None:
    """An error and a truncation after the first token raise in the package, after what came."""
    pieces: list[str] = []
    with pytest.raises(ollama.ResponseError, match="broke off"):
        pieces.extend(part.message.content or "" for part in client.chat(**ask(model=model), stream=True))
    assert "".join(pieces)
    assert SENTENCE.startswith("".join(pieces))
    with pytest.raises(ollama.ResponseError):
        client.chat(**ask(model=model))


def test_lists(client: ollama.Client, served: Served) -> None:
    """Tags, show, ps and version are those of the models a client may ask for."""
    assert ["demo:latest", "demo-thinking:latest"] == [model.model for model in client.list().models]
    assert ["completion", "thinking"] == client.show("demo-thinking").capabilities
    client.chat(**ask())
    assert ["demo:latest"] == [model.model for model in client.ps().models]
    assert get(f"{served.url}/ollama/api/version").json()["version"]
    assert "Ollama is running" == get(f"{served.url}/ollama/").text
    with pytest.raises(ollama.ResponseError, match="not pulled"):
        client.pull("demo-new")


def test_leaving_stops_the_model(client: ollama.Client, upstream: DemoOllama) -> None:
    """A client that closes its stream frees the model at once: it can't come back."""
    stream = client.chat(**ask(model="demo:endless-200"), stream=True)
    for _, _ in zip(range(5), stream, strict=False):
        pass
    stream.close()  # type: ignore[attr-defined]
    assert upstream.wait_idle(timeout_s=2)


def test_chain_is_a_model(serve: Serve, settings: Settings) -> None:
    """A chain is a model under its name, with and without a tag; a form that it can't be told to have is refused."""
    served = serve(create_app(settings, chain=echo))
    with closing(ollama.Client(host=f"{served.url}/ollama")) as client:
        assert ["chain:latest"] == [model.model for model in client.list().models]
        for name in ("chain", "chain:latest"):
            assert "You asked: Why?" == client.chat(**ask(model=name)).message.content
        with pytest.raises(ollama.ResponseError, match="not found"):
            client.chat(**ask(model="demo"))
        with pytest.raises(ollama.ResponseError):
            client.chat(**ask(model="chain", format="json"))


async def test_async_client(served: Served) -> None:
    """The package's async client reads the same."""
    async with ollama.AsyncClient(host=f"{served.url}/ollama") as client:
        stream = await client.chat(**ask(model="demo:one-chunk"), stream=True)
        assert SENTENCE == "".join([part.message.content or "" async for part in stream])


def test_own_tools_of_a_chain_stay_here() -> None:
    """A call that the chain answered itself is not the client's to make; text in a row is one piece."""
    events: list[Event] = [
        Started("m", 0), Reasoning("a"), Reasoning("b"), ToolCall("x", "search", {}), ToolResult("x", 1), Token("c"),
        Token("d"), Reasoning("e"),
    ]  # fmt: skip
    assert [("", "ab"), ("cd", ""), ("", "e")] == [(p.content, p.thinking) for p in OllamaEncoder().encode(events)]


def test_token_is_wanted(serve: Serve, settings: Settings) -> None:
    """Who has no token is refused."""
    served = serve(create_app(settings.change(token="secret"), chain=forever))
    assert 401 == chat(served, model="chain").status_code


def test_silence_is_no_end(serve: Serve, settings: Settings) -> None:
    """A long silence in the middle of an answer changes nothing."""
    beaten, runs = threading.Event(), threading.Semaphore(0)

    async def slow(question: object) -> AsyncIterator[str]:
        yield "One"
        runs.release()
        await asyncio.to_thread(beaten.wait)
        yield " two"

    served = serve(create_app(settings.change(heartbeat_s=0.05), chain=slow))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(chat, served, model="chain", stream=False)
        assert runs.acquire(timeout=20)
        # One that came later, and was silent for so long that its heart has beaten.
        with Exchange(f"{served.url}/stream", "POST", question="q") as later:
            later.until(lambda exchange: b": ping\n" in exchange.body)
            beaten.set()
        assert "One two" == answer.result().json()["message"]["content"]


def test_limit_is_the_model_s_to_keep(serve: Serve) -> None:
    """An answer that the model ended at `num_predict` is told with the model's own counts, not with guesses."""
    with DemoOllama(tokens_per_s=20) as paced:  # slow enough that each token comes alone
        paced.answers["Why?"] = "One two three four"
        served = serve(create_app(Settings(ollama_url=paced.url, model="demo", system_prompt="Be brief. " * 50)))
        whole, cut = (chat(served, options={"num_predict": limit}, stream=False).json() for limit in (-1, 3))
    assert ("length", "One two three") == (cut["done_reason"], cut["message"]["content"])
    assert (whole["prompt_eval_count"], 3) == (cut["prompt_eval_count"], cut["eval_count"])


@pytest.mark.parametrize("stream", [True, False])
async def test_answer_without_an_end_is_not_complete(stream: bool) -> None:
    """Where what answers stops without saying how it ended, the client is told that the answer broke off."""

    class Broken(DemoBackend):
        async def chat(self, request: ChatRequest) -> AsyncGenerator[AnswerChunk, None]:
            yield AnswerChunk("The sky")

    app = create_ollama_app(Broken(tokens_per_s=None, docs=None, answers=Answers()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answer = await client.post("/api/chat", json=ask(stream=stream))
    assert stream == answer.is_success
    assert {"error": "the answer broke off"} == json.loads(answer.text.splitlines()[-1])

"""The model: a ChatOllama in every respect, but for its strict stream."""

from __future__ import annotations

import asyncio
import inspect
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tools import tool
from langchain_ollama import ChatOllama
from pydantic import BaseModel

from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.errors import (
    CapabilityMissing,
    InvalidRequest,
    ModelNotFound,
    UpstreamTruncated,
)
from llmstream.events import Status
from tests.support.answering import CLOSE, PROMPT, events_of, outline
from tests.support.sky import model


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "18 degrees"


pytestmark = pytest.mark.usefixtures("ollama")


@pytest.fixture(autouse=True)
def hi(ollama: DemoOllama) -> None:
    """The demo answers the usual question."""
    ollama.answers["hi"] = SENTENCE


def test_same_constructor() -> None:
    """It takes what ChatOllama takes, and nothing else."""
    assert inspect.signature(ChatOllama) == inspect.signature(StrictChatOllama)
    assert list(ChatOllama.model_fields) == list(StrictChatOllama.model_fields)


def test_as_serializable_as_chat_ollama() -> None:
    """It can be dumped as ChatOllama can, and pickled no less."""
    assert ChatOllama.is_lc_serializable() == StrictChatOllama.is_lc_serializable()
    assert '"name": "StrictChatOllama"' in dumps(model())
    for cls in (ChatOllama, StrictChatOllama):
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(cls(model="x"))


FIELDS: list[dict[str, Any]] = [
    {},
    {"temperature": 0.5, "num_ctx": 512, "num_predict": 7, "seed": 1, "stop": ["x"], "top_k": 3},
    {"reasoning": True},
    {"format": "json", "keep_alive": "10m"},
    {"format": {"type": "object"}},
]


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("kwargs", [{}, {"stop": ["y"]}, {"options": {"seed": 3}}, {"tools": [{"type": "function"}]}])
def test_same_request(ollama: DemoOllama, fields: dict[str, Any], kwargs: dict[str, Any]) -> None:
    """What it sends is what ChatOllama sends, and the one field that tells a truncated prompt."""
    if ("stop" in fields and "stop" in kwargs) or "reasoning" in fields:
        kwargs = {}
    messages = [HumanMessage("hi"), AIMessage("a"), ToolMessage("b", tool_call_id="c")]
    name = "demo:thinking" if "reasoning" in fields else "demo:tool-call" if "tools" in kwargs else "demo:one-chunk"
    for made in (ChatOllama(model=name, client_kwargs=CLOSE, **fields), model(name, **fields)):
        for _ in made.stream(messages, **kwargs):
            pass
    theirs, ours = [request.body for request in ollama.requests if request.path == "/api/chat"]
    ours["messages"][-1].pop("tool_call_id")  # the `ollama` package leaves it out

    assert {name: value for name, value in theirs.items() if value not in ([], None)} | {"truncate": False} == {
        name: value for name, value in ours.items() if value not in ([], None)
    }


def told(chunk: Any) -> Any:
    """A chunk without what is different at each call."""
    metadata = {
        name: value
        for name, value in chunk.response_metadata.items()
        if not name.endswith(("_duration", "_at")) and value is not None
    }
    calls = [(call["name"], call["args"]) for call in chunk.tool_calls]
    return chunk.content, calls, chunk.additional_kwargs, chunk.usage_metadata, metadata


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("demo:one-chunk", {}),
        ("demo:length", {}),
        ("demo:thinking", {"reasoning": True}),
        ("demo:thinking", {"reasoning": False}),
        ("demo:text-tool-call", {}),
        ("demo:done-content", {}),
        ("demo:empty", {}),
    ],
)
async def test_same_chunks(ollama: DemoOllama, name: str, fields: dict[str, Any]) -> None:
    """Its chunks are ChatOllama's chunks: text, thoughts, tool calls, counts, metadata; sync and async alike."""
    theirs = ChatOllama(model=name, client_kwargs=CLOSE, **fields)
    expected = [told(chunk) async for chunk in theirs.astream("hi")]

    assert expected == [told(chunk) async for chunk in model(name, **fields).astream("hi")]
    assert expected == await asyncio.to_thread(lambda: [told(chunk) for chunk in model(name, **fields).stream("hi")])


WAYS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda made: made.invoke("hi").content,
    "stream": lambda made: "".join(chunk.content for chunk in made.stream("hi")),
    "batch": lambda made: "".join({message.content for message in made.batch(["hi"] * 3)}),
    "generate": lambda made: made.generate([[HumanMessage("hi")]]).generations[0][0].text,
    "ainvoke": lambda made: asyncio.run(made.ainvoke("hi")).content,
    "abatch": lambda made: "".join({message.content for message in asyncio.run(made.abatch(["hi"] * 3))}),
}


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_to_ask(ollama: DemoOllama, way: str) -> None:
    """Each of LangChain's ways to ask gives the answer, and raises where it broke off."""
    assert SENTENCE == WAYS[way](model())
    with pytest.raises(UpstreamTruncated):
        WAYS[way](model("demo:no-done"))
    assert ollama.wait_idle(timeout_s=1)


async def test_stream_events_of_langchain(ollama: DemoOllama) -> None:
    """LangChain's own event stream works, alone and in a chain."""
    for chain in (model(), PROMPT | model() | StrOutputParser()):
        events = [event async for event in chain.astream_events("hi", version="v2")]
        pieces = [event["data"]["chunk"].content for event in events if event["event"] == "on_chat_model_stream"]

        assert SENTENCE == "".join(pieces)
        assert "on_chat_model_end" in [event["event"] for event in events]


class Heard(BaseCallbackHandler):
    """Notes what it hears."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.names.append("start")

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.names.append("token")

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.names.append("end")

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        self.names.append("error")


@pytest.mark.parametrize("where", ["model", "chain"])
async def test_callbacks(ollama: DemoOllama, where: str) -> None:
    """A callback, on the model or on the chain, hears everything, and the events stay the same."""
    heard = Heard()
    chain = PROMPT | model(callbacks=[heard] if where == "model" else None)
    rows = outline(await events_of(chain=chain.with_config(callbacks=[heard]) if where == "chain" else chain))

    assert [("token", SENTENCE), ("finished", "stop")] == rows
    assert ("start", "end") == (heard.names[0], heard.names[-1])
    assert heard.names.count("token") > 10


def test_callbacks_hear_an_error(ollama: DemoOllama) -> None:
    """An answer that breaks off is an error to a callback too."""
    heard = Heard()
    with pytest.raises(UpstreamTruncated):
        list(model("demo:cut", callbacks=[heard]).stream("hi"))

    assert "error" == heard.names[-1]


class Fruit(BaseModel):
    """A fruit."""

    name: str
    count: int


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_structured_output(ollama: DemoOllama, method: Any) -> None:
    """A structured answer is an object of the class that was asked for."""
    ollama.answers["fruit"] = '{"name": "fig", "count": 3}'

    assert Fruit(name="fig", count=3) == model("demo").with_structured_output(Fruit, method=method).invoke("fruit")


def test_tools(ollama: DemoOllama) -> None:
    """Tools are bound as to any model, and a result of theirs is answered."""
    bound = model("demo:tool-calls-two").bind_tools([get_weather])
    message = bound.invoke("hi")
    result = ToolMessage("18", tool_call_id=message.tool_calls[0]["id"])

    assert [{"city": "Paris"}, {"city": "Rome"}] == [call["args"] for call in message.tool_calls]
    assert 2 == len({call["id"] for call in message.tool_calls})
    assert SENTENCE == model("demo:tool-call").bind_tools([get_weather]).invoke(["hi", message, result]).content


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda: model("nope").invoke("hi"), None),
        (lambda: model("demo").bind_tools([get_weather]).invoke("hi"), CapabilityMissing),
        (lambda: model("demo", reasoning=True).invoke("hi"), CapabilityMissing),
        (lambda: model("demo").invoke([]), (InvalidRequest, ValueError)),
    ],
)
def test_refusals(ollama: DemoOllama, ask: Callable[[], Any], error: Any) -> None:
    """What can't be done raises an error of llmstream's."""
    with pytest.raises(error or ModelNotFound):
        ask()


def test_leaving_a_sync_stream_stops_the_model(ollama: DemoOllama) -> None:
    """Leaving the loop over a model's own stream stops it."""
    pieces = model("demo:stall-2").stream("hi")
    assert isinstance(next(pieces), AIMessageChunk)
    pieces.close()  # type: ignore[attr-defined]

    assert ollama.wait_idle(timeout_s=1)


async def test_status_of_a_sync_chain(ollama: DemoOllama) -> None:
    """A truncated prompt is told also where LangChain runs the chain in a thread."""

    def generate(question: str) -> Iterator[str]:
        for chunk in model("demo", num_ctx=256).stream(question):
            yield str(chunk.content)

    ollama.answers["word " * 300] = SENTENCE
    rows = outline(await events_of("word " * 300, chain=generate))

    assert ("prompt_truncated",) == rows[0]
    assert ("finished", "stop") == rows[-1]


def test_status_type() -> None:
    """What a model tells is an event."""
    assert "prompt_truncated" == Status("prompt_truncated").state

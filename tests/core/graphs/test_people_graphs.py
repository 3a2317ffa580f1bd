"""Graphs, their tools and their data, of the kind people have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import StreamWriter

from llmstream.demo_ollama import DemoOllama
from llmstream.demo_ollama.scenarios import SENTENCE
from llmstream.events import ToolCall, ToolResult
from tests.support.answering import ANSWER, CLOSE, events_of, outline
from tests.support.sky import SKY, model

pytestmark = pytest.mark.usefixtures("sky")


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "18 degrees"


def graph(chat_model: Any) -> Any:
    """An agent: a model, and a node that calls its tools."""
    bound = chat_model.bind_tools([get_weather])

    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("tools", ToolNode([get_weather]))
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", tools_condition)
    builder.add_edge("tools", "ask")
    return builder.compile()


@pytest.mark.parametrize("own", [False, True])
async def test_graph_with_a_tool(ollama: DemoOllama, own: bool) -> None:
    """A LangGraph agent streams its last answer, and tells the call of a tool and what the tool said."""
    name = "demo:tool-call"
    chat_model = ChatOllama(model=name, base_url=ollama.url, client_kwargs=CLOSE) if own else model(name)
    events = await events_of(SKY, chain=graph(chat_model))
    calls = [event for event in events if isinstance(event, ToolCall)]
    results = [event for event in events if isinstance(event, ToolResult)]

    assert [
        ("tool_call", "get_weather", {"city": "Paris"}),
        ("tool_result", "18 degrees"),
        *ANSWER,
    ] == outline(events)
    assert [call.id for call in calls] == [result.id for result in results]


async def test_graph_that_emits_data() -> None:
    """What a node writes to LangGraph's custom stream is data."""

    async def node(state: MessagesState, writer: StreamWriter) -> dict[str, Any]:
        writer({"step": 1})
        return {"messages": [AIMessage(SENTENCE)]}

    builder = StateGraph(MessagesState)
    builder.add_node("node", node)
    builder.add_edge(START, "node")

    assert [("data", "custom", {"step": 1}), *ANSWER] == outline(await events_of(SKY, chain=builder.compile()))


class State(TypedDict, total=False):
    """What the graphs below hold; pydantic can't read it on Python 3.11."""

    question: str
    answer: str


def one_node(node: Any) -> Any:
    """A graph of one node."""
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile()


def answering(answer: Callable[[str], Any]) -> Any:
    """A node that answers the question."""

    async def node(state: State) -> dict[str, str]:
        return {"answer": str(await answer(state["question"]))}

    return node


async def say(question: str) -> str:
    """An answer without a model."""
    return SENTENCE


@pytest.mark.parametrize("kind", ["plain", "text model", "subgraph", "subgraph of a chat model"])
async def test_graph_with_a_state_of_its_own(ollama: DemoOllama, kind: str) -> None:
    """The answer of a graph comes, once, wherever in it and however it is made."""
    text_model = OllamaLLM(model="demo:one-chunk", base_url=ollama.url, client_kwargs=CLOSE)
    chain = one_node(
        {
            "plain": lambda: answering(say),
            "text model": lambda: answering(text_model.ainvoke),
            "subgraph": lambda: one_node(answering(say)),
            "subgraph of a chat model": lambda: one_node(
                answering((model("demo:one-chunk") | StrOutputParser()).ainvoke)
            ),
        }[kind]()
    )

    assert ANSWER == outline(await events_of(SKY, chain=chain))
    assert ANSWER == outline(await events_of({"question": SKY}, chain=chain))

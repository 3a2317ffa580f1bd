"""Tools of a chain: each call is told once, with one result, whatever way the tool went."""

from __future__ import annotations

from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command
from pydantic import BaseModel

from llmstream import Settings, astream_events
from llmstream.events import Token, ToolCall
from tests.support.scripted_model import asks, broken, says, see, weather


class Sky(BaseModel):
    """A color."""

    color: str


def agent(model: Any, tools: Any) -> Any:
    """The loop of model and tools that everybody writes."""

    async def ask(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("ask", ask).add_node("tools", tools)
    return graph.add_edge(START, "ask").add_conditional_edges("ask", tools_condition).add_edge("tools", "ask").compile()


async def by_hand(state: MessagesState) -> Any:
    """A tool node as the quickstart has it: the arguments alone, and a message by hand."""
    calls = state["messages"][-1].tool_calls  # type: ignore[union-attr]
    return {"messages": [ToolMessage(await weather.ainvoke(call["args"]), tool_call_id=call["id"]) for call in calls]}


async def plain_function(state: MessagesState) -> Any:
    """A tool node that calls a function of its own, which no callback tells of."""
    calls = state["messages"][-1].tool_calls  # type: ignore[union-attr]
    return {"messages": [ToolMessage("18 degrees in Paris", tool_call_id=call["id"]) for call in calls]}


@pytest.mark.parametrize("tools", [ToolNode([weather]), by_hand, plain_function], ids=["node", "by hand", "function"])
async def test_one_result_a_call(tools: Any) -> None:
    """Whoever carries a call out, its result comes once, under its id, and the client is asked for nothing."""
    seen = await see(agent(says(asks(city="Paris"), "It is fine."), tools))
    assert ("It is fine.", "stop") == (seen.text, seen.reason)
    assert [("c1", "weather")] == seen.calls
    assert [("c1", "18 degrees in Paris")] == seen.results


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (asks(town="Paris"), "city"),
        (asks("unknown"), "not a valid tool"),
        (asks("broken", city="x"), "station is down"),
    ],
)
async def test_a_tool_that_fails(call: AIMessage, part: str) -> None:
    """Wrong arguments, a tool that isn't there, a tool that fails: the call has a result, what the model reads."""
    tools = ToolNode([weather, broken], handle_tool_errors=True)
    seen = await see(agent(says(call, "Sorry."), tools))
    assert ("Sorry.", "stop", ["c1"]) == (seen.text, seen.reason, [call for call, _ in seen.results])
    assert part in str(seen.results)


async def test_calls_side_by_side_and_one_fails() -> None:
    """Two calls of one message have a result each."""
    both = AIMessage("", tool_calls=[*asks(city="Paris").tool_calls, *asks("broken", "c2", city="x").tool_calls])
    seen = await see(agent(says(both, "Done."), ToolNode([weather, broken], handle_tool_errors=True)))
    assert {"c1", "c2"} == {call for call, _ in seen.results} == {call for call, _ in seen.calls}
    assert ("Done.", "stop") == (seen.text, seen.reason)


async def test_text_before_a_call_is_a_message() -> None:
    """What is said before the tool and what is said after it are two messages."""
    seen = await see(agent(says(asks(text="Let me look.", city="Paris"), "It is fine."), ToolNode([weather])))
    assert "Let me look.\n\nIt is fine." == seen.text


async def test_a_call_that_nobody_answers() -> None:
    """A graph that ends with a call leaves it to the client."""

    async def ask(state: MessagesState) -> Any:
        return {"messages": [await says(asks(city="Paris")).ainvoke(state["messages"])]}

    seen = await see(StateGraph(MessagesState).add_node("ask", ask).add_edge(START, "ask").compile())
    assert ("tool_calls", [("c1", "weather")], []) == (seen.reason, seen.calls, seen.results)


async def test_a_tool_that_goes_on_by_a_command() -> None:
    """A tool that hands over to another node has a result as well."""

    @tool
    def hand_over() -> Command[Any]:
        """Hand over."""
        result = ToolMessage("handed over", tool_call_id="c1")
        return Command(update={"messages": [result]})

    seen = await see(agent(says(asks("hand_over"), "Here I am."), ToolNode([hand_over])))
    assert ([("c1", "handed over")], "Here I am.") == (seen.results, seen.text)


async def test_a_model_inside_a_tool_is_no_answer() -> None:
    """What a tool's own model says, thinks and calls stays inside the tool."""

    @tool
    async def research(topic: str) -> str:
        """Look something up."""
        notes = AIMessage("my notes", additional_kwargs={"reasoning_content": "hm"}, tool_calls=asks(id="x").tool_calls)
        return str((await says(notes).ainvoke(topic)).content)

    seen = await see(agent(says(asks("research", topic="tea"), "Tea is good."), ToolNode([research])))
    assert ("Tea is good.", "", "Tea is good.") == (seen.text, seen.reasoning, seen.shown)
    assert ([("c1", "research")], [("c1", "my notes")]) == (seen.calls, seen.results)


async def test_a_call_that_a_parser_reads() -> None:
    """A structured output is made of a call, which is nobody's to answer."""
    search = says(asks("Search", query="sky")) | JsonOutputKeyToolsParser(key_name="Search", first_tool_only=True)
    seen = await see(search | RunnableLambda(str) | says("The answer."))
    assert ("The answer.", "stop", []) == (seen.text, seen.reason, seen.calls)


async def test_tools_of_a_function() -> None:
    """A loop written as a function tells of its calls as a graph does."""
    model = says(asks(city="Paris"), "It is fine.")

    async def loop(question: str) -> str:
        asked = await model.ainvoke(question)
        result = await weather.ainvoke(asked.tool_calls[0])
        return str((await model.ainvoke([HumanMessage(question), asked, result])).content)

    seen = await see(RunnableLambda(loop))
    assert ("It is fine.", "stop") == (seen.text, seen.reason)
    assert ([("c1", "weather")], [("c1", "18 degrees in Paris")]) == (seen.calls, seen.results)


async def test_a_tool_that_nobody_called_is_no_result() -> None:
    """A tool that the chain uses by itself belongs to no call."""
    seen = await see(RunnableLambda(lambda question: weather.invoke({"city": "Rome"})))
    assert ("18 degrees in Rome", [], []) == (seen.text, seen.calls, seen.results)


async def test_a_call_left_by_a_chain() -> None:
    """`prompt | model.bind_tools(…)` leaves its call to the client, after its text."""
    seen = await see(says(asks(text="Let me look.", city="Paris")))
    assert ("Let me look.", "tool_calls", [("c1", "weather")]) == (seen.text, seen.reason, seen.calls)


async def test_a_call_without_an_id() -> None:
    """Some models give their calls none: it is the client's to make all the same, and no empty answer."""
    call: Any = {"name": "weather", "args": {"city": "Paris"}, "id": None, "type": "tool_call"}
    message = AIMessage("", tool_calls=[call])
    chains: list[Any] = [FakeMessagesListChatModel(responses=[message]), RunnableLambda(lambda question: message)]
    for chain in chains:
        seen = await see(chain)
        assert ("", "tool_calls") == (seen.text, seen.reason)
        assert ["weather"] == [name for _, name in seen.calls]


async def test_langchains_agent() -> None:
    """`create_agent` of LangChain 1.x, with a tool."""
    seen = await see(create_agent(says(asks(city="Paris"), "It is fine."), [weather]))
    assert ("It is fine.", "stop", [("c1", "18 degrees in Paris")]) == (seen.text, seen.reason, seen.results)
    assert seen.pieces == 3


@tool(return_direct=True)
def timetable(line: str) -> str:
    """When a line leaves."""
    return f"{line} leaves at nine"


TOOL_CALL: Any = RunnableLambda(lambda message: message.tool_calls[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda: create_agent(says(asks("timetable", line="S1")), [timetable]),
        lambda: says(asks("timetable", line="S1")) | TOOL_CALL | timetable,
        lambda: says(asks("timetable", line="S1")) | RunnableLambda(lambda said: said.tool_calls) | timetable.map(),
    ],
    ids=["return_direct", "a chain", "a list"],
)
async def test_a_result_that_is_the_answer(make: Any) -> None:
    """What ends with a tool's result answers with it."""
    seen = await see(make())
    assert ("S1 leaves at nine", "stop", {}) == (seen.text, seen.reason, seen.data)
    assert [("c1", "S1 leaves at nine")] == seen.results


async def test_a_structured_response_is_no_text() -> None:
    """The result that only says that an object was made is not shown."""
    agent = create_agent(says(asks("Sky", color="blue")), [], response_format=ToolStrategy(Sky))
    seen = await see(agent)
    assert ("", {"structured_response": {"color": "blue"}}, "stop") == (seen.text, seen.data, seen.reason)


async def test_a_call_says_whose_it_is() -> None:
    """A call belongs to the message that was told before it."""
    agent = create_agent(says(asks(text="Let me look.", city="Paris"), "It is fine."), [weather])
    events = [event async for event in astream_events("hi", chain=agent, settings=Settings(demo="never"))]
    said = next(event for event in events if isinstance(event, Token))
    called = next(event for event in events if isinstance(event, ToolCall))
    assert said.message is not None
    assert said.message == called.message

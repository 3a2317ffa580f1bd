"""The messages of a graph: its final state judges, and what was shown and not kept is taken back."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langchain_core.output_parsers import JsonOutputParser
from langgraph.graph import MessagesState

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import asks, says, see, weather


async def test_a_node_streams() -> None:
    """The text of a node that ends the graph comes word by word."""
    seen = await see(line(MessagesState, node_that_says("The sky is blue")))
    assert ("The sky is blue", 4, 0) == (seen.text, seen.pieces, seen.withdrawn)


@pytest.mark.parametrize(
    "made",
    [
        lambda text: AIMessage(text),
        lambda text: {"role": "assistant", "content": text},
        lambda text: {"role": "ai", "content": text},
    ],
)
async def test_any_form_of_a_message(made: Any) -> None:
    """A message that the node makes itself is the answer, whether or not its model's text was in it."""

    async def node(state: MessagesState) -> Any:
        return {"messages": [made(str((await says("The sky is blue").ainvoke("q")).content))]}

    assert "The sky is blue" == (await see(line(MessagesState, node))).text


@pytest.mark.parametrize(
    "made", [AIMessage, lambda text: ("assistant", text), lambda text: {"role": "ai", "content": text}]
)
async def test_any_form_of_a_message_where_nothing_adds_it_up(made: Any) -> None:
    """LangGraph leaves it as it is in a state without a reducer."""

    class State(TypedDict):
        messages: list[Any]

    async def node(state: State) -> Any:
        return {"messages": [*state["messages"], made((await says("The sky is blue").ainvoke("q")).content)]}

    seen = await see(line(State, node))
    assert ("The sky is blue", "The sky is blue", 0) == (seen.text, seen.shown, seen.withdrawn)


async def test_a_draft_that_the_graph_drops() -> None:
    """What a guard replaces is withdrawn."""

    async def node(state: MessagesState) -> Any:
        await says("a draft that must not stay").ainvoke(state["messages"])
        return {"messages": [AIMessage("I can't help with that.")]}

    seen = await see(line(MessagesState, node))
    assert ("I can't help with that.", 1) == (seen.text, seen.withdrawn)


async def test_what_a_node_adds_is_said() -> None:
    """Sources put behind the model's text go on the same message."""

    async def node(state: MessagesState) -> Any:
        said = await says("It is blue.").ainvoke(state["messages"])
        return {"messages": [AIMessage(f"{said.content}\n\nSources: sky.pdf")]}

    seen = await see(line(MessagesState, node))
    assert ("It is blue.\n\nSources: sky.pdf", 0) == (seen.text, seen.withdrawn)
    assert seen.text == seen.shown


@pytest.mark.parametrize("inner", ['{"binary_score": "yes"}', "yes", "rewritten question", "[1, 2]"])
async def test_a_step_before_the_answer_is_not_shown(inner: str) -> None:
    """A grader's word, a router's, a rewritten question: none of it is ever shown."""

    async def grade(state: MessagesState) -> Any:
        await says(inner).ainvoke(state["messages"])
        return {}

    seen = await see(line(MessagesState, grade, node_that_says("The answer.")))
    assert ("The answer.", "The answer.") == (seen.text, seen.shown)


async def test_a_step_that_is_kept_is_shown_when_it_is() -> None:
    """A message of a node that can't end the graph waits for its end, and is said in its place."""
    seen = await see(line(MessagesState, node_that_says("First.", "plan"), node_that_says("Second.")))
    assert ("First.\n\nSecond.", 0) == (seen.text, seen.withdrawn)


async def test_a_rewritten_question_in_the_state() -> None:
    """A human message that the graph made is no answer, but for one that names its speaker."""

    async def rewrite(state: MessagesState) -> Any:
        return {"messages": [HumanMessage("What is it exactly?"), HumanMessage("I object.", name="critic")]}

    seen = await see(line(MessagesState, rewrite, node_that_says("The answer.")))
    assert "I object.\n\nThe answer." == seen.text


async def test_history_is_no_answer() -> None:
    """A state without a reducer holds the conversation anew: only what is new is said."""

    class Plain(TypedDict):
        messages: list[Any]

    async def node(state: Plain) -> Any:
        return {"messages": [*state["messages"], await says("new answer").ainvoke("q")]}

    talk = [("user", "one"), ("assistant", "old answer"), ("user", "two")]
    assert "new answer" == (await see(line(Plain, node), talk)).text


async def test_a_message_that_is_replaced() -> None:
    """A message under the same id, from whichever node, takes the place of the earlier one, calls and all."""

    async def check(state: MessagesState) -> Any:
        last = state["messages"][-1]
        return {"messages": [AIMessage("Mail [redacted] please.", id=last.id)]}

    first = asks(text="Mail ann@example.org please.", city="x")
    seen = await see(line(MessagesState, node_that_says(first, "draft"), check))
    assert ("Mail [redacted] please.", [], "stop") == (seen.text, seen.calls, seen.reason)


async def test_a_message_that_is_removed() -> None:
    """A failed attempt that the graph takes out is never told."""

    async def remove(state: MessagesState) -> Any:
        return {"messages": [RemoveMessage(id=str(state["messages"][-1].id))]}

    seen = await see(line(MessagesState, node_that_says("bad attempt", "attempt"), remove, node_that_says("A haiku.")))
    assert ("A haiku.", "A haiku.") == (seen.text, seen.shown)


async def test_a_grader_by_a_parser() -> None:
    """A chain inside a node is the node's own affair."""

    async def grade(state: MessagesState) -> Any:
        await (says('{"score": 1}') | JsonOutputParser()).ainvoke("q")
        return {"messages": [await says("Fine.").ainvoke("q")]}

    seen = await see(line(MessagesState, grade))
    assert ("Fine.", "Fine.") == (seen.text, seen.shown)


async def test_the_weather_tool_is_not_a_node() -> None:
    """A sync node, whose model runs in a thread, streams as an async one does."""

    def node(state: MessagesState) -> Any:
        return {
            "messages": [
                says("from a thread").invoke(state["messages"]),
            ]
        }

    assert weather.name == "weather"
    seen = await see(line(MessagesState, node))
    assert ("from a thread", 3) == (seen.text, seen.pieces)

"""Who is shown while he speaks behind a message that may be the answer: those who have taken part before."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, RemoveMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import asks, says, see

chat = node_that_says("It is blue.", "chat")


async def remember(state: MessagesState) -> Any:
    """A node that writes down what it learns of the asker."""
    await says("Asks of colors.").ainvoke("q")


async def check(state: MessagesState) -> Any:
    """A guard that finds nothing."""
    await says("safe").ainvoke("q")


async def refuse(state: MessagesState) -> Any:
    """A guard that takes the answer out."""
    said = await says("unsafe").ainvoke("q")
    return {"messages": [RemoveMessage(id=str(state["messages"][-1].id)), AIMessage(f"No: {said.content}.")]}


async def translate(state: MessagesState) -> Any:
    """A node whose model says the answer anew, in the place of what was said."""
    said = await says("Il est bleu.").ainvoke("q")
    return {"messages": [AIMessage(said.content, id=state["messages"][-1].id)]}


@pytest.mark.parametrize(
    ("behind", "text"),
    [
        ([remember], "It is blue."),
        ([check], "It is blue."),
        ([remember, check], "It is blue."),
        ([refuse], "No: unsafe."),
        ([translate], "Il est bleu."),
    ],
    ids=["a memory", "a guard", "both", "a guard that refuses", "a translation"],
)
async def test_what_is_said_about_an_answer_is_not_shown(behind: list[Any], text: str) -> None:
    """Nor what it takes out of the state, or says anew."""
    seen = await see(line(MessagesState, chat, *behind))
    assert (text, text, 0) == (seen.text, seen.shown, seen.withdrawn)


async def test_another_speaker() -> None:
    """A message that the state keeps as well is told when its node has ended, after the first."""
    seen = await see(line(MessagesState, chat, node_that_says("And wide.", "other")))
    assert ("It is blue.\n\nAnd wide.", 0) == (seen.text, seen.withdrawn)


def handing_over(first: AIMessage, then: str) -> Any:
    """A graph whose first speaker hands over to another one, and speaks again behind that one; its end is a failure."""
    model, words = says(first, then), says("It is blue.")

    async def boss(state: MessagesState) -> Any:
        said = await model.ainvoke("q")
        if said.content == then:
            raise ValueError("no")
        return {"messages": [said]}

    async def worker(state: MessagesState) -> Any:
        return {"messages": [await words.ainvoke("q")]}

    graph = StateGraph(MessagesState).add_node(boss).add_node(worker).add_edge(START, "boss").add_edge("worker", "boss")
    return graph.add_conditional_edges("boss", lambda state: "worker", ["worker", END]).compile()


@pytest.mark.parametrize("text", ["", "I ask the worker."], ids=["a call alone", "a call and a text"])
async def test_who_has_taken_part_before_streams(text: str) -> None:
    """A supervisor answers as it speaks behind what its worker has said."""
    seen = await see(handing_over(asks("transfer", text=text), "So it is."))
    assert (f"{text}It is blue.So it is.", "chain_failed") == (seen.shown, seen.reason)


async def test_who_is_handed_the_question_streams() -> None:
    """A message that asks for a call is no answer, and what follows it comes as it is said."""

    async def fails(state: MessagesState) -> Any:
        await says("It is").ainvoke("q")
        raise ValueError("no")

    seen = await see(line(MessagesState, node_that_says(asks("transfer", text="I ask Bob."), "greet"), fails))
    assert ("I ask Bob.It is", "chain_failed") == (seen.shown, seen.reason)

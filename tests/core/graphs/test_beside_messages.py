"""An answer under a key of its own, beside the messages of the conversation."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import MessagesState

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import says, see


class Reported(MessagesState):
    """A conversation, and what is made of it."""

    final_answer: str
    is_saved: bool


async def research(state: Reported) -> Any:
    """A step that says something on the way."""
    return {"messages": [await says("some notes").ainvoke(state["messages"])]}


async def write(state: Reported) -> Any:
    """A step that writes the answer under a key of its own."""
    return {"final_answer": (await says("the final answer").ainvoke(state["messages"])).content}


async def save(state: Reported) -> Any:
    """A step that says nothing."""
    return {"is_saved": True}


async def head(state: Reported) -> Any:
    """A step that writes more around the answer."""
    return {"final_answer": f"# Report\n{state['final_answer']}"}


@pytest.mark.parametrize(
    ("nodes", "text"),
    [([write], "the final answer"), ([write, save], "the final answer"), ([write, head], "# Report\nthe final answer")],
    ids=["last", "before a step", "in a report"],
)
async def test_an_answer_key_beside_messages(nodes: list[Any], text: str) -> None:
    """What a model says under an answer key after the last message is shown as well."""
    seen = await see(line(Reported, research, *nodes))
    assert (f"some notes\n\n{text}", 0) == (seen.text, seen.withdrawn)


@pytest.mark.parametrize(
    ("said", "message", "answer"),
    [
        ("It is blue.\n", "{}", "It is blue."),
        ("<think>why</think>It is blue.", "{}", "It is blue."),
        ("It is **blue**.", "{}", "blue"),
        ("blue", "It is {}.", "blue"),
        ("It is blue.", "{}", "It is blue.\n\nSources: none"),
    ],
    ids=["stripped", "without thoughts", "a part", "in a sentence", "with more"],
)
async def test_an_answer_key_that_repeats_a_message(said: str, message: str, answer: str) -> None:
    """An answer that stands in the conversation as well, in whatever form, is said once."""

    async def answer_twice(state: Reported) -> Any:
        text = message.format((await says(said).ainvoke("q")).content)
        return {"messages": [AIMessage(text)], "final_answer": answer}

    seen = await see(line(Reported, answer_twice))
    assert message.format(said.rpartition(">")[2]).strip() == seen.text.strip()


@pytest.mark.parametrize("grade", ['{"score": "yes"}', "a draft"], ids=["an object", "before the last message"])
async def test_an_answer_key_that_is_for_another_node(grade: str) -> None:
    """An object beside the messages, and what was written before the last one, are steps on the way."""

    async def note(state: Reported) -> Any:
        return {"final_answer": (await says(grade).ainvoke("q")).content}

    answer = node_that_says("It is blue.")
    seen = await see(line(Reported, *((answer, note, save) if grade.startswith("{") else (note, answer))))
    assert ("It is blue.", "It is blue.") == (seen.text, seen.shown)

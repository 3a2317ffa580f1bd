"""Answers of which a model's part broke off: never a complete one, whatever the chain made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_classic.agents import AgentExecutor, create_tool_calling_agent
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langgraph.graph import MessagesState

from tests.support.graphs import line
from tests.support.scripted_model import ScriptedModel, asks, says, see, weather


class OllamasModel(ScriptedModel):
    """Says its messages as LangChain's own model for Ollama does: one that does not say why it ended was cut."""

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "ollama"}


def model(*texts: str, last: str | None = None) -> OllamasModel:
    """A model that says whole texts, and `last` one that is cut."""
    whole = [AIMessage(text, response_metadata={"done_reason": "stop"}) for text in texts]
    return OllamasModel(messages=iter([*whole, *([] if last is None else [AIMessage(last)])]))


def of(make: Callable[[str], str], *, is_checked: bool = False) -> Any:
    """A graph whose node makes its message of what the model has said, where another one may have checked that."""

    async def answer(state: MessagesState) -> Any:
        said = (await model(last="One two three fou").ainvoke("q")).content
        if is_checked:
            await model("yes").ainvoke("q")
        return {"messages": [AIMessage(make(str(said)))]}

    return line(MessagesState, answer)


def in_place() -> Any:
    """A graph that changes its state in place."""

    def answer(state: MessagesState) -> Any:
        state["messages"].append(model(last="One two thr").invoke("q"))
        return state

    return line(MessagesState, answer)


def said_anew() -> Any:
    """A graph whose second node replaces the message of the first."""

    async def answer(state: MessagesState) -> Any:
        return {"messages": [await model("One two three.").ainvoke("q")]}

    async def polish(state: MessagesState) -> Any:
        said = await model(last="One, two, thr").ainvoke("q")
        return {"messages": [AIMessage(said.content, id=state["messages"][-1].id)]}

    return line(MessagesState, answer, polish)


def with_sources() -> Any:
    """A graph whose last node makes a report of a summary, and of a step that thinks about it."""

    class State(TypedDict, total=False):
        topic: str
        summary: str
        query: str

    async def sum_up(state: State) -> Any:
        return {"summary": (await model(last="One two thr").ainvoke("q")).content}

    async def reflect(state: State) -> Any:
        return {"query": (await model("what else").ainvoke("q")).content}

    async def report(state: State) -> Any:
        return {"summary": f"## Summary\n{state['summary']}\n\nSources: none"}

    return line(State, sum_up, reflect, report)


@tool(return_direct=True)
async def expert(question: str) -> str:
    """Asks another model."""
    return str((await model(last="One two thr").ainvoke(question)).content)


def not_streamed() -> Any:
    """A graph that keeps what a model said which is not to be streamed."""

    async def answer(state: MessagesState) -> Any:
        return {"messages": [await model(last="One two thr").with_config(tags=["nostream"]).ainvoke("q")]}

    return line(MessagesState, answer)


def executor() -> Any:
    """An old agent."""
    prompt = ChatPromptTemplate.from_messages([("human", "{input}"), ("placeholder", "{agent_scratchpad}")])
    return AgentExecutor(agent=create_tool_calling_agent(model(last=""), [weather], prompt), tools=[weather])


@pytest.mark.parametrize(
    "make",
    [
        lambda: of(lambda said: said),
        lambda: of(str.strip),
        lambda: of(lambda said: f"Final report:\n{said}"),
        lambda: of(lambda said: f"{said}\n\nSources: none"),
        lambda: of(lambda said: f"He said: {said} …!", is_checked=True),
        lambda: of(str.upper),
        in_place,
        said_anew,
        with_sources,
        lambda: create_agent(model(last=""), [weather]),
        executor,
        lambda: create_agent(says(asks("expert", question="q")), [expert]),
        not_streamed,
    ],
    ids=[
        "as it is", "stripped", "with a title", "with sources", "in a sentence", "in capitals", "in place", "said anew",
        "in a report", "before its first word", "an old agent", "the result of a tool", "not streamed",
    ],
)  # fmt: skip
async def test_a_part_that_broke_off(make: Callable[[], Any]) -> None:
    """A model that ends without saying that it is done has not answered."""
    assert "upstream_truncated" == (await see(make())).reason


async def test_a_call_at_the_limit_of_tokens() -> None:
    """An agent whose model got no further than its limit says so, though it has said nothing."""
    at_limit = AIMessage("", response_metadata={"done_reason": "length"})
    seen = await see(create_agent(OllamasModel(messages=iter([at_limit])), [weather]))
    assert ("", "length") == (seen.text, seen.reason)


async def test_a_part_that_was_not_used() -> None:
    """A grader that broke off takes nothing from an answer that did not."""

    async def answer(state: MessagesState) -> Any:
        said = await model("It is blue.").ainvoke("q")
        await model(last="is bl").ainvoke("q")
        return {"messages": [said]}

    seen = await see(line(MessagesState, answer))
    assert ("It is blue.", "stop") == (seen.text, seen.reason)


async def test_a_tool_between_is_no_cut() -> None:
    """A message that calls a tool is whole."""
    asked = asks(city="Rome")
    asked.response_metadata = {"done_reason": "stop"}
    done = AIMessage("It is fine.", response_metadata={"done_reason": "stop"})
    seen = await see(create_agent(OllamasModel(messages=iter([asked, done])), [weather]))
    assert ("It is fine.", "stop") == (seen.text, seen.reason)


async def test_a_tools_model_that_was_cut_is_no_cut() -> None:
    """An agent that reads such a result, and answers in its own words, has answered."""
    agent = create_agent(
        says(asks("expert", question="q"), "It is fine."), [expert.model_copy(update={"return_direct": False})]
    )
    seen = await see(agent)
    assert ("It is fine.", "stop") == (seen.text, seen.reason)

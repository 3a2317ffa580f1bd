"""Texts that a node may choose from, or that work for an answer: they wait until it is clear what becomes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, before_agent, before_model, hook_config
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph

from llmstream import astream
from llmstream.settings import Settings
from tests.support.graphs import line
from tests.support.scripted_model import AsyncModel, says, see, weather

SHORT, LONG = "It is blue.", "It is blue, since air scatters light."


async def test_the_best_of_several() -> None:
    """Models that a node asks at the same time are candidates: only the one that it keeps is shown."""

    async def answer(state: MessagesState) -> Any:
        said = await asyncio.gather(*(says(text).ainvoke("q") for text in (SHORT, LONG, SHORT)))
        return {"messages": [max(said, key=lambda message: len(message.text))]}

    seen = await see(line(MessagesState, answer))
    assert (LONG, LONG, 0) == (seen.text, seen.shown, seen.withdrawn)


class Rewriter(AsyncModel):
    """A model of one's own that says in capitals what another one says."""

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        said = await says(SHORT).ainvoke(messages)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(said.text.upper()))])


class Wrapper(Rewriter):
    """A model of one's own that hands on what another one says."""

    async def _astream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for piece in says(SHORT).astream(messages):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece.text))


@pytest.mark.parametrize(
    ("wrapper", "text", "pieces"), [(Wrapper, SHORT, 3), (Rewriter, SHORT.upper(), 1)], ids=["as it is", "rewritten"]
)
async def test_a_model_around_another_one(wrapper: type[BaseChatModel], text: str, pieces: int) -> None:
    """What the inner one says is told once, by the outer one, and streams as that does."""
    seen = await see(create_agent(wrapper()))
    assert (text, text, pieces, 0) == (seen.text, seen.shown, seen.pieces, seen.withdrawn)


class Gate(AgentMiddleware):
    """Ends what is off the topic."""

    @hook_config(can_jump_to=["end"])
    async def abefore_agent(self, state: Any, runtime: Any) -> Any:
        """Asks a model of its own."""
        verdict = (await says("off").ainvoke("q")).content
        return {"messages": [AIMessage("Not about the sky.")], "jump_to": "end"} if verdict == "off" else None


@before_model(can_jump_to=["end"])
async def analyze(state: Any, runtime: Any) -> Any:
    """Asks a model of its own, and goes on."""
    await says("a question about the sky").ainvoke("q")


@before_agent(can_jump_to=["end"])
async def greet(state: Any, runtime: Any) -> Any:
    """Adds what its model says."""
    return {"messages": [await says("One moment.").ainvoke("q")]}


@pytest.mark.parametrize(
    ("middleware", "text"),
    [(Gate(), "Not about the sky."), (analyze, SHORT), (greet, f"One moment.\n\n{SHORT}")],
    ids=["gate", "analysis", "greeting"],
)
async def test_what_runs_before_an_agent(middleware: Any, text: str) -> None:
    """It may end the agent, but its models work for it; what the state keeps of that is told."""
    seen = await see(create_agent(says(SHORT), [weather], middleware=[middleware]))
    assert (text, text.replace("\n", ""), 0) == (seen.text, seen.shown, seen.withdrawn)


class State(TypedDict, total=False):
    """The state of a graph without messages."""

    question: str
    answer: str
    grade: str
    tries: int


async def draft(state: State) -> Any:
    """Answers; the second time at length."""
    tries = state.get("tries", 0) + 1
    return {"answer": (await says(SHORT if tries == 1 else LONG).ainvoke("q")).content, "tries": tries}


async def grade(state: State) -> Any:
    """Judges the answer."""
    return {"grade": (await says("useful").ainvoke("q")).content}


async def translate(state: State) -> Any:
    """Takes the place of the answer."""
    return {"answer": (await says("Il est bleu.").ainvoke("q")).content}


@pytest.mark.parametrize(
    ("behind", "text"), [([grade], SHORT), ([translate], "Il est bleu."), ([translate, grade], "Il est bleu.")]
)
async def test_what_is_said_about_an_answer_under_its_key(behind: list[Any], text: str) -> None:
    """It is not shown, nor is what it takes the place of."""
    seen = await see(line(State, draft, *behind))
    assert (text, text, 0) == (seen.text, seen.shown, seen.withdrawn)


async def test_an_answer_that_is_graded_and_given_again() -> None:
    """The grader can end the graph, and its word is not shown for an answer."""
    graph = StateGraph(State).add_node(draft).add_node(grade).add_edge(START, "draft").add_edge("draft", "grade")
    graph.add_conditional_edges("grade", lambda state: "draft" if state["tries"] < 2 else END, ["draft", END])
    seen = await see(graph.compile())
    assert (LONG, LONG, 0) == (seen.text, seen.shown, seen.withdrawn)


@pytest.mark.parametrize(
    ("first", "last"), [("answer", "final_answer"), ("response", "final_response"), ("content", "final_report")]
)
async def test_the_final_one_of_several_answer_keys(first: str, last: str) -> None:
    """What was written before it, under whatever name, is a step on the way."""

    async def write(state: Any) -> Any:
        return {first: (await says("A raw one.").ainvoke("q")).content}

    async def finish(state: Any) -> Any:
        return {last: (await says(SHORT).ainvoke("q")).content}

    keys: Any = TypedDict("keys", {"question": str, first: str, last: str}, total=False)  # type: ignore[misc]
    seen = await see(line(keys, write, finish))
    assert (SHORT, SHORT, 0) == (seen.text, seen.shown, seen.withdrawn)


class Failing(Rewriter):
    """Fails in the middle of its answer."""

    async def _astream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="It is gr"))
        raise ConnectionError("the model went away")


async def test_who_reads_one_text_is_told_what_was_taken_back() -> None:
    """Half an answer of a model that failed, and the whole one of the model in its place, would look like one."""

    async def answer(state: MessagesState) -> Any:
        return {"messages": [await Failing().with_fallbacks([says(SHORT)]).ainvoke("q")]}

    chain = line(MessagesState, answer)
    text = "".join([piece async for piece in astream("q", chain=chain, settings=Settings(demo="never"))])
    assert f"It is gr\n\n(The text above was taken back.)\n\n{SHORT}" == text
    assert SHORT == (await see(chain)).text

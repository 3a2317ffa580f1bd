"""Chains that remember: each caller's threads are his own, nothing is doubled, and a pause is an end of its own."""

from __future__ import annotations

import asyncio
import operator
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.runnables.history import RunnableWithMessageHistory
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt

from llmstream import Runs, Settings, astream_events
from llmstream.errors import ChainFailed, InvalidRequest
from llmstream.events import Finished, Interrupted, ToolCall, ToolResult
from llmstream.runs.run import Run
from tests.support.scripted_model import asks, says, see, weather


def remembering(saver: Any) -> Any:
    """A graph that says what it has been told so far."""

    async def node(state: MessagesState) -> Any:
        return {"messages": [AIMessage(" | ".join(str(message.content) for message in state["messages"]))]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(checkpointer=saver)


def talk(*texts: str) -> list[Any]:
    """A conversation that begins with a question."""
    return [("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(texts)]


async def test_without_a_thread_each_run_is_alone() -> None:
    """A graph with a checkpointer answers also where no thread is named, and mixes up no two runs."""
    graph = remembering(InMemorySaver())
    assert ("q1", "q2") == ((await see(graph, "q1")).text, (await see(graph, "q2")).text)


@pytest.mark.parametrize(
    "around",
    [
        lambda graph: graph,
        lambda graph: {"messages": RunnablePassthrough()} | graph,
        lambda graph: (
            RunnablePassthrough() | {"messages": RunnablePassthrough(), "n": lambda asked: len(asked)} | graph
        ),
        lambda graph: {"messages": RunnablePassthrough()} | graph.with_config(tags=["mine"]) | RunnablePassthrough(),
    ],
)
async def test_a_conversation_is_not_doubled(around: Callable[[Any], Any]) -> None:
    """A client that sends the whole conversation adds only what is new."""
    graph = around(remembering(InMemorySaver()))
    assert "q1" == (await see(graph, "q1", thread="t")).text
    assert "q1 | q1 | q2" == (await see(graph, talk("q1", "q1", "q2"), thread="t")).text
    assert "q1 | q1 | q2 | q1 | q1 | q2 | q3" == (await see(graph, "q3", thread="t")).text
    assert "q4" == (await see(graph, "q4", thread="u")).text


@pytest.mark.parametrize("between", ["", "\n\n"])
async def test_an_answer_of_several_messages_is_not_parted_from(between: str) -> None:
    """A client may keep an answer as one text: the thread goes on with all that it holds beside its messages."""

    class State(MessagesState):
        turns: Annotated[list[str], operator.add]

    async def first(state: State) -> Any:
        return {"messages": [AIMessage("One.")], "turns": ["turn"]}

    async def second(state: State) -> Any:
        return {"messages": [AIMessage("Two."), HumanMessage("Three.", name="worker")]}

    graph: Any = StateGraph(State).add_sequence([first, second]).add_edge(START, "first").compile(InMemorySaver())
    await see(graph, "q1", thread="t")
    seen = await see(graph, talk("q1", between.join(["One.", "Two.", "Three."]), "q2"), thread="t")
    assert ("One.\n\nTwo.\n\nThree.", {"turns": ["turn", "turn"]}) == (seen.text, seen.data)


async def test_asked_again_and_changed() -> None:
    """A conversation that parts from its thread goes on from where it does."""
    graph = remembering(InMemorySaver())
    await see(graph, "q1", thread="t")
    await see(graph, talk("q1", "q1", "q2"), thread="t")
    assert "q1 | q1 | changed" == (await see(graph, talk("q1", "q1", "changed"), thread="t")).text
    assert (
        "q1 | q1 | changed | q1 | q1 | changed | q3"
        == (await see(graph, talk("q1", "q1", "changed", "q1 | q1 | changed", "q3"), thread="t")).text
    )


async def test_callers_do_not_share_a_thread() -> None:
    """Two callers' threads of one name are two, and nobody can name himself into another's."""
    runs, graph = Runs(Settings(demo="never")), remembering(InMemorySaver())
    for caller, thread in (("ann", "t"), ("bob", "t"), ("ann/t", "x"), ("ann", "t/x"), ("", "ann/t")):
        run = await runs.start("hi", chain=graph, caller=caller, thread=thread)
        assert [event async for event in run.follow()]
        assert "hi" == (await run.snapshot()).text


@pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")
async def test_message_history() -> None:
    """`RunnableWithMessageHistory` gets its session, and the new question."""
    store: dict[str, InMemoryChatMessageHistory] = {}
    given: list[list[str]] = []

    def answer(value: Any) -> AIMessage:
        given.append([message.content for message in value.to_messages()])
        return AIMessage("a")

    chain = RunnableWithMessageHistory(
        ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{question}")]) | RunnableLambda(answer),
        lambda session_id: store.setdefault(session_id, InMemoryChatMessageHistory()),
        input_messages_key="question",
        history_messages_key="history",
    )
    await see(chain, "q1", thread="s")
    await see(chain, talk("q1", "a", "q2"), thread="s")
    assert ([["q1"], ["q1", "a", "q2"]], ["s"]) == (given, list(store))


def asking(saver: Any) -> Any:
    """A graph that asks a person, twice."""

    async def node(state: MessagesState) -> Any:
        first = interrupt({"question": "Send it?"})
        second = interrupt("To whom?")
        return {"messages": [AIMessage(f"{first}, to {second}.")]}

    return StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(checkpointer=saver)


async def test_a_pause_is_no_answer() -> None:
    """A graph that asks ends its run as interrupted; the answer starts another one on the same thread."""
    graph = asking(InMemorySaver())
    first = await see(graph, "Mail it", thread="t")
    assert ("", [{"question": "Send it?"}]) == (first.text, [each["value"] for each in first.interrupts])
    second = await see(graph, None, thread="t", resume={first.interrupts[0]["id"]: "yes"})
    assert ["To whom?"] == [each["value"] for each in second.interrupts]
    last = await see(graph, None, thread="t", resume={second.interrupts[0]["id"]: "ann"})
    assert ("yes, to ann.", "stop") == (last.text, last.reason)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"thread": "t", "resume": {"wrong": "yes"}}, "takes an answer for each of"),
        ({"thread": "nobody", "resume": {"i": "yes"}}, "waits for no answer"),
    ],
)
async def test_answers_that_do_not_fit(arguments: dict[str, Any], part: str) -> None:
    """An answer to something that was not asked is refused before anything runs."""
    runs, graph = Runs(Settings(demo="never")), asking(InMemorySaver())
    run = await runs.start("Mail it", chain=graph, thread="t")
    assert isinstance([event async for event in run.follow()][-1], Interrupted)
    with pytest.raises(InvalidRequest, match=part):
        await runs.start(None, chain=graph, **arguments)


async def test_asked_twice() -> None:
    """A question that is asked again has a new id, and the old one's answer is refused; the thread loses nothing."""
    graph = asking(InMemorySaver())
    first = await see(graph, "Mail it", thread="t")
    again = await see(graph, "Mail it", thread="t")
    runs = Runs(Settings(demo="never"))
    with pytest.raises(InvalidRequest, match="takes an answer for each of"):
        await runs.start(None, chain=graph, thread="t", resume={first.interrupts[0]["id"]: "yes"})
    second = await see(graph, None, thread="t", resume={again.interrupts[0]["id"]: "yes"})
    assert ["To whom?"] == [each["value"] for each in second.interrupts]


async def test_two_people_answer_at_once() -> None:
    """One of them is heard, and the other told so, while the run goes on and after it; the tool runs once."""
    sent: list[str] = []
    go_on = asyncio.Event()

    async def node(state: MessagesState) -> Any:
        sent.append(interrupt("Send it?"))
        await go_on.wait()
        return {"messages": [AIMessage("Sent.")]}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(InMemorySaver())
    runs = Runs(Settings(demo="never"))
    run = await runs.start("Mail it", chain=graph, thread="t")
    *_, end = [event async for event in run.follow()]
    assert isinstance(end, Interrupted)
    ids = [each["id"] for each in end.interrupts]
    answers = [runs.start(None, chain=graph, thread="t", resume=dict.fromkeys(ids, who)) for who in ("ann", "bob")]
    first, refused = await asyncio.gather(*answers, return_exceptions=True)
    assert isinstance(refused, InvalidRequest)
    assert "being answered already" in refused.message
    go_on.set()
    assert isinstance(first, Run)
    assert isinstance([event async for event in first.follow()][-1], Finished)
    with pytest.raises(InvalidRequest, match="waits for no answer"):
        await runs.start(None, chain=graph, thread="t", resume=dict.fromkeys(ids, "bob"))
    assert ["ann"] == sent


async def test_an_answer_that_was_stopped_can_be_given_again() -> None:
    """A run that ends before the graph has used the answer leaves the question open."""
    go_on, is_heard = asyncio.Event(), asyncio.Event()

    async def node(state: MessagesState) -> Any:
        answer = interrupt("Send it?")
        is_heard.set()
        await go_on.wait()
        return {"messages": [AIMessage(answer)]}

    graph = StateGraph(MessagesState).add_node("node", node).add_edge(START, "node").compile(InMemorySaver())
    first = await see(graph, "Mail it", thread="t")
    answers = {first.interrupts[0]["id"]: "yes"}
    runs = Runs(Settings(demo="never"))
    run = await runs.start(None, chain=graph, thread="t", resume=answers)
    await is_heard.wait()
    await run.stop()
    await runs.drain(0)
    go_on.set()
    assert "yes" == (await see(graph, None, thread="t", resume=answers)).text


async def test_resume_without_memory() -> None:
    """A chain that keeps no threads says so."""
    with pytest.raises(InvalidRequest, match="checkpointer"):
        await Runs(Settings(demo="never")).start(None, chain=says("x"), resume={"i": "yes"})


async def test_a_pause_outlives_the_process(tmp_path: Path) -> None:
    """A thread in SQLite goes on where another saver over the same file left it."""
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        first = await see(asking(saver), "Mail it", thread="t")
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        second = await see(asking(saver), None, thread="t", resume={first.interrupts[0]["id"]: "yes"})
    assert ["To whom?"] == [each["value"] for each in second.interrupts]


async def test_savers_that_can_not_be_used(tmp_path: Path) -> None:
    """A saver for sync code is named with the one to take; one that fails is the chain's failure."""
    runs, connection = Runs(Settings(demo="never")), sqlite3.connect(":memory:", check_same_thread=False)
    with pytest.raises(InvalidRequest, match="AsyncSqliteSaver"):
        await runs.start("x", chain=asking(SqliteSaver(connection)), thread="t")
    connection.close()
    (tmp_path / "threads.db").write_text("This is no database. " * 100)
    async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        with pytest.raises(ChainFailed):
            await runs.start("x", chain=asking(saver), thread="t")


DECISIONS: list[tuple[dict[str, Any], str]] = [
    ({"type": "approve"}, "18 degrees in Paris"),
    ({"type": "edit", "edited_action": {"name": "weather", "args": {"city": "Rome"}}}, "18 degrees in Rome"),
    ({"type": "reject", "message": "Not now."}, "Not now."),
]


@pytest.mark.parametrize(("decision", "result"), DECISIONS, ids=["approve", "edit", "reject"])
async def test_a_person_in_the_loop(decision: dict[str, Any], result: str) -> None:
    """`HumanInTheLoopMiddleware`: the tool waits for a person, and its call has one result, as he decided."""
    middleware = HumanInTheLoopMiddleware(interrupt_on={"weather": True})
    model = says(asks(text="Let me look.", city="Paris"), "It is fine.")
    graph = create_agent(model, [weather], middleware=[middleware], checkpointer=InMemorySaver())
    first = await see(graph, "How is it?", thread="t")
    assert ("Let me look.", []) == (first.text, first.results)
    asked = first.interrupts[0]
    assert ["weather"] == [action["name"] for action in asked["value"]["action_requests"]]
    resume = {asked["id"]: {"decisions": [decision]}}
    events = [event async for event in astream_events(None, chain=graph, thread="t", resume=resume)]
    _, call, answer, *tokens, end = events
    called = {"city": "Rome" if decision["type"] == "edit" else "Paris"}
    assert isinstance(answer, ToolResult)
    assert (ToolCall("c1", "weather", called), "c1") == (call, answer.id)
    assert result in str(answer.output)
    assert ("It is fine.", "stop") == (
        "".join(getattr(each, "text", "?") for each in tokens),
        getattr(end, "reason", ""),
    )

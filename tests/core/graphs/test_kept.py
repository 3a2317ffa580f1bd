"""The answer in states as programs handle them: private keys, lists changed in place, keys of the input, reports."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.types import Send, interrupt

from tests.support.graphs import line
from tests.support.scripted_model import asks, says, see


@dataclass(kw_only=True)
class Research:
    """The state of a graph that looks things up; it gives back a summary and nothing else."""

    topic: str = ""
    query: str = ""
    summary: str = ""


class Summary(TypedDict):
    """The keys that are given back."""

    summary: str


@pytest.mark.parametrize("output", [Summary, None], ids=["a schema", "the whole state"])
async def test_what_the_last_node_makes_of_a_step_is_the_answer(output: Any) -> None:
    """And not what a later step thinks of it, whether or not the output schema leaves that out."""

    async def summarize(state: Research) -> Any:
        return {"summary": (await says("Cats purr.").ainvoke(state.topic)).content}

    async def reflect(state: Research) -> Any:
        return {"query": (await says("why do cats purr").ainvoke(state.summary)).content}

    async def finish(state: Research) -> Any:
        return {"summary": f"# Summary\n{state.summary}\n\nSources: cats.example"}

    graph = StateGraph(Research, output_schema=output).add_node(summarize).add_node(reflect).add_node(finish)
    graph.add_edge(START, "summarize").add_edge("summarize", "reflect").add_edge("reflect", "finish")
    seen = await see(graph.add_edge("finish", END).compile())
    assert ("# Summary\nCats purr.\n\nSources: cats.example", "stop") == (seen.text, seen.reason)


async def test_messages_that_a_graph_keeps_to_itself() -> None:
    """An object that a model's call gives, and a checker's word on it: the object is the answer."""

    class Found(TypedDict):
        info: dict[str, str]

    class State(MessagesState):
        info: dict[str, str]

    async def find(state: State) -> Any:
        asked = await says(asks("info", city="Rome")).ainvoke(state["messages"])
        return {"messages": [asked], "info": asked.tool_calls[0]["args"]}

    async def check(state: State) -> Any:
        return {"messages": [ToolMessage("Good, for three reasons.", tool_call_id="c1")]}

    graph = StateGraph(State, output_schema=Found).add_node(find).add_node(check)
    seen = await see(graph.add_edge(START, "find").add_edge("find", "check").add_edge("check", END).compile())
    assert ("", {"info": {"city": "Rome"}}, "stop") == (seen.text, seen.data, seen.reason)


class Said(TypedDict):
    """A conversation with a reducer."""

    messages: Annotated[list[AnyMessage], add_messages]


class Logged(TypedDict):
    """A conversation without one."""

    messages: list[Any]


@pytest.mark.parametrize(("state", "form"), [(Said, AIMessage), (Logged, lambda text: ("ai", text))])
async def test_a_list_that_is_changed_in_place(state: Any, form: Any) -> None:
    """A node that appends to its state and hands it on says its answer once, and as it comes."""
    model = says("Hello my friend.", "And again.")

    def answer(state: Any) -> Any:
        said = model.invoke("q").content
        state["messages"].append(form(said) if form is AIMessage else {"role": "assistant", "content": said})
        return state

    graph = line(state, answer)
    for text, pieces in (("Hello my friend.", 3), ("And again.", 2)):
        seen = await see(graph)
        assert (text, text, pieces, 0) == (seen.text, seen.shown, seen.pieces, seen.withdrawn)


@pytest.mark.parametrize("is_whole", [False, True], ids=["an update", "the whole state"])
async def test_the_text_that_was_asked_about_is_no_answer(is_whole: bool) -> None:
    """The question stands under a key that answers have elsewhere."""

    class State(TypedDict, total=False):
        text: str
        kind: str
        summary: str

    def update(state: State, **values: str) -> Any:
        return {**state, **values} if is_whole else values

    async def sort(state: State) -> Any:
        return update(state, kind=str((await says("News").ainvoke("q")).content))

    async def sum_up(state: State) -> Any:
        return update(state, summary=str((await says("A summary.\n").ainvoke("q")).content).strip())

    seen = await see(line(State, sort, sum_up), "A long article.")
    assert ("A summary.", 0) == (seen.text.strip(), seen.withdrawn)


async def test_an_answer_of_an_earlier_turn_is_none() -> None:
    """What a thread still holds was not said now; what is said again is."""

    class State(TypedDict, total=False):
        question: str
        answer: str
        note: str

    async def reply(state: State) -> Any:
        if state["question"] == "the last":
            return {"note": "Nothing more to say."}
        return {"answer": "It is blue.", "note": "as ever"}

    graph = StateGraph(State).add_node(reply).add_edge(START, "reply").compile(checkpointer=InMemorySaver())
    said = [(await see(graph, question, thread="t")).text for question in ("one", "another", "the last")]
    assert ["It is blue.", "It is blue.", "Nothing more to say."] == said


async def test_an_answer_that_was_approved() -> None:
    """What was written before a person was asked is the answer when he agrees."""

    class State(TypedDict, total=False):
        question: str
        answer: str

    async def draft(state: State) -> Any:
        return {"answer": (await says("It is blue.").ainvoke("q")).content}

    async def approve(state: State) -> Any:
        interrupt("Shall I say so?")
        return {}

    graph = StateGraph(State).add_node(draft).add_node(approve).add_edge(START, "draft").add_edge("draft", "approve")
    saved = graph.compile(checkpointer=InMemorySaver())
    for question in ("one", "another"):
        asked = await see(saved, question, thread="t")
        assert ("", "interrupted") == (asked.text, asked.reason)
        answers = {each["id"]: "yes" for each in asked.interrupts}
        assert "It is blue." == (await see(saved, None, thread="t", resume=answers)).text


async def test_a_report_of_several_parts() -> None:
    """What the last node makes of a part named `content` is the answer, and not the part."""

    class State(TypedDict, total=False):
        topic: str
        introduction: str
        content: str
        notes: Annotated[list[str], operator.add]
        report: str

    async def note(state: Any) -> Any:
        return {"notes": [(await says("a note").ainvoke("q")).content]}

    async def introduce(state: State) -> Any:
        return {"introduction": (await says("Here it begins.").ainvoke("q")).content}

    async def write(state: State) -> Any:
        return {"content": (await says("All there is.").ainvoke("q")).content}

    async def join(state: State) -> Any:
        return {"report": f"{state['introduction']}\n\n{state['content']}"}

    graph = StateGraph(State).add_node(note).add_node(introduce).add_node(write).add_node(join)
    graph.add_conditional_edges(START, lambda state: [Send("note", state), Send("note", state)], ["note"])
    graph.add_edge("note", "introduce").add_edge("note", "write").add_edge(["introduce", "write"], "join")
    seen = await see(graph.add_edge("join", END).compile())
    assert ("Here it begins.\n\nAll there is.", {"notes": ["a note", "a note"]}) == (seen.text, seen.data)

"""Drafts of a graph that are easily taken for its answer, or lost: routers, critiques, texts beside messages."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langgraph.graph import END, START, MessagesState, StateGraph

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import asks, says, see, weather


class Graded(TypedDict):
    """The state of a graph that grades what it made."""

    question: str
    generation: str


@pytest.mark.parametrize("is_chain", [False, True], ids=["a function", "a chain"])
async def test_the_model_of_a_conditional_edge_is_no_answer(is_chain: bool) -> None:
    """A grader that chooses the next node is never shown, though its node's text streams."""
    writer, grader = says("a bad draft", "a good answer"), says("no", "yes")

    async def generate(state: Graded) -> Any:
        return {"generation": await (writer | StrOutputParser()).ainvoke(state["question"])}

    async def grade(state: Graded) -> str:
        return str((await grader.ainvoke(state["generation"])).content)

    graph = StateGraph(Graded).add_node(generate).add_edge(START, "generate")
    path: Any = RunnableLambda(lambda state: state["generation"]) | grader | StrOutputParser() if is_chain else grade
    graph.add_conditional_edges("generate", path, {"yes": END, "no": "generate"})
    seen = await see(graph.compile())
    assert ("a good answer", "a bad drafta good answer", 1) == (seen.text, seen.shown, seen.withdrawn)


async def test_the_model_of_a_subgraphs_edge_is_no_answer() -> None:
    """Also where the graph is a node of another."""

    async def route(state: MessagesState) -> str:
        await says("the end").ainvoke("q")
        return END

    inner = StateGraph(MessagesState).add_node("inner", node_that_says("The answer.")).add_edge(START, "inner")
    inner.add_conditional_edges("inner", route, [END])
    graph = StateGraph(MessagesState).add_node("agent", inner.compile()).add_edge(START, "agent")
    seen = await see(graph.compile())
    assert ("The answer.", "The answer.") == (seen.text, seen.shown)


async def test_a_critique_is_no_answer() -> None:
    """A human message that the graph makes for its next node is not shown while it is the last one."""
    writer, critic = says("a first essay", "a better essay"), says("make it better")

    async def generate(state: MessagesState) -> Any:
        return {"messages": [await writer.ainvoke(state["messages"])]}

    async def reflect(state: MessagesState) -> Any:
        return {"messages": [HumanMessage((await critic.ainvoke(state["messages"])).content)]}

    graph = StateGraph(MessagesState).add_node(generate).add_node(reflect).add_edge(START, "generate")
    graph.add_conditional_edges(
        "generate", lambda state: END if len(state["messages"]) > 3 else "reflect", ["reflect", END]
    )
    seen = await see(graph.add_edge("reflect", "generate").compile())
    assert ("a first essay\n\na better essay", "a first essaya better essay") == (seen.text, seen.shown)


async def test_a_message_under_an_answer_key_is_said_once() -> None:
    """It is text, and no data."""

    class State(TypedDict):
        question: str
        generation: AIMessage

    async def generate(state: State) -> Any:
        return {"generation": await says("the answer").ainvoke(state["question"])}

    seen = await see(StateGraph(State).add_node(generate).add_edge(START, "generate").compile())
    assert ("the answer", {}) == (seen.text, seen.data)


async def test_what_a_node_makes_of_several_texts() -> None:
    """A text that a node joins of what models said is the answer, and not the last of those."""

    class State(TypedDict):
        topic: str
        joke: str
        story: str
        combined_output: str

    async def joke(state: State) -> Any:
        return {"joke": (await says("a joke").ainvoke(state["topic"])).content}

    async def story(state: State) -> Any:
        return {"story": (await says("a story").ainvoke(state["topic"])).content}

    async def join(state: State) -> Any:
        return {"combined_output": f"Both: {state['joke']}, {state['story']}"}

    graph = StateGraph(State).add_node("tell_joke", joke).add_node("tell_story", story).add_node(join)
    graph.add_edge(START, "tell_joke").add_edge(START, "tell_story").add_edge(["tell_joke", "tell_story"], "join")
    assert "Both: a joke, a story" == (await see(graph.compile())).text


def corrective(found: list[list[str]], *, in_state: bool) -> Any:
    """A graph that writes one draft for each list of documents, each anew, until the last is good."""

    class State(MessagesState):
        documents: list[Document]
        answer: str

    writer, attempts = says(*(f"draft {number}" for number in range(len(found)))), iter(found)

    class Library(BaseRetriever):
        """Finds the next documents."""

        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document(title, metadata={"title": title}) for title in next(attempts)]

    library = Library()

    async def write(state: State) -> Any:
        documents = await library.ainvoke("q")
        draft = (await writer.ainvoke("q")).content
        return {"answer": draft, **({"documents": documents} if in_state else {})}

    graph = StateGraph(State).add_node(write).add_edge(START, "write")
    last = f"draft {len(found) - 1}"
    return graph.add_conditional_edges("write", lambda state: END if state["answer"] == last else "write").compile()


@pytest.mark.parametrize("in_state", [True, False], ids=["in the state", "on the way"])
@pytest.mark.parametrize(
    ("found", "sources"),
    [
        ([["Sky"], ["Sea"]], ["Sea"]),
        ([["Sky", "Sea"], ["Sea"]], ["Sea"]),
        ([["Sky"], []], ["Sky"]),
        ([["Sky"], ["Sky", "Sea"], ["Sun"]], ["Sun"]),
    ],
    ids=["others", "one of them", "no new ones", "twice"],
)
async def test_sources_go_with_their_draft(found: list[list[str]], sources: list[str], in_state: bool) -> None:
    """Documents of a draft that was withdrawn are no sources, unless the answer was made of them as well."""
    seen = await see(corrective(found, in_state=in_state))
    assert (f"draft {len(found) - 1}", sources) == (seen.text, seen.sources)


async def test_a_second_model_of_a_node() -> None:
    """One that checks what the first has said is never shown, whatever becomes of that."""

    async def answer(state: MessagesState) -> Any:
        said = await says("It is blue.").ainvoke(state["messages"])
        await says(AIMessage("safe", additional_kwargs={"reasoning_content": "is it?"})).ainvoke([said])
        return {"messages": [said]}

    async def refuse(state: MessagesState) -> Any:
        await says("It is red.").ainvoke(state["messages"])
        await says("unsafe").ainvoke("q")
        return {"messages": [AIMessage("Not that.")]}

    seen = await see(line(MessagesState, answer))
    assert ("It is blue.", "It is blue.", "", 0) == (seen.text, seen.shown, seen.reasoning, seen.withdrawn)
    seen = await see(line(MessagesState, refuse))
    assert ("Not that.", "It is red.Not that.", 1) == (seen.text, seen.shown, seen.withdrawn)


async def test_the_rest_of_an_answer_that_was_cut() -> None:
    """A node that asks again for what is left goes on with the same message."""

    async def answer(state: MessagesState) -> Any:
        begun, rest = [(await says(text).ainvoke("q")).content for text in ("One two", "three four.")]
        return {"messages": [AIMessage(f"{begun}\n{rest}")]}

    seen = await see(line(MessagesState, answer))
    assert ("One two\nthree four.", "One two\nthree four.", 0) == (seen.text, seen.shown, seen.withdrawn)


async def test_what_follows_a_tool_in_a_node_streams() -> None:
    """A loop inside a node answers by the model that reads the result, and a model that takes another's place, too."""

    async def loop(state: MessagesState) -> Any:
        model = says(asks(city="Rome", text="Let me look."), "It is fine there.")
        asked = await model.ainvoke("q")
        result = await weather.ainvoke(asked.tool_calls[0])
        return {"messages": [asked, result, await model.ainvoke("q")]}

    seen = await see(line(MessagesState, loop))
    assert ("Let me look.\n\nIt is fine there.", 7, 0) == (seen.text, seen.pieces, seen.withdrawn)


async def test_a_message_that_another_model_says_anew() -> None:
    """Under the same id: it is said once, and the first is not shown."""

    async def answer(state: MessagesState) -> Any:
        return {"messages": [await says("It is blue.").ainvoke(state["messages"])]}

    async def polish(state: MessagesState) -> Any:
        said = await says("**It is blue.**").ainvoke("q")
        return {"messages": [AIMessage(said.content, id=state["messages"][-1].id)]}

    seen = await see(line(MessagesState, answer, polish))
    assert ("**It is blue.**", "**It is blue.**", 0) == (seen.text, seen.shown, seen.withdrawn)


async def test_a_model_that_thinks_after_a_message_that_was_held() -> None:
    """The order is that of the messages, also where the later one begins by thinking."""
    thinks = AIMessage("Second.", additional_kwargs={"reasoning_content": "hm"})
    seen = await see(line(MessagesState, node_that_says("First.", "first"), node_that_says(thinks, "second")))
    assert ("First.\n\nSecond.", "hm") == (seen.text, seen.reasoning)


@pytest.mark.parametrize("key", ["messages", "answer", "page"])
@pytest.mark.parametrize("more", ["", "\n\nSources: none"], ids=["alone", "with sources"])
async def test_thinking_that_a_node_takes_out(key: str, more: str) -> None:
    """A model that writes its thinking into its text, and a node that keeps what follows: it is said once."""

    class State(MessagesState):
        answer: str
        page: str

    async def answer(state: State) -> Any:
        said = str((await says("<think>why is it</think>\n\nIt is blue.\n").ainvoke("q")).content)
        text = said.partition("</think>")[2].strip() + more
        return {key: [AIMessage(text)] if key == "messages" else text}

    seen = await see(line(State, answer))
    said = " ".join(f"It is blue.{more}".split())
    assert (said, said) == (" ".join(seen.text.split()), " ".join(seen.shown.split()))
    assert ("why is it", 0) == (seen.reasoning, seen.withdrawn)

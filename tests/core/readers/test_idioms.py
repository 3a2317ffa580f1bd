"""Chains in the idioms of LangChain's and LangGraph's libraries: the text of record is what `ainvoke` would give."""

from __future__ import annotations

import operator
from collections.abc import AsyncIterator, Callable, Iterator
from operator import itemgetter
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
    before_model,
    wrap_model_call,
)
from langchain_classic.output_parsers import OutputFixingParser
from langchain_classic.retrievers import ContextualCompressionRetriever, EnsembleRetriever, MultiQueryRetriever
from langchain_classic.retrievers.document_compressors import LLMChainExtractor
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, RemoveMessage
from langchain_core.output_parsers import JsonOutputToolsParser, PydanticOutputParser, StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    RunnableBranch,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.runnables import chain as as_chain
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph.types import Command
from pydantic import BaseModel

from tests.support.graphs import line, node_that_says
from tests.support.scripted_model import ScriptedModel, asks, broken, says, see, weather

ASK = ChatPromptTemplate.from_template("{question}")
LOOKS = asks(city="Rome")
RESULT = ("c1", "18 degrees in Rome")


class Sky(BaseModel):
    """An answer with a value beside it."""

    answer: str
    score: int


class Notes(BaseRetriever):
    """Finds two documents."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document(f"text of {title}", metadata={"title": title}) for title in ("Sky", "Sea")]


class Broken(ScriptedModel):
    """Fails."""

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("no")

    def _stream(self, *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("no")


@wrap_model_call
async def twice(request: Any, handler: Any) -> Any:
    """Asks again where the first answer is bad."""
    response = await handler(request)
    return await handler(request) if "bad" in response.result[0].text else response


@before_model(can_jump_to=["end"])
def guard(state: Any, runtime: Any) -> Any:
    """Answers in the model's place."""
    return {"messages": [AIMessage("Not that.")], "jump_to": "end"}


def agent(*messages: Any, middleware: Any = (), tools: Any = (weather, broken)) -> Any:
    return create_agent(says(*messages), list(tools), middleware=list(middleware))


TOOL_LIMIT = ToolCallLimitMiddleware(run_limit=1)
AGAIN = ToolRetryMiddleware(initial_delay=0)
SUMMARY = SummarizationMiddleware(says("A SUMMARY"), trigger=("messages", 1), keep=("messages", 1))
TODO = asks("write_todos", todos=[{"content": "x", "status": "pending"}])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: agent(TODO, "Done.", middleware=[TodoListMiddleware()]), "Done."),
        (
            lambda: agent("Mail ann@example.org.", middleware=[PIIMiddleware("email", apply_to_output=True)]),
            "Mail [REDACTED_EMAIL].",
        ),
        (
            lambda: agent(LOOKS, "no", middleware=[ModelCallLimitMiddleware(run_limit=1)]),
            "Model call limits exceeded: run limit (1/1)",
        ),
        (lambda: agent(LOOKS, asks(id="c2", city="x"), "End.", middleware=[TOOL_LIMIT]), "End."),
        (lambda: agent(asks("broken", city="x"), "Sorry.", middleware=[AGAIN]), "Sorry."),
        (lambda: agent("Hello.", middleware=[SUMMARY]), "Hello."),
        (lambda: agent("A bad one.", "A good one.", middleware=[twice]), "A good one."),
        (lambda: agent("no", middleware=[guard]), "Not that."),
        (
            lambda: create_agent(Broken(messages=iter([])), [], middleware=[ModelFallbackMiddleware(says("Second."))]),
            "Second.",
        ),
    ],
    ids=["todos", "pii", "model limit", "tool limit", "tool retry", "summary", "asked again", "guard", "fallback"],
)  # fmt: skip
async def test_middlewares(make: Callable[[], Any], text: str) -> None:
    """Whatever stands around the model, the kept text is told, and each call has its result."""
    seen = await see(make())
    assert (text, "stop", [each for each, _ in seen.calls]) == (
        seen.text,
        seen.reason,
        [each for each, _ in seen.results],
    )


async def upper(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """Each piece in capitals."""
    async for piece in pieces:
        yield piece.upper()


def quoted(pieces: Iterator[str]) -> Iterator[str]:
    """The whole in brackets."""
    yield f"<{''.join(pieces)}>"


@as_chain
async def decorated(question: str) -> Any:
    """A function of two models."""
    rewritten = await says("a rewritten question").ainvoke(question)
    async for piece in (says("the answer") | StrOutputParser()).astream(rewritten.content):
        yield piece


def texts(answer: str = "the answer") -> Any:
    return says(answer) | StrOutputParser()


def calls() -> Any:
    return says(LOOKS) | RunnableLambda(lambda message: message.tool_calls)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RunnableParallel(a=says("the answer"), b=says("no")).pick("a"), "the answer"),
        (lambda: RunnableParallel(a=texts("one"), b=texts("two"), c=texts("no")).pick(["a", "b"]), "one\n\ntwo"),
        (lambda: {"a": texts(), "question": RunnablePassthrough()} | RunnableLambda(itemgetter("a")), "the answer"),
        (lambda: RunnableLambda(lambda question: ["a", "b"]) | says("one", "two").map(), "one\n\ntwo"),
        (lambda: texts() | RunnableGenerator(upper), "THE ANSWER"),
        (lambda: texts() | RunnableGenerator(quoted), "<the answer>"),
        (lambda: decorated, "the answer"),
        (lambda: texts().with_listeners(on_end=lambda run: None), "the answer"),
        (lambda: RunnablePassthrough.assign(answer=ASK | texts()), "the answer"),
        (
            lambda: {"topic": texts("math"), "question": RunnablePassthrough()}
            | RunnableLambda(lambda given: ASK | texts()),
            "the answer",
        ),
        (
            lambda: {"topic": texts("math"), "question": RunnablePassthrough()}
            | RunnableBranch((lambda given: given["topic"] == "math", ASK | texts()), texts("no")),
            "the answer",
        ),
        (lambda: calls() | weather.map(), RESULT[1]),
        (lambda: calls() | RunnableLambda(lambda asked: asked[0]["args"]) | weather, RESULT[1]),
        (lambda: RunnableLambda(lambda question: {"role": "assistant", "content": "the answer"}), "the answer"),
        (
            lambda: RunnableLambda(lambda question: {"messages": [{"role": "ai", "content": "the answer"}]}),
            "the answer",
        ),
        (lambda: RunnableLambda(lambda question: AIMessage([{"type": "text", "text": "the answer"}])), "the answer"),
    ],
    ids=[
        "pick", "pick several", "itemgetter", "map", "generator", "generator of all", "decorator", "listener", "assign",
        "route by function", "route by branch", "calls, each", "the first call", "dict message", "dict state", "blocks",
    ],
)  # fmt: skip
async def test_lcel(make: Callable[[], Any], text: str) -> None:
    """Composites and functions of every kind; what comes side by side has no order."""
    seen = await see(make())
    assert (sorted(text.split("\n\n")), "stop") == (sorted(seen.text.split("\n\n")), seen.reason)
    assert [each for each, _ in seen.calls] == [each for each, _ in seen.results]


@pytest.mark.parametrize(
    ("make", "sources"),
    [
        (lambda: MultiQueryRetriever.from_llm(Notes(), says("one\ntwo")), ["Sky", "Sea"]),
        (lambda: EnsembleRetriever(retrievers=[Notes(), Notes()], weights=[0.5, 0.5]), ["Sky", "Sea"]),
        (
            lambda: ContextualCompressionRetriever(
                base_compressor=LLMChainExtractor.from_llm(says("blue", "NO_OUTPUT")), base_retriever=Notes()
            ),
            ["Sky"],
        ),
    ],
    ids=["multi query", "ensemble", "compression"],
)
async def test_retrievers_of_retrievers(make: Callable[[], Any], sources: list[str]) -> None:
    """What their models say is no answer, and what they came to are the sources, each once."""
    prompt = ChatPromptTemplate.from_template("{context} {question}")
    seen = await see({"context": make(), "question": RunnablePassthrough()} | prompt | texts())
    assert ("the answer", "the answer", sources) == (seen.text, seen.shown, seen.sources)


async def test_parsers_with_a_second_look() -> None:
    """A parser that asks a model, and one of calls: the object is told, and no text."""
    parser: Any = PydanticOutputParser(pydantic_object=Sky)
    fixing = OutputFixingParser.from_llm(parser=parser, llm=says('{"answer": "blue", "score": 1}'))
    seen = await see(says("no json") | fixing)
    assert ("", {"item": {"answer": "blue", "score": 1}}) == (seen.text, seen.data)
    seen = await see(says(LOOKS) | JsonOutputToolsParser())
    assert ([], {"output": [{"type": "weather", "args": {"city": "Rome"}}]}) == (seen.calls, seen.data)


@pytest.mark.parametrize(
    ("returned", "text", "data"),
    [
        ("done", "done", {}),
        (42, "", {"output": 42}),
        (["a", "b"], "", {"output": ["a", "b"]}),
        (Sky(answer="blue", score=1), "blue", {"output": {"answer": "blue", "score": 1}}),
        ({"answer": "blue", "score": 1}, "blue", {"score": 1}),
        ([AIMessage("one"), AIMessage("two")], "one\n\ntwo", {}),
        (entrypoint.final(value="kept", save="saved"), "kept", {}),
    ],
    ids=["text", "number", "list", "object", "dict", "messages", "final"],
)
async def test_what_a_function_of_the_functional_api_returns(returned: Any, text: str, data: dict[str, Any]) -> None:
    """None of it is lost."""

    @entrypoint(checkpointer=InMemorySaver())
    async def flow(question: Any) -> Any:
        return returned

    seen = await see(flow)
    assert (text, data, "stop") == (seen.text, seen.data, seen.reason)


async def test_texts_in_a_list_of_the_state() -> None:
    """The last text of a model that stands in the state, where nothing there is an answer by its name."""

    class State(TypedDict):
        question: str
        steps: Annotated[list[str], operator.add]

    async def one(state: State) -> Any:
        return {"steps": [(await says("step one").ainvoke("q")).content]}

    async def two(state: State) -> Any:
        return {"steps": [(await says("step two").ainvoke("q")).content]}

    seen = await see(line(State, one, two))
    assert ("step two", "step two", 0) == (seen.text, seen.shown, seen.withdrawn)


async def test_a_history_that_is_compacted() -> None:
    """An answer that is written anew with its history is the same answer."""

    async def compact(state: MessagesState) -> Any:
        kept = [RemoveMessage(id=REMOVE_ALL_MESSAGES), HumanMessage("what was said"), state["messages"][-1]]
        return {"messages": kept}

    assert "the answer" == (await see(line(MessagesState, node_that_says("the answer", "first"), compact))).text


async def test_a_subgraph_that_goes_on_outside() -> None:
    """What it says before `Command.PARENT` is kept, with a checkpointer of its own or not."""

    async def hand_over(state: MessagesState) -> Any:
        return Command(goto="end", graph=Command.PARENT, update={"messages": [AIMessage("from inside")]})

    for saver in (None, True):
        inner = StateGraph(MessagesState).add_node(hand_over).add_edge(START, "hand_over").compile(checkpointer=saver)
        graph = StateGraph(MessagesState).add_node("inner", inner).add_node("end", node_that_says("The end."))
        seen = await see(graph.add_edge(START, "inner").compile(checkpointer=InMemorySaver()))
        assert "from inside\n\nThe end." == seen.text

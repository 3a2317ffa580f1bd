"""From a question to what a chain takes: each thing in its place, or a refusal that says why."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder, PromptTemplate
from langchain_core.runnables import (
    Runnable,
    RunnableLambda,
    RunnablePassthrough,
)

import llmstream
from llmstream.chain import StrictChatOllama
from llmstream.demo_ollama import DemoOllama
from llmstream.events import Failed
from tests.support.answering import ANSWER, events_of, outline


@pytest.fixture(autouse=True)
def ollama(upstream: DemoOllama, monkeypatch: pytest.MonkeyPatch) -> DemoOllama:
    """The demo Ollama, which is found in the environment."""
    monkeypatch.setenv("OLLAMA_HOST", upstream.url)
    return upstream


def sent(ollama: DemoOllama) -> Any:
    """The messages of the last question, as (role, content)."""
    return [(message["role"], message["content"]) for message in ollama.requests[-1].body["messages"]]


HISTORY = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
USER = ("user", "hi")
MEMORY = [("user", "one"), ("assistant", "two")]
CONTEXT = ("system", "Answer from this context. If it does not hold the answer, say so.\n\nblue")


@pytest.mark.parametrize(
    ("question", "changes", "messages"),
    [
        ("hi", {}, [USER]),
        (" a\n{b} ", {}, [("user", " a\n{b} ")]),
        ([HumanMessage("hi")], {}, [USER]),
        ([("human", "hi")], {}, [USER]),
        ([*HISTORY, {"role": "user", "content": "hi"}], {}, [*MEMORY, USER]),
        ("hi", {"history": HISTORY}, [*MEMORY, USER]),
        ("hi", {"history": [HumanMessage("one"), AIMessage("two")]}, [*MEMORY, USER]),
        ("hi", {"context": "blue"}, [CONTEXT, USER]),
        ("hi", {"context": "blue", "history": HISTORY}, [CONTEXT, *MEMORY, USER]),
        ([{"role": "system", "content": "Be brief."}, *HISTORY], {}, [("system", "Be brief."), *MEMORY]),
        ([{"role": "user", "content": [{"type": "text", "text": "hi"}]}], {}, [USER]),
        ({"messages": [HumanMessage("hi")]}, {}, [USER]),
    ],
)
async def test_what_the_default_chain_sends(
    ollama: DemoOllama, question: Any, changes: dict[str, Any], messages: list[Any]
) -> None:
    """The question, the history and the context, each in its place, and nothing else."""
    assert ANSWER == outline(await events_of(question, model="demo:one-chunk", **changes))
    assert messages == sent(ollama)
    assert {"model", "messages", "stream", "truncate", "options"} >= set(ollama.requests[-1].body)
    assert {} == ollama.requests[-1].body.get("options", {})


PLACES: list[tuple[Any, list[Any]]] = [
    (ChatPromptTemplate.from_template("{input}"), [USER]),
    (ChatPromptTemplate.from_template("{query}"), [USER]),
    (ChatPromptTemplate.from_template("{anything}"), [USER]),
    (PromptTemplate.from_template("Say {text}"), [("user", "Say hi")]),
    (ChatPromptTemplate([MessagesPlaceholder("messages")]), [*MEMORY, USER]),
    (ChatPromptTemplate([MessagesPlaceholder("history"), ("human", "{question}")]), [*MEMORY, USER]),
    (ChatPromptTemplate([("system", "x"), MessagesPlaceholder("chat_history"), ("human", "{input}")]),
     [("system", "x"), *MEMORY, USER]),
    (ChatPromptTemplate([MessagesPlaceholder("history", optional=True), ("human", "{question}")]), [*MEMORY, USER]),
    (ChatPromptTemplate([("system", "{language}"), ("human", "{question}")]).partial(language="x"),
     [("system", "x"), USER]),
    (RunnableLambda(lambda text: f"Say {text}"), [("user", "Say hi")]),
    (RunnablePassthrough(), [*MEMORY, USER]),
]  # fmt: skip


@pytest.mark.parametrize(("first", "messages"), PLACES, ids=[str(number) for number in range(len(PLACES))])
async def test_places_for_question_and_history(ollama: DemoOllama, first: Any, messages: list[Any]) -> None:
    """A chain's own prompt gets the question and the history under its own names."""
    chain = first | StrictChatOllama(model="demo:one-chunk")

    assert ANSWER == outline(await events_of("hi", history=HISTORY, chain=chain))
    assert messages == sent(ollama)


@pytest.mark.parametrize("template", ["{context} {question}", "{question} {context}"])
async def test_place_for_the_context(ollama: DemoOllama, template: str) -> None:
    """A prompt with {context} gets it."""
    chain = ChatPromptTemplate.from_template(template) | StrictChatOllama(model="demo:one-chunk")
    await events_of("hi", context="blue", chain=chain)

    assert [("user", template.format(context="blue", question="hi"))] == sent(ollama)


async def test_input_of_the_chains_own(ollama: DemoOllama) -> None:
    """A dict is the chain's input as it stands."""
    chain = ChatPromptTemplate.from_template("{a}{b}") | StrictChatOllama(model="demo:one-chunk")
    await events_of({"a": "x", "b": "y"}, chain=chain)

    assert [("user", "xy")] == sent(ollama)


def prompt(template: str) -> Runnable[Any, Any]:
    """A chain with that prompt."""
    return ChatPromptTemplate.from_template(template) | StrictChatOllama(model="demo")


@pytest.mark.parametrize(
    ("question", "changes", "part"),
    [
        ("hi", {"chain": prompt("{a}{b}")}, "{a}, {b}"),
        ("hi", {"chain": prompt("{question}{language}")}, "{language}"),
        ("hi", {"chain": prompt("{question}{context}")}, "{context}"),
        ("hi", {"chain": prompt("no variable")}, "a question"),
        ("hi", {"chain": prompt("{question}"), "context": "x"}, "no place for a context"),
        ("hi", {"chain": StrictChatOllama(model="demo"), "context": "x"}, "no place for a context"),
        ("hi", {"chain": RunnableLambda(str), "context": "x"}, "no place for a context"),
        ("hi", {"chain": 5}, "got int"),
        ("hi", {"chain": prompt("{question}"), "model": "x"}, "belong to the default chain"),
        ("hi", {"chain": prompt("{question}"), "thinking": False}, "belong to the default chain"),
        ({"question": "hi"}, {"chain": prompt("{question}"), "context": "x"}, "whole input"),
        ({"question": "hi"}, {"chain": prompt("{question}"), "history": HISTORY}, "whole input"),
        ([], {"model": "demo"}, "nothing to answer"),
        ([{"role": "bird", "content": "x"}], {"model": "demo"}, "A message must be"),
        ([{"content": "x"}], {"model": "demo"}, "A message must be"),
        ([5], {"model": "demo"}, "A message must be"),
        (5, {"model": "demo"}, "A message must be"),
        (None, {"model": "demo"}, "There is nothing to answer"),
    ],
)  # fmt: skip
async def test_what_can_not_be_asked(question: Any, changes: dict[str, Any], part: str) -> None:
    """A question that doesn't fit its chain is refused before anything is asked, and the message says why."""
    events = await events_of(question, **changes)

    assert [("failed", "invalid_request", False)] == outline(events[-1:])
    assert isinstance(events[-1], Failed)
    assert part in events[-1].message
    assert 1 == len(events)


@pytest.mark.parametrize("image", ["/etc/passwd", "https://example.com/a.png", "data:image/png;base64,!"])
async def test_images_are_no_addresses(ollama: DemoOllama, image: str) -> None:
    """An image must be given itself: no file is read and no address asked."""
    parts = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": image}]
    last = (await events_of([{"role": "user", "content": parts}], model="demo"))[-1]

    assert isinstance(last, Failed)
    assert last.code in ("invalid_request", "capability_missing")
    assert not [request for request in ollama.requests if request.path == "/api/chat"]


async def test_arguments_are_not_changed(ollama: DemoOllama) -> None:
    """What the caller gave is as it was."""
    history, question = [dict(message) for message in HISTORY], [{"role": "user", "content": "hi"}]
    options = {"seed": 1}
    await events_of(question, history=history, options=options, model="demo:one-chunk")

    assert (HISTORY, [{"role": "user", "content": "hi"}], {"seed": 1}) == (history, question, options)


def test_system_message_type() -> None:
    """A system message may stand in the history too."""
    events = list(llmstream.stream_events("hi", history=[SystemMessage("x")], model="demo:one-chunk"))

    assert ANSWER == outline(events)

"""Generator functions as chains: what they are given, and that they stream, end and are left like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langgraph.graph import START, MessagesState, StateGraph

from llmstream import astream, astream_events, stream
from llmstream.chain import StrictChatOllama
from llmstream.core.generator import as_runnable
from llmstream.demo_ollama import DemoOllama
from llmstream.errors import ChainFailed, InvalidRequest, LlmstreamError
from llmstream.settings import Settings

PROMPT = ChatPromptTemplate.from_template("{language}: {question}")
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Bye"},
]


async def words(question: str) -> AsyncIterator[str]:
    """The words of the question."""
    for word in question.split():
        yield f"{word}."


def sync_words(text: str) -> Iterator[str]:
    """The same, not async, by a parameter of another name."""
    for word in text.split():
        yield f"{word}."


class Words:
    """The same as a method, and as an object that is called."""

    async def __call__(self, question: str) -> AsyncIterator[str]:
        """The words of the question."""
        async for word in words(question):
            yield word

    def method(self, question: str) -> Iterator[str]:
        """The words of the question."""
        yield from sync_words(question)


async def told(question: str, history: list[Any], user: str = "nobody") -> AsyncIterator[str]:
    """All that it is given."""
    yield repr((question, history, user))


async def joined(chain: object, question: Any, **arguments: Any) -> str:
    """The answer of a chain."""
    return "".join([piece async for piece in astream(question, chain=chain, **arguments)])


@pytest.mark.parametrize("chain", [words, sync_words, Words(), Words().method])
async def test_a_generator_function_gets_the_text(chain: object) -> None:
    """Async or not, a method or an object: each piece comes as it is yielded."""
    assert ["one.", "two."] == [piece async for piece in astream("one two", chain=chain)]
    assert ["one.", "two."] == list(stream("one two", chain=chain))


async def test_a_generator_function_gets_the_messages() -> None:
    """By the name of its parameter, in the form that the clients of models take."""
    seen: list[Any] = []

    async def answer(messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        seen.extend(messages)
        yield "ok"

    assert "ok" == await joined(answer, TALK)
    assert TALK == seen


async def test_a_generator_function_gets_what_it_names() -> None:
    """The question, what was said before, and values beside; others are not for it."""
    assert repr(("Bye", TALK[:3], "nobody")) == await joined(told, TALK)
    assert repr(("Bye", TALK[:3], "ann")) == await joined(told, TALK, inputs={"user": "ann", "other": 1})
    assert repr(("Hi", [], "nobody")) == await joined(told, "Hi")


async def test_what_a_function_lacks_is_named() -> None:
    """Before anything runs."""

    async def answer(question: str, user: str) -> AsyncIterator[str]:
        yield question + user

    with pytest.raises(InvalidRequest, match=r"\{user\}.*prepare"):
        await joined(answer, "q")


async def test_a_generator_function_gets_the_config() -> None:
    """Where it asks for it, as LangChain's own functions do."""

    async def answer(question: str, config: RunnableConfig) -> AsyncIterator[str]:
        yield config["configurable"]["tenant"]

    assert "acme" == await joined(answer, "q", config={"configurable": {"tenant": "acme"}})


async def test_a_generator_function_that_is_left_is_closed() -> None:
    """Its own `finally` runs before the iteration is over."""
    closed = asyncio.Event()

    async def answer(question: str) -> AsyncIterator[str]:
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with aclosing(astream("q", chain=answer)) as pieces:
        assert "first" == await anext(pieces)
    assert closed.is_set()


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_generator_function_that_raises_is_no_complete_answer(is_async: bool) -> None:
    """What came stays, and the error is told."""

    async def answer(question: str) -> AsyncIterator[str]:
        yield "half"
        raise ValueError("broken")

    def sync_answer(question: str) -> Iterator[str]:
        yield "half"
        raise ValueError("broken")

    pieces = []
    with pytest.raises(LlmstreamError):
        async for piece in astream("q", chain=answer if is_async else sync_answer):
            pieces += [piece]
    assert ["half"] == pieces


async def test_images_for_a_function_that_takes_text_are_refused() -> None:
    """One that takes messages gets them."""
    asked = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]

    async def answer(messages: list[dict[str, Any]]) -> AsyncIterator[str]:
        yield messages[0]["content"][0]["type"]

    with pytest.raises(InvalidRequest, match="text only"):
        await joined(words, asked)
    assert "image_url" == await joined(answer, asked)


async def test_a_function_that_wants_more_than_the_question() -> None:
    """One that returns its answer is given by name what it asks for; what has a default is not given."""
    asked = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Why?"},
    ]

    def answer(message: str, history: list[Any]) -> str:
        return f"{message} after {history[-1]['content']}"

    async def answer_async(message: str, history: list[Any]) -> str:
        return answer(message, history)

    def roles(messages: list[Any]) -> str:
        return " ".join(each["role"] for each in messages)

    def brief(message: str, config: RunnableConfig, length: int = 2) -> str:
        return message[:length]

    assert "Why? after Hello." == await joined(answer, asked) == await joined(answer_async, asked)
    assert "user assistant user" == await joined(roles, asked)
    assert "Wh" == await joined(brief, asked)
    with pytest.raises(InvalidRequest, match=r"wants \{tenant\}"):
        await joined(lambda question, tenant: question, asked)


@pytest.mark.parametrize("is_async", [True, False])
def test_a_function_that_yields_all_of_the_text_each_time(is_async: bool, caplog: pytest.LogCaptureFixture) -> None:
    """As functions for Gradio's ChatInterface do, its answer is no complete one, and a short one is warned of."""

    def growing(question: str) -> Iterator[str]:
        yield from (question[:end] for end in range(1, len(question) + 1))

    async def growing_async(question: str) -> AsyncIterator[str]:
        for piece in growing(question):
            yield piece

    chain = growing_async if is_async else growing
    with pytest.raises(ChainFailed, match=r"`growing.*yield only what is new"):
        "".join(stream("How much is it?", chain=chain))
    assert 1 == len(caplog.messages)
    assert "HHoHow" == "".join(stream("How", chain=chain))
    assert 1 == len(caplog.messages)
    "".join(stream("How?!", chain=chain))
    assert 2 == len(caplog.messages)


@pytest.mark.parametrize(
    "pieces",
    [
        ("", "ha", "haha", " ", " \n", " \n\n", " \n\n\n"),
        ("\n" * 20, *("\n" * length for length in range(21, 25)), "Now."),
        ("a", "ab", "abc", "abcd", ", and so on: ", "a" * 50, "a" * 60, "a" * 70, "a" * 80),
    ],
)
def test_pieces_that_look_alike(pieces: tuple[str, ...]) -> None:
    """By chance, they are an answer as any other."""

    def alike(question: str) -> Iterator[str]:
        yield from pieces

    assert "".join(pieces) == "".join(stream("Why?", chain=alike))


def test_a_runnable_is_itself() -> None:
    """No wrapper around what is a chain already."""
    chain = RunnableLambda(str)
    assert as_runnable(chain) is chain


def graph() -> Runnable[Any, Any]:
    """A graph whose state has more than messages."""

    class State(MessagesState):
        language: str

    def node(state: State) -> dict[str, Any]:
        return {"messages": [("ai", f"{state['language']}: {state['messages'][-1].content}")]}

    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile()


CHAINS: dict[str, Any] = {
    "prompt": lambda: (
        ChatPromptTemplate.from_template("{language}: {question}") | (lambda made: made.messages[0].content)
    ),
    "graph": graph,
    "function": lambda: lambda given: f"{given['language']}: {given['question']}",
}


@pytest.mark.parametrize("name", CHAINS)
async def test_inputs_stand_beside_the_question(name: str) -> None:
    """A prompt's variables, a graph's state, a dict for a function."""
    assert "de: Hi" == await joined(CHAINS[name](), "Hi", inputs={"language": "de"})


async def test_inputs_leave_the_model_its_fast_way(upstream: DemoOllama) -> None:
    """They are values of the prompt, and nothing else changes."""
    upstream.answers["de: Hi"] = "Hallo."
    model = StrictChatOllama(model="demo", base_url=upstream.url)
    chain = PROMPT | model
    assert "Hallo." == await joined(chain, "Hi", inputs={"language": "de"})


async def test_a_callback_of_the_config_hears_the_model(upstream: DemoOllama) -> None:
    """Beside llmstream, and the answer is the same."""
    upstream.answers["Hi"] = "Hello."
    heard: list[str] = []

    class Handler(AsyncCallbackHandler):
        async def on_llm_new_token(self, token: Any, **known: Any) -> None:
            heard.append(token)

    chain = ChatPromptTemplate.from_template("{question}") | StrictChatOllama(model="demo", base_url=upstream.url)
    assert "Hello." == await joined(chain, "Hi", config={"callbacks": [Handler()], "tags": ["mine"]})
    assert "Hello." == "".join(heard)


@pytest.mark.parametrize("arguments", [{"inputs": {"a": 1}}, {"config": {"tags": ["a"]}}])
async def test_the_default_chain_takes_neither(arguments: Any, settings: Settings) -> None:
    """Nor does a model alone, nor a dict that is the whole input."""
    with pytest.raises(InvalidRequest, match="chain of your own"):
        await joined(None, "q", settings=settings, **arguments)
    with pytest.raises(InvalidRequest, match="whole input"):
        await joined(words, {"question": "q"}, inputs={"a": 1})


async def test_events_of_a_generator_function() -> None:
    """They begin and end as those of every chain."""
    events = [event async for event in astream_events("a b", chain=words)]
    assert ["Started", "Token", "Token", "Finished"] == [type(event).__name__ for event in events]
    assert "words" == getattr(events[0], "model", None)


def test_a_function_without_a_place_for_the_question_is_told_what_it_is_given() -> None:
    """In words that are true of it, however it answers."""

    async def nothing() -> AsyncIterator[str]:
        yield "x"

    async def others(q: str, hist: list[Any]) -> AsyncIterator[str]:
        yield "x"

    for chain in (nothing, lambda: "x"):
        with pytest.raises(InvalidRequest, match=r"takes no argument.*Give it one, as in `def .*\(question\)"):
            "".join(stream("Hello", chain=chain))
    with pytest.raises(InvalidRequest, match=r"wants \{q\}, \{hist\}.* question, messages, history, context\."):
        "".join(stream("Hello", chain=others))

"""Random chains and random faults: what llmstream reads by itself tells what LangChain's own way tells."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypedDict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_community.llms import Ollama
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import JsonOutputParser, StrOutputParser
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableBranch,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_ollama import ChatOllama, OllamaLLM
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from llmstream.chain import StrictChatOllama
from llmstream.core.chains.strict_models import strict_chain
from llmstream.demo_ollama import DemoOllama
from tests.support.answering import PROMPT, Recorder, events_of, facts

Chain = Runnable[Any, Any]
# What a reader that is strict takes for a fault, and one that is not as well.
FAULTS = (
    "one-chunk", "length", "thinking", "thinking-only", "empty", "no-done", "cut", "half-json", "error-line",
    "error-first", "load-always", "html-200", "prompt-too-long", "prompt-cut", "busy-1", "newlines",
    "split-surrogate", "tokens-300", "tool-call", "blank-line", "no-message", "done-extra",
)  # fmt: skip


async def upper(pieces: AsyncIterator[Any]) -> AsyncIterator[str]:
    """A step that passes pieces on."""
    async for piece in pieces:
        yield str(getattr(piece, "content", piece)).upper()


def text(value: Any) -> str:
    """A step that takes all at once."""
    return str(getattr(value, "content", value))


# What may stand behind a model, around a model, and around a whole chain.
TAILS: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda chain: chain,
    "parser": lambda chain: chain | StrOutputParser(),
    "generator": lambda chain: chain | StrOutputParser() | upper,
    "lambda": lambda chain: chain | RunnableLambda(text),
    "json": lambda chain: chain | JsonOutputParser(),
    "passthrough": lambda chain: chain | RunnablePassthrough() | StrOutputParser(),
}
AROUND_MODEL: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda model: model,
    "bound": lambda model: model.bind(stop=["never"]),
    "retry": lambda model: model.with_retry(),
    "fallback": lambda model: model.with_fallbacks([model]),
    "branch": lambda model: RunnableBranch((lambda value: not value, RunnableLambda(text)), model),
    "choice": lambda model: model.configurable_alternatives(ConfigurableField(id="which"), default_key="a", b=model),
}
AROUND_CHAIN: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda chain: chain,
    "configured": lambda chain: chain.with_config(tags=["x"], run_name="x"),
    "before": lambda chain: RunnableLambda(lambda value: value) | chain,
    "fallback": lambda chain: chain.with_fallbacks([chain]),
    "assign": lambda chain: RunnablePassthrough.assign(answer=chain),
    "parallel": lambda chain: RunnableParallel(answer=chain, question=RunnableLambda(lambda value: "?")),
    "branch": lambda chain: RunnableBranch((lambda value: not value, RunnableLambda(text)), chain),
}


def chat_model(url: str, fault: str) -> Any:
    """The strict model, which is the same whoever listens."""
    return StrictChatOllama(model=f"demo:{fault}", base_url=url, reasoning=fault.startswith("thinking") or None)


def chain_of(model: Any, parts: tuple[str, str, str]) -> Chain:
    """A chain by the names of its parts."""
    around_model, tail, around = parts
    made: Chain = AROUND_CHAIN[around](TAILS[tail](PROMPT | AROUND_MODEL[around_model](model)))
    return made


PARTS = st.tuples(st.sampled_from([*AROUND_MODEL]), st.sampled_from([*TAILS]), st.sampled_from([*AROUND_CHAIN]))


@given(parts=PARTS, fault=st.sampled_from(FAULTS))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_random_chains(upstream: DemoOllama, parts: tuple[str, str, str], fault: str) -> None:
    """Whatever a chain is made of, and whatever goes wrong, only the grouping of tokens differs."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as other:  # a scenario may count its requests
        heard = Recorder()
        alone = await events_of(chain=chain_of(chat_model(upstream.url, fault), parts))
        listened = chain_of(chat_model(other.url, fault), parts).with_config(callbacks=[heard])

        assert facts(await events_of(chain=listened), other.url) == facts(alone, upstream.url)
        assert heard.models


@pytest.mark.parametrize("fault", FAULTS)
async def test_graph(upstream: DemoOllama, fault: str) -> None:
    """A graph tells the same, and has the same state, whether its model hands over tokens by itself or not."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as other:
        graphs = [graph_of(chat_model(upstream.url, fault), sync=False), graph_of(chat_model(upstream.url, fault))]
        listened = graph_of(chat_model(other.url, fault), sync=False)
        heard = Recorder()
        told = [await events_of(chain=graph, thread="t") for graph in graphs]
        around = await events_of(chain=listened.with_config(callbacks=[heard]), thread="t")

        assert [facts(around, other.url)] * 2 == [facts(events, upstream.url) for events in told]
        assert heard.models == 1
        states = [said(graph) for graph in (*graphs, listened)]
        assert states[0] == states[1] == states[2]
        assert (fault == "one-chunk") <= (len(states[0]) == 2)
        assert (fault == "tokens-300") <= (len(heard.tokens) > 300)  # one by one


def graph_of(model: Any, *, sync: bool = True) -> Any:
    """A graph of one node that remembers."""

    async def node(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    def sync_node(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("node", sync_node if sync else node).add_edge(START, "node")
    return graph.compile(checkpointer=InMemorySaver())


def said(graph: Any) -> list[Any]:
    """The messages that a graph's checkpoints hold, without what is another one each time."""
    checkpoints = [each.checkpoint["channel_values"] for each in graph.checkpointer.list(None)]
    messages: list[Any] = next((values["messages"] for values in checkpoints if "messages" in values), [])
    found = []
    for message in messages:
        plain = message.model_dump()
        for key in ("created_at", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration"):
            plain["response_metadata"].pop(key, None)
        for call in plain.get("tool_calls", ()):
            call.pop("id")
        found.append({**plain, "id": isinstance(message, HumanMessage) or message.id.startswith("lc_run--")})
    return found


TEXT_MODELS: dict[str, Callable[[str, str], Any]] = {
    "OllamaLLM": lambda url, fault: OllamaLLM(model=f"demo:{fault}", base_url=url),
    "community": lambda url, fault: Ollama(model=f"demo:{fault}", base_url=url),
}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "tool-call"])
@pytest.mark.parametrize("kind", TEXT_MODELS)
async def test_text_models_are_strict(upstream: DemoOllama, kind: str, fault: str) -> None:
    """A text model that a chain shows tells what the strict chat model tells, straight and behind a fallback."""
    with DemoOllama(tokens_per_s=None, scenarios=True) as other, DemoOllama(tokens_per_s=None, scenarios=True) as third:
        chat = StrictChatOllama(model=f"demo:{fault}", base_url=upstream.url)
        straight = PROMPT | TEXT_MODELS[kind](other.url, fault) | StrOutputParser()
        generator = PROMPT | TEXT_MODELS[kind](third.url, fault) | RunnableLambda(text)
        expected = facts(await events_of(chain=PROMPT | chat | StrOutputParser()), upstream.url)

        assert expected == facts(await events_of(chain=straight), other.url)
        assert expected[-4:] == facts(await events_of(chain=generator), third.url)[-4:]


def node_of(model: Any) -> Any:
    """A node that is a chain."""
    return RunnablePassthrough.assign(answer=PROMPT | model | StrOutputParser())


class Answered(TypedDict, total=False):
    """The state of a graph that answers a question."""

    question: str
    answer: str


MADE_STRICT: dict[str, Callable[[Any], Any]] = {
    "generator": lambda model: PROMPT | model | StrOutputParser() | upper,
    "fallback": lambda model: PROMPT | model.with_fallbacks([model]),
    "branch": lambda model: RunnableBranch((lambda value: not value, PROMPT), PROMPT | model),
    "parallel": lambda model: RunnableParallel(answer=PROMPT | model, question=RunnablePassthrough()),
    "assign": lambda model: RunnablePassthrough.assign(answer=PROMPT | model),
    "node": lambda model: StateGraph(Answered).add_node("node", node_of(model)).add_edge(START, "node").compile(),
    "fields": lambda model: PROMPT | model.configurable_fields(temperature=ConfigurableField(id="t")),
    "alternatives": lambda model: (
        PROMPT | model.configurable_alternatives(ConfigurableField(id="which"), default_key="a", b=model)
    ),
}


@pytest.mark.parametrize("kind", MADE_STRICT)
async def test_shown_models_are_read_strictly(upstream: DemoOllama, kind: str) -> None:
    """LangChain's own model takes an answer without an end for a whole one; where a chain shows it, it is none."""
    chain = MADE_STRICT[kind](ChatOllama(model="demo:no-done", base_url=upstream.url))

    assert "failed" == (await outline_of(chain))[-1][0]
    assert "upstream_truncated" == (await outline_of(chain))[-1][1]


async def outline_of(chain: Chain) -> list[Any]:
    """What an answer of the chain is."""
    return facts(await events_of(chain=chain), "")[:-3]


@pytest.mark.parametrize(
    "chain",
    [
        PROMPT
        | ChatOllama(model="demo").with_fallbacks([ChatOllama(model="demo")], exceptions_to_handle=(ValueError,)),
        PROMPT | ChatOllama(model="demo").with_config(callbacks=[Recorder()]) | RunnableLambda(text),
        PROMPT | ChatOllama(model="demo", callbacks=[Recorder()]) | RunnableLambda(text),
        PROMPT | RunnableLambda(text),
    ],
)
def test_left_as_it_is(chain: Chain) -> None:
    """A chain whose model somebody listens to, or whose fallback is for errors of its client, stays the same."""
    assert strict_chain(chain) is chain

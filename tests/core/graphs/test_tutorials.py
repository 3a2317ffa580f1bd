"""Graphs as LangGraph's documentation has them, small: what a person sees is what they come to."""

from __future__ import annotations

import operator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AnyMessage, HumanMessage, ToolMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph, add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Send
from langgraph_supervisor import create_supervisor
from langgraph_swarm import create_handoff_tool, create_swarm

from tests.support.graphs import line
from tests.support.scripted_model import asks, says, see, weather


@tool(response_format="content_and_artifact")
def search(query: str) -> tuple[str, list[Document]]:
    """Search the notes."""
    return f"notes on {query}", [Document(query, metadata={"title": query})]


async def test_agentic_rag() -> None:
    """A model searches, a grader has it search again, another model answers."""
    model, grades = (
        says(asks("search", query="sky"), asks("search", "c2", query="blue sky")),
        iter(["rewrite", "answer"]),
    )

    async def query(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def grade(state: MessagesState) -> str:
        await says("yes").ainvoke("q")
        return next(grades)

    async def rewrite(state: MessagesState) -> Any:
        return {"messages": [HumanMessage((await says("Why is the sky blue?").ainvoke("q")).content)]}

    async def answer(state: MessagesState) -> Any:
        return {"messages": [await says("It scatters light.").ainvoke("q")]}

    graph = StateGraph(MessagesState).add_node(query).add_node("tools", ToolNode([search])).add_node(rewrite)
    graph.add_node(answer).add_edge(START, "query").add_conditional_edges("query", tools_condition)
    graph.add_conditional_edges("tools", grade, ["rewrite", "answer"])
    seen = await see(graph.add_edge("rewrite", "query").add_edge("answer", END).compile())
    assert ("It scatters light.", "It scatters light.", "stop") == (seen.text, seen.shown, seen.reason)
    assert (["c1", "c2"], ["sky", "blue sky"]) == ([call for call, _ in seen.results], seen.sources)


async def test_corrective_rag() -> None:
    """Documents are graded, the web is asked for more, and the answer names what it was made from."""

    class State(TypedDict):
        question: str
        generation: str
        documents: list[Document]

    def retrieve(state: State) -> Any:
        return {"documents": [Document(title, metadata={"title": title}) for title in ("Sky", "Fish")]}

    def grade(state: State) -> Any:
        for _ in state["documents"]:
            (says('{"binary_score": "yes"}') | JsonOutputParser()).invoke("q")
        return {"documents": state["documents"][:1]}

    def transform(state: State) -> Any:
        return {"question": says("a better question").invoke("q").content}

    def web(state: State) -> Any:
        return {"documents": [*state["documents"], Document("w", metadata={"title": "Web"})]}

    def generate(state: State) -> Any:
        return {"generation": says("It is blue.").invoke("q").content}

    seen = await see(line(State, retrieve, grade, transform, web, generate))
    assert ("It is blue.", "It is blue.", ["Sky", "Web"]) == (seen.text, seen.shown, seen.sources)


async def test_plan_and_execute() -> None:
    """Neither the plan nor what an agent finds on the way is the answer."""

    class State(TypedDict):
        input: str
        plan: list[str]
        past_steps: Annotated[list[Any], operator.add]
        response: str

    async def plan(state: State) -> Any:
        return {"plan": await (says('["find it"]') | JsonOutputParser()).ainvoke("q")}

    async def execute(state: State) -> Any:
        done = await create_agent(says("found it"), []).ainvoke({"messages": [HumanMessage(state["plan"][0])]})
        return {"past_steps": [(state["plan"][0], done["messages"][-1].content)]}

    async def replan(state: State) -> Any:
        return await (says('{"response": "It is Rome."}') | JsonOutputParser()).ainvoke("q")

    graph = StateGraph(State).add_node("planner", plan).add_node("agent", execute).add_node("replan", replan)
    graph.add_edge(START, "planner").add_edge("planner", "agent").add_edge("agent", "replan")
    graph.add_conditional_edges("replan", lambda state: END if state.get("response") else "agent", ["agent", END])
    seen = await see(graph.compile())
    assert ("It is Rome.", "It is Rome.") == (seen.text, seen.shown)


async def test_orchestrator_and_workers() -> None:
    """What is put together of the workers' sections is the answer, and not the sections."""

    class State(TypedDict):
        topic: str
        sections: Annotated[list[str], operator.add]
        final_report: str

    async def orchestrate(state: State) -> Any:
        return await says('{"sections": ["a", "b"]}').ainvoke("q") and {}

    async def work(state: Any) -> Any:
        return {"sections": [(await says(f"on {state['section']}").ainvoke("q")).content]}

    async def synthesize(state: State) -> Any:
        return {"final_report": "Report: " + ", ".join(state["sections"])}

    graph = StateGraph(State).add_node(orchestrate).add_node(work).add_node(synthesize).add_edge(START, "orchestrate")
    graph.add_conditional_edges(
        "orchestrate", lambda state: [Send("work", {"section": each}) for each in "ab"], ["work"]
    )
    seen = await see(graph.add_edge("work", "synthesize").compile())
    assert ("Report: on a, on b", 0) == (seen.text, seen.withdrawn)


async def test_an_agent_of_the_functional_api() -> None:
    """Its tasks call the model and the tools; the messages it returns are the answer."""
    model = says(asks(city="Rome"), "It is warm.")

    @task
    def ask(messages: Any) -> Any:
        return model.invoke(messages)

    @task
    def use(call: Any) -> Any:
        return weather.invoke(call)

    @entrypoint()
    def run(question: str) -> Any:
        messages: Any = [HumanMessage(question)]
        said = ask(messages).result()
        while said.tool_calls:
            results = [use(call) for call in said.tool_calls]
            messages = add_messages(messages, [said, *(result.result() for result in results)])
            said = ask(messages).result()
        return add_messages(messages, said)

    seen = await see(run)
    assert ("It is warm.", [("c1", "18 degrees in Rome")]) == (seen.text, seen.results)


class Counted(TypedDict):
    """Messages, and how often a model was asked."""

    messages: Annotated[list[AnyMessage], operator.add]
    llm_calls: int


async def test_the_quickstarts_agent() -> None:
    """A loop written by hand, with a list of its own for messages and a count of its calls."""
    model = says(asks(city="Rome"), "It is warm.")

    def llm_call(state: Counted) -> Any:
        return {"messages": [model.invoke(state["messages"])], "llm_calls": state.get("llm_calls", 0) + 1}

    def tool_node(state: Counted) -> Any:
        calls = state["messages"][-1].tool_calls  # type: ignore[union-attr]
        return {"messages": [ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"]) for call in calls]}

    def go_on(state: Counted) -> str:
        return "tool_node" if state["messages"][-1].tool_calls else END  # type: ignore[union-attr]

    graph = StateGraph(Counted).add_node(llm_call).add_node(tool_node).add_edge(START, "llm_call")
    graph.add_conditional_edges("llm_call", go_on, ["tool_node", END]).add_edge("tool_node", "llm_call")
    seen = await see(graph.compile())
    assert ("It is warm.", [("c1", "18 degrees in Rome")]) == (seen.text, seen.results)
    assert {"llm_calls": 2} == seen.data


@pytest.mark.filterwarnings("ignore:create_react_agent has been moved")
async def test_supervisor() -> None:
    """The worker's message and the supervisor's are told; handing over is a tool's affair."""
    worker = create_agent(says("I found it."), [search], name="researcher")
    graph = create_supervisor([worker], model=says(asks("transfer_to_researcher"), "All done.")).compile()
    assert "I found it.\n\nAll done." == (await see(graph)).text


async def test_swarm() -> None:
    """The agent that was handed the conversation answers, also on the next turn of its thread."""
    alice = create_agent(says(asks("transfer_to_bob")), [create_handoff_tool(agent_name="bob")], name="alice")
    bob = create_agent(says("Ahoy!", "Ahoy again!"), [weather], name="bob")
    graph = create_swarm([alice, bob], default_active_agent="alice").compile(checkpointer=InMemorySaver())
    assert "Ahoy!" == (await see(graph, thread="t")).text
    assert "Ahoy again!" == (await see(graph, thread="t")).text


async def test_an_agent_as_a_tool() -> None:
    """What it notes is its tool's result, and no text."""
    inner = create_agent(says("my notes"), [])

    @tool
    async def research(topic: str) -> str:
        """Look something up."""
        return str((await inner.ainvoke({"messages": [HumanMessage(topic)]}))["messages"][-1].content)

    seen = await see(create_agent(says(asks("research", topic="tea"), "The report."), [research]))
    assert ("The report.", "The report.") == (seen.text, seen.shown)
    assert [("c1", "my notes")] == seen.results

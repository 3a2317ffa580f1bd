"""Graphs that ask a person: whether a mail may be sent, as LangChain's middleware for that does, and which year."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt


class Secretary(BaseChatModel):
    """Asks for a mail to be sent, and then tells what became of it."""

    @property
    def _llm_type(self) -> str:
        return "secretary"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            said = AIMessage(f"The mail was {last.content}.")
        else:
            call = {"id": f"call_{len(messages)}", "name": "send_mail", "args": {"to": "ann"}}
            said = AIMessage("I would send a mail.", tool_calls=[call])
        return ChatResult(generations=[ChatGeneration(message=said)])


def mail_graph() -> Any:
    """Sends a mail once a person approves of it, maybe to somebody else."""

    async def agent(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await Secretary().ainvoke(state["messages"])]}

    def tools(state: MessagesState) -> dict[str, Any]:
        (call,) = state["messages"][-1].tool_calls  # type: ignore[union-attr]
        request = {"name": call["name"], "args": call["args"], "description": "Send this mail?"}
        config = {"action_name": call["name"], "allowed_decisions": ["approve", "edit", "reject"]}
        answer = interrupt({"action_requests": [request], "review_configs": [config]})
        (decision,) = answer["decisions"]
        to = decision["edited_action"]["args"]["to"] if decision["type"] == "edit" else call["args"]["to"]
        content = decision.get("message", "not sent") if decision["type"] == "reject" else f"sent to {to}"
        return {"messages": [ToolMessage(content, tool_call_id=call["id"])]}

    def has_calls(state: MessagesState) -> str:
        return "tools" if state["messages"][-1].tool_calls else END  # type: ignore[union-attr]

    graph = StateGraph(MessagesState)
    graph.add_node("agent", agent)
    graph.add_node("tools", tools)
    graph.add_edge(START, "agent")
    graph.add_conditional_edges("agent", has_calls, ["tools", END])
    graph.add_edge("tools", "agent")
    return graph.compile(checkpointer=InMemorySaver())


def year_graph() -> Any:
    """Asks which year is meant, and says it."""

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"In {interrupt('Which year?')} it was.")]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph.compile(checkpointer=InMemorySaver())

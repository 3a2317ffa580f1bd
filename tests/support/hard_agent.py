"""An agent with everything that a client may get wrong: a tool that fails, nodes side by side, a draft, a pause."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import interrupt

from tests.support.scripted_model import asks, broken, says

SAID = ["I will look.", "From the left.", "From the right.", "I would send a mail."]
FAILURE = "the station is down"
DRAFT = "A draft that nobody keeps."
QUESTION = "Look, and mail ann."


def hard_agent() -> Any:
    """Says `SAID`, of which the second and the third come at the same time; asks a person; says what became of it."""

    def saying(message: AIMessage | str) -> Any:
        async def node(state: MessagesState) -> Any:
            return {"messages": [await says(message).ainvoke(state["messages"])]}

        return node

    async def draft(state: MessagesState) -> Any:
        await says(DRAFT).ainvoke(state["messages"])
        return {}

    def mail(state: MessagesState) -> Any:
        request = {"name": "send_mail", "args": {"to": "ann"}, "description": "Send this mail?"}
        config = {"action_name": "send_mail", "allowed_decisions": ["approve", "edit", "reject"]}
        (decision,) = interrupt({"action_requests": [request], "review_configs": [config]})["decisions"]
        if decision["type"] == "reject":
            content = decision.get("message", "not sent")
        else:
            content = f"sent to {decision.get('edited_action', request)['args']['to']}"
        return {"messages": [ToolMessage(content, tool_call_id="c2")]}

    def tell(state: MessagesState) -> Any:
        return {"messages": [AIMessage(f"The mail was {state['messages'][-1].content}.")]}

    nodes = {
        "look": saying(asks("broken", "c1", SAID[0], city="Paris")),
        "tools": ToolNode([broken], handle_tool_errors=True),
        "left": saying(SAID[1]),
        "right": saying(SAID[2]),
        "draft": draft,
        "secretary": saying(asks("send_mail", "c2", SAID[3], to="ann")),
        "mail": mail,
        "tell": tell,
    }
    graph: Any = StateGraph(MessagesState)
    for name, node in nodes.items():
        graph.add_node(name, node)
    ways = [("look", "tools"), ("tools", "draft"), (["left", "right"], "secretary")]
    for start, end in [(START, "look"), *ways, ("secretary", "mail"), ("mail", "tell"), ("tell", END)]:
        graph.add_edge(start, end)
    graph.add_conditional_edges("draft", lambda state: ["left", "right"], ["left", "right", END])
    return graph.compile(checkpointer=InMemorySaver())

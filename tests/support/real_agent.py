"""An agent on a real Ollama, whose tool a person decides on: LangChain's `create_agent` with its middleware."""

from __future__ import annotations

from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from llmstream.chain import StrictChatOllama

QUESTION = "What is the weather in Paris?"
DECISIONS: dict[str, dict[str, Any]] = {
    "approve": {"type": "approve"},
    "edit": {"type": "edit", "edited_action": {"name": "get_weather", "args": {"city": "Oslo"}}},
    "reject": {"type": "reject", "message": "18 degrees and rainy"},
}
# What the tool's result holds, by the decision.
RESULTS = {
    "approve": "18 degrees and sunny in Paris",
    "edit": "18 degrees and sunny in Oslo",
    "reject": "18 degrees and rainy",
}


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"18 degrees and sunny in {city}"


def weather_agent(ollama_url: str, saver: Any = None) -> Any:
    """Tells the weather once a person approves of asking for it; saver: keeps the threads."""
    model = StrictChatOllama(model="tiny-chat", base_url=ollama_url, temperature=0, reasoning=False, num_predict=30)
    middleware: Any = HumanInTheLoopMiddleware(interrupt_on={"get_weather": True})
    return create_agent(model, [get_weather], middleware=[middleware], checkpointer=saver or InMemorySaver())
